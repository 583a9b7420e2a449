//! Owns what the engine remembers of streams, consumers and shards, within its bounds. What comes
//! over a bound is left out and counted. Refuses to judge (`lag` does), and to forget a consumer
//! that stopped.

mod obstacles;
mod streams;
mod views;

pub(super) use views::Judged;

use super::{EngineLimits, Judging};
use crate::domain::alert::Subject;
use crate::domain::capacity::Loads;
use crate::domain::lag::{Checkpoint, Circumstances, Lease, Presence, ReadFailure};
use crate::domain::lag::{ReadObservation, SequenceClock, Status, Tip, Tuning, View, Window};
use crate::domain::snapshot::{CloudWatchMetric, CloudWatchPoint, CloudWatchView};
use crate::domain::snapshot::{LeftOut, ShardInfo, StreamDescription};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

/// Where a shard is read: what every event about one is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) stream: &'a StreamName,
    pub(super) consumer: &'a ConsumerName,
    pub(super) shard: &'a ShardId,
}

/// Everything remembered, by name, so that all that is told has a stable order.
#[derive(Debug)]
pub(super) struct Memory {
    limits: EngineLimits,
    judging: Judging,
    streams: BTreeMap<StreamName, Stream>,
    /// By the names of consumers that opened a connection, which are configured ones.
    presences: BTreeMap<ConsumerName, Presence>,
    /// What is put to each shard.
    pub(super) loads: Loads,
    windows: usize,
    left_out: LeftOut,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// As alerts name it.
    subject: Arc<Subject>,
    description: Option<StreamDescription>,
    cloudwatch: CloudWatchView,
    /// The end of the last period in which CloudWatch saw records.
    records_until: Option<Wall>,
    parents: BTreeMap<ShardId, Vec<ShardId>>,
    clock: SequenceClock,
    consumers: BTreeMap<ConsumerName, Consumer>,
    /// When its shards were last seen to change, in monotonic time.
    resharded_at: Option<Duration>,
    /// When something of it last passed through a sidecar.
    passed: Option<Moment>,
}

#[derive(Debug)]
pub(super) struct Consumer {
    /// As alerts name it.
    subject: Arc<Subject>,
    /// When it last called for any shard, also one that has ended since.
    called_at: Duration,
    /// Since when it has done so without a longer silence.
    calls_since: Duration,
    /// Since when it is known.
    known_since: Duration,
    /// Boxed: the nodes of a map that grows are half empty.
    shards: BTreeMap<ShardId, Box<Window>>,
    /// The verdict that was told last.
    told: Option<Status>,
}

impl Memory {
    pub(super) fn new(limits: EngineLimits, judging: Judging) -> Self {
        Self {
            limits,
            judging,
            streams: BTreeMap::new(),
            presences: BTreeMap::new(),
            loads: Loads::default(),
            windows: 0,
            left_out: LeftOut::default(),
        }
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
        self.streams.insert(stream.clone(), Stream::new(stream));
        true
    }

    /// Takes what the control plane said of a stream that was seen. Another time of creation is
    /// another stream: nobody has read it yet, and no sequence number of the old one means a thing.
    pub(super) fn describe(&mut self, stream: &StreamName, description: StreamDescription) {
        let Some(known) = self.streams.get_mut(stream) else { return };
        let created = |of: &StreamDescription| of.created_at;
        let old = known.description.as_ref().and_then(created);
        if old.zip(created(&description)).is_some_and(|(old, new)| old != new) {
            known.clock = SequenceClock::default();
            known.parents.clear();
            let windows = known.consumers.values_mut().flat_map(|it| it.shards.values_mut());
            windows.for_each(|window| window.recreate());
        }
        let shards = |of: &StreamDescription| of.open_shards;
        if known.description.as_ref().is_some_and(|old| shards(old) != shards(&description)) {
            known.resharded_at = Some(description.at.mono);
        }
        known.description = Some(description);
    }

    /// A stream that was described is no more: nothing that was known of it holds. One that was
    /// never described may be another account's.
    pub(super) fn gone(&mut self, stream: &StreamName) {
        let Some(known) = self.streams.get_mut(stream) else { return };
        if known.description.is_some() {
            let windows: usize = known.consumers.values().map(|it| it.shards.len()).sum();
            self.windows = self.windows.saturating_sub(windows);
            *known = Stream::new(stream);
        }
    }

    /// Takes the stream's whole list of shards. What is not on it has been trimmed away, unless it was
    /// read just now: then the list is the older of the two.
    pub(super) fn list(&mut self, stream: &StreamName, shards: Vec<ShardInfo>, now: Duration) {
        let Some(known) = self.streams.get_mut(stream) else { return };
        known.parents = shards.into_iter().map(|info| (info.shard, info.parents)).collect();
        let listed = |shard: &ShardId| known.parents.contains_key(shard) || !is_named(shard);
        for consumer in known.consumers.values_mut() {
            let before = consumer.shards.len();
            let is_read = |window: &Window| now.saturating_sub(window.read_at()) < LISTS_LATE;
            consumer.shards.retain(|shard, window| listed(shard) || is_read(window));
            self.windows = self.windows.saturating_sub(before - consumer.shards.len());
        }
        known.consumers.retain(|_, consumer| !consumer.shards.is_empty());
    }

    /// Takes a point of a stream that was seen, unless a newer one is there.
    pub(super) fn add_point(
        &mut self,
        stream: &StreamName,
        metric: CloudWatchMetric,
        point: CloudWatchPoint,
    ) {
        if let Some(known) = self.streams.get_mut(stream) {
            if metric == CloudWatchMetric::IncomingRecords && point.value > 0.0 {
                known.records_until = known.records_until.max(Some(point.at.plus(point.period)));
            }
            let slot = known.cloudwatch.slot(metric);
            if slot.is_none_or(|old| old.at <= point.at) {
                *slot = Some(point);
            }
        }
    }

    /// Takes a consumer's open connections.
    pub(super) fn connect(&mut self, consumer: &ConsumerName, open: u32, at: Moment) {
        if let Some(presence) = self.presences.get_mut(consumer) {
            presence.see(open, at.mono);
        } else if self.presences.len() < self.limits.windows_max {
            let mut presence = Presence::default();
            presence.see(open, at.mono);
            self.presences.insert(consumer.clone(), presence);
        }
    }

    /// Takes a read in; true where the control plane has to be asked: of a new stream, or a shard
    /// that is on no list yet.
    pub(super) fn read(&mut self, place: Place<'_>, observation: &ReadObservation) -> bool {
        let is_new = self.see(place.stream);
        let Some(stream) = self.streams.get_mut(place.stream) else { return false };
        let at = observation.at.mono;
        stream.passed = stream.passed.max(Some(observation.at));
        if let (Some(sequence), Some(arrival)) =
            (&observation.newest_sequence, observation.newest_arrival)
        {
            stream.clock.calibrate(sequence, place.shard, arrival, at);
        }
        let is_unlisted = stream.is_unlisted(place.shard);
        if observation.shard_ended {
            if let Some(consumer) = stream.consumers.get_mut(place.consumer) {
                consumer.called_at = consumer.called_at.max(at);
            }
            // A shard ends by being split or merged.
            stream.resharded_at = Some(at);
            self.end(place);
            return is_new || is_unlisted;
        }
        if let Some(presence) = self.presences.get_mut(place.consumer) {
            presence.read(observation.called_at.mono);
        }
        let tuning = &self.judging.tuning;
        let mut room = Room {
            windows: &mut self.windows,
            windows_max: self.limits.windows_max,
            left_out: &mut self.left_out.reads,
            tuning,
        };
        let first = || Window::new(observation, tuning);
        if let Some(window) = stream.window(place, &mut room, first, at) {
            window.observe(observation, tuning);
        }
        is_new || is_unlisted
    }

    /// Takes a call in that was not answered with records.
    pub(super) fn fail(&mut self, place: Place<'_>, failure: &ReadFailure) {
        let at = failure.at.mono;
        self.pass(place.stream, failure.at);
        let unread = || {
            let mut window = Window::unread(failure.at);
            window.fail(failure);
            window
        };
        if let Some(window) = self.window(place, unread, at) {
            window.fail(failure);
        }
    }

    /// Takes in what is known of the newest record of a shard: for everybody who reads it.
    pub(super) fn tip(&mut self, stream: &StreamName, shard: &ShardId, tip: &Tip) {
        if let Some(newest) = tip.newest {
            self.pass(stream, newest);
        }
        let Some(known) = self.streams.get_mut(stream) else { return };
        for consumer in known.consumers.values_mut() {
            if let Some(window) = consumer.shards.get_mut(shard) {
                window.see_tip(tip);
            }
        }
    }

    /// Takes in that another sidecar saw its own reader read a shard.
    pub(super) fn elsewhere(&mut self, place: Place<'_>, at: Moment) {
        self.pass(place.stream, at);
        if let Some(window) = self.known(place) {
            window.see_elsewhere(at);
        }
    }

    /// Takes a row of a lease table. Only a hub learns of shards by it: a sidecar speaks for its pod.
    pub(super) fn lease(&mut self, place: Place<'_>, lease: &Lease) {
        if lease.checkpoint == Checkpoint::ShardEnd {
            self.end(place);
        } else if let Some(window) = self.known(place) {
            window.see_lease(lease);
        } else if self.judging.view == View::Fleet {
            let unread = || {
                let mut window = Window::unread(lease.at);
                window.see_lease(lease);
                window
            };
            self.window(place, unread, Duration::ZERO);
        }
    }

    /// Notes that something of the stream passed through a sidecar.
    fn pass(&mut self, stream: &StreamName, at: Moment) {
        if let Some(known) = self.streams.get_mut(stream) {
            known.passed = known.passed.max(Some(at));
        }
    }

    fn known(&mut self, place: Place<'_>) -> Option<&mut Window> {
        let consumer = self.streams.get_mut(place.stream)?.consumers.get_mut(place.consumer)?;
        consumer.shards.get_mut(place.shard).map(Box::as_mut)
    }

    /// The window that is there. Else one is made, within the bound, and there is nothing to give.
    fn window(
        &mut self,
        place: Place<'_>,
        make: impl FnOnce() -> Window,
        called_at: Duration,
    ) -> Option<&mut Window> {
        let mut room = Room {
            windows: &mut self.windows,
            windows_max: self.limits.windows_max,
            left_out: &mut self.left_out.reads,
            tuning: &self.judging.tuning,
        };
        self.streams.get_mut(place.stream)?.window(place, &mut room, make, called_at)
    }

    /// Forgets a shard that has been read to its end.
    fn end(&mut self, place: Place<'_>) {
        let Some(stream) = self.streams.get_mut(place.stream) else { return };
        let Some(consumer) = stream.consumers.get_mut(place.consumer) else { return };
        if consumer.shards.remove(place.shard).is_some() {
            self.windows = self.windows.saturating_sub(1);
        }
        if consumer.shards.is_empty() {
            stream.consumers.remove(place.consumer);
        }
    }
}

/// A list of shards may be so much older than a read that came before it: paging, queues, a control
/// plane behind a resharding.
const LISTS_LATE: Duration = Duration::from_secs(10);

/// A point of CloudWatch's is settled and polled by this age.
const POINTS_LATE: Duration = Duration::from_secs(300);

/// How many windows there may be.
struct Room<'a> {
    windows: &'a mut usize,
    windows_max: usize,
    left_out: &'a mut u64,
    tuning: &'a Tuning,
}

impl Stream {
    fn new(name: &StreamName) -> Self {
        Self {
            subject: Arc::new(Subject::Stream { stream: name.to_string() }),
            description: None,
            cloudwatch: CloudWatchView::default(),
            records_until: None,
            parents: BTreeMap::new(),
            clock: SequenceClock::default(),
            consumers: BTreeMap::new(),
            resharded_at: None,
            passed: None,
        }
    }

    /// Whether a shard is on no list yet although there is one; said once.
    fn is_unlisted(&mut self, shard: &ShardId) -> bool {
        let parents = &mut self.parents;
        let unlisted = !parents.is_empty() && !parents.contains_key(shard) && is_named(shard);
        if unlisted {
            parents.insert(shard.clone(), Vec::new());
        }
        unlisted
    }

    /// As [`Memory::window`]. Every read comes here: each map is searched once.
    fn window(
        &mut self,
        place: Place<'_>,
        room: &mut Room<'_>,
        make: impl FnOnce() -> Window,
        called_at: Duration,
    ) -> Option<&mut Window> {
        let has_room = *room.windows < room.windows_max;
        let consumer = match self.consumers.entry(place.consumer.clone()) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(new) if has_room => Some(new.insert(Consumer::new(place, called_at))),
            Entry::Vacant(_) => None,
        };
        if let Some(consumer) = consumer {
            let entry = consumer.shards.entry(place.shard.clone());
            let allowed = match &entry {
                Entry::Occupied(known) => known.get().silence_allowed(room.tuning),
                Entry::Vacant(_) => room.tuning.silence_min,
            };
            if called_at.saturating_sub(consumer.called_at) > allowed {
                consumer.calls_since = called_at;
            }
            consumer.called_at = consumer.called_at.max(called_at);
            match entry {
                Entry::Occupied(known) => return Some(known.into_mut()),
                Entry::Vacant(new) if has_room => {
                    *room.windows += 1;
                    new.insert(Box::new(make()));
                    return None;
                }
                Entry::Vacant(_) => {}
            }
        }
        *room.left_out = room.left_out.saturating_add(1);
        None
    }

    /// When the newest record that CloudWatch knows of had come, where it has seen none for long.
    fn quiet_since(&self, now: Moment) -> Option<Wall> {
        self.cloudwatch.incoming_records?;
        let until = self.records_until.unwrap_or_default();
        (now.wall.since(until) > POINTS_LATE).then_some(until)
    }

    /// What surrounds one shard of one consumer.
    fn around<'a>(
        &self,
        consumer: &Consumer,
        (shard, window): (&ShardId, &Window),
        judging: &'a Judging,
        presence: Option<&'a Presence>,
    ) -> Circumstances<'a> {
        // Nearly none is: only then the others are looked at.
        let is_taken = judging.view == View::Fleet && window.is_taken_over();
        let parents = self.parents.get(shard).map_or(&[][..], Vec::as_slice);
        Circumstances {
            view: judging.view,
            consumer_called_at: consumer.called_at,
            consumer_calls_since: consumer.calls_since,
            retention: self.description.as_ref().map(|description| description.retention),
            presence,
            has_unfinished_parent: parents.iter().any(|it| consumer.shards.contains_key(it)),
            taker_is_seen: is_taken
                && consumer.shards.values().any(|other| other.is_read_by_taker_of(window)),
            tuning: &judging.tuning,
        }
    }
}

impl Consumer {
    fn new(place: Place<'_>, called_at: Duration) -> Self {
        let (stream, consumer) = (place.stream.to_string(), place.consumer.to_string());
        Self {
            subject: Arc::new(Subject::Consumer { stream, consumer }),
            called_at: Duration::ZERO,
            calls_since: Duration::ZERO,
            known_since: called_at,
            shards: BTreeMap::new(),
            told: None,
        }
    }
}

/// Whether Kinesis gave this id: others stand for reads that could not be placed, and for queues.
fn is_named(shard: &ShardId) -> bool {
    shard.as_str().starts_with("shardId-")
}
