//! Owns how figures are written for a person: short, with their unit, `—` for unknown and `≈` for
//! inferred. Refuses to be parsed: programs read the JSON.

use crate::domain::lag::Lag;
use crate::domain::snapshot::CloudWatchPoint;
use crate::domain::time::Wall;
use std::time::Duration;

/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "—";

/// The two largest units that matter: `840 ms`, `3.2 s`, `1 min 24 s`, `23 h 58 min`, `4 d 3 h`.
pub(super) fn span(time: Duration) -> String {
    let ms = time.as_millis();
    // Rounded before the unit is chosen, or 59.96 s would read `60.0 s`.
    let tenths = (ms + 50) / 100;
    let seconds = time.as_secs();
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {unit}"),
        _ => format!("{large} {unit} {small} {small_unit}"),
    };
    match seconds {
        _ if ms == 0 => "0 s".to_owned(),
        _ if ms < 1_000 => format!("{ms} ms"),
        _ if tenths < 600 => format!("{}.{} s", tenths / 10, tenths % 10),
        0..3_600 => two(seconds.max(60) / 60, "min", seconds.max(60) % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// A span that may be unknown.
pub(super) fn span_or_unknown(time: Option<Duration>) -> String {
    time.map_or_else(|| UNKNOWN.to_owned(), span)
}

/// A lag, with `≈` when it was inferred.
pub(super) fn lag(lag: Option<Lag>) -> String {
    match lag {
        Some(Lag { value, inferred: true }) => format!("≈ {}", span(value)),
        Some(Lag { value, inferred: false }) => span(value),
        None => UNKNOWN.to_owned(),
    }
}

/// Seconds of lag per second, always with its sign.
pub(super) fn velocity(ratio: Option<f64>) -> String {
    match ratio.filter(|ratio| ratio.is_finite()) {
        Some(ratio) if ratio.abs() < 0.005 => "±0 s/s".to_owned(),
        // A true minus sign: as wide as the plus, so that columns line up.
        Some(ratio) => format!("{ratio:+.2} s/s").replace('-', "−"),
        None => UNKNOWN.to_owned(),
    }
}

/// A share as a percentage.
pub(super) fn share(ratio: Option<f64>) -> String {
    match ratio.filter(|ratio| ratio.is_finite()) {
        Some(ratio) if ratio > 0.0 && ratio < 0.001 => "< 0.1 %".to_owned(),
        Some(ratio) => format!("{:.1} %", ratio * 100.0),
        None => UNKNOWN.to_owned(),
    }
}

/// A CloudWatch sum as a rate: `125 /s`.
pub(super) fn rate(point: Option<CloudWatchPoint>, unit: &str) -> String {
    per_second(point.map(|point| point.value / point.period.as_secs_f64()), unit)
}

/// A rate: `125 /s`, `150 kB/s`.
pub(super) fn per_second(value: Option<f64>, unit: &str) -> String {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return UNKNOWN.to_owned();
    };
    let magnitudes = [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")];
    let (size, prefix) =
        magnitudes.into_iter().find(|(size, _)| value.abs() >= *size).unwrap_or((1.0, ""));
    let text = match value / size {
        small if small > 0.0 && small < 0.05 => "< 0.1".to_owned(),
        shown => format!("{shown:.1}"),
    };
    format!("{} {prefix}{unit}/s", text.strip_suffix(".0").unwrap_or(&text))
}

/// Bytes in use: `64.2 MiB`.
pub(super) fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || UNKNOWN.to_owned(),
        |bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    )
}

/// A number that has no unit of its own here, to three decimals: `72.5`.
pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The time of day, in UTC: `20:00:02`.
pub(super) fn time_of_day(at: Wall) -> String {
    let (_, _, _, hour, minute, second) = at.utc();
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// A whole number of things: `1 shard`, `12 shards`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let check = |ms, expected| assert_eq!(span(Duration::from_millis(ms)), expected);
        check(0, "0 s");
        check(840, "840 ms");
        check(1_000, "1.0 s");
        check(3_249, "3.2 s");
        check(59_949, "59.9 s");
        check(59_960, "1 min");
        check(84_250, "1 min 24 s");
        check(3_600_000, "1 h");
        check(86_315_000, "23 h 58 min");
        check(356_400_000, "4 d 3 h");
        assert_eq!(span(Duration::MAX), "213503982334601 d 7 h");
    }

    #[test]
    fn lags_say_when_they_are_inferred_or_unknown() {
        let value = Duration::from_millis(3_200);
        assert_eq!(lag(Some(Lag { value, inferred: true })), "≈ 3.2 s");
        assert_eq!(lag(Some(Lag { value, inferred: false })), "3.2 s");
        assert_eq!(lag(None), UNKNOWN);
    }

    #[test]
    fn ratios() {
        let check = |ratio, expected_velocity, expected_share| {
            assert_eq!(velocity(ratio), expected_velocity);
            assert_eq!(share(ratio), expected_share);
        };
        check(None, UNKNOWN, UNKNOWN);
        check(Some(f64::NAN), UNKNOWN, UNKNOWN);
        check(Some(0.0), "±0 s/s", "0.0 %");
        check(Some(0.0004), "±0 s/s", "< 0.1 %");
        check(Some(0.5), "+0.50 s/s", "50.0 %");
        assert_eq!(velocity(Some(-1.0)), "−1.00 s/s");
    }

    #[test]
    fn rates() {
        let check = |value, seconds, expected| {
            let period = Duration::from_secs(seconds);
            let point = CloudWatchPoint { at: Wall::default(), period, value };
            assert_eq!(rate(Some(point), "B"), expected);
        };
        check(0.0, 60, "0 B/s");
        check(30.0, 60, "0.5 B/s");
        check(0.6, 60, "< 0.1 B/s");
        check(9_000_000.0, 60, "150 kB/s");
        check(1.0, 0, UNKNOWN);
        assert_eq!(rate(None, "B"), UNKNOWN);
    }

    #[test]
    fn sizes_times_and_numbers() {
        let check = |value, expected| assert_eq!(plain(value), expected);
        check(72.5, "72.5");
        check(86_400.0, "86400");
        check(0.285_917, "0.286");
        check(0.0, "0");
        assert_eq!(mebibytes(Some(67_318_579)), "64.2 MiB");
        assert_eq!(mebibytes(None), UNKNOWN);
        assert_eq!(time_of_day(Wall::from_ms(1_795_377_602_000)), "20:00:02");
        assert_eq!(
            (count(1, "shard", "shards"), count(0, "a", "b")),
            ("1 shard".into(), "0 b".into())
        );
    }
}
