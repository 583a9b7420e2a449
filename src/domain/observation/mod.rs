//! Owns what a sidecar tells the hub of its pod, as values. `ledger` gathers it in the sidecar,
//! `pods` makes the hub's events of what all of them told. Refuses verdicts: `lag` comes to them.

mod ledger;
mod pods;

pub use ledger::Ledger;
pub use pods::Pods;

use crate::domain::capacity::{Puts, TopKey};
use crate::domain::lag::FailureKind;
use crate::domain::stream::{ConsumerName, SequenceNumber, ShardId, StreamName};
use crate::domain::time::Wall;
use std::sync::Arc;
use std::time::Duration;

/// A sidecar tells at least this often that it is there …
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// … and what changed at most this often. What did not is told anew after `TELL_AGAIN`, so that a
/// hub that was restarted knows it.
pub const TELL_EVERY: Duration = Duration::from_secs(1);
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// What a hub hears of a sidecar.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// What it told.
    Report(Report),
    /// The connection was closed over which this instance told. A process that dies closes it at
    /// once; one that lives opens another.
    HungUp(Arc<str>),
}

/// What one sidecar tells at one moment. Its times are the pod's own calendar's: they mean something
/// beside `sent` only.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The service that the sidecar sits beside.
    pub service: Arc<str>,
    /// This process of it: another one after a restart.
    pub instance: Arc<str>,
    /// The machine or pod that it runs on, where it knows the name.
    pub host: Option<Arc<str>>,
    /// When the sidecar began; totals are counted since.
    pub started: Wall,
    /// When this was told.
    pub sent: Wall,
    /// The pod goes away now: nothing more will be told.
    pub leaving: bool,
    /// The newest read of each shard.
    pub reads: Vec<ReadPoint>,
    /// The newest call of each shard that was not answered with records.
    pub failures: Vec<FailurePoint>,
    /// Connections of each consumer that ever had one.
    pub connections: Vec<(ConsumerName, u32)>,
    /// The puts of each shard.
    pub puts: Vec<PutPoint>,
}

impl Report {
    /// Facts in it: what is lost when it does not arrive.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reads.len() + self.failures.len() + self.connections.len() + self.puts.len()
    }

    /// Whether it only says that the sidecar is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Who reads which shard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The stream.
    pub stream: StreamName,
    /// Who reads.
    pub consumer: ConsumerName,
    /// The shard.
    pub shard: ShardId,
}

/// One consumer's reads of one shard, as the newest of them left them.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadPoint {
    /// Who and where.
    pub place: Place,
    /// When the newest answer had come.
    pub at: Wall,
    /// Its `MillisBehindLatest`; `None` when it had none.
    pub behind: Option<Duration>,
    /// Answered reads since the sidecar's start.
    pub reads: u64,
    /// Records in them.
    pub records: u64,
    /// The mean time between them, the last ones counting most; `None` before the second.
    pub interval: Option<Duration>,
    /// Of the newest answer with records, the first record's sequence number …
    pub oldest_sequence: Option<SequenceNumber>,
    /// … and the last one's …
    pub newest_sequence: Option<SequenceNumber>,
    /// … and when that arrived, as Kinesis says.
    pub newest_arrival: Option<Wall>,
    /// The shard is read to its end.
    pub shard_ended: bool,
}

/// One consumer's failed calls for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailurePoint {
    /// Who and where.
    pub place: Place,
    /// When the newest was answered.
    pub at: Wall,
    /// What became of it.
    pub kind: FailureKind,
    /// How many there were since the sidecar's start.
    pub calls: u64,
}

/// The puts of one pod to one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct PutPoint {
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard: ShardId,
    /// When the newest was sent that was stored.
    pub newest: Option<Wall>,
    /// What was put since the sidecar's start.
    pub puts: Puts,
    /// The heaviest key, where one is heavy.
    pub top: Option<TopKey>,
}

#[cfg(test)]
mod tests;
