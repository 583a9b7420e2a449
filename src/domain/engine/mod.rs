//! Owns the heart: the closed list of all that can happen and all that we may do. Refuses to do
//! it: one task in `app::engine_loop` feeds events in and carries effects out.

mod memory;
mod reading;

use crate::domain::alert::board::Board;
use crate::domain::alert::{Notice, Reading, Rule};
use crate::domain::lag::ReadObservation;
use crate::domain::snapshot::{CloudWatchMetric, CloudWatchPoint, Snapshot, StreamDescription};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::Moment;
use memory::Memory;
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

/// Verdicts and alerts are worked out at most this often: seconds are what alerts are told in,
/// and a flood of reads must not cost a verdict each.
const EVALUATION_INTERVAL: Duration = Duration::from_secs(1);

/// The heart.
#[derive(Debug)]
pub struct Engine {
    memory: Memory,
    board: Board,
    evaluated_at: Option<Duration>,
}

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        let EngineConfig { rules, external_labels, repeat_interval, limits } = config;
        Self {
            memory: Memory::new(limits),
            board: Board::new(rules, external_labels, repeat_interval),
            evaluated_at: None,
        }
    }

    /// Takes one event in and says what is to be done.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        effects.extend(self.remember(event).map(Effect::Describe));
        if now.mono >= self.evaluation_due() {
            self.evaluated_at = Some(now.mono);
            self.memory.forget(now.mono);
            let consumers = self.memory.consumers(now.mono);
            let readings: Vec<Reading> = consumers.iter().map(reading::of).collect();
            effects.extend(self.board.step(&readings, now).into_iter().map(Effect::Notify));
        }
        effects
    }

    /// When `handle(Event::Tick)` is due, in monotonic time; `None` while nothing waits. While
    /// anybody reads that is every second: a reader that stops says nothing.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let soonest = self.evaluation_due();
        if self.memory.has_consumers() {
            return Some(soonest);
        }
        // Not before the next evaluation: a tick that evaluates nothing would come again at once.
        self.board.wake_at().map(|at| at.max(soonest))
    }

    /// Everything that can be told at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        Snapshot {
            now,
            consumers: self.memory.consumers(now.mono),
            streams: self.memory.streams(),
            alerts: self.board.alerts(),
            left_out: self.memory.left_out(),
        }
    }

    /// Takes the event in; gives the stream that must be described because it is new.
    fn remember(&mut self, event: Event) -> Option<StreamName> {
        match event {
            Event::StreamSeen { stream } => self.memory.see(&stream).then_some(stream),
            Event::Read { stream, consumer, shard, observation } => {
                let new = self.memory.see(&stream);
                self.memory.read(&stream, &consumer, &shard, &observation);
                new.then_some(stream)
            }
            Event::StreamDescribed { stream, description } => {
                self.memory.see(&stream);
                self.memory.describe(&stream, description);
                None
            }
            Event::CloudWatch { stream, metric, point } => {
                let new = self.memory.see(&stream);
                self.memory.add_point(&stream, metric, point);
                new.then_some(stream)
            }
            Event::Tick => None,
        }
    }

    fn evaluation_due(&self) -> Duration {
        self.evaluated_at.map_or(Duration::ZERO, |at| at.saturating_add(EVALUATION_INTERVAL))
    }
}

#[cfg(test)]
mod tests;
