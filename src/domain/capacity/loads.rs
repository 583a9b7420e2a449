//! Owns the load of every shard that was written to, by stream. Refuses to grow: over its bound a
//! new shard is left out and counted; one that was not written to for minutes is forgotten.

use super::{Puts, Rates, Window};
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
    streams: BTreeMap<StreamName, BTreeMap<ShardId, Window>>,
    shards: usize,
    left_out: u64,
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
        let known = self.streams.get_mut(stream).and_then(|shards| shards.get_mut(shard));
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
        self.streams.entry(stream.clone()).or_default().insert(shard.clone(), window);
    }

    /// Forgets shards that nobody writes to any more.
    pub fn forget(&mut self, now: Duration) {
        for shards in self.streams.values_mut() {
            shards.retain(|_, window| now.saturating_sub(window.newest()) <= FORGET_AFTER);
        }
        self.streams.retain(|_, shards| !shards.is_empty());
        self.shards = self.streams.values().map(BTreeMap::len).sum();
    }

    /// What is known at `now`. `open_shards` says how many shards a stream has, also those that
    /// nobody writes to.
    #[must_use]
    pub fn views(
        &self,
        open_shards: impl Fn(&StreamName) -> Option<u32>,
        now: Duration,
    ) -> Vec<StreamLoad> {
        let views = self.streams.iter().filter_map(|(stream, shards)| {
            let loads = shards.iter().filter_map(|(shard, window)| {
                Some(ShardLoad { shard: shard.clone(), rates: window.rates(now)? })
            });
            let shards: Vec<ShardLoad> = loads.collect();
            let count = open_shards(stream).map_or(0, |count| count as usize).max(shards.len());
            let skew = skew(&shards, count);
            (!shards.is_empty()).then(|| StreamLoad { stream: stream.clone(), shards, skew })
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
