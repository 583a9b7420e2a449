//! Owns how far our clock is from Kinesis', so that a signature is of its time. Refuses to guess:
//! it learns only from the Date of an answer that refused a signature, and nothing further off than
//! a day.

use crate::domain::time::Wall;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// A Date has whole seconds, and the answer was on its way.
const SAME_MS: u64 = 2_000;
/// A clock further off than a day is no skew but a fault, of one of the two.
const OFFSET_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// What to add to our clock, in milliseconds; nothing until Kinesis says so.
#[derive(Debug, Default)]
pub(super) struct Skew(AtomicI64);

impl Skew {
    /// The time to sign with.
    pub(super) fn now(&self, wall: Wall) -> Wall {
        let offset_ms = self.0.load(Ordering::Relaxed);
        let by = Duration::from_millis(offset_ms.unsigned_abs());
        if offset_ms < 0 { wall.minus(by) } else { wall.plus(by) }
    }

    /// Learns from the Date of an answer that says that the signature's time was wrong. True if the
    /// offset changed, so that signing once more has a point.
    pub(super) fn learn(&self, date: &str, wall: Wall) -> bool {
        // Judged by the time that we sign with: a clock of ours that was put right is learned too.
        let Some(theirs_ms) = milliseconds(date) else { return false };
        let (Some(offset_ms), Some(error_ms)) =
            (difference(theirs_ms, wall.as_ms()), difference(theirs_ms, self.now(wall).as_ms()))
        else {
            return false;
        };
        if error_ms.unsigned_abs() <= SAME_MS || offset_ms.unsigned_abs() > OFFSET_MS_MAX {
            return false;
        }
        // A clock that was put right needs nothing, rather than the rest of a second.
        let offset_ms = if offset_ms.unsigned_abs() <= SAME_MS { 0 } else { offset_ms };
        self.0.store(offset_ms, Ordering::Relaxed);
        tracing::warn!(
            offset_seconds = offset_ms / 1_000,
            "Kinesis' clock is not ours: requests are signed with this offset"
        );
        true
    }
}

/// An HTTP date as milliseconds since the epoch.
fn milliseconds(date: &str) -> Option<u64> {
    let since = httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

fn difference(theirs_ms: u64, ours_ms: u64) -> Option<i64> {
    i64::try_from(theirs_ms).ok()?.checked_sub(i64::try_from(ours_ms).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T12:00:00Z, a Sunday.
    const NOON: Wall = Wall::from_ms(1_795_348_800_000);

    fn date(seconds_past_noon: i64) -> String {
        let noon = UNIX_EPOCH + Duration::from_secs(NOON.as_seconds());
        let by = Duration::from_secs(seconds_past_noon.unsigned_abs());
        httpdate::fmt_http_date(if seconds_past_noon < 0 { noon - by } else { noon + by })
    }

    /// Seconds that are added to our clock.
    fn offset(skew: &Skew) -> i64 {
        skew.now(NOON).as_seconds() as i64 - NOON.as_seconds() as i64
    }

    #[test]
    fn only_what_explains_the_refusal_is_learned() {
        let check = |date: &str, expected: Option<i64>| {
            let skew = Skew::default();
            assert_eq!(skew.learn(date, NOON), expected.is_some(), "{date}");
            assert_eq!(offset(&skew), expected.unwrap_or(0), "{date}");
        };
        check("Sun, 22 Nov 2026 12:10:00 GMT", Some(600));
        check("Sun, 22 Nov 2026 11:50:00 GMT", Some(-600));
        check(&date(30), Some(30));
        check(&date(-30), Some(-30));
        check(&date(2), None);
        check(&date(86_400), Some(86_400));
        check(&date(86_401), None);
        check(&date(-86_401), None);
        for no_date in ["", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "2026-11-22T12:00:00Z"] {
            check(no_date, None);
        }
    }

    #[test]
    fn a_clock_that_was_put_right_is_learned_too() {
        let skew = Skew::default();
        assert!(skew.learn(&date(3_600), NOON));
        assert!(!skew.learn(&date(3_601), NOON), "the same again changes nothing");
        assert!(skew.learn(&date(1), NOON));
        assert_eq!(offset(&skew), 0);
        assert_eq!(Skew::default().now(Wall::default()), Wall::default());
    }
}
