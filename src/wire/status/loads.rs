//! Owns what is put to shards as JSON, and as rows of the page. Refuses keys: a heavy one is a number that only the process
//! which counted can make of it.

use super::Role;
use super::figures;
use super::page::Tone;
use super::plans::is_whole;
use crate::domain::capacity::{Heavy, ShardLoad, StreamLoad, TopSeen};
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
    /// Of each process that has one, the largest share first: which key it is, that process knows.
    heaviest_keys: Vec<TopDoc<'a>>,
}

#[derive(Serialize)]
struct TopDoc<'a> {
    /// Null where it is this process.
    service: Option<&'a str>,
    pod: Option<&'a str>,
    /// Of what the process put to the shard, at least.
    share: f64,
    heavy_keys: u32,
}

impl<'a> From<&'a TopSeen> for TopDoc<'a> {
    fn from(seen: &'a TopSeen) -> Self {
        let by = seen.by.as_ref();
        let (service, pod) = (by.map(|by| &*by.service), by.map(|by| &*by.pod));
        Self { service, pod, share: seen.top.share, heavy_keys: seen.top.keys }
    }
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
        Self {
            shard: load.shard.as_str(),
            records_per_second: rates.records,
            bytes_per_second: rates.bytes,
            throttled_per_second: rates.throttled,
            write_utilization_ratio: is_whole(role).then(|| rates.utilization()),
            heaviest_keys: load.tops.iter().map(TopDoc::from).collect(),
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
    pub(super) heaviest: String,
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
            heaviest: load.tops.first().map_or(figures::UNKNOWN.to_owned(), heaviest),
        }
    }
}

/// Who has the key that takes most, and how much of its own puts to the shard that is.
fn heaviest(seen: &TopSeen) -> String {
    let share = figures::share(Some(seen.top.share));
    match &seen.by {
        Some(by) => format!("≥ {share} of {}, pod {}", by.service, by.pod),
        None => format!("≥ {share} of this process"),
    }
}
