//! Owns the heart: the closed list of all that can happen and all that we may do. Refuses to do
//! it: one task in `app::engine_loop` feeds events in and carries effects out.

mod details;
mod memory;
mod reading;
mod watch;

use crate::domain::alert::board::Policy;
use crate::domain::alert::figures::Figures;
use crate::domain::alert::freshness::Objective;
use crate::domain::alert::saved::Saved;
use crate::domain::alert::silence::Silence;
use crate::domain::alert::{AlertView, Notice, Rule};
use crate::domain::capacity::{Heavy, Puts, TopKey, Writer};
use crate::domain::cloudwatch::Told;
use crate::domain::lag::{Assessment, Lease, ReadFailure, ReadObservation, Status, Tip};
use crate::domain::lag::{Tuning, View};
use crate::domain::snapshot::{AccountSettings, Detail, StreamDescription};
use crate::domain::snapshot::{CloudWatchMetric, CloudWatchPoint, LeftOut, ShardInfo, Snapshot};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::Moment;
use details::Details;
use memory::{Judged, Memory, Place};
use std::collections::BTreeMap;
use std::time::Duration;
use watch::Watch;

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
    /// A GetRecords call was answered with an error, Kinesis's or one of the way there, or a
    /// subscription failed: the reader lives.
    ReadFailed {
        /// The stream.
        stream: StreamName,
        /// Who read.
        consumer: ConsumerName,
        /// The shard.
        shard: ShardId,
        /// What became of the call.
        failure: ReadFailure,
    },
    /// A consumer opened its first connection to the data plane, or closed the last; more may be
    /// told. Where nothing of it is told, silence alone says that a reader is gone.
    Connections {
        /// Who: the connection's listener, path or pod tells it.
        consumer: ConsumerName,
        /// How many it has open now.
        open: u32,
        /// When that changed.
        at: Moment,
    },
    /// A shard's newest record became known: by puts on this wire, by those that other sidecars
    /// told of, by CloudWatch. Sent about once a second while it changes, and every few seconds
    /// while `tip.complete` and nothing comes.
    TipSeen {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
        /// What is known.
        tip: Tip,
    },
    /// Records were put to a shard, or refused: all of about a second, since they were last told.
    PutsSeen {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
        /// What was put since.
        puts: Puts,
        /// The heaviest key of the process that put, where one is heavy.
        top: Option<TopKey>,
        /// Who put; `None` is this process.
        by: Option<Writer>,
        /// Up to when.
        at: Moment,
    },
    /// Keys that take much of what is put to a stream through this process; only it can tell them
    /// apart.
    KeysSeen {
        /// The stream.
        stream: StreamName,
        /// Those that surely take a tenth, the heaviest first.
        heaviest: Vec<Heavy>,
    },
    /// Another sidecar of the same service saw its own process read a shard.
    ReadElsewhere {
        /// The stream.
        stream: StreamName,
        /// The service.
        consumer: ConsumerName,
        /// The shard.
        shard: ShardId,
        /// When it read.
        at: Moment,
    },
    /// A row of a KCL lease table, whenever the table was read, also when nothing changed.
    LeaseSeen {
        /// The stream.
        stream: StreamName,
        /// The KCL application, by the name that its sidecars have for it.
        consumer: ConsumerName,
        /// The shard.
        shard: ShardId,
        /// The row.
        lease: Lease,
    },
    /// ListShards gave all shards of a stream, closed ones too: every page of it.
    ShardsListed {
        /// The stream.
        stream: StreamName,
        /// Every shard.
        shards: Vec<ShardInfo>,
    },
    /// The control plane described a stream.
    StreamDescribed {
        /// The stream.
        stream: StreamName,
        /// What it said.
        description: StreamDescription,
    },
    /// The control plane described the account.
    AccountDescribed {
        /// What it said.
        account: AccountSettings,
    },
    /// The control plane knows no stream of this name. It may be another account's or region's;
    /// one that was described before has been deleted.
    StreamGone {
        /// The stream.
        stream: StreamName,
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
    /// What this process counts of itself; sent every few seconds.
    Counted(Box<Figures>),
    /// These silences are in force now, in place of all earlier ones.
    Silenced(Vec<Silence>),
    /// Rules and the way of telling are others from now on: the configuration was read again.
    Reconfigured(Box<Alerting>),
    /// The process has begun to end: what is seen from here on says nothing about anybody else.
    Draining,
    /// CloudWatch gave settled points of what no verdict looks at: they are only told.
    CloudWatchDetails {
        /// In order of time for each series.
        told: Vec<Told>,
    },
    /// Nothing happened but time: `wake_at` had come.
    Tick,
}

/// All that we may do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the control plane about this stream, at leisure: it is new, or has a new shard.
    Describe(StreamName),
    /// Tell every receiver.
    Notify(Notice),
    /// A consumer's verdict is another one: a line for the log.
    Judged(Box<VerdictChange>),
}

/// A consumer's verdict is another one.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictChange {
    /// The stream.
    pub stream: StreamName,
    /// The consumer.
    pub consumer: ConsumerName,
    /// Its worst shard.
    pub shard: ShardId,
    /// What was said before; `None` the first time.
    pub was: Option<Status>,
    /// What is said now.
    pub is: Assessment,
}

/// What is alerted on, and how it is told: all that can change of it while the engine runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerting {
    /// The rules in force; empty where the hub alerts.
    pub rules: Vec<Rule>,
    /// How alerts are told of.
    pub policy: Policy,
    /// What freshness budgets are reckoned against.
    pub objective: Objective,
}

/// How verdicts are come to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Judging {
    /// Whose reads the engine is told of.
    pub view: View,
    /// The figures of the rules.
    pub tuning: Tuning,
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
    details: Details,
    watch: Watch,
    account: Option<AccountSettings>,
    evaluated_at: Option<Duration>,
}

impl Engine {
    /// A sidecar's engine, which knows nothing yet.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        Self::judging(config, Judging::default())
    }

    /// An engine that judges in its own way: a hub's, or a test's.
    #[must_use]
    pub fn judging(config: EngineConfig, judging: Judging) -> Self {
        let EngineConfig { rules, external_labels, repeat_interval, limits } = config;
        Self {
            memory: Memory::new(limits, judging),
            details: Details::default(),
            watch: Watch::new(rules, external_labels, repeat_interval),
            account: None,
            evaluated_at: None,
        }
    }

    /// The same engine with another way of telling: before its first event.
    #[must_use]
    pub fn telling(self, policy: Policy, objective: Objective) -> Self {
        Self { watch: self.watch.telling(policy, objective), ..self }
    }

    /// What alerts another process needs to know of to go on as if this one had not ended.
    #[must_use]
    pub fn export(&self, now: Moment) -> Saved {
        self.watch.export(now)
    }

    /// Goes on with the alerts of another process: before the first event.
    pub fn restore(&mut self, saved: Saved, now: Moment) {
        self.watch.restore(saved, now);
    }

    /// Alerts from now on, or no more. With each change all alerts begin anew: whoever takes over
    /// tells what is wrong, and whoever is relieved calls nothing resolved.
    pub fn alert(&mut self, on: bool) {
        self.watch.alert(on);
    }

    /// Takes one event in and says what is to be done.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        effects.extend(self.remember(event, now).map(Effect::Describe));
        if now.mono >= self.evaluation_due() {
            self.evaluate(&mut effects, now);
        }
        effects
    }

    /// Comes to every verdict. Put into words is only what is told: a changed verdict, and one that
    /// an alert rests on.
    fn evaluate(&mut self, effects: &mut Vec<Effect>, now: Moment) {
        self.evaluated_at = Some(now.mono);
        self.memory.forget(now.mono);
        self.details.forget(now);
        let judged = self.memory.judged(now.mono);
        let changes: Vec<VerdictChange> = judged.iter().filter_map(Judged::change).collect();
        let told = self.watch.step(&judged, &self.memory, now);
        self.memory.note_told(&changes);
        effects.extend(changes.into_iter().map(|change| Effect::Judged(Box::new(change))));
        effects.extend(told.into_iter().map(Effect::Notify));
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
        self.watch.wake_at().map(|at| at.max(soonest))
    }

    /// Alerts that are pending or firing, and those resolved of late.
    #[must_use]
    pub fn alerts(&self) -> Vec<AlertView> {
        self.watch.alerts()
    }

    /// Everything that can be told at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        self.snapshot_in(Detail::Words, now)
    }

    /// What of it is asked for.
    #[must_use]
    pub fn snapshot_in(&self, detail: Detail, now: Moment) -> Snapshot {
        Snapshot {
            now,
            consumers: self.memory.consumers(now, detail),
            account: self.account.clone(),
            streams: self.memory.streams(),
            loads: self.memory.load_views(now.mono),
            cloudwatch: self.details.views(),
            alerts: self.watch.alerts(),
            left_out: LeftOut {
                cloudwatch_points: self.details.left_out(),
                ..self.memory.left_out()
            },
        }
    }

    /// Takes the event in; gives the stream that must be described because it is new.
    #[expect(clippy::too_many_lines, reason = "one arm an event, and no decision")]
    fn remember(&mut self, event: Event, now: Moment) -> Option<StreamName> {
        let memory = &mut self.memory;
        match event {
            Event::StreamSeen { stream } => memory.see(&stream).then_some(stream),
            Event::Read { stream, consumer, shard, observation } => {
                let asks = memory.read(place(&stream, &consumer, &shard), &observation);
                asks.then_some(stream)
            }
            Event::ReadFailed { stream, consumer, shard, failure } => {
                let new = memory.see(&stream);
                memory.fail(place(&stream, &consumer, &shard), &failure);
                new.then_some(stream)
            }
            Event::Connections { consumer, open, at } => {
                memory.connect(&consumer, open, at);
                None
            }
            Event::TipSeen { stream, shard, tip } => {
                let new = memory.see(&stream);
                memory.tip(&stream, &shard, &tip);
                new.then_some(stream)
            }
            Event::PutsSeen { stream, shard, puts, top, by, at } => {
                let new = memory.see(&stream);
                memory.loads.add((&stream, &shard), puts, (by, top), at.mono);
                new.then_some(stream)
            }
            Event::KeysSeen { stream, heaviest } => {
                memory.loads.weigh(&stream, heaviest);
                None
            }
            Event::ReadElsewhere { stream, consumer, shard, at } => {
                memory.elsewhere(place(&stream, &consumer, &shard), at);
                None
            }
            Event::LeaseSeen { stream, consumer, shard, lease } => {
                let new = memory.see(&stream);
                memory.lease(place(&stream, &consumer, &shard), &lease);
                new.then_some(stream)
            }
            Event::ShardsListed { stream, shards } => {
                memory.list(&stream, shards, now.mono);
                None
            }
            Event::StreamDescribed { stream, description } => {
                memory.see(&stream);
                memory.describe(&stream, description);
                None
            }
            Event::AccountDescribed { account } => {
                self.account = Some(account);
                None
            }
            Event::StreamGone { stream } => {
                memory.gone(&stream);
                None
            }
            Event::CloudWatch { stream, metric, point } => {
                let new = memory.see(&stream);
                memory.add_point(&stream, metric, point);
                new.then_some(stream)
            }
            Event::CloudWatchDetails { told } => {
                told.into_iter().for_each(|told| self.details.take(told));
                None
            }
            Event::Counted(figures) => {
                self.watch.take(*figures, now);
                None
            }
            Event::Silenced(silences) => {
                self.watch.silence(silences);
                None
            }
            Event::Reconfigured(alerting) => {
                self.watch.change(*alerting, now);
                None
            }
            Event::Draining => {
                self.watch.drain();
                None
            }
            Event::Tick => None,
        }
    }

    fn evaluation_due(&self) -> Duration {
        self.evaluated_at.map_or(Duration::ZERO, |at| at.saturating_add(EVALUATION_INTERVAL))
    }
}

const fn place<'a>(
    stream: &'a StreamName,
    consumer: &'a ConsumerName,
    shard: &'a ShardId,
) -> Place<'a> {
    Place { stream, consumer, shard }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod watch_tests;
