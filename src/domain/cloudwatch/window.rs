//! Owns the times that are asked about, and what one series was told of them. Refuses minutes that
//! may still change, and to ask for a minute more often than the overlap says.

use crate::domain::time::Wall;
use std::time::Duration;

/// Periods before the new ones that each ask covers again: what was late or corrected is seen then.
/// A period is therefore answered at most `OVERLAP + 1` times.
pub const OVERLAP: u32 = 4;

/// How far back an ask may reach after an outage: beyond, other limits of CloudWatch hold.
pub const BACK_MAX: Duration = Duration::from_secs(3 * 3_600);

/// The times of one ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// The first period's start.
    pub start: Wall,
    /// The last period's end; what begins here or later may still change.
    pub end: Wall,
    /// The length of a period; whole seconds, at least one.
    pub period: Duration,
}

impl Window {
    /// How many periods there are in it, which is how many points a query of it may have.
    #[must_use]
    pub fn periods(&self) -> u64 {
        self.end.since(self.start).as_secs() / self.period.as_secs().max(1)
    }
}

/// What one series was asked and told so far. Periods are numbered from the epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Track {
    /// The end of the last window that was answered in full; `None` before the first.
    until: Option<u32>,
    /// The values told for the `OVERLAP` periods before `until`, the newest last; NaN: none.
    told: [f64; OVERLAP as usize],
    /// Answers in a row that had no word on this series at all.
    pub absences: u8,
    /// The last answer was not whole; worth asking again soon.
    pub again: bool,
}

impl Default for Track {
    fn default() -> Self {
        Self { until: None, told: [f64::NAN; OVERLAP as usize], absences: 0, again: false }
    }
}

/// What a value is to somebody who remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing: told before.
    Known,
    /// A period that no answer has covered in full.
    New,
    /// A period that was answered before, without this value.
    Changed,
}

impl Track {
    /// Where the next ask up to `end` begins; `None` when there is no new period to ask for.
    pub(super) fn start(&self, end: u32, earliest: u32) -> Option<u32> {
        let start = match self.until {
            Some(until) if until >= end => return None,
            Some(until) => until.saturating_sub(OVERLAP),
            None => end.saturating_sub(OVERLAP + 1),
        };
        Some(start.max(earliest)).filter(|start| *start < end)
    }

    pub(super) fn news(&self, period: u32, value: f64) -> News {
        match self.value(period) {
            None => News::New,
            #[expect(clippy::float_cmp, reason = "the same answer has the same bits")]
            Some(told) if told == value => News::Known,
            Some(_) => News::Changed,
        }
    }

    /// What was told of a period that was answered: NaN for nothing. `None`: it was not answered, or
    /// longer ago than is remembered.
    fn value(&self, period: u32) -> Option<f64> {
        let back = self.until?.checked_sub(period)?;
        let index = OVERLAP.checked_sub(back)?;
        self.told.get(index as usize).copied()
    }

    /// A window up to `end` was answered in full, with `values` in order of time.
    pub(super) fn answered(&mut self, end: u32, values: &[(u32, f64)]) {
        let told = std::array::from_fn(|index| {
            let period = (end + index as u32).checked_sub(OVERLAP);
            let given = values.iter().rev().find(|(at, _)| Some(*at) == period);
            let known = || period.and_then(|period| self.value(period));
            given.map(|(_, value)| *value).or_else(known).unwrap_or(f64::NAN)
        });
        *self = Self { until: Some(end), told, absences: 0, again: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_is_asked_for_at_most_overlap_and_one_times() {
        let mut track = Track::default();
        let mut asks = [0_u32; 200];
        // Polls that come early, late and not at all.
        for end in [100, 100, 101, 102, 102, 103, 107, 108, 109, 110, 111, 130, 131] {
            let Some(start) = track.start(end, 0) else { continue };
            (start..end).for_each(|period| asks[period as usize] += 1);
            track.answered(end, &[]);
        }
        assert_eq!(asks.iter().max(), Some(&(OVERLAP + 1)));
        assert!(asks[95..131].iter().all(|asked| *asked > 0), "{asks:?}");
    }

    #[test]
    fn what_was_told_is_remembered() {
        let mut track = Track::default();
        let check = |track: &Track, period, value, expected| {
            assert_eq!(track.news(period, value), expected, "{period} {value}");
        };
        check(&track, 9, 1.0, News::New);
        track.answered(10, &[(8, 5.0), (9, 1.0)]);
        check(&track, 9, 1.0, News::Known);
        check(&track, 9, 2.0, News::Changed);
        check(&track, 7, 1.0, News::Changed);
        check(&track, 10, 1.0, News::New);
        track.answered(11, &[(10, 3.0)]);
        check(&track, 9, 1.0, News::Known);
        check(&track, 10, 3.0, News::Known);
        check(&track, 6, 1.0, News::New);
    }

    #[test]
    fn an_outage_is_asked_for_again_within_bounds() {
        let mut track = Track::default();
        assert_eq!(track.start(100, 0), Some(95));
        track.answered(100, &[]);
        assert_eq!(track.start(100, 0), None);
        assert_eq!(track.start(99, 0), None);
        assert_eq!(track.start(160, 0), Some(96));
        assert_eq!(track.start(500, 330), Some(330));
        assert_eq!(track.start(101, 101), None);
    }
}
