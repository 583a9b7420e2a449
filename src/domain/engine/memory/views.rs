//! Owns what is told of the memory: verdicts for the alert rules, cheap enough for every second,
//! and the views of a snapshot. Refuses to take events in.

use super::{Consumer, Memory, Stream};
use crate::domain::alert::{Disturbance, Obstacle, Subject};
use crate::domain::capacity::StreamLoad;
use crate::domain::engine::VerdictChange;
use crate::domain::lag::{Assessment, Circumstances, FailureKind, Judgement, Lag, Presence};
use crate::domain::lag::{Sequences, Status};
use crate::domain::lag::{Window, checkpoint_lag, explain, judge, outline};
use crate::domain::snapshot::{ConsumerView, Detail, LeftOut, ShardView, StreamView};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::Moment;
use std::sync::Arc;
use std::time::Duration;

/// Shards that an alert names.
const WORST_SHARDS: usize = 3;

/// The shards of one consumer that matter most.
pub(in crate::domain::engine) struct Worst<'a> {
    pub(in crate::domain::engine) shard: &'a ShardId,
    pub(in crate::domain::engine) judgement: Judgement,
    pub(in crate::domain::engine) window: &'a Window,
    pub(in crate::domain::engine) around: Circumstances<'a>,
    furthest: [Option<(&'a ShardId, Lag)>; WORST_SHARDS],
}

impl<'a> Worst<'a> {
    /// The furthest behind, the first first: a shard that is worse by status may be less far.
    pub(in crate::domain::engine) fn furthest(&self) -> impl Iterator<Item = (&'a ShardId, Lag)> {
        self.furthest.iter().copied().flatten()
    }
}

/// A consumer's verdict, before anybody is told.
pub(in crate::domain::engine) struct Judged<'a> {
    stream: &'a StreamName,
    name: &'a ConsumerName,
    known: &'a Stream,
    consumer: &'a Consumer,
    pub(in crate::domain::engine) worst: Worst<'a>,
}

impl Judged<'_> {
    /// What is to be told where the verdict is another than the last one that was.
    pub(in crate::domain::engine) fn change(&self) -> Option<VerdictChange> {
        let Worst { shard, judgement, window, around, .. } = &self.worst;
        let was = self.consumer.told;
        (was != Some(judgement.rule.status())).then(|| VerdictChange {
            stream: self.stream.clone(),
            consumer: self.name.clone(),
            shard: ShardId::clone(shard),
            was,
            is: explain(judgement, window, *around),
        })
    }

    /// Whom it is about.
    pub(in crate::domain::engine) fn subject(&self) -> Arc<Subject> {
        Arc::clone(&self.consumer.subject)
    }

    /// Why alerts on its figures would say nothing new; `sidecar_fails` is [`Memory::sidecar_fails`].
    pub(in crate::domain::engine) fn obstacle(
        &self,
        sidecar_fails: Option<FailureKind>,
    ) -> Option<Obstacle> {
        let furthest = self.worst.furthest().next().map(|(shard, _)| shard);
        let worst = furthest.into_iter().chain([self.worst.shard]);
        self.known.obstacle(self.consumer, worst, sidecar_fails)
    }

    /// What last made the consumer's figures jump.
    pub(in crate::domain::engine) fn disturbance(&self) -> Option<Disturbance> {
        let began = Disturbance { at: self.consumer.known_since, by: "its first read here" };
        match self.known.resharded_at {
            Some(at) if at > began.at => Some(Disturbance { at, by: "a resharding" }),
            Some(_) | None => Some(began),
        }
    }
}

impl Memory {
    /// The verdict on every consumer at `now`.
    pub(in crate::domain::engine) fn judged(&self, now: Duration) -> Vec<Judged<'_>> {
        let all = self.streams.iter().flat_map(|(stream, known)| {
            known.consumers.iter().filter_map(move |(name, consumer)| {
                let worst = self.worst(known, name, consumer, now)?;
                Some(Judged { stream, name, known, consumer, worst })
            })
        });
        all.collect()
    }

    /// Remembers what was told.
    pub(in crate::domain::engine) fn note_told(&mut self, changes: &[VerdictChange]) {
        for change in changes {
            let known = self.streams.get_mut(&change.stream);
            if let Some(consumer) = known.and_then(|it| it.consumers.get_mut(&change.consumer)) {
                consumer.told = Some(change.is.status);
            }
        }
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
        let mut furthest = [None; WORST_SHARDS];
        let badness = |judged: &Judgement| (judged.rule.status(), judged.lag.map(|lag| lag.value));
        for (shard, window) in &consumer.shards {
            let around = stream.around(consumer, (shard, window), &self.judging, presence);
            let judgement = judge(window, around, now);
            if let Some(lag) = judgement.lag.filter(|_| judgement.is_settled()) {
                rank(&mut furthest, (shard, lag));
            }
            if worst.as_ref().is_none_or(|bad| badness(&judgement) > badness(&bad.judgement)) {
                worst = Some(Worst { shard, judgement, window, around, furthest });
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
                            known.around(consumer, (shard, window), &self.judging, presence),
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
    pub(in crate::domain::engine) fn consumers(
        &self,
        now: Moment,
        detail: Detail,
    ) -> Vec<ConsumerView> {
        let views = self.streams.iter().flat_map(|(stream, known)| {
            known.consumers.iter().filter_map(move |(name, consumer)| {
                let presence = self.presences.get(name);
                let shards = self.shards(known, consumer, presence, (now, detail));
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
        (now, detail): (Moment, Detail),
    ) -> Vec<ShardView> {
        let created = stream.description.as_ref().and_then(|description| description.created_at);
        let quiet_since = stream.quiet_since(now);
        let views = consumer.shards.iter().map(|(shard, window)| {
            let around = stream.around(consumer, (shard, window), &self.judging, presence);
            let judgement = judge(window, around, now.mono);
            let of = Sequences { shard, created, clock: &stream.clock, quiet_since };
            ShardView {
                shard: shard.clone(),
                assessment: match detail {
                    Detail::Words => explain(&judgement, window, around),
                    Detail::Figures => outline(&judgement, around.tuning),
                },
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

/// Puts it to its place among the furthest. Of equals the later by id, as ever.
fn rank<'a>(
    furthest: &mut [Option<(&'a ShardId, Lag)>; WORST_SHARDS],
    (shard, lag): (&'a ShardId, Lag),
) {
    let mut carried = Some((shard, lag));
    for slot in furthest {
        let Some((_, lag)) = carried else { return };
        if slot.is_none_or(|(_, far)| lag.value >= far.value) {
            carried = std::mem::replace(slot, carried);
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
