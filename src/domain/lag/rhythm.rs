//! Owns a reader's rhythm: how often it reads, and so how much silence is its own way. Refuses to
//! be moved by one pause: it goes by the median.

use super::Tuning;
use std::collections::VecDeque;
use std::time::Duration;

/// Poll intervals whose median is the reader's cadence; odd outliers (a pause) don't move it.
const INTERVALS_MAX: usize = 16;

/// How often a reader reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rhythm {
    intervals: VecDeque<Duration>,
    /// The median; worked out when an interval comes, since it is asked for far more often.
    cadence: Option<Duration>,
}

impl Rhythm {
    /// Takes the time between two answers.
    pub(super) fn add(&mut self, interval: Duration) {
        if self.intervals.len() >= INTERVALS_MAX {
            self.intervals.pop_front();
        }
        self.intervals.push_back(interval);
        let mut sorted = [Duration::ZERO; INTERVALS_MAX];
        let filled = sorted.iter_mut().zip(&self.intervals).map(|(slot, value)| *slot = *value);
        let count = filled.count();
        if let Some(filled) = sorted.get_mut(..count).filter(|filled| !filled.is_empty()) {
            self.cadence = Some(*filled.select_nth_unstable(count / 2).1);
        }
    }

    /// The median time between answers; `None` before the second.
    pub(super) const fn cadence(&self) -> Option<Duration> {
        self.cadence
    }

    /// Silence up to this is the reader's rhythm.
    pub(super) fn silence_allowed(&self, tuning: &Tuning) -> Duration {
        self.times(tuning.silence_polls).max(tuning.silence_min)
    }

    /// Silence beyond this is a stop. With one read there is no rhythm to miss yet, so that the
    /// longest wait applies.
    pub(super) fn stop_after(&self, tuning: &Tuning) -> Duration {
        let Some(cadence) = self.cadence else { return tuning.stop_max };
        let pause = tuning.pause_max.saturating_add(cadence.saturating_mul(2));
        pause.max(cadence.saturating_mul(tuning.stop_polls)).min(tuning.stop_max)
    }

    /// Lag up to this is near the tip.
    pub(super) fn lag_allowed(&self, tuning: &Tuning) -> Duration {
        self.times(tuning.lag_polls).max(tuning.lag_allowed)
    }

    /// So many poll intervals; zero while the rhythm is not known.
    pub(super) fn times(&self, polls: u32) -> Duration {
        self.cadence.map_or(Duration::ZERO, |cadence| cadence.saturating_mul(polls))
    }

    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        self.intervals.len() <= INTERVALS_MAX
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
}
