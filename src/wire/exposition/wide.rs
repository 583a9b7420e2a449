//! Owns the families that have a series for every shard. Refuses to make all of their series at
//! once: as values they take ten times the memory of their text, and there may be twenty thousand.

use super::catalog::Family;
use super::{family_of, metric};
use crate::domain::snapshot::{ConsumerView, ShardView};
use prometheus::proto::{Metric, MetricFamily, MetricType};

/// Series that are made at once.
const PIECE: usize = 256;

/// A gauge of very many shards.
#[derive(Debug, Clone, PartialEq)]
pub struct Wide<'a> {
    family: Family,
    region: &'a str,
    rows: Vec<(&'a ConsumerView, &'a ShardView, f64)>,
}

impl<'a> Wide<'a> {
    pub(super) const fn new(family: Family, region: &'a str) -> Self {
        Self { family, region, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, consumer: &'a ConsumerView, shard: &'a ShardView, value: f64) {
        self.rows.push((consumer, shard, value));
    }

    pub(super) const fn name(&self) -> &'static str {
        self.family.name
    }

    /// How many series it has.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// About as many bytes as its series take as text: no fewer, unless a name has to be escaped.
    pub(super) fn text_bytes(&self) -> usize {
        // The labels' names, quotes and braces; a number has at most so many digits of use.
        const AROUND_BYTES: usize =
            r#"{stream="",consumer="",shard="",region=""} 1795436406.187"#.len();
        let same = self.name().len() + self.region.len() + AROUND_BYTES + "\n".len();
        let names = |(consumer, shard, _): &(&ConsumerView, &ShardView, f64)| {
            consumer.stream.as_str().len()
                + consumer.consumer.as_str().len()
                + shard.shard.as_str().len()
        };
        self.rows.iter().map(|row| same + names(row)).sum()
    }

    /// Whether it has none.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The family, a few series at a time.
    pub(super) fn pieces(&self) -> impl Iterator<Item = MetricFamily> {
        self.rows.chunks(PIECE).map(|rows| self.family(rows))
    }

    /// The family with all its series.
    #[cfg(test)]
    pub(super) fn whole(&self) -> MetricFamily {
        self.family(&self.rows)
    }

    fn family(&self, rows: &[(&ConsumerView, &ShardView, f64)]) -> MetricFamily {
        let series = |(consumer, shard, value): &(&ConsumerView, &ShardView, f64)| -> Metric {
            let labels = [
                ("stream", consumer.stream.as_str()),
                ("consumer", consumer.consumer.as_str()),
                ("shard", shard.shard.as_str()),
                ("region", self.region),
            ];
            metric(&labels, *value)
        };
        let mut family = family_of(self.family, MetricType::GAUGE);
        family.set_metric(rows.iter().map(series).collect());
        family
    }
}

/// Goes through narrow and wide families together, both in the order of their names.
pub(super) fn merged<'f, 'w>(
    narrow: &'f [MetricFamily],
    wide: &'f [Wide<'w>],
) -> impl Iterator<Item = (&'f [MetricFamily], Option<&'f Wide<'w>>)> {
    let mut rest = narrow;
    let all = wide.iter().filter(|wide| !wide.is_empty()).map(Some).chain([None]);
    all.map(move |wide| {
        let until =
            wide.map_or(rest.len(), |wide| rest.partition_point(|f| f.name() < wide.name()));
        let (before, after) = rest.split_at(until);
        rest = after;
        (before, wide)
    })
}
