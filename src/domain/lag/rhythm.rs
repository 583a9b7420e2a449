//! Owns a reader's rhythm: how often it reads, and so how much silence is its own way. Refuses to
//! be moved by one pause: it goes by the median.

use super::Tuning;
use std::time::Duration;

/// Poll intervals whose median is the reader's cadence; odd outliers (a pause) don't move it.
const INTERVALS_MAX: usize = 16;

/// How often a reader reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rhythm {
    /// In whole milliseconds, the next one's place after the newest: ten thousand readers have one
    /// each, and no rhythm is finer. What is longer than seven weeks counts as that.
    intervals: [u32; INTERVALS_MAX],
    next: u8,
    count: u8,
    /// The median; worked out when an interval comes, since it is asked for far more often.
    median: u32,
}

impl Rhythm {
    /// Takes the time between two answers.
    pub(super) fn add(&mut self, interval: Duration) {
        let interval = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        let Some(oldest) = self.intervals.get_mut(usize::from(self.next)) else { return };
        let replaced = std::mem::replace(oldest, interval);
        self.next = (self.next + 1) % INTERVALS_MAX as u8;
        let is_full = usize::from(self.count) >= INTERVALS_MAX;
        // On the same side of the median as what it replaces, it leaves the median where it is.
        if is_full && replaced.cmp(&self.median) == interval.cmp(&self.median) {
            return;
        }
        self.count += u8::from(!is_full);
        let mut sorted = self.intervals;
        let count = usize::from(self.count);
        if let Some(filled) = sorted.get_mut(..count).filter(|filled| !filled.is_empty()) {
            self.median = *filled.select_nth_unstable(count / 2).1;
        }
    }

    /// The median time between answers; `None` before the second.
    pub(super) fn cadence(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_millis(self.median.into()))
    }

    /// Silence up to this is the reader's rhythm.
    pub(super) fn silence_allowed(&self, tuning: &Tuning) -> Duration {
        self.times(tuning.silence_polls).max(tuning.silence_min)
    }

    /// Silence beyond this is a stop. With one read there is no rhythm to miss yet, so that the
    /// longest wait applies.
    pub(super) fn stop_after(&self, tuning: &Tuning) -> Duration {
        let Some(cadence) = self.cadence() else { return tuning.stop_max };
        let pause = tuning.pause_max.saturating_add(cadence.saturating_mul(2));
        pause.max(cadence.saturating_mul(tuning.stop_polls)).min(tuning.stop_max)
    }

    /// Lag up to this is near the tip.
    pub(super) fn lag_allowed(&self, tuning: &Tuning) -> Duration {
        self.times(tuning.lag_polls).max(tuning.lag_allowed)
    }

    /// So many poll intervals; zero while the rhythm is not known.
    pub(super) fn times(&self, polls: u32) -> Duration {
        self.cadence().map_or(Duration::ZERO, |cadence| cadence.saturating_mul(polls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_measured_by_the_median() {
        let tuning = Tuning::default();
        let check = |intervals: &[u64], allowed: u64, stop: u64, near: u64| {
            let mut rhythm = Rhythm::default();
            intervals.iter().for_each(|second| rhythm.add(Duration::from_secs(*second)));
            let seconds = [
                rhythm.silence_allowed(&tuning),
                rhythm.stop_after(&tuning),
                rhythm.lag_allowed(&tuning),
            ];
            assert_eq!(seconds.map(|time| time.as_secs()), [allowed, stop, near], "{intervals:?}");
        };
        check(&[], 5, 300, 5);
        check(&[1, 1, 1], 5, 32, 5);
        check(&[1, 25, 1], 5, 32, 5);
        check(&[10, 10], 30, 50, 20);
        check(&[20, 20], 60, 80, 40);
        check(&[200], 600, 300, 400);
    }

    #[test]
    fn the_median_is_that_of_the_last_sixteen() {
        let mut rhythm = Rhythm::default();
        let intervals: Vec<u64> = (0..200).map(|n| n * 7_919 % 31).collect();
        for (index, interval) in intervals.iter().enumerate() {
            rhythm.add(Duration::from_millis(*interval));
            let first = (index + 1).saturating_sub(INTERVALS_MAX);
            let mut last = intervals[first..=index].to_vec();
            last.sort_unstable();
            let median = Duration::from_millis(last[last.len() / 2]);
            assert_eq!(rhythm.cadence(), Some(median), "{index}");
        }
        let mut slow = Rhythm::default();
        slow.add(Duration::MAX);
        assert_eq!(slow.cadence(), Some(Duration::from_millis(u32::MAX.into())));
    }
}
