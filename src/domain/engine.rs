//! Owns the heart: the closed list of all that can happen and all that we may do. Refuses to do
//! it: one task in `app::engine_loop` feeds events in and carries effects out.

use crate::domain::alert::{Notice, Rule};
use crate::domain::lag::ReadObservation;
use crate::domain::snapshot::{CloudWatchMetric, CloudWatchPoint, Snapshot, StreamDescription};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// All that can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A put or any other call named a stream.
    StreamSeen {
        /// The stream.
        stream: StreamName,
    },
    /// A GetRecords call was answered.
    Read {
        /// The stream; the observer dropped reads that it could not place.
        stream: StreamName,
        /// Who read.
        consumer: ConsumerName,
        /// The shard.
        shard: ShardId,
        /// What the answer said.
        observation: ReadObservation,
    },
    /// The control plane described a stream.
    StreamDescribed {
        /// The stream.
        stream: StreamName,
        /// What it said.
        description: StreamDescription,
    },
    /// CloudWatch gave a settled point.
    CloudWatch {
        /// The stream.
        stream: StreamName,
        /// The metric.
        metric: CloudWatchMetric,
        /// The newest point.
        point: CloudWatchPoint,
    },
    /// Nothing happened but time: `wake_at` had come.
    Tick,
}

/// All that we may do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the control plane about this stream, at leisure.
    Describe(StreamName),
    /// Tell every receiver.
    Notify(Notice),
}

/// What the engine needs to know that does not change while it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineConfig {
    /// The alert rules in force; empty where the hub alerts.
    pub rules: Vec<Rule>,
    /// Part of every alert's identity: `region` and the external labels.
    pub external_labels: BTreeMap<String, String>,
    /// How long a firing alert may go unrepeated.
    pub repeat_interval: Duration,
    /// Bounds on what is remembered.
    pub limits: EngineLimits,
}

/// Bounds on what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineLimits {
    /// Most streams known at once; what comes beyond is counted and left out.
    pub streams_max: usize,
    /// Most (stream, consumer, shard) windows at once.
    pub windows_max: usize,
    /// A shard not read for this long is forgotten, unless its consumer stopped as a whole.
    pub forget_after: Duration,
}

/// The heart.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
}

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        Self { config }
    }

    /// Takes one event in and says what is to be done.
    pub fn handle(&mut self, _event: Event, _now: Moment) -> Vec<Effect> {
        let _ = &self.config;
        Vec::new()
    }

    /// When `handle(Event::Tick)` is due, in monotonic time; `None` while nothing waits.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        None
    }

    /// Everything that can be told at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        Snapshot { now, ..Snapshot::default() }
    }
}
