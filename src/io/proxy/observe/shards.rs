//! Owns what puts are to each shard, as their answers tell: the counters of the busiest shards, and
//! once a second for the engine how much, when last and which keys are heavy. Refuses to keep a
//! partition key: only a number that this process alone can make of it.

use super::super::exchange::Weight;
use super::super::metrics::Metrics;
use crate::domain::capacity::{Named, OTHER, Puts, Sketch};
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
/// Most shards that are followed, 300 bytes each. Policy: others count as `other`, and the engine
/// hears nothing of them.
const SHARDS_MAX: usize = 10_000;
/// Shards of one stream, and of all, that counters call by name.
const NAMES_MAX: (usize, usize) = (100, 1_000);
/// A shard that was not written to for so long is forgotten; its name is asked for as often.
const IDLE_AFTER: Duration = Duration::from_secs(600);
const NAMED_EVERY: Duration = Duration::from_secs(60);
/// A key is heavy that surely takes a tenth of its stream's bytes.
const HEAVY_SHARE: f64 = 0.1;

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
    keys: Sketch,
}

#[derive(Debug)]
struct Shard {
    id: ShardId,
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
        weight: Weight,
        told: End<'_>,
        (started, metrics): (Moment, &Metrics),
    ) {
        let (shard, puts) = match told {
            End::Stored { shard } => {
                (Some(shard), Puts { records: 1, bytes: weight.bytes, throttled: 0 })
            }
            End::Failed { code, message } => {
                if code != "ProvisionedThroughputExceededException" {
                    return;
                }
                (message.and_then(shard_of_message), Puts { throttled: 1, ..Puts::default() })
            }
        };
        let Some(shard) = shard else { return };
        let now = started.mono;
        if !self.streams.contains_key(stream) && self.shards < SHARDS_MAX {
            let (shards, keys) = (HashMap::new(), Sketch::default());
            self.streams.insert(stream.clone(), Stream { label: label.into(), shards, keys });
        }
        let Some(of) = self.streams.get_mut(stream) else { return };
        if puts.records > 0
            && let Some(key) = weight.key
        {
            of.keys.add(key, puts.bytes.max(1));
        }
        let Self { named, shards, .. } = self;
        let Some(known) = of.shard(shard, now, (stream, named, shards), metrics) else { return };
        if puts.records > 0 {
            known.newest = known.newest.max(Some(started));
            known.counters.0.inc_by(puts.bytes);
            known.counters.1.inc_by(puts.records);
        }
        known.puts.add(puts);
        known.changed_at = now;
        self.has_news = true;
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
                let (stream, id) = (stream.clone(), shard.id.clone());
                tell(Event::PutsSeen { stream, shard: id, puts, at: now });
            }
            for shard in of.shards.values_mut() {
                let Some(newest) = shard.newest.take() else { continue };
                let (stream, id) = (stream.clone(), shard.id.clone());
                let tip = Tip { as_of: now, newest: Some(newest), complete: false };
                tell(Event::TipSeen { stream, shard: id, tip });
            }
            if any {
                let (stream, heaviest) = (stream.clone(), of.keys.heaviest(HEAVY_SHARE));
                tell(Event::KeysSeen { stream, heaviest });
            }
            let before = of.shards.len();
            of.shards.retain(|_, shard| now.mono.saturating_sub(shard.changed_at) <= IDLE_AFTER);
            self.shards = self.shards.saturating_sub(before - of.shards.len());
        }
        self.streams.retain(|_, of| !of.shards.is_empty());
    }
}

impl Stream {
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
                let new = Shard { id, puts, newest, changed_at, counters, by_name, named_at };
                self.shards.insert(shard.into(), new);
            }
        }
        self.shards.get_mut(shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            puts.take((&stream, "orders"), weight, stored, (at(ms), &metrics));
        }
        let code = "ProvisionedThroughputExceededException";
        let message = Some("Rate exceeded for shard shardId-1 in stream orders");
        for end in [
            End::Failed { code, message },
            End::Failed { code, message: None },
            End::Failed { code: "InternalFailure", message },
        ] {
            puts.take((&stream, "orders"), weight, end, (at(5_200), &metrics));
        }
        let tip = Tip { as_of: at(6_000), newest: Some(at(5_100)), complete: false };
        let events = told(&mut puts, at(6_000));
        let [seen, tipped, Event::KeysSeen { heaviest, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        let all = Puts { records: 2, bytes: 80, throttled: 1 };
        let (of, id) = (stream.clone(), shard.clone());
        assert_eq!(*seen, Event::PutsSeen { stream: of, shard: id, puts: all, at: at(6_000) });
        assert_eq!(*tipped, Event::TipSeen { stream: stream.clone(), shard, tip });
        assert_eq!(heaviest.iter().map(|heavy| heavy.key).collect::<Vec<_>>(), [7]);
        assert_eq!(told(&mut puts, at(9_000)), [], "nothing new");
        let counted =
            |counter: &IntCounterVec| counter.with_label_values(&["orders", "shardId-1"]).get();
        assert_eq!(counted(&metrics.shard_put_bytes), 80);
        assert_eq!(counted(&metrics.shard_put_records), 2);
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
                weight,
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
            weight,
            End::Stored { shard: "shardId-149" },
            (late, &metrics),
        );
        let shown = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(shown.contains("shard=\"shardId-149\"") && !shown.contains("shard=\"shardId-1\""));
        told(&mut puts, late);
        assert_eq!(puts.shards, 1, "the others are forgotten");
    }
}
