//! Owns when an event says that it was made: its own `timestamp`, or a CloudEvent's `time`. Refuses
//! to guess an hour: a time without an offset is UTC only where the record's arrival bears it out.

use crate::domain::time::Wall;
use std::time::Duration;

/// Offsets of time zones are whole quarters of an hour, so a local time that is taken for UTC is
/// wrong by this at least.
const ZONES_APART: Duration = Duration::from_secs(15 * 60);

/// When an event says that it was made, by its producer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    at: Wall,
    /// It names its offset, or counts from the epoch; else it was read as UTC.
    certain: bool,
}

impl Made {
    /// From a JSON value: RFC 3339, ISO 8601 without an offset, or a number since the epoch, whose
    /// size tells seconds from milliseconds, micro- and nanoseconds.
    pub(super) fn of(value: &[u8], text: Option<&str>) -> Option<Self> {
        match text {
            Some(text) => Self::of_text(text),
            None => Self::of_number(std::str::from_utf8(value).ok()?.parse().ok()?),
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        let nanos = |at: jiff::Timestamp| u64::try_from(at.as_nanosecond()).ok();
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Some(Self { at: Wall::from_nanos(nanos(at)?), certain: true });
        }
        // A date alone is no time.
        let civil = text.parse::<jiff::civil::DateTime>().ok().filter(|_| text.contains(':'))?;
        let at = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
        Some(Self { at: Wall::from_nanos(nanos(at)?), certain: false })
    }

    /// Between the years 2001 and 5138 no two units overlap.
    fn of_number(number: f64) -> Option<Self> {
        let seconds = [1.0, 1e3, 1e6, 1e9].into_iter().map(|unit| number / unit);
        let at = seconds.into_iter().find(|seconds| (1e9..1e11).contains(seconds))?;
        Wall::from_seconds_f64(at).map(|at| Self { at, certain: true })
    }

    /// From then to `delivered`; `None` where the clocks disagree, or where the time names no offset
    /// and the record did not arrive within a quarter of an hour of it.
    #[must_use]
    pub fn until(self, arrived: Option<Wall>, delivered: Wall) -> Option<Duration> {
        let borne_out = || {
            let arrived = arrived?;
            (self.at <= arrived && arrived.since(self.at) < ZONES_APART).then_some(())
        };
        let known = self.at <= delivered && (self.certain || borne_out().is_some());
        known.then(|| delivered.since(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T05:27:38.123Z
    const AT_MS: u64 = 1_795_411_658_123;

    #[test]
    fn times_as_producers_write_them() {
        let check = |value: &str, expected: Option<(u64, bool)>| {
            let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let made = Made::of(value.as_bytes(), text);
            assert_eq!(made.map(|made| (made.at.as_ms(), made.certain)), expected, "{value}");
        };
        check("\"2026-11-23T05:27:38.123Z\"", Some((AT_MS, true)));
        check("\"2026-11-23T06:27:38.123+01:00\"", Some((AT_MS, true)));
        check("\"2026-11-23T05:27:38.123456\"", Some((AT_MS, false)));
        check("\"2026-11-23 05:27:38.123\"", Some((AT_MS, false)));
        check("1795411658123", Some((AT_MS, true)));
        check("1795411658.123", Some((AT_MS, true)));
        check("1795411658123000", Some((AT_MS, true)));
        check("1795411658123000000", Some((AT_MS, true)));
        for none in ["\"2026-11-23\"", "\"\"", "\"soon\"", "7", "-1795411658", "true", "1e300"] {
            check(none, None);
        }
        check("\"1969-12-31T23:59:59Z\"", None);
    }

    #[test]
    fn an_hour_that_is_not_named_is_borne_out_by_the_arrival_or_not_told() {
        let at = |seconds: i64| Wall::from_ms(AT_MS.saturating_add_signed(seconds * 1_000));
        let until = |certain, arrived: Option<i64>, delivered| {
            let made = Made { at: at(0), certain };
            made.until(arrived.map(at), at(delivered)).map(|took| took.as_secs())
        };
        assert_eq!(until(true, None, 5), Some(5));
        assert_eq!(until(true, Some(7_200), 7_201), Some(7_201));
        assert_eq!(until(true, None, -1), None);
        assert_eq!(until(false, Some(2), 9_000), Some(9_000));
        assert_eq!(until(false, Some(900), 901), None);
        assert_eq!(until(false, Some(-3_600), 5), None);
        assert_eq!(until(false, None, 5), None);
    }
}
