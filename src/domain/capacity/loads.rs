//! Owns the load of every shard that was written to, by stream. Refuses to grow: over its bound a
//! new shard is left out and counted; one that was not written to for minutes is forgotten.

use super::{Heavy, Puts, Rates, Window};
use crate::domain::stream::{ShardId, StreamName};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most shards at once, 200 bytes each.
const SHARDS_MAX: usize = 20_000;
/// A shard that was not written to for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// The load of every shard.
#[derive(Debug, Default)]
pub struct Loads {
    streams: BTreeMap<StreamName, Stream>,
    shards: usize,
    left_out: u64,
}

#[derive(Debug, Default)]
struct Stream {
    shards: BTreeMap<ShardId, Window>,
    heaviest: Vec<Heavy>,
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
}

/// The load of one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardLoad {
    /// The shard.
    pub shard: ShardId,
    /// What was put a second, over the last half minute.
    pub rates: Rates,
}

impl Loads {
    /// Takes in what was put to a shard up to `at`.
    pub fn add(&mut self, stream: &StreamName, shard: &ShardId, puts: Puts, at: Duration) {
        let known = self.streams.get_mut(stream).and_then(|of| of.shards.get_mut(shard));
        if let Some(window) = known {
            return window.add(puts, at);
        }
        if self.shards >= SHARDS_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.shards += 1;
        let mut window = Window::default();
        window.add(puts, at);
        self.streams.entry(stream.clone()).or_default().shards.insert(shard.clone(), window);
    }

    /// Takes in which keys of a stream that is written to are heavy.
    pub fn weigh(&mut self, stream: &StreamName, heaviest: Vec<Heavy>) {
        if let Some(of) = self.streams.get_mut(stream) {
            of.heaviest = heaviest;
        }
    }

    /// Forgets shards that nobody writes to any more.
    pub fn forget(&mut self, now: Duration) {
        for of in self.streams.values_mut() {
            of.shards.retain(|_, window| now.saturating_sub(window.newest()) <= FORGET_AFTER);
        }
        self.streams.retain(|_, of| !of.shards.is_empty());
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
            let loads = of.shards.iter().filter_map(|(shard, window)| {
                Some(ShardLoad { shard: shard.clone(), rates: window.rates(now)? })
            });
            let shards: Vec<ShardLoad> = loads.collect();
            let count = open_shards(stream).map_or(0, |count| count as usize).max(shards.len());
            let skew = skew(&shards, count);
            let (stream, heaviest) = (stream.clone(), of.heaviest.clone());
            (!shards.is_empty()).then_some(StreamLoad { stream, shards, skew, heaviest })
        });
        views.collect()
    }

    /// Puts of shards that found no room, since the start.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

fn skew(shards: &[ShardLoad], count: usize) -> Option<f64> {
    let used = shards.iter().map(|load| load.rates.utilization());
    let (all, most) = used.fold((0.0, 0.0_f64), |(all, most), one| (all + one, most.max(one)));
    (count > 1 && all > 0.0).then(|| most * count as f64 / all)
}
