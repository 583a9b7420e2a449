//! Owns what is put to shards as JSON, and as rows of the page. Refuses keys: a heavy one is a number that only the process
//! which counted can make of it.

use super::Role;
use super::figures;
use super::page::Tone;
use crate::domain::capacity::{Heavy, ShardLoad, StreamLoad};
use serde::Serialize;
use std::cmp::Reverse;

/// Puts to one stream. Rates are of the last half minute.
#[derive(Serialize)]
pub(super) struct LoadDoc<'a> {
    stream: &'a str,
    /// How many times its fair share the busiest shard takes.
    skew: Option<f64>,
    shards: Vec<ShardDoc<'a>>,
    heaviest_keys: Vec<KeyDoc>,
}

#[derive(Serialize)]
struct ShardDoc<'a> {
    shard: &'a str,
    records_per_second: f64,
    bytes_per_second: f64,
    throttled_per_second: f64,
    /// Null in a sidecar: other pods may write to the shard, too.
    write_utilization_ratio: Option<f64>,
}

#[derive(Serialize)]
struct KeyDoc {
    key_hash: String,
    share: f64,
    /// How much of the share may be others'.
    over: f64,
}

impl<'a> LoadDoc<'a> {
    pub(super) fn of(load: &'a StreamLoad, role: Role) -> Self {
        let key = |heavy: &Heavy| KeyDoc {
            key_hash: format!("{:016x}", heavy.key),
            share: heavy.share,
            over: heavy.over,
        };
        Self {
            stream: load.stream.as_str(),
            skew: load.skew,
            shards: load.shards.iter().map(|shard| ShardDoc::of(shard, role)).collect(),
            heaviest_keys: load.heaviest.iter().map(key).collect(),
        }
    }
}

impl<'a> ShardDoc<'a> {
    fn of(load: &'a ShardLoad, role: Role) -> Self {
        let rates = &load.rates;
        let knows = match role {
            Role::Sidecar => false,
            Role::Hub | Role::All => true,
        };
        Self {
            shard: load.shard.as_str(),
            records_per_second: rates.records,
            bytes_per_second: rates.bytes,
            throttled_per_second: rates.throttled,
            write_utilization_ratio: knows.then(|| rates.utilization()),
        }
    }
}

/// One shard on the page.
pub(super) struct LoadRow<'a> {
    pub(super) stream: &'a str,
    pub(super) shard: &'a str,
    pub(super) used: String,
    pub(super) tone: Tone,
    pub(super) records: String,
    pub(super) bytes: String,
    pub(super) throttled: String,
    pub(super) skew: String,
}

/// Every shard that is written to, the busiest first.
pub(super) fn busiest(loads: &[StreamLoad]) -> Vec<LoadRow<'_>> {
    let mut all: Vec<(&StreamLoad, &ShardLoad)> =
        loads.iter().flat_map(|of| of.shards.iter().map(move |shard| (of, shard))).collect();
    // In ten-thousandths: a number has no total order.
    all.sort_by_key(|(_, load)| Reverse((load.rates.utilization() * 10_000.0) as u64));
    all.into_iter().map(|(of, load)| LoadRow::new(of, load)).collect()
}

impl<'a> LoadRow<'a> {
    fn new(of: &'a StreamLoad, load: &'a ShardLoad) -> Self {
        let used = load.rates.utilization();
        Self {
            stream: of.stream.as_str(),
            shard: load.shard.as_str(),
            used: figures::share(Some(used)),
            tone: if used >= 0.8 || load.rates.throttled > 0.0 { Tone::Warn } else { Tone::Calm },
            records: figures::per_second(Some(load.rates.records), ""),
            bytes: figures::per_second(Some(load.rates.bytes), "B"),
            throttled: figures::per_second(Some(load.rates.throttled), ""),
            skew: of.skew.map_or(figures::UNKNOWN.to_owned(), |skew| format!("{skew:.1} ×")),
        }
    }
}
