//! Owns velocity: how fast lag grows, in seconds of lag per second. Refuses to answer from too
//! few points or too short a time, and never answers NaN or infinity.

use std::time::Duration;

/// Fewer points make a line out of noise.
const POINTS_MIN: usize = 3;

/// Lag jumps by one poll interval with every batch; over less time that jump is all one sees.
const SPAN_MIN: Duration = Duration::from_secs(10);

/// Below this, either way, lag counts as steady: `MillisBehindLatest` is noisy, and at 5 % it
/// takes 20 s to gain one second.
pub(super) const DEAD_BAND: f64 = 0.05;

/// The least squares slope through `(when, lag)`, oldest first.
pub(super) fn velocity(
    points: impl ExactSizeIterator<Item = (Duration, Duration)> + Clone,
) -> Option<f64> {
    let (first_at, first_lag) = points.clone().next()?;
    let (last_at, _) = points.clone().last()?;
    if points.len() < POINTS_MIN || last_at.saturating_sub(first_at) < SPAN_MIN {
        return None;
    }
    // Relative to the first point, so that a process of many days loses no precision.
    let relative = points.clone().map(|(at, lag)| {
        (at.as_secs_f64() - first_at.as_secs_f64(), lag.as_secs_f64() - first_lag.as_secs_f64())
    });
    let count = points.len() as f64;
    let (sum_x, sum_y) = relative.clone().fold((0.0, 0.0), |(x, y), (dx, dy)| (x + dx, y + dy));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (covariance, variance) = relative.fold((0.0, 0.0), |(covariance, variance), (x, y)| {
        (covariance + (x - mean_x) * (y - mean_y), variance + (x - mean_x) * (x - mean_x))
    });
    let slope = covariance / variance;
    slope.is_finite().then_some(slope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_seconds(points: &[(u64, u64)]) -> Option<f64> {
        velocity(
            points.iter().map(|(at, lag)| (Duration::from_secs(*at), Duration::from_secs(*lag))),
        )
    }

    #[test]
    fn slopes_of_lines() {
        let check = |points: &[(u64, u64)], expected: Option<f64>| {
            assert_eq!(of_seconds(points), expected, "{points:?}");
        };
        check(&[(0, 0), (5, 5), (10, 10)], Some(1.0));
        check(&[(0, 40), (5, 30), (10, 20)], Some(-2.0));
        check(&[(0, 7), (5, 7), (10, 7)], Some(0.0));
        check(&[(0, 0), (0, 0), (10, 10), (10, 10)], Some(1.0));
        check(&[], None);
        check(&[(0, 0), (10, 10)], None);
        check(&[(0, 0), (5, 5), (9, 9)], None);
        check(&[(3, 0), (3, 5), (3, 9)], None);
        check(&[(20, 0), (10, 5), (0, 9)], None);
    }

    proptest! {
        #[test]
        fn never_nan_or_infinite(points: Vec<(Duration, Duration)>) {
            prop_assert!(velocity(points.iter().copied()).is_none_or(f64::is_finite));
        }
    }
}
