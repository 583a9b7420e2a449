//! Owns the meaning of a `Retry-After` header. Refuses to decide whether to obey it.

use crate::domain::time::Wall;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use std::time::Duration;

/// How long from `now` the header asks to wait, given as seconds or as an HTTP date; a date that
/// is past asks for nothing, and what is neither is `None`.
#[must_use]
pub fn parse(value: &str, now: Wall) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let seconds = DateTime::from_str(value, Format::HttpDate).ok()?.secs();
    Some(Wall::from_ms(u64::try_from(seconds).ok()?.saturating_mul(1_000)).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        // 2015-10-21T07:27:30Z
        let now = Wall::from_ms(1_445_412_450_000);
        let check = |value, seconds: Option<u64>| {
            assert_eq!(parse(value, now), seconds.map(Duration::from_secs), "{value}");
        };
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Wed, 21 Oct 2015 07:28:00 GMT", Some(30));
        check("Wed, 21 Oct 2015 07:27:00 GMT", Some(0));
        check("-1", None);
        check("1.5", None);
        check("soon", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn never_panics(value in "\\PC*") {
            let _ = parse(&value, Wall::default());
        }
    }
}
