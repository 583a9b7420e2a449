//! Owns the load of every shard that was written to, by stream. Refuses to grow: over its bound a
//! new shard is left out and counted; one that was not written to for minutes is forgotten.

use super::{Day, Heavy, Puts, Rates, TopKey, Usage, Window, Writer};
use crate::domain::stream::{ShardId, StreamName};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most shards at once, 300 bytes each.
const SHARDS_MAX: usize = 20_000;
/// A shard that was not written to for so long is forgotten, and who wrote.
const FORGET_AFTER: Duration = Duration::from_secs(300);
/// A stream that nobody writes to is remembered for what it carried, so long …
const FORGET_STREAM_AFTER: Duration = Duration::from_secs(86_400);
/// … and so many of them, 1.5 KB each.
const IDLE_STREAMS_MAX: usize = 1_000;
/// Processes whose heaviest key is remembered, of each shard: those with the largest share.
const TOPS_MAX: usize = 4;
/// What a process that writes says of its heaviest key is news for so long.
const TOP_FOR: Duration = Duration::from_secs(60);
/// Processes that are counted as writers of one stream.
const WRITERS_MAX: usize = 1_000;

/// The load of every shard.
#[derive(Debug, Default)]
pub struct Loads {
    streams: BTreeMap<StreamName, Stream>,
    shards: usize,
    left_out: u64,
}

#[derive(Debug, Default)]
struct Stream {
    shards: BTreeMap<ShardId, Shard>,
    heaviest: Vec<Heavy>,
    /// All shards together.
    whole: Window,
    day: Box<Day>,
    /// Who wrote, and when last; `None` is this process.
    writers: BTreeMap<Option<Writer>, Duration>,
}

#[derive(Debug, Default)]
struct Shard {
    window: Window,
    tops: Vec<TopSeen>,
}

/// One process's heaviest key of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct TopSeen {
    /// Who counted; `None` is this process.
    pub by: Option<Writer>,
    /// The key.
    pub top: TopKey,
    /// When that was so.
    pub at: Duration,
}

/// The load of one stream's shards.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamLoad {
    /// The stream.
    pub stream: StreamName,
    /// Its shards with their load, by id.
    pub shards: Vec<ShardLoad>,
    /// How many times its fair share the busiest shard takes: 1 is even. `None` with less than two
    /// shards, or nothing put.
    pub skew: Option<f64>,
    /// Keys that take a tenth of its bytes or more, the heaviest first: of this process's own puts.
    pub heaviest: Vec<Heavy>,
    /// What it carried within the last day; `None` where that was not measured long enough.
    pub usage: Option<Usage>,
    /// Processes that wrote to it of late.
    pub writers: usize,
}

/// The load of one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardLoad {
    /// The shard.
    pub shard: ShardId,
    /// What was put a second, over the last half minute.
    pub rates: Rates,
    /// The heaviest key of each process that has one, the largest share first.
    pub tops: Vec<TopSeen>,
}

impl Loads {
    /// Takes in what was put to a shard up to `at`, by another process where `by` names one, and
    /// the heaviest key of that process.
    pub fn add(
        &mut self,
        (stream, shard): (&StreamName, &ShardId),
        puts: Puts,
        (by, top): (Option<Writer>, Option<TopKey>),
        at: Duration,
    ) {
        let known = self.streams.get(stream);
        if !known.is_some_and(|of| of.shards.contains_key(shard)) {
            if self.shards >= SHARDS_MAX {
                self.left_out = self.left_out.saturating_add(1);
                return;
            }
            self.shards += 1;
        }
        if known.is_none() {
            self.streams.insert(stream.clone(), Stream::default());
        }
        let Some(of) = self.streams.get_mut(stream) else { return };
        of.whole.add(puts, at);
        of.day.add(puts, of.whole.rates(at), at);
        if of.writers.len() < WRITERS_MAX || of.writers.contains_key(&by) {
            of.writers.insert(by.clone(), at);
        }
        if !of.shards.contains_key(shard) {
            of.shards.insert(shard.clone(), Shard::default());
        }
        if let Some(known) = of.shards.get_mut(shard) {
            known.window.add(puts, at);
            known.weigh(by, top, at);
        }
    }

    /// Takes in which keys of a stream that is written to are heavy.
    pub fn weigh(&mut self, stream: &StreamName, heaviest: Vec<Heavy>) {
        if let Some(of) = self.streams.get_mut(stream) {
            of.heaviest = heaviest;
        }
    }

    /// Forgets shards that nobody writes to any more.
    pub fn forget(&mut self, now: Duration) {
        let ago = |at: Duration| now.saturating_sub(at);
        for of in self.streams.values_mut() {
            of.shards.retain(|_, shard| ago(shard.window.newest()) <= FORGET_AFTER);
            of.writers.retain(|_, at| ago(*at) <= FORGET_AFTER);
        }
        let mut idle = 0;
        self.streams.retain(|_, of| {
            idle += usize::from(of.shards.is_empty());
            let remembered = ago(of.day.newest()) <= FORGET_STREAM_AFTER;
            !of.shards.is_empty() || (remembered && idle <= IDLE_STREAMS_MAX)
        });
        self.shards = self.streams.values().map(|of| of.shards.len()).sum();
    }

    /// What is known at `now`. `open_shards` says how many shards a stream has, also those that
    /// nobody writes to.
    #[must_use]
    pub fn views(
        &self,
        open_shards: impl Fn(&StreamName) -> Option<u32>,
        now: Duration,
    ) -> Vec<StreamLoad> {
        let views = self.streams.iter().filter_map(|(stream, of)| {
            let loads = of.shards.iter().filter_map(|(shard, known)| {
                let rates = known.window.rates(now)?;
                let fresh = |seen: &&TopSeen| now.saturating_sub(seen.at) <= TOP_FOR;
                let tops = known.tops.iter().filter(fresh).cloned().collect();
                Some(ShardLoad { shard: shard.clone(), rates, tops })
            });
            let shards: Vec<ShardLoad> = loads.collect();
            let count = open_shards(stream).map_or(0, |count| count as usize).max(shards.len());
            let (skew, usage) = (skew(&shards, count), of.day.usage(now));
            (!shards.is_empty() || usage.is_some()).then(|| StreamLoad {
                stream: stream.clone(),
                shards,
                skew,
                heaviest: of.heaviest.clone(),
                usage,
                writers: of.writers.len(),
            })
        });
        views.collect()
    }

    /// Puts of shards that found no room, since the start.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl Shard {
    /// Remembers what a process says of its heaviest key, and forgets what it said before.
    fn weigh(&mut self, by: Option<Writer>, top: Option<TopKey>, at: Duration) {
        let is_other = |seen: &TopSeen| seen.by != by && at.saturating_sub(seen.at) <= TOP_FOR;
        self.tops.retain(is_other);
        let Some(top) = top else { return };
        let place = self.tops.iter().position(|seen| seen.top.share < top.share);
        self.tops.insert(place.unwrap_or(self.tops.len()), TopSeen { by, top, at });
        self.tops.truncate(TOPS_MAX);
    }
}

fn skew(shards: &[ShardLoad], count: usize) -> Option<f64> {
    let used = shards.iter().map(|load| load.rates.utilization());
    let (all, most) = used.fold((0.0, 0.0_f64), |(all, most), one| (all + one, most.max(one)));
    (count > 1 && all > 0.0).then(|| most * count as f64 / all)
}
