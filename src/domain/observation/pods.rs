//! Owns what many sidecars told, merged by service: reports in, the hub's events out. Refuses to
//! believe a pod's calendar: a moment is as far back from a report's arrival as it was from its
//! sending, but for the time that the report took. Refuses to remember a pod that fell silent.

use super::{FailurePoint, HEARTBEAT, Place, PutPoint, ReadPoint, Report, Word};
use crate::domain::capacity::{Puts, Writer};
use crate::domain::engine::Event;
use crate::domain::lag::{ReadFailure, ReadObservation, Tip};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A pod that told nothing for ten heartbeats is gone, or out of reach.
const HEARD_WITHIN: Duration = Duration::from_secs(10 * HEARTBEAT.as_secs());
/// One that hung up and told nothing for so long is gone: whoever is out of reach cannot hang up, and
/// one whose report was not answered in time has told another by then.
const HUNG_UP_FOR: Duration = Duration::from_secs(8);
/// Most pods at once. Over it a new one is left out and counted.
const PODS_MAX: usize = 4_096;
/// Most shards of all pods together, reads, failures and puts each counting one: some 10 MiB. Over
/// it a new one is left out and counted.
const ENTRIES_MAX: usize = 65_536;
/// A report took so long at most; where it seems to have taken longer, the pod's calendar was set.
const TRANSIT_MAX: Duration = Duration::from_secs(20);
/// A report took at most so much more than the quickest one, as far as is surely known: a put that
/// is newer than a read by less may be one that the read delivered.
const UNSURE: Duration = Duration::from_millis(500);
/// The rhythm of reads that were before the hub's time is told to the engine by so many of them.
const RHYTHM_READS: u32 = 2;

/// What is known of the pods.
#[derive(Debug, Default)]
pub struct Pods {
    pods: BTreeMap<Arc<str>, Pod>,
    /// Connections of this process itself, where it has a data plane.
    own: BTreeMap<ConsumerName, u32>,
    /// Those of all together.
    open: BTreeMap<ConsumerName, u32>,
    entries: usize,
    left_out: u64,
}

#[derive(Debug, Default)]
struct Pod {
    heard_at: Duration,
    /// When the connection ended over which it told.
    hung_up: Option<Moment>,
    /// The smallest difference of a report's arrival here and its sending there, in nanoseconds:
    /// the difference of the calendars and the quickest way.
    ahead: Option<i128>,
    open: BTreeMap<ConsumerName, u32>,
    reads: BTreeMap<Place, (Wall, u64)>,
    failures: BTreeMap<Place, u64>,
    puts: BTreeMap<(StreamName, ShardId), (Option<Wall>, Puts)>,
}

/// When things of one report happened, by our clocks.
#[derive(Clone, Copy)]
struct Times {
    received: Moment,
    sent: Wall,
    transit: Duration,
    /// The pod told something before.
    is_known: bool,
}

impl Times {
    /// A moment of the pod's calendar, and how much of it was before this process began.
    fn at(&self, wall: Wall) -> (Moment, Duration) {
        let ago = self.sent.since(wall).saturating_add(self.transit);
        let Moment { wall, mono } = self.received;
        let moment = Moment { wall: wall.minus(ago), mono: mono.saturating_sub(ago) };
        (moment, ago.saturating_sub(mono))
    }
}

impl Pods {
    /// Takes what was heard at `received`; gives what happened, in the order of its time.
    pub fn hear(&mut self, word: Word, received: Moment) -> Vec<Event> {
        match word {
            Word::Report(report) => self.take(report, received),
            Word::HungUp(instance) => {
                if let Some(pod) = self.pods.get_mut(&instance) {
                    pod.hung_up = Some(received);
                }
                Vec::new()
            }
        }
    }

    /// Takes a report that arrived at `received`; gives what happened, in the order of its time.
    pub fn take(&mut self, report: Report, received: Moment) -> Vec<Event> {
        let Report { service, instance, host, .. } = report;
        let by = Writer { service, pod: host.unwrap_or_else(|| Arc::clone(&instance)) };
        let Report { sent, leaving, reads, failures, connections, puts, .. } = report;
        if !self.pods.contains_key(&instance) && self.pods.len() >= PODS_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return Vec::new();
        }
        let mut room = ENTRIES_MAX.saturating_sub(self.entries);
        let is_known = self.pods.contains_key(&instance);
        let pod = self.pods.entry(Arc::clone(&instance)).or_default();
        let before = pod.entries();
        (pod.heard_at, pod.hung_up) = (received.mono, None);
        let times = Times { received, sent, transit: pod.transit(sent, received.wall), is_known };
        let mut happened = Vec::new();
        for point in reads {
            pod.read(point, &times, &mut room, &mut happened, &mut self.left_out);
        }
        for point in failures {
            pod.fail(point, &times, &mut room, &mut happened, &mut self.left_out);
        }
        for point in puts {
            pod.put(point, (&by, &times), &mut room, &mut happened, &mut self.left_out);
        }
        let names: Vec<ConsumerName> = connections.iter().map(|(name, _)| name.clone()).collect();
        let was: Vec<u32> = names.iter().map(|name| self.open(name)).collect();
        if let Some(pod) = self.pods.get_mut(&instance) {
            close(&mut self.open, &pod.open);
            pod.open = connections.into_iter().collect();
            for (name, open) in &pod.open {
                let all = self.open.entry(name.clone()).or_default();
                *all = all.saturating_add(*open);
            }
            self.entries = self.entries.saturating_sub(before).saturating_add(pod.entries());
        }
        if leaving {
            self.remove(&instance);
        }
        happened.sort_by_key(|(at, _)| *at);
        let mut events: Vec<Event> = happened.into_iter().map(|(_, event)| event).collect();
        let at = times.at(sent).0;
        for (consumer, was) in names.into_iter().zip(was) {
            let open = self.open(&consumer);
            let event = Event::Connections { consumer, open, at };
            match (was, open) {
                // After the reads, and again with each report: who opens a connection for every
                // read is seen by that.
                (_, 0) => events.push(event),
                // Before the reads that come over it.
                (0, _) => events.insert(0, event),
                (_, _) => {}
            }
        }
        events
    }

    /// Takes in connections to this process itself; gives those of the whole service.
    pub fn own(&mut self, consumer: ConsumerName, open: u32, at: Moment) -> Event {
        let before = self.own.insert(consumer.clone(), open).unwrap_or_default();
        let all = self.open.entry(consumer.clone()).or_default();
        *all = all.saturating_sub(before).saturating_add(open);
        let open = self.open(&consumer);
        Event::Connections { consumer, open, at }
    }

    /// Forgets pods that fell silent; gives what that means for their consumers.
    pub fn tick(&mut self, now: Moment) -> Vec<Event> {
        let silent = |pod: &Pod| now.mono > pod.until();
        let gone: Vec<Arc<str>> =
            self.pods.iter().filter(|(_, pod)| silent(pod)).map(|(id, _)| Arc::clone(id)).collect();
        let mut closed: BTreeMap<ConsumerName, Moment> = BTreeMap::new();
        for instance in gone {
            let Some(pod) = self.remove(&instance) else { continue };
            let at = pod.hung_up.unwrap_or(now);
            for consumer in pod.open.into_keys() {
                let known = closed.entry(consumer).or_insert(at);
                *known = at.max(*known);
            }
        }
        let event = |(consumer, at)| {
            let open = self.open(&consumer);
            Event::Connections { consumer, open, at }
        };
        closed.into_iter().map(event).collect()
    }

    /// When `tick` is due, in monotonic time; `None` without pods.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let first = self.pods.values().map(Pod::until).min()?;
        // Later than the bound by as much as makes it exceeded.
        Some(first.saturating_add(Duration::from_millis(1)))
    }

    /// Pods that tell.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// Facts that found no room since the last time this was asked.
    pub fn left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    fn open(&self, consumer: &ConsumerName) -> u32 {
        self.open.get(consumer).copied().unwrap_or_default()
    }

    fn remove(&mut self, instance: &Arc<str>) -> Option<Pod> {
        let pod = self.pods.remove(instance)?;
        self.entries = self.entries.saturating_sub(pod.entries());
        close(&mut self.open, &pod.open);
        Some(pod)
    }
}

impl Pod {
    /// Until when it counts as there.
    fn until(&self) -> Duration {
        self.heard_at.saturating_add(if self.hung_up.is_some() {
            HUNG_UP_FOR
        } else {
            HEARD_WITHIN
        })
    }

    fn entries(&self) -> usize {
        self.reads.len() + self.failures.len() + self.puts.len()
    }

    /// How much longer the report took than the quickest one.
    fn transit(&mut self, sent: Wall, received: Wall) -> Duration {
        let difference = i128::from(received.as_nanos()) - i128::from(sent.as_nanos());
        let ahead = self.ahead.map_or(difference, |least| least.min(difference));
        let transit = Duration::from_nanos(u64::try_from(difference - ahead).unwrap_or(u64::MAX));
        let is_set = transit > TRANSIT_MAX;
        self.ahead = Some(if is_set { difference } else { ahead });
        if is_set { Duration::ZERO } else { transit }
    }

    fn read(
        &mut self,
        point: ReadPoint,
        times: &Times,
        room: &mut usize,
        happened: &mut Vec<(Moment, Event)>,
        left_out: &mut u64,
    ) {
        let ReadPoint { place, .. } = &point;
        let before = self.reads.get(place).copied();
        // Told again, for a hub that would not know it yet.
        if before.is_some_and(|(at, _)| point.at <= at) {
            return;
        }
        if before.is_none() && !take_room(room, left_out) {
            return;
        }
        self.reads.insert(place.clone(), (point.at, point.records));
        let (at, unseen) = times.at(point.at);
        let came = point.records.saturating_sub(before.map_or(0, |(_, records)| records));
        let observation = ReadObservation {
            called_at: at,
            at,
            // What it was behind it is still behind, and this clock does not go back so far.
            behind: point.behind.map(|lag| if lag.is_zero() { lag } else { lag + unseen }),
            records: u32::try_from(came).unwrap_or(u32::MAX),
            oldest_sequence: point.oldest_sequence.filter(|_| came > 0),
            newest_sequence: point.newest_sequence.filter(|_| came > 0),
            newest_arrival: point.newest_arrival.filter(|_| came > 0),
            shard_ended: point.shard_ended,
        };
        let Place { stream, consumer, shard } = point.place;
        let event = |observation| Event::Read {
            stream: stream.clone(),
            consumer: consumer.clone(),
            shard: shard.clone(),
            observation,
        };
        // A reader that is new here but has long read: its rhythm is known, its lag then is not.
        let rhythm = point.interval.filter(|_| before.is_none() && !point.shard_ended);
        if let Some(interval) = rhythm.filter(|_| point.reads > u64::from(RHYTHM_READS)) {
            for nth in (1..=RHYTHM_READS).rev() {
                let ago = interval.saturating_mul(nth);
                let mono = at.mono.saturating_sub(ago);
                let earlier = Moment { wall: at.wall.minus(ago), mono };
                let read = ReadObservation {
                    called_at: earlier,
                    at: earlier,
                    behind: None,
                    records: 0,
                    oldest_sequence: None,
                    newest_sequence: None,
                    newest_arrival: None,
                    shard_ended: false,
                };
                happened.push((earlier, event(read)));
            }
        }
        happened.push((at, event(observation)));
    }

    fn fail(
        &mut self,
        point: FailurePoint,
        times: &Times,
        room: &mut usize,
        happened: &mut Vec<(Moment, Event)>,
        left_out: &mut u64,
    ) {
        let FailurePoint { place, at, kind, calls } = point;
        let before = self.failures.get(&place).copied();
        if before == Some(calls) || (before.is_none() && !take_room(room, left_out)) {
            return;
        }
        self.failures.insert(place.clone(), calls);
        let at = times.at(at).0;
        let Place { stream, consumer, shard } = place;
        let failure = ReadFailure { at, kind };
        happened.push((at, Event::ReadFailed { stream, consumer, shard, failure }));
    }

    fn put(
        &mut self,
        point: PutPoint,
        (by, times): (&Writer, &Times),
        room: &mut usize,
        happened: &mut Vec<(Moment, Event)>,
        left_out: &mut u64,
    ) {
        let PutPoint { stream, shard, newest, puts, top } = point;
        let key = (stream.clone(), shard.clone());
        let before = self.puts.get(&key).copied();
        if before.is_none() && !take_room(room, left_out) {
            return;
        }
        let (newest_before, puts_before) = before.unwrap_or_default();
        self.puts.insert(key, (newest, puts));
        let sent = times.at(times.sent).0;
        if newest > newest_before
            && let Some(newest) = newest
        {
            let (stream, shard) = (stream.clone(), shard.clone());
            let newest = Some(times.at(newest.minus(UNSURE)).0);
            let tip = Tip { as_of: sent, newest, complete: false };
            happened.push((sent, Event::TipSeen { stream, shard, tip }));
        }
        // What was put before this process knew the pod is in no window of its.
        let puts = puts.since(puts_before);
        if times.is_known && !puts.is_empty() {
            let by = Some(by.clone());
            happened.push((sent, Event::PutsSeen { stream, shard, puts, top, by, at: sent }));
        }
    }
}

/// Takes one pod's connections out of those of all.
fn close(all: &mut BTreeMap<ConsumerName, u32>, of: &BTreeMap<ConsumerName, u32>) {
    for (name, open) in of {
        let left = all.get(name).copied().unwrap_or_default().saturating_sub(*open);
        if left == 0 {
            all.remove(name);
        } else {
            all.insert(name.clone(), left);
        }
    }
}

fn take_room(room: &mut usize, left_out: &mut u64) -> bool {
    let Some(rest) = room.checked_sub(1) else {
        *left_out = left_out.saturating_add(1);
        return false;
    };
    *room = rest;
    true
}
