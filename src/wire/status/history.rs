//! Owns what the page remembers between two looks: the last twenty minutes of every consumer's lag,
//! and what the counters said a moment ago, so that they become rates. Refuses to grow: a fixed
//! number of samples of a bounded number of consumers, and a lag that was not known stays a gap.

use crate::domain::snapshot::Snapshot;
use crate::domain::stream::{ConsumerName, StreamName};
use crate::wire::status::counts::Counts;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How often a sample is due.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Twenty minutes: what a page shows at a glance; longer ones are what Prometheus is for.
const SAMPLES_MAX: usize = 240;
/// Four bytes a sample: a megabyte for all of them.
const CONSUMERS_MAX: usize = 1_000;
/// A rate is over this long at least, and over twice as long at most.
const RATE_OVER: Duration = Duration::from_secs(30);

/// Samples of lag, and the counters a while ago.
#[derive(Debug, Default)]
pub struct History {
    /// When each sample was taken, the oldest first.
    times: VecDeque<Duration>,
    /// Seconds of the worst shard's lag at those times; NaN where it was not known.
    lags: BTreeMap<(StreamName, ConsumerName), VecDeque<f32>>,
    older: Option<Counts>,
    newer: Option<Counts>,
}

impl History {
    /// Takes a sample of everything.
    pub fn take(&mut self, snapshot: &Snapshot, counts: Counts) {
        self.times.push_back(snapshot.now.mono);
        let mut seen: BTreeMap<_, f32> = BTreeMap::new();
        for view in &snapshot.consumers {
            let seconds = view.worst.lag.map_or(f32::NAN, |lag| lag.value.as_secs_f32());
            seen.insert((view.stream.clone(), view.consumer.clone()), seconds);
        }
        for (key, lags) in &mut self.lags {
            lags.push_back(seen.remove(key).unwrap_or(f32::NAN));
        }
        for (key, seconds) in seen {
            if self.lags.len() < CONSUMERS_MAX && !seconds.is_nan() {
                let gap = self.times.len().saturating_sub(1);
                let lags = std::iter::repeat_n(f32::NAN, gap).chain([seconds]).collect();
                self.lags.insert(key, lags);
            }
        }
        if self.times.len() > SAMPLES_MAX {
            self.times.pop_front();
            self.lags.retain(|_, lags| {
                lags.pop_front();
                !lags.iter().all(|seconds| seconds.is_nan())
            });
        }
        let is_old = |then: &Counts| counts.at.saturating_sub(then.at) >= RATE_OVER;
        if self.newer.as_ref().is_none_or(is_old) {
            self.older = self.newer.replace(counts);
        }
    }

    /// A consumer's samples, the oldest first; `None` where its lag was not known.
    pub fn lags(
        &self,
        stream: &StreamName,
        consumer: &ConsumerName,
    ) -> impl Iterator<Item = (Duration, Option<f32>)> {
        let lags = self.lags.get(&(stream.clone(), consumer.clone()));
        let lags = lags.into_iter().flatten();
        let known = lags.map(|seconds| Some(*seconds).filter(|seconds| !seconds.is_nan()));
        self.times.iter().copied().zip(known)
    }

    /// The counters that a rate is reckoned from: half a minute to a minute old, younger only in
    /// the first minute of a process.
    #[must_use]
    pub fn baseline(&self) -> Option<&Counts> {
        self.older.as_ref().or(self.newer.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lag::Lag;
    use crate::wire::status::sample;

    fn at(second: u64) -> Snapshot {
        let mut snapshot = sample::snapshot();
        snapshot.now.mono = Duration::from_secs(second);
        let value = Duration::from_secs(second);
        snapshot.consumers[0].worst.lag = Some(Lag { value, inferred: false });
        snapshot
    }

    fn counts(second: u64) -> Counts {
        Counts { at: Duration::from_secs(second), ..Counts::default() }
    }

    #[test]
    fn samples_are_bounded_and_gaps_stay_gaps() {
        let mut history = History::default();
        let first = at(0).consumers[0].clone();
        let lags = |history: &History| -> Vec<_> {
            history.lags(&first.stream, &first.consumer).map(|(_, lag)| lag).collect()
        };
        assert!(lags(&history).is_empty());
        history.take(&at(1), counts(1));
        let mut silent = at(2);
        silent.consumers[0].worst.lag = None;
        history.take(&silent, counts(2));
        history.take(&at(3), counts(3));
        assert_eq!(lags(&history), [Some(1.0), None, Some(3.0)]);
        // The sample's second consumer has no lag: it takes no place.
        assert_eq!(history.lags.len(), 1);
        for second in 4..400 {
            history.take(&at(second), counts(second));
        }
        assert_eq!((lags(&history).len(), lags(&history)[0]), (SAMPLES_MAX, Some(160.0)));
        for second in 400..700 {
            let mut gone = at(second);
            gone.consumers.clear();
            history.take(&gone, counts(second));
        }
        assert!(history.lags.is_empty(), "a consumer that is gone is forgotten");
    }

    #[test]
    fn a_late_consumer_begins_late() {
        let mut history = History::default();
        let late = at(0).consumers[0].clone();
        let mut without = at(1);
        without.consumers.clear();
        history.take(&without, counts(1));
        history.take(&at(2), counts(2));
        let lags: Vec<_> = history.lags(&late.stream, &late.consumer).collect();
        assert_eq!(lags, [(Duration::from_secs(1), None), (Duration::from_secs(2), Some(2.0))]);
    }

    #[test]
    fn rates_are_over_half_a_minute_to_a_minute() {
        let mut history = History::default();
        assert_eq!(history.baseline(), None);
        let mut oldest = Vec::new();
        for second in [0, 5, 29, 30, 35, 59, 60, 89, 90] {
            history.take(&at(second), counts(second));
            oldest.push(history.baseline().unwrap().at.as_secs());
        }
        assert_eq!(oldest, [0, 0, 0, 0, 0, 0, 30, 30, 60]);
    }
}
