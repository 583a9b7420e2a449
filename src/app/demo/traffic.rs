//! Owns what the demo's CloudWatch knows: every datum of the embedded Kinesis, tallied by stream,
//! metric and second. Refuses to invent: a period without data has no point.

use crate::domain::snapshot::CloudWatchMetric;
use std::collections::BTreeMap;

/// Seconds that are remembered for each stream and metric: three hours.
const SECONDS_MAX: usize = 10_800;
/// Streams that are remembered; the demo has two.
const STREAMS_MAX: usize = 64;

/// What CloudWatch keeps of a period's data.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tally {
    sum: f64,
    maximum: f64,
    minimum: f64,
    count: f64,
}

impl Tally {
    fn of(value: f64) -> Self {
        Self { sum: value, maximum: value, minimum: value, count: 1.0 }
    }

    fn with(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            maximum: self.maximum.max(other.maximum),
            minimum: self.minimum.min(other.minimum),
            count: self.count + other.count,
        }
    }
}

/// CloudWatch's basic statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    /// Of all values.
    Sum,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// Sum by count.
    Average,
    /// How many data.
    SampleCount,
}

impl Statistic {
    /// The statistic of this name; percentiles and the like are unknown here.
    #[must_use]
    pub(super) fn named(name: &str) -> Option<Self> {
        let all = [Self::Sum, Self::Maximum, Self::Minimum, Self::Average, Self::SampleCount];
        all.into_iter().find(|statistic| format!("{statistic:?}") == name)
    }

    fn value(self, tally: Tally) -> f64 {
        match self {
            Self::Sum => tally.sum,
            Self::Maximum => tally.maximum,
            Self::Minimum => tally.minimum,
            Self::Average => tally.sum / tally.count,
            Self::SampleCount => tally.count,
        }
    }
}

/// Every datum, tallied.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    streams: BTreeMap<String, BTreeMap<CloudWatchMetric, BTreeMap<u64, Tally>>>,
}

impl Traffic {
    /// Takes in one datum of the second `at_s` since the epoch.
    pub(super) fn record(&mut self, stream: &str, metric: CloudWatchMetric, value: f64, at_s: u64) {
        if self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(stream) {
            return;
        }
        let seconds = self.streams.entry(stream.to_owned()).or_default().entry(metric).or_default();
        let datum = Tally::of(value);
        seconds.entry(at_s).and_modify(|tally| *tally = tally.with(datum)).or_insert(datum);
        if seconds.len() > SECONDS_MAX {
            seconds.pop_first();
        }
    }

    /// The points of the periods that start in `start_s..end_s`, as (start of the period, value),
    /// oldest first; a period still in progress is among them. `period_s` must not be 0.
    #[must_use]
    pub(super) fn points(
        &self,
        stream: &str,
        metric: CloudWatchMetric,
        statistic: Statistic,
        (start_s, end_s): (u64, u64),
        period_s: u64,
    ) -> Vec<(u64, f64)> {
        let Some(seconds) = self.streams.get(stream).and_then(|metrics| metrics.get(&metric))
        else {
            return Vec::new();
        };
        // CloudWatch too widens the start to the whole period that it falls into.
        let start_s = start_s - start_s % period_s;
        let end_s = end_s.next_multiple_of(period_s).max(start_s);
        let mut periods: BTreeMap<u64, Tally> = BTreeMap::new();
        for (second, tally) in seconds.range(start_s..end_s) {
            let period = periods.entry(second - second % period_s);
            period.and_modify(|sum| *sum = sum.with(*tally)).or_insert(*tally);
        }
        periods.into_iter().map(|(start, tally)| (start, statistic.value(tally))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_gather_their_seconds_and_gaps_stay_gaps() {
        let mut traffic = Traffic::default();
        for (at_s, value) in [(60, 1.0), (119, 4.0), (119, 2.0), (240, 8.0)] {
            traffic.record("orders", CloudWatchMetric::IncomingRecords, value, at_s);
        }
        let check = |statistic, window, period_s, expected: &[(u64, f64)]| {
            let metric = CloudWatchMetric::IncomingRecords;
            let points = traffic.points("orders", metric, statistic, window, period_s);
            assert_eq!(points, expected);
        };
        check(Statistic::Sum, (0, 600), 60, &[(60, 7.0), (240, 8.0)]);
        check(Statistic::Maximum, (0, 600), 60, &[(60, 4.0), (240, 8.0)]);
        check(Statistic::Minimum, (0, 600), 300, &[(0, 1.0)]);
        check(Statistic::Average, (60, 120), 60, &[(60, 7.0 / 3.0)]);
        check(Statistic::SampleCount, (60, 120), 1, &[(60, 1.0), (119, 2.0)]);
        // The end is exclusive, the start widened to its period.
        check(Statistic::Sum, (100, 240), 60, &[(60, 7.0)]);
        let other = CloudWatchMetric::IteratorAge;
        assert!(traffic.points("orders", other, Statistic::Sum, (0, 600), 60).is_empty());
    }

    #[test]
    fn statistics_have_cloudwatchs_names() {
        assert_eq!(Statistic::named("SampleCount"), Some(Statistic::SampleCount));
        assert_eq!(Statistic::named("p99"), None);
    }
}
