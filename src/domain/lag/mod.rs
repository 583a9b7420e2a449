//! Owns what a consumer's lag is and what it means: observations in, a verdict with its reason
//! out. Refuses to read clocks, to know where an observation was made, and to call a guess a fact:
//! an inferred figure says so. Sources: reference/metrics.md 2, 3.5, 9.

mod assess;
mod checkpoint;
mod clock;
mod figures;
mod position;
mod presence;
mod rhythm;
mod rule;
mod seen_lease;
mod slope;
mod tuning;
mod window;
mod words;

pub use assess::{Circumstances, Judgement, View, judge};
pub use checkpoint::{Checkpoint, CheckpointLag, Lease, Method, Sequences, checkpoint_lag};
pub use clock::SequenceClock;
pub use figures::duration_text;
pub use presence::Presence;
pub use rule::Rule;
pub use tuning::Tuning;
pub use window::Window;
pub use words::{assess, evidence_text, explain, outline};

use crate::domain::stream::SequenceNumber;
use crate::domain::time::{Moment, Wall};
use std::time::Duration;

/// One answered GetRecords call, as the wire showed it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadObservation {
    /// When the call arrived at us.
    pub called_at: Moment,
    /// When its answer had come; the lag is as of this moment.
    pub at: Moment,
    /// `MillisBehindLatest`; `None` when the answer had none. Missing is not zero.
    pub behind: Option<Duration>,
    /// How many records the answer held.
    pub records: u32,
    /// The oldest record's sequence number: an answer that begins where the last one began is the
    /// same place again.
    pub oldest_sequence: Option<SequenceNumber>,
    /// The newest record's sequence number.
    pub newest_sequence: Option<SequenceNumber>,
    /// The newest record's `ApproximateArrivalTimestamp`.
    pub newest_arrival: Option<Wall>,
    /// `NextShardIterator` was null: the shard is closed and read to its end.
    pub shard_ended: bool,
}

/// One GetRecords call that was not answered with records, or a subscription that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFailure {
    /// When its answer had come.
    pub at: Moment,
    /// What became of it.
    pub kind: FailureKind,
}

/// What became of a call that was not answered with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// `ProvisionedThroughputExceededException`, `LimitExceededException`, …
    Throttled,
    /// `ExpiredIteratorException`: the reader paused for more than five minutes, or uses an
    /// iterator again.
    IteratorExpired,
    /// `AccessDeniedException`: this reader may not read this stream.
    Denied,
    /// `ExpiredTokenException`, `UnrecognizedClientException`, a signature that is wrong: nobody
    /// who signs with these credentials may do anything.
    CredentialsRefused,
    /// The sidecar has no credentials to sign with.
    NoCredentials,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// What happened to the call, for a sentence.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Throttled => "by throttling",
            Self::IteratorExpired => "since its iterator had expired",
            Self::Denied => "since access was denied",
            Self::CredentialsRefused => "since its credentials were refused",
            Self::NoCredentials => "since the sidecar has no credentials",
            Self::Other => "with an error",
        }
    }

    /// Whether nothing can be read, however fast, before somebody mends credentials or permissions.
    #[must_use]
    pub const fn is_of_credentials(self) -> bool {
        match self {
            Self::Denied | Self::CredentialsRefused | Self::NoCredentials => true,
            Self::Throttled | Self::IteratorExpired | Self::Other => false,
        }
    }

    /// Whether it is so for every stream: the sidecar signs all its calls with one key.
    #[must_use]
    pub const fn is_of_the_sidecar(self) -> bool {
        match self {
            Self::CredentialsRefused | Self::NoCredentials => true,
            Self::Denied | Self::Throttled | Self::IteratorExpired | Self::Other => false,
        }
    }
}

/// What is known of a shard's newest record: from puts on this wire, from those of other sidecars,
/// from CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// When this was known; not before any put that is left out of it.
    pub as_of: Moment,
    /// When the newest record that is known arrived.
    pub newest: Option<Moment>,
    /// Whether no put can be missing: every producer of the stream is seen.
    pub complete: bool,
}

/// What a consumer's reading of one shard, or of the worst of its shards, amounts to. Ordered from
/// harmless to worst, so that the worst shard is the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Another reader has the shard: this one still reads others of the stream, or the lease or
    /// another sidecar says so.
    Released,
    /// Reads, and is as close to the tip as it should be.
    Ok,
    /// Reads, is at the tip, and nothing arrives.
    Idle,
    /// Nothing is known that would allow a verdict.
    Unknown,
    /// Went back to older records.
    Rewound,
    /// Behind, but not getting worse.
    Lagging,
    /// Behind, and getting worse.
    FallingBehind,
    /// Reads without moving forward.
    Stalled,
    /// Does not read any more.
    Stopped,
    /// Records are trimmed before it reads them.
    LosingData,
}

impl Status {
    /// Every status, in the order of the enum.
    pub const ALL: [Self; 10] = [
        Self::Released,
        Self::Ok,
        Self::Idle,
        Self::Unknown,
        Self::Rewound,
        Self::Lagging,
        Self::FallingBehind,
        Self::Stalled,
        Self::Stopped,
        Self::LosingData,
    ];

    /// The label value of `kinesis_consumer_status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Idle => "idle",
            Self::Released => "released",
            Self::Unknown => "unknown",
            Self::Rewound => "rewound",
            Self::Lagging => "lagging",
            Self::FallingBehind => "falling_behind",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
            Self::LosingData => "losing_data",
        }
    }
}

/// A lag in time, and whether it was read or reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// How far the read cursor is behind the tip.
    pub value: Duration,
    /// True when time passed since the last answer had to be added to it.
    pub inferred: bool,
}

/// A verdict on one shard, or on the worst shard of a consumer, with everything that led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// The verdict.
    pub status: Status,
    /// The rule that gave it.
    pub rule: Rule,
    /// The figures that it rests on, by name with their unit; those that are known.
    pub evidence: Vec<(&'static str, f64)>,
    /// Why, as one sentence with its figures, for a person.
    pub reason: String,
    /// Delivery lag; `None` while nothing is known.
    pub lag: Option<Lag>,
    /// Seconds of lag per second; +1 is a stopped reader, -1 one that catches up twice as fast as
    /// records arrive. `None` without enough points.
    pub velocity: Option<f64>,
    /// Time until the lag is gone at this velocity; only while it shrinks.
    pub catch_up: Option<Duration>,
    /// Time until records are trimmed unread at this velocity; only while it grows and the
    /// stream's retention is known.
    pub data_loss: Option<Duration>,
    /// Lag as a share of the retention, 0..1; `None` while either is unknown.
    pub retention_used: Option<f64>,
}

#[cfg(test)]
mod rule_tests;
#[cfg(test)]
mod tests;
