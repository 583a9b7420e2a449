//! Owns what a sidecar has to tell: of all that happened, the newest of each shard and the totals.
//! Refuses to grow: over its bound what is new is left out and counted.

use super::{FailurePoint, HEARTBEAT, Place, PutPoint, ReadPoint, Report, TELL_AGAIN, TELL_EVERY};
use crate::domain::capacity::{Puts, TopKey};
use crate::domain::engine::Event;
use crate::domain::lag::{FailureKind, ReadFailure, ReadObservation};
use crate::domain::stream::{ConsumerName, SequenceNumber, ShardId, StreamName};
use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Most shards that are told of, reads, failures and puts each. At some 200 bytes this is 3 MiB.
const ENTRIES_MAX: usize = 4_096;
/// What had no part in anything for so long is told no more.
const FORGET_AFTER: Duration = Duration::from_secs(3_600);

/// What a sidecar has to tell.
#[derive(Debug)]
pub struct Ledger {
    service: Arc<str>,
    instance: Arc<str>,
    host: Option<Arc<str>>,
    started: Moment,
    reads: BTreeMap<Place, Told<Reads>>,
    failures: BTreeMap<Place, Told<Failures>>,
    open: BTreeMap<ConsumerName, u32>,
    puts: BTreeMap<(StreamName, ShardId), Told<Stored>>,
    changed: bool,
    reported_at: Option<Duration>,
    left_out: u64,
}

/// A value, and when it was told last; `None` while it is news.
#[derive(Debug)]
struct Told<T> {
    value: T,
    at: Option<Duration>,
    happened: Duration,
}

#[derive(Debug, Default)]
struct Reads {
    at: Duration,
    behind: Option<Duration>,
    reads: u64,
    records: u64,
    interval: Option<Duration>,
    oldest_sequence: Option<SequenceNumber>,
    newest_sequence: Option<SequenceNumber>,
    newest_arrival: Option<Wall>,
    shard_ended: bool,
}

#[derive(Debug)]
struct Failures {
    at: Duration,
    kind: FailureKind,
    calls: u64,
}

#[derive(Debug, Default)]
struct Stored {
    newest: Option<Duration>,
    puts: Puts,
    top: Option<TopKey>,
}

impl Ledger {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(service: &str, instance: &str, started: Moment) -> Self {
        Self {
            service: service.into(),
            instance: instance.into(),
            host: None,
            started,
            reads: BTreeMap::new(),
            failures: BTreeMap::new(),
            open: BTreeMap::new(),
            puts: BTreeMap::new(),
            changed: true,
            reported_at: None,
            left_out: 0,
        }
    }

    /// The same, of a process that knows where it runs.
    #[must_use]
    pub fn on(self, host: Option<&str>) -> Self {
        Self { host: host.map(Into::into), ..self }
    }

    /// Takes in what happened; true when that is the first news since the last report.
    pub fn note(&mut self, event: &Event) -> bool {
        let was = self.changed;
        match event {
            Event::Read { stream, consumer, shard, observation } => {
                self.changed |= self.read(place(stream, consumer, shard), observation);
            }
            Event::ReadFailed { stream, consumer, shard, failure } => {
                self.changed |= self.fail(place(stream, consumer, shard), *failure);
            }
            Event::Connections { consumer, open, at: _ } => {
                if self.open.contains_key(consumer) || self.open.len() < ENTRIES_MAX {
                    self.changed |= self.open.insert(consumer.clone(), *open) != Some(*open);
                }
            }
            Event::TipSeen { stream, shard, tip } => {
                if let Some(newest) = tip.newest {
                    let at = newest.mono;
                    let entry = (stream.clone(), shard.clone());
                    self.changed |= change(&mut self.puts, entry, at, &mut self.left_out, |it| {
                        it.newest = it.newest.max(Some(at));
                    });
                }
            }
            Event::PutsSeen { stream, shard, puts, top, at, by: _ } => {
                let entry = (stream.clone(), shard.clone());
                self.changed |= change(&mut self.puts, entry, at.mono, &mut self.left_out, |it| {
                    it.puts.add(*puts);
                    it.top = *top;
                });
            }
            // What every hub learns by itself, and what others say.
            Event::StreamSeen { .. }
            | Event::ReadElsewhere { .. }
            | Event::LeaseSeen { .. }
            | Event::ShardsListed { .. }
            | Event::StreamDescribed { .. }
            | Event::AccountDescribed { .. }
            | Event::KeysSeen { .. }
            | Event::CloudWatch { .. }
            | Event::CloudWatchDetails { .. }
            | Event::StreamGone { .. }
            | Event::Counted(_)
            | Event::Silenced(_)
            | Event::Reconfigured(_)
            | Event::Draining
            | Event::Tick => {}
        }
        self.changed && !was
    }

    fn read(&mut self, place: Place, seen: &ReadObservation) -> bool {
        let at = seen.at.mono;
        change(&mut self.reads, place, at, &mut self.left_out, |it: &mut Reads| {
            if it.reads > 0 {
                let gap = at.saturating_sub(it.at);
                // An eighth of the new one: a pause does not make a slow reader.
                let mixed = it.interval.map(|old| (old.saturating_mul(7).saturating_add(gap)) / 8);
                it.interval = Some(mixed.unwrap_or(gap));
            }
            it.at = it.at.max(at);
            it.behind = seen.behind;
            it.reads = it.reads.saturating_add(1);
            it.records = it.records.saturating_add(seen.records.into());
            it.shard_ended = seen.shard_ended;
            if seen.records > 0 {
                it.oldest_sequence.clone_from(&seen.oldest_sequence);
                it.newest_sequence.clone_from(&seen.newest_sequence);
                it.newest_arrival = seen.newest_arrival;
            }
        })
    }

    fn fail(&mut self, place: Place, failure: ReadFailure) -> bool {
        let at = failure.at.mono;
        change(&mut self.failures, place, at, &mut self.left_out, |it: &mut Failures| {
            (it.at, it.kind) = (at, failure.kind);
            it.calls = it.calls.saturating_add(1);
        })
    }

    /// When the next report is due, in monotonic time.
    #[must_use]
    pub fn due(&self) -> Duration {
        let after = if self.changed { TELL_EVERY } else { HEARTBEAT };
        self.reported_at.map_or(Duration::ZERO, |at| at.saturating_add(after))
    }

    /// What there is to tell: news, and what was told long ago. With `leaving` the pod goes
    /// away.
    pub fn report(&mut self, now: Moment, leaving: bool) -> Report {
        (self.changed, self.reported_at) = (false, Some(now.mono));
        // By the monotonic clock: a calendar that was set meanwhile moves no read.
        let wall = |at: Duration| now.wall.minus(now.mono.saturating_sub(at));
        let reads = due(&mut self.reads, now.mono).map(|(place, it)| ReadPoint {
            place: place.clone(),
            at: wall(it.at),
            behind: it.behind,
            reads: it.reads,
            records: it.records,
            interval: it.interval,
            oldest_sequence: it.oldest_sequence.clone(),
            newest_sequence: it.newest_sequence.clone(),
            newest_arrival: it.newest_arrival,
            shard_ended: it.shard_ended,
        });
        let reads = reads.collect();
        let failures = due(&mut self.failures, now.mono).map(|(place, it)| FailurePoint {
            place: place.clone(),
            at: wall(it.at),
            kind: it.kind,
            calls: it.calls,
        });
        let failures = failures.collect();
        let puts = due(&mut self.puts, now.mono).map(|((stream, shard), it)| PutPoint {
            stream: stream.clone(),
            shard: shard.clone(),
            newest: it.newest.map(wall),
            puts: it.puts,
            top: it.top,
        });
        Report {
            service: Arc::clone(&self.service),
            instance: Arc::clone(&self.instance),
            host: self.host.clone(),
            started: wall(self.started.mono),
            sent: now.wall,
            leaving,
            reads,
            failures,
            connections: self.open.iter().map(|(name, open)| (name.clone(), *open)).collect(),
            puts: puts.collect(),
        }
    }

    /// Facts that found no room since the last time this was asked.
    pub fn left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

fn place(stream: &StreamName, consumer: &ConsumerName, shard: &ShardId) -> Place {
    Place { stream: stream.clone(), consumer: consumer.clone(), shard: shard.clone() }
}

impl Default for Failures {
    fn default() -> Self {
        Self { at: Duration::ZERO, kind: FailureKind::Other, calls: 0 }
    }
}

/// Changes an entry, which becomes news; false where it found no room.
fn change<K: Ord, T: Default>(
    book: &mut BTreeMap<K, Told<T>>,
    key: K,
    happened: Duration,
    left_out: &mut u64,
    how: impl FnOnce(&mut T),
) -> bool {
    if book.len() >= ENTRIES_MAX && !book.contains_key(&key) {
        *left_out = left_out.saturating_add(1);
        return false;
    }
    let new = || Told { value: T::default(), at: None, happened };
    let entry = book.entry(key).or_insert_with(new);
    (entry.at, entry.happened) = (None, entry.happened.max(happened));
    how(&mut entry.value);
    true
}

/// What is to be told now, which counts as told. What is long over is forgotten.
fn due<K: Ord, T>(
    book: &mut BTreeMap<K, Told<T>>,
    now: Duration,
) -> impl Iterator<Item = (&K, &T)> {
    book.retain(|_, entry| now.saturating_sub(entry.happened) <= FORGET_AFTER);
    let is_due = move |at: Duration| now.saturating_sub(at) >= TELL_AGAIN;
    book.iter_mut().filter(move |(_, entry)| entry.at.is_none_or(is_due)).map(
        move |(key, entry)| {
            entry.at = Some(now);
            (key, &entry.value)
        },
    )
}
