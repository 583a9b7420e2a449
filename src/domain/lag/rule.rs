//! Owns the list of rules: number, name and the status that each gives. Refuses to apply them:
//! `assess` does, in this order, and the first that holds decides. Burrow's rules, carried over
//! from offsets to time.

use super::Status;
use std::fmt;

/// Which rule decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// 1. Known by its lease only, or from before the stream was created anew: nobody has read it.
    NotRead,
    /// 2. The lease or another sidecar says that somebody else reads the shard; or that it is read past all.
    HeldElsewhere,
    /// 3. This process reads other shards of the stream on, and this one no more.
    LeftForOthers,
    /// 4. Silent, and nothing has arrived since the reader was at the tip.
    NothingUnread,
    /// 5. Silent, while the shard's parent is still being read.
    WaitsForParent,
    /// 6. Stopped, and the oldest unread record is older than what the stream keeps.
    ExpiredUnread,
    /// 7. Silent, and the reader has closed all its connections.
    Disconnected,
    /// 8. Silent, and its lease is not renewed.
    LeaseExpired,
    /// 9. Silent for longer than its rhythm or a pause explains.
    Silent,
    /// 10. Every call fails.
    ReadsFail,
    /// 11. Nothing tells the lag: no answer, or none since one early read.
    LagUnknown,
    /// 12. At the end of what the stream keeps, and not getting away from it.
    AtTheLimit,
    /// 13. Reads on without getting a newer record.
    HoldsStill,
    /// 14. Behind, and does not read for the moment.
    GrowsUnread,
    /// 15. Behind, and reads too slowly.
    Grows,
    /// 16. Behind, because it went back.
    WentBack,
    /// 17. Behind, with too few reads to say where it is going.
    FirstReads,
    /// 18. Behind, and holding or catching up.
    Behind,
    /// 19. At the tip, and nothing arrives.
    NothingArrives,
    /// 20. As close to the tip as it should be.
    NearTheTip,
}

impl Rule {
    /// Every rule, in the order in which they are tried.
    pub const ALL: [Self; 20] = [
        Self::NotRead,
        Self::HeldElsewhere,
        Self::LeftForOthers,
        Self::NothingUnread,
        Self::WaitsForParent,
        Self::ExpiredUnread,
        Self::Disconnected,
        Self::LeaseExpired,
        Self::Silent,
        Self::ReadsFail,
        Self::LagUnknown,
        Self::AtTheLimit,
        Self::HoldsStill,
        Self::GrowsUnread,
        Self::Grows,
        Self::WentBack,
        Self::FirstReads,
        Self::Behind,
        Self::NothingArrives,
        Self::NearTheTip,
    ];

    /// Its number, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// Its name, as JSON, alerts and the log have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRead => "not_read",
            Self::HeldElsewhere => "held_elsewhere",
            Self::LeftForOthers => "left_for_others",
            Self::NothingUnread => "nothing_unread",
            Self::WaitsForParent => "waits_for_parent",
            Self::ExpiredUnread => "expired_unread",
            Self::Disconnected => "disconnected",
            Self::LeaseExpired => "lease_expired",
            Self::Silent => "silent",
            Self::ReadsFail => "reads_fail",
            Self::LagUnknown => "lag_unknown",
            Self::AtTheLimit => "at_the_limit",
            Self::HoldsStill => "holds_still",
            Self::FirstReads => "first_reads",
            Self::Grows => "grows",
            Self::GrowsUnread => "grows_unread",
            Self::WentBack => "went_back",
            Self::Behind => "behind",
            Self::NothingArrives => "nothing_arrives",
            Self::NearTheTip => "near_the_tip",
        }
    }

    /// The status that it gives.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::HeldElsewhere | Self::LeftForOthers => Status::Released,
            Self::NotRead | Self::LagUnknown => Status::Unknown,
            Self::NothingUnread | Self::NothingArrives => Status::Idle,
            Self::ExpiredUnread | Self::AtTheLimit => Status::LosingData,
            Self::Disconnected | Self::LeaseExpired | Self::Silent => Status::Stopped,
            Self::ReadsFail | Self::HoldsStill => Status::Stalled,
            Self::Grows | Self::GrowsUnread => Status::FallingBehind,
            Self::WentBack => Status::Rewound,
            Self::WaitsForParent | Self::FirstReads | Self::Behind => Status::Lagging,
            Self::NearTheTip => Status::Ok,
        }
    }
}

/// `9 silent`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_numbered_in_their_order_and_give_every_status() {
        for (index, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(rule.number()), index + 1, "{rule:?}");
        }
        for status in Status::ALL {
            assert!(Rule::ALL.iter().any(|rule| rule.status() == status), "{status:?}");
        }
    }
}
