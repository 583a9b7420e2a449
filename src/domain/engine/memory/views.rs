//! Owns what is told of the memory: verdicts for the alert rules, cheap enough for every second,
//! and the views of a snapshot. Refuses to take events in.

use super::{Consumer, Memory, Stream};
use crate::domain::alert::{Disturbance, Reading};
use crate::domain::capacity::StreamLoad;
use crate::domain::engine::{VerdictChange, reading};
use crate::domain::lag::{Assessment, Circumstances, Judgement, Lag, Presence};
use crate::domain::lag::{Sequences, Status};
use crate::domain::lag::{Window, checkpoint_lag, explain, judge};
use crate::domain::snapshot::{ConsumerView, LeftOut, ShardView, StreamView};
use crate::domain::stream::{ConsumerName, ShardId};
use crate::domain::time::Moment;
use std::time::Duration;

/// Shards that an alert names.
const WORST_SHARDS: usize = 3;

/// The shards of one consumer that matter most.
struct Worst<'a> {
    shard: &'a ShardId,
    judgement: Judgement,
    window: &'a Window,
    around: Circumstances<'a>,
    /// The furthest behind, the first first: a shard that is worse by status may be less far.
    furthest: Vec<(&'a ShardId, Lag)>,
}

impl Memory {
    /// Judges every consumer at `now`: what the alert rules look at, where there are any, and whose
    /// verdict has changed.
    pub(in crate::domain::engine) fn evaluate(
        &mut self,
        now: Duration,
        has_rules: bool,
    ) -> (Vec<Reading>, Vec<VerdictChange>) {
        let (mut readings, mut changes) = (Vec::new(), Vec::new());
        let mut told = Vec::new();
        let sidecar_fails = has_rules.then(|| self.sidecar_fails(now)).flatten();
        for (stream, known) in &self.streams {
            for (name, consumer) in &known.consumers {
                let Some(worst) = self.worst(known, name, consumer, now) else { continue };
                let Worst { shard, judgement, window, around, furthest } = worst;
                let status = judgement.rule.status();
                let is_news = consumer.told != Some(status);
                if !is_news && !has_rules {
                    continue;
                }
                let assessment = explain(&judgement, window, around);
                if is_news {
                    told.push((stream.clone(), name.clone(), status));
                    changes.push(VerdictChange {
                        stream: stream.clone(),
                        consumer: name.clone(),
                        shard: shard.clone(),
                        was: consumer.told,
                        is: assessment.clone(),
                    });
                }
                if !has_rules {
                    continue;
                }
                let mut told = reading::of(stream, name, (shard, &assessment), &furthest);
                told.disturbed = known.disturbance(consumer);
                let worst = furthest.first().map(|(shard, _)| *shard).into_iter().chain([shard]);
                told.obstacle = known.obstacle(consumer, worst, sidecar_fails);
                readings.push(told);
            }
        }
        for (stream, name, status) in told {
            let known = self.streams.get_mut(&stream);
            if let Some(consumer) = known.and_then(|known| known.consumers.get_mut(&name)) {
                consumer.told = Some(status);
            }
        }
        (readings, changes)
    }

    /// By status, then by lag, then the first by id.
    fn worst<'a>(
        &'a self,
        stream: &Stream,
        name: &ConsumerName,
        consumer: &'a Consumer,
        now: Duration,
    ) -> Option<Worst<'a>> {
        let presence = self.presences.get(name);
        let mut worst: Option<Worst<'_>> = None;
        let mut furthest: Vec<(&ShardId, Lag)> = Vec::new();
        let badness = |judged: &Judgement| (judged.rule.status(), judged.lag.map(|lag| lag.value));
        for (shard, window) in &consumer.shards {
            let around = stream.around(consumer, shard, &self.judging, presence);
            let judgement = judge(window, around, now);
            if let Some(lag) = judgement.lag.filter(|_| judgement.is_settled()) {
                // Of equals the later by id, as ever.
                let place = furthest.iter().position(|(_, far)| lag.value >= far.value);
                furthest.insert(place.unwrap_or(furthest.len()), (shard, lag));
                furthest.truncate(WORST_SHARDS);
            }
            if worst.as_ref().is_none_or(|bad| badness(&judgement) > badness(&bad.judgement)) {
                worst = Some(Worst { shard, judgement, window, around, furthest: Vec::new() });
            }
        }
        worst.map(|worst| Worst { furthest, ..worst })
    }

    /// Forgets shards that were released, or not read at all, long ago. A shard of a stopped
    /// consumer is neither.
    pub(in crate::domain::engine) fn forget(&mut self, now: Duration) {
        self.loads.forget(now);
        let after = self.limits.forget_after;
        let mut old = Vec::new();
        for (stream, known) in &self.streams {
            for (name, consumer) in &known.consumers {
                let presence = self.presences.get(name);
                for (shard, window) in &consumer.shards {
                    // Nearly all of them: who was heard of late is not forgotten.
                    if window.silence(now) > after
                        && is_over(judge(
                            window,
                            known.around(consumer, shard, &self.judging, presence),
                            now,
                        ))
                    {
                        old.push((stream.clone(), name.clone(), shard.clone()));
                    }
                }
            }
        }
        for (stream, consumer, shard) in &old {
            self.end(super::Place { stream, consumer, shard });
        }
    }

    /// Every consumer of every stream, judged at `now`.
    pub(in crate::domain::engine) fn consumers(&self, now: Moment) -> Vec<ConsumerView> {
        let views = self.streams.iter().flat_map(|(stream, known)| {
            known.consumers.iter().filter_map(move |(name, consumer)| {
                let shards = self.shards(known, consumer, self.presences.get(name), now);
                let worst = worst_view(&shards)?;
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

    fn shards(
        &self,
        stream: &Stream,
        consumer: &Consumer,
        presence: Option<&Presence>,
        now: Moment,
    ) -> Vec<ShardView> {
        let created = stream.description.as_ref().and_then(|description| description.created_at);
        let quiet_since = stream.quiet_since(now);
        let views = consumer.shards.iter().map(|(shard, window)| {
            let around = stream.around(consumer, shard, &self.judging, presence);
            let of = Sequences { shard, created, clock: &stream.clock, quiet_since };
            ShardView {
                shard: shard.clone(),
                assessment: explain(&judge(window, around, now.mono), window, around),
                last_observed: window.read_at_wall(),
                checkpoint: checkpoint_lag(window, of, &self.judging.tuning, now),
            }
        });
        views.collect()
    }

    /// Every stream.
    pub(in crate::domain::engine) fn streams(&self) -> Vec<StreamView> {
        let views = self.streams.iter().map(|(stream, known)| StreamView {
            stream: stream.clone(),
            description: known.description.clone(),
            cloudwatch: known.cloudwatch,
            sequence_clock_usable: known.clock.is_usable(),
        });
        views.collect()
    }

    /// What is put to each shard, as of `now`.
    pub(in crate::domain::engine) fn load_views(&self, now: Duration) -> Vec<StreamLoad> {
        let open_shards =
            |stream: &_| Some(self.streams.get(stream)?.description.as_ref()?.open_shards);
        self.loads.views(open_shards, now)
    }

    /// Whether anybody is known to read.
    pub(in crate::domain::engine) fn has_consumers(&self) -> bool {
        self.streams.values().any(|stream| !stream.consumers.is_empty())
    }

    pub(in crate::domain::engine) const fn left_out(&self) -> LeftOut {
        self.left_out
    }
}

impl Stream {
    /// What last made a consumer's figures jump.
    fn disturbance(&self, consumer: &Consumer) -> Option<Disturbance> {
        let began = Disturbance { at: consumer.known_since, by: "its first read here" };
        match self.resharded_at {
            Some(at) if at > began.at => Some(Disturbance { at, by: "a resharding" }),
            Some(_) | None => Some(began),
        }
    }
}

/// Whether nobody here will read the shard again.
fn is_over(judgement: Judgement) -> bool {
    match judgement.rule.status() {
        Status::Released | Status::Unknown => true,
        Status::Ok
        | Status::Idle
        | Status::Rewound
        | Status::Lagging
        | Status::FallingBehind
        | Status::Stalled
        | Status::Stopped
        | Status::LosingData => false,
    }
}

/// The worst by status, then by lag, then the first by id.
fn worst_view(shards: &[ShardView]) -> Option<&ShardView> {
    let badness = |verdict: &Assessment| (verdict.status, verdict.lag.map(|lag| lag.value));
    // Of equals `max_by_key` takes the last.
    shards.iter().rev().max_by_key(|shard| badness(&shard.assessment))
}
