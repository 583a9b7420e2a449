//! Owns checkpoint lag: how far durable progress is behind the tip. Refuses to be mixed with
//! delivery lag, from which it parts where a processor fails while reads go on; it only asks the
//! wire what lies at the checkpoint.

use super::clock::{self, SequenceClock};
use super::position::is_before;
use super::{Tuning, Window};
use crate::domain::stream::{SequenceNumber, ShardId};
use crate::domain::time::{Moment, Wall};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Deliveries that are remembered for one shard; with more the older ones are thinned out.
const MARKS_MAX: usize = 16;
/// A number tells whole seconds, and CloudWatch's periods are minutes.
const SAME_SECOND: Duration = Duration::from_secs(2);
const SAME_PERIOD: Duration = Duration::from_secs(60);
/// They are at least this far apart.
const MARKS_APART: Duration = Duration::from_secs(2);

/// One row of a KCL lease table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// When the table was read.
    pub at: Moment,
    /// The worker that holds the lease; `None` while nobody does.
    pub owner: Option<Arc<str>>,
    /// `leaseCounter`, which the owner raises to renew.
    pub counter: u64,
    /// How far its work is done.
    pub checkpoint: Checkpoint,
}

/// A checkpoint: a place, or one of KCL's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkpoint {
    /// Nothing yet: from the oldest record.
    TrimHorizon,
    /// Nothing yet: from what comes next.
    Latest,
    /// Nothing yet: from a time.
    AtTimestamp,
    /// The shard is closed and done.
    ShardEnd,
    /// Everything up to this record is done.
    At(SequenceNumber),
}

/// How a checkpoint's time is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// The wire saw when the record at the checkpoint was delivered, and how old it was then.
    Observed,
    /// The sequence number's own second; to two seconds.
    SequenceClock,
}

impl Method {
    /// The label `method` of `kinesis_consumer_checkpoint_lag_seconds`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::SequenceClock => "sequence_clock",
        }
    }
}

/// How far durable progress is behind the tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointLag {
    /// Zero where the wire knows that nothing lies behind the checkpoint.
    pub value: Duration,
    /// How it is known.
    pub method: Method,
}

/// What is known of the stream, for its checkpoints.
#[derive(Debug, Clone, Copy)]
pub struct Sequences<'a> {
    /// The shard.
    pub shard: &'a ShardId,
    /// When the stream was created, where that is known.
    pub created: Option<Wall>,
    /// Whether its numbers tell the time.
    pub clock: &'a SequenceClock,
    /// When the stream's newest record had come, where CloudWatch has seen none for long.
    pub quiet_since: Option<Wall>,
}

/// The checkpoint lag of a shard at `now`; `None` without a lease, without a checkpoint, or where
/// nothing tells how old it is.
#[must_use]
pub fn checkpoint_lag(
    window: &Window,
    of: Sequences<'_>,
    tuning: &Tuning,
    now: Moment,
) -> Option<CheckpointLag> {
    let seen = window.lease()?;
    let Checkpoint::At(done) = &seen.lease.checkpoint else { return None };
    let observed = |value| CheckpointLag { value, method: Method::Observed };
    let lag = window.lag(now.mono, tuning);
    match window.newest().map(|newest| (is_before(done, newest), is_before(newest, done))) {
        // All that was delivered is done: what is behind the checkpoint is behind the reader. Where
        // that is not known, the age of the last record is no lag: nothing need have come.
        Some((false, false)) => return lag.map(|lag| observed(lag.value)),
        // Somebody else is further; unless the reader is seen at work, its own answers say more.
        Some((false, true)) => {
            if let Some(lag) = lag.filter(|lag| !lag.inferred) {
                return Some(observed(lag.value));
            }
        }
        Some((true, _)) => {
            if let Some(arrived) = seen.marks.arrival(done) {
                return Some(observed(now.mono.saturating_sub(arrived)));
            }
        }
        None => {}
    }
    if of.clock.is_usable() == Some(false) {
        return None;
    }
    let arrived = clock::arrival(done, of.shard, of.created, now.wall)?;
    let told = |value| CheckpointLag { value, method: Method::SequenceClock };
    // Every put of the stream is seen, and the last one is done.
    if window.newest_put(now.mono, tuning).is_some_and(|put| put <= arrived.plus(SAME_SECOND)) {
        return Some(told(Duration::ZERO));
    }
    // Nothing is known to have come since, and nothing says that nothing has.
    if of.quiet_since.is_some_and(|since| since <= arrived.plus(SAME_PERIOD)) {
        return None;
    }
    Some(told(now.wall.since(arrived)))
}

/// Records that were delivered, each with when it had arrived in monotonic time: its delivery less
/// its lag then.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Marks(VecDeque<(SequenceNumber, Duration, Duration)>);

impl Marks {
    pub(super) fn add(&mut self, newest: &SequenceNumber, at: Duration, lag: Duration) {
        // Going back: what was delivered before is delivered again.
        while self.0.back().is_some_and(|(last, _, _)| is_before(newest, last)) {
            self.0.pop_back();
        }
        if self.0.back().is_some_and(|(_, _, before)| at.saturating_sub(*before) < MARKS_APART) {
            return;
        }
        if self.0.len() >= MARKS_MAX {
            let mut index = 0;
            self.0.retain(|_| {
                index += 1;
                index % 2 == 1 || index > MARKS_MAX / 2
            });
        }
        self.0.push_back((newest.clone(), at.saturating_sub(lag), at));
    }

    /// When the newest record at or before this one had arrived: at most by one mark too early.
    fn arrival(&self, done: &SequenceNumber) -> Option<Duration> {
        let known = |(mark, _, _): &&(SequenceNumber, _, _)| !is_before(done, mark);
        self.0.iter().rev().find(known).map(|(_, arrived, _)| *arrived)
    }

    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        self.0.len() <= MARKS_MAX
    }
}
