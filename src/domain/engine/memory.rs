//! Owns what the engine remembers of streams, consumers and shards, within its bounds. What comes
//! over a bound is left out and counted. Refuses to judge, and to forget a consumer that stopped.

use super::EngineLimits;
use crate::domain::lag::{Assessment, Circumstances, ReadObservation, Window, assess, is_released};
use crate::domain::snapshot::{CloudWatchMetric, CloudWatchPoint, CloudWatchView};
use crate::domain::snapshot::{ConsumerView, LeftOut, ShardView, StreamDescription, StreamView};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use std::collections::BTreeMap;
use std::time::Duration;

/// Everything remembered, by name, so that all that is told has a stable order.
#[derive(Debug)]
pub(super) struct Memory {
    limits: EngineLimits,
    streams: BTreeMap<StreamName, Stream>,
    left_out: LeftOut,
}

#[derive(Debug, Default)]
struct Stream {
    description: Option<StreamDescription>,
    cloudwatch: CloudWatchView,
    consumers: BTreeMap<ConsumerName, Consumer>,
}

#[derive(Debug, Default)]
struct Consumer {
    /// When it last read any shard, also one that has ended since.
    read_at: Duration,
    shards: BTreeMap<ShardId, Window>,
}

impl Memory {
    pub(super) fn new(limits: EngineLimits) -> Self {
        Self { limits, streams: BTreeMap::new(), left_out: LeftOut::default() }
    }

    /// Remembers that a stream exists; true when it is new.
    pub(super) fn see(&mut self, stream: &StreamName) -> bool {
        if self.streams.contains_key(stream) {
            return false;
        }
        if self.streams.len() >= self.limits.streams_max {
            self.left_out.stream_events = self.left_out.stream_events.saturating_add(1);
            return false;
        }
        self.streams.insert(stream.clone(), Stream::default());
        true
    }

    /// Takes what the control plane said of a stream that was seen.
    pub(super) fn describe(&mut self, stream: &StreamName, description: StreamDescription) {
        if let Some(known) = self.streams.get_mut(stream) {
            known.description = Some(description);
        }
    }

    /// Takes a point of a stream that was seen, unless a newer one is there.
    pub(super) fn add_point(
        &mut self,
        stream: &StreamName,
        metric: CloudWatchMetric,
        point: CloudWatchPoint,
    ) {
        if let Some(known) = self.streams.get_mut(stream) {
            let slot = known.cloudwatch.slot(metric);
            if slot.is_none_or(|old| old.at <= point.at) {
                *slot = Some(point);
            }
        }
    }

    /// Takes a read of a stream that was seen.
    pub(super) fn read(
        &mut self,
        stream: &StreamName,
        name: &ConsumerName,
        shard: &ShardId,
        observation: &ReadObservation,
    ) {
        let Some(known) = self.streams.get(stream) else { return };
        let consumer = known.consumers.get(name);
        let room = consumer.is_some_and(|consumer| consumer.shards.contains_key(shard))
            || self.window_count() < self.limits.windows_max;
        let Some(known) = self.streams.get_mut(stream) else { return };
        if let Some(consumer) = known.consumers.get_mut(name) {
            consumer.read_at = consumer.read_at.max(observation.at.mono);
        }
        if observation.shard_ended {
            known.retain(|who, which, _, _| who != name || which != shard);
        } else if room {
            let consumer = known.consumers.entry(name.clone()).or_default();
            consumer.read_at = consumer.read_at.max(observation.at.mono);
            let window = consumer.shards.entry(shard.clone());
            window
                .and_modify(|window| window.observe(observation))
                .or_insert_with(|| Window::new(observation));
        } else {
            self.left_out.reads = self.left_out.reads.saturating_add(1);
        }
    }

    /// Forgets shards that were released long ago. A shard of a stopped consumer is not released.
    pub(super) fn forget(&mut self, now: Duration) {
        let after = self.limits.forget_after;
        for stream in self.streams.values_mut() {
            stream.retain(|_, _, read_at, window| {
                !is_released(window, read_at) || window.silence(now) <= after
            });
        }
    }

    /// Whether anybody is known to read.
    pub(super) fn has_consumers(&self) -> bool {
        self.streams.values().any(|stream| !stream.consumers.is_empty())
    }

    /// Every consumer of every stream, judged at `now` (monotonic).
    pub(super) fn consumers(&self, now: Duration) -> Vec<ConsumerView> {
        let views = self.streams.iter().flat_map(|(stream, known)| {
            let retention = known.description.as_ref().map(|description| description.retention);
            known.consumers.iter().filter_map(move |(name, consumer)| {
                let shards = consumer.judge(retention, now);
                let worst = worst(&shards)?;
                Some(ConsumerView {
                    stream: stream.clone(),
                    consumer: name.clone(),
                    worst: worst.assessment.clone(),
                    worst_shard: worst.shard.clone(),
                    shards,
                })
            })
        });
        views.collect()
    }

    /// Every stream.
    pub(super) fn streams(&self) -> Vec<StreamView> {
        let views = self.streams.iter().map(|(stream, known)| StreamView {
            stream: stream.clone(),
            description: known.description.clone(),
            cloudwatch: known.cloudwatch,
        });
        views.collect()
    }

    pub(super) fn left_out(&self) -> LeftOut {
        self.left_out
    }

    fn window_count(&self) -> usize {
        let consumers = self.streams.values().flat_map(|stream| stream.consumers.values());
        consumers.map(|consumer| consumer.shards.len()).sum()
    }
}

impl Stream {
    /// Keeps the windows for which `keep(consumer, shard, consumer's last read, window)` holds,
    /// and the consumers that have one left.
    fn retain(&mut self, keep: impl Fn(&ConsumerName, &ShardId, Duration, &Window) -> bool) {
        self.consumers.retain(|name, consumer| {
            let read_at = consumer.read_at;
            consumer.shards.retain(|shard, window| keep(name, shard, read_at, window));
            !consumer.shards.is_empty()
        });
    }
}

impl Consumer {
    fn judge(&self, retention: Option<Duration>, now: Duration) -> Vec<ShardView> {
        let circumstances = Circumstances { consumer_read_at: self.read_at, retention };
        let views = self.shards.iter().map(|(shard, window)| ShardView {
            shard: shard.clone(),
            assessment: assess(window, circumstances, now),
            last_observed: window.read_at_wall(),
        });
        views.collect()
    }
}

/// The worst by status, then by lag, then the first by id.
fn worst(shards: &[ShardView]) -> Option<&ShardView> {
    let badness = |verdict: &Assessment| (verdict.status, verdict.lag.map(|lag| lag.value));
    // Of equals `max_by_key` takes the last.
    shards.iter().rev().max_by_key(|shard| badness(&shard.assessment))
}
