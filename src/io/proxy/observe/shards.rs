//! Owns what puts are to each shard, as their answers tell: the counters of the busiest shards, and
//! once a second for the engine how much, when last and which keys are heavy. A refusal that names no
//! shard is put to the one that the record's hash key belongs to, as long as answers agree with the
//! hash ranges. Refuses to keep a partition key: only a number that this process alone can make of it.

use super::super::exchange::Weight;
use super::super::metrics::Metrics;
use crate::domain::capacity::{Heavy, Named, OTHER, Puts, Sketch};
use crate::domain::engine::Event;
use crate::domain::lag::Tip;
use crate::domain::stream::{ShardId, StreamName};
use crate::domain::time::Moment;
use crate::wire::kinesis::outcome::{End, shard_of_message};
use prometheus::IntCounter;
use std::collections::HashMap;
use std::time::Duration;

/// The engine is told at most this often.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Most shards that are followed, 700 bytes each. Policy: others count as `other`, and the engine
/// hears nothing of them.
const SHARDS_MAX: usize = 10_000;
/// Shards of one stream, and of all, that counters call by name.
const NAMES_MAX: (usize, usize) = (100, 1_000);
/// A shard that was not written to for so long is forgotten; its name is asked for as often.
const IDLE_AFTER: Duration = Duration::from_secs(600);
const NAMED_EVERY: Duration = Duration::from_secs(60);
/// A key is heavy that surely takes a tenth of its stream's bytes, or of its shard's.
const HEAVY_SHARE: f64 = 0.1;
/// From so many bytes of a stream on its keys' counts are halved.
const WEIGHED_MAX: u64 = 1 << 30;
/// So often a stored record is held against the hash ranges: each time costs an MD5.
const HASHED_EVERY: Duration = Duration::from_secs(1);

/// What puts are to each shard.
#[derive(Debug)]
pub(super) struct ShardPuts {
    streams: HashMap<StreamName, Stream>,
    named: Named,
    shards: usize,
    told_at: Duration,
    has_news: bool,
}

#[derive(Debug)]
struct Stream {
    label: Box<str>,
    shards: HashMap<Box<str>, Shard>,
    /// Whether the hash ranges said of the newest stored record what its answer said; `None` before
    /// both were known.
    agrees: Option<bool>,
    hashed_at: Option<Duration>,
}

/// One record that was put.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    /// What it takes of its shard.
    pub(super) weight: Weight,
    /// The shard that its hash key belongs to, as far as that is known.
    pub(super) placed: &'a dyn Fn() -> Option<ShardId>,
}

#[derive(Debug)]
struct Shard {
    id: ShardId,
    keys: Sketch,
    /// Not told yet.
    puts: Puts,
    newest: Option<Moment>,
    changed_at: Duration,
    counters: (IntCounter, IntCounter),
    by_name: bool,
    named_at: Duration,
}

impl Default for ShardPuts {
    fn default() -> Self {
        let (per_stream, of_all) = NAMES_MAX;
        Self {
            streams: HashMap::new(),
            named: Named::new(per_stream, of_all),
            shards: 0,
            told_at: Duration::ZERO,
            has_news: false,
        }
    }
}

impl ShardPuts {
    /// Takes one record's outcome in. `label` is what the stream is called in metrics.
    pub(super) fn take(
        &mut self,
        (stream, label): (&StreamName, &str),
        record: Record<'_>,
        told: End<'_>,
        (started, metrics): (Moment, &Metrics),
    ) {
        let located;
        let (shard, puts) = match told {
            End::Stored { shard } => {
                (shard, Puts { records: 1, bytes: record.weight.bytes, throttled: 0 })
            }
            End::Failed { code, message } => {
                if code != "ProvisionedThroughputExceededException" {
                    return;
                }
                let named = message.and_then(shard_of_message);
                located = if named.is_none() { self.located(stream, record) } else { None };
                let Some(shard) = named.or(located.as_ref().map(ShardId::as_str)) else { return };
                (shard, Puts { throttled: 1, ..Puts::default() })
            }
        };
        let now = started.mono;
        if !self.streams.contains_key(stream) && self.shards < SHARDS_MAX {
            let (label, shards) = (label.into(), HashMap::new());
            let new = Stream { label, shards, agrees: None, hashed_at: None };
            self.streams.insert(stream.clone(), new);
        }
        let Some(of) = self.streams.get_mut(stream) else { return };
        if puts.records > 0 {
            of.compare(shard, record, now);
        }
        let Self { named, shards, .. } = self;
        let Some(known) = of.shard(shard, now, (stream, named, shards), metrics) else { return };
        if puts.records > 0 {
            if let Some(key) = record.weight.key {
                known.keys.add(key, puts.bytes.max(1));
            }
            known.newest = known.newest.max(Some(started));
            known.counters.0.inc_by(puts.bytes);
            known.counters.1.inc_by(puts.records);
        }
        known.puts.add(puts);
        known.changed_at = now;
        self.has_news = true;
    }

    /// Where a record belongs whose refusal names no shard.
    fn located(&self, stream: &StreamName, record: Record<'_>) -> Option<ShardId> {
        let contradicted = self.streams.get(stream).is_some_and(|of| of.agrees == Some(false));
        if contradicted { None } else { (record.placed)() }
    }

    /// Whether something waits to be told.
    pub(super) const fn has_news(&self) -> bool {
        self.has_news
    }

    /// What the engine is to be told at `now`, if a second has passed.
    pub(super) fn tell(&mut self, now: Moment, mut tell: impl FnMut(Event)) {
        if !self.has_news || now.mono.saturating_sub(self.told_at) < TELL_EVERY {
            return;
        }
        (self.has_news, self.told_at) = (false, now.mono);
        for (stream, of) in &mut self.streams {
            let mut any = false;
            for shard in of.shards.values_mut() {
                let puts = std::mem::take(&mut shard.puts);
                if puts.is_empty() {
                    continue;
                }
                any = true;
                let (stream, shard, top) =
                    (stream.clone(), shard.id.clone(), shard.keys.top(HEAVY_SHARE));
                tell(Event::PutsSeen { stream, shard, puts, top, by: None, at: now });
            }
            for shard in of.shards.values_mut() {
                let Some(newest) = shard.newest.take() else { continue };
                let (stream, id) = (stream.clone(), shard.id.clone());
                let tip = Tip { as_of: now, newest: Some(newest), complete: false };
                tell(Event::TipSeen { stream, shard: id, tip });
            }
            if any {
                tell(Event::KeysSeen { stream: stream.clone(), heaviest: of.heaviest() });
            }
            let before = of.shards.len();
            of.shards.retain(|_, shard| now.mono.saturating_sub(shard.changed_at) <= IDLE_AFTER);
            self.shards = self.shards.saturating_sub(before - of.shards.len());
        }
        self.streams.retain(|_, of| !of.shards.is_empty());
    }
}

impl Stream {
    /// Holds a stored record against the hash ranges, now and then: a list may be out of date, and
    /// Kinesis may distribute records otherwise.
    fn compare(&mut self, shard: &str, record: Record<'_>, now: Duration) {
        if self.hashed_at.is_none_or(|at| now.saturating_sub(at) >= HASHED_EVERY) {
            self.hashed_at = Some(now);
            let placed = (record.placed)();
            self.agrees = placed.map(|placed| placed.as_str() == shard).or(self.agrees);
        }
    }

    /// The stream's heavy keys, the heaviest first. Where much was counted, half of it is forgotten.
    fn heaviest(&mut self) -> Vec<Heavy> {
        let total: u64 = self.shards.values().map(|shard| shard.keys.total()).sum();
        let of = |shard: &Shard| shard.keys.heaviest(HEAVY_SHARE, total);
        let mut heaviest: Vec<Heavy> = self.shards.values().flat_map(of).collect();
        heaviest.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.key.cmp(&b.key)));
        if total > WEIGHED_MAX {
            self.shards.values_mut().for_each(|shard| shard.keys.halve());
        }
        heaviest
    }

    /// The shard, which is new or whose name is asked for again; `None` over the bound.
    fn shard(
        &mut self,
        shard: &str,
        now: Duration,
        (stream, named, count): (&StreamName, &mut Named, &mut usize),
        metrics: &Metrics,
    ) -> Option<&mut Shard> {
        let counters = |name: &str| {
            let labels = [&*self.label, name];
            let bytes = metrics.shard_put_bytes.with_label_values(&labels);
            (bytes, metrics.shard_put_records.with_label_values(&labels))
        };
        let is_due = |known: &Shard| now.saturating_sub(known.named_at) >= NAMED_EVERY;
        if self.shards.get(shard).is_none_or(is_due) {
            let id = ShardId::from(shard);
            let naming = named.name(stream, &id, now);
            for retired in naming.retired {
                let labels = [&*self.label, retired.as_str()];
                // Gone already where the stream itself is `other`.
                let _ = metrics.shard_put_bytes.remove_label_values(&labels);
                let _ = metrics.shard_put_records.remove_label_values(&labels);
                if let Some(known) = self.shards.get_mut(retired.as_str()) {
                    (known.by_name, known.counters) = (false, counters(OTHER));
                }
            }
            let by_name = naming.by_name;
            if let Some(known) = self.shards.get_mut(shard) {
                known.named_at = now;
                if known.by_name != by_name {
                    known.by_name = by_name;
                    known.counters = counters(if by_name { shard } else { OTHER });
                }
            } else if *count < SHARDS_MAX {
                *count += 1;
                let counters = counters(if by_name { shard } else { OTHER });
                let (puts, newest) = (Puts::default(), None);
                let (changed_at, named_at) = (now, now);
                let keys = Sketch::default();
                let new = Shard { id, keys, puts, newest, changed_at, counters, by_name, named_at };
                self.shards.insert(shard.into(), new);
            }
        }
        self.shards.get_mut(shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::capacity::TopKey;
    use crate::domain::time::Wall;
    use prometheus::{IntCounterVec, Opts, Registry};

    fn metrics(registry: &Registry) -> Metrics {
        let labels = ["queue", "reason"];
        let dropped = IntCounterVec::new(Opts::new("dropped", "d"), &labels).unwrap();
        Metrics::register(registry, "eu-west-1", dropped, std::sync::Arc::default()).unwrap()
    }

    fn at(ms: u64) -> Moment {
        Moment { wall: Wall::from_ms(ms), mono: Duration::from_millis(ms) }
    }

    /// A record of which nobody knows where it belongs.
    fn record(weight: Weight) -> Record<'static> {
        Record { weight, placed: &|| None }
    }

    fn told(puts: &mut ShardPuts, now: Moment) -> Vec<Event> {
        let mut events = Vec::new();
        puts.tell(now, |event| events.push(event));
        events
    }

    #[test]
    fn a_second_of_puts_is_told_at_once() {
        let (registry, mut puts) = (Registry::new(), ShardPuts::default());
        let metrics = metrics(&registry);
        let (stream, shard) = (StreamName::from("orders"), ShardId::from("shardId-1"));
        let weight = Weight { bytes: 40, key: Some(7) };
        let stored = End::Stored { shard: "shardId-1" };
        for ms in [5_000, 5_100] {
            puts.take((&stream, "orders"), record(weight), stored, (at(ms), &metrics));
        }
        let code = "ProvisionedThroughputExceededException";
        let message = Some("Rate exceeded for shard shardId-1 in stream orders");
        for end in [
            End::Failed { code, message },
            End::Failed { code, message: None },
            End::Failed { code: "InternalFailure", message },
        ] {
            puts.take((&stream, "orders"), record(weight), end, (at(5_200), &metrics));
        }
        let tip = Tip { as_of: at(6_000), newest: Some(at(5_100)), complete: false };
        let events = told(&mut puts, at(6_000));
        let [seen, tipped, Event::KeysSeen { heaviest, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        let all = Puts { records: 2, bytes: 80, throttled: 1 };
        let (of, id) = (stream.clone(), shard.clone());
        let top = Some(TopKey { share: 1.0, keys: 1 });
        let (at_once, by) = (at(6_000), None);
        let expected = Event::PutsSeen { stream: of, shard: id, puts: all, top, by, at: at_once };
        assert_eq!(*seen, expected);
        assert_eq!(*tipped, Event::TipSeen { stream: stream.clone(), shard, tip });
        assert_eq!(heaviest.iter().map(|heavy| heavy.key).collect::<Vec<_>>(), [7]);
        assert_eq!(told(&mut puts, at(9_000)), [], "nothing new");
        let counted =
            |counter: &IntCounterVec| counter.with_label_values(&["orders", "shardId-1"]).get();
        assert_eq!(counted(&metrics.shard_put_bytes), 80);
        assert_eq!(counted(&metrics.shard_put_records), 2);
    }

    #[test]
    fn a_refusal_without_a_name_belongs_where_its_key_does() {
        let (registry, mut puts) = (Registry::new(), ShardPuts::default());
        let (metrics, stream) = (metrics(&registry), StreamName::from("orders"));
        let weight = Weight { bytes: 1, key: None };
        let mut take = |end: End<'_>, placed: Option<&str>, ms: u64| {
            let placed = || placed.map(ShardId::from);
            let record = Record { weight, placed: &placed };
            puts.take((&stream, "orders"), record, end, (at(ms), &metrics));
            let events = told(&mut puts, at(ms));
            let throttled = events.into_iter().find_map(|event| {
                let Event::PutsSeen { shard, puts, .. } = event else { return None };
                (puts.throttled > 0).then_some(shard)
            });
            throttled.map(|shard| shard.as_str().to_owned())
        };
        let code = "ProvisionedThroughputExceededException";
        let unnamed = End::Failed { code, message: Some("Rate exceeded") };
        let named = End::Failed { code, message: Some("Rate exceeded for shard shardId-9") };
        let stored = |shard| End::Stored { shard };
        assert_eq!(take(unnamed, None, 2_000), None, "nobody knows");
        assert_eq!(take(unnamed, Some("b"), 4_000).as_deref(), Some("b"));
        assert_eq!(take(named, Some("b"), 6_000).as_deref(), Some("shardId-9"), "Kinesis says so");
        // The list is out of date: an answer names another shard than the ranges do.
        assert_eq!(take(stored("c"), Some("a"), 8_000), None);
        assert_eq!(take(unnamed, Some("b"), 10_000), None, "the ranges are not believed");
        assert_eq!(take(stored("c"), Some("c"), 12_000), None);
        assert_eq!(take(unnamed, Some("b"), 14_000).as_deref(), Some("b"));
        assert_eq!(
            take(End::Failed { code: "InternalFailure", message: None }, Some("b"), 16_000),
            None
        );
    }

    #[test]
    fn a_stream_of_many_shards_has_some_by_name() {
        let (registry, mut puts) = (Registry::new(), ShardPuts::default());
        let (metrics, stream) = (metrics(&registry), StreamName::from("orders"));
        let weight = Weight { bytes: 1, key: None };
        for nth in 0..150 {
            let shard = format!("shardId-{nth}");
            puts.take(
                (&stream, "orders"),
                record(weight),
                End::Stored { shard: &shard },
                (at(1), &metrics),
            );
        }
        let other = metrics.shard_put_records.with_label_values(&["orders", OTHER]).get();
        assert_eq!((other, puts.shards), (50, 150));
        // Who writes on keeps its name; an idle one's goes to who asks for it, and its series.
        let late = at(IDLE_AFTER.as_millis() as u64 + 2_000);
        puts.take(
            (&stream, "orders"),
            record(weight),
            End::Stored { shard: "shardId-149" },
            (late, &metrics),
        );
        let shown = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(shown.contains("shard=\"shardId-149\"") && !shown.contains("shard=\"shardId-1\""));
        told(&mut puts, late);
        assert_eq!(puts.shards, 1, "the others are forgotten");
    }
}
