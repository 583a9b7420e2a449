//! Owns the two clocks as values. Refuses to read either: `io::clock` does, and passes them in.

use std::fmt;
use std::time::Duration;

/// One reading of both clocks, always taken together and passed in as the last argument, `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment {
    /// Calendar time: for signatures, query windows, span times and display only.
    pub wall: Wall,
    /// Time since the process began; never jumps. Waits, holds, repeats and staleness use it.
    pub mono: Duration,
}

impl Moment {
    /// The same instant `by` later on both clocks.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self { wall: self.wall.plus(by), mono: self.mono.saturating_add(by) }
    }

    /// Monotonic time from `earlier` to this moment; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_sub(earlier.mono)
    }
}

/// Calendar time as nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Wall(u64);

impl Wall {
    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// From seconds since the epoch with a fraction, the form Kinesis' JSON gives timestamps in;
    /// `None` for what is not a time (negative, NaN, beyond the year 2554).
    #[must_use]
    pub fn from_seconds_f64(seconds: f64) -> Option<Self> {
        // Milliseconds are rounded first: a double has no room for nanoseconds of the present.
        let ms = (seconds * 1_000.0).round();
        (0.0..1.8e13).contains(&ms).then_some(Self::from_ms(ms as u64))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// This time `by` later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// This time `by` earlier, not before the epoch.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this; zero if `earlier` is later (clocks of two machines disagree).
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Year, month (1-12), day (1-31), hour, minute, second in UTC.
    #[must_use]
    pub fn utc(self) -> (u64, u64, u64, u64, u64, u64) {
        let seconds = self.as_seconds();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        (year, month, day, rest / 3_600, rest / 60 % 60, rest % 60)
    }

    /// `20261122T195700Z`, the form SigV4's `x-amz-date` has.
    #[must_use]
    pub fn amz_date(self) -> String {
        // Once a request: digits by hand cost a tenth of what `format!` does.
        let (y, mo, d, h, mi, s) = self.utc();
        let mut out = String::with_capacity(16);
        for pair in [y / 100, y % 100, mo, d, 100, h, mi, s] {
            if pair == 100 {
                out.push('T');
                continue;
            }
            let digit = |number: u64| char::from(b'0' + (number % 10) as u8);
            out.push(digit(pair / 10));
            out.push(digit(pair));
        }
        out.push('Z');
        out
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-22T19:57:00.123Z`.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, mo, d, h, mi, s) = self.utc();
        write!(f, "{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{:03}Z", self.as_ms() % 1_000)
    }
}

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Days since the epoch to a Gregorian date, counting from 1 March so that the leap day is last.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        let check = |ms, expected| assert_eq!(Wall::from_ms(ms).to_string(), expected);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399_999, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_545_084_650_987, "2018-12-17T22:10:50.987Z");
        check(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
        assert_eq!(Wall::from_ms(1_440_938_160_000).amz_date(), "20150830T123600Z");
    }

    #[test]
    fn seconds_of_kinesis_keep_their_milliseconds() {
        assert_eq!(
            Wall::from_seconds_f64(1.548118964772E9),
            Some(Wall::from_ms(1_548_118_964_772))
        );
        for absurd in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Wall::from_seconds_f64(absurd), None);
        }
    }
}
