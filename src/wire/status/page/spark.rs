//! Owns a series of lag as one small curve and the sentence that says the same. Refuses to bridge a
//! gap: where the lag was not known there is no line.

use crate::wire::status::figures;
use std::fmt::Write;
use std::time::Duration;

/// The curve's box, in its own units.
pub(super) const WIDTH: f64 = 120.0;
pub(super) const HEIGHT: f64 = 24.0;
/// A lag under this is noise, and is drawn as low as it is.
const SCALE_MIN_SECONDS: f64 = 1.0;
/// The stroke is not cut off at the edges.
const MARGIN: f64 = 2.0;

/// A curve.
pub(super) struct Spark {
    /// SVG path data.
    pub(super) path: String,
    /// Where its newest point stands.
    pub(super) dot: (String, String),
    /// What it shows, for who does not see it.
    pub(super) words: String,
}

/// Draws the series, the oldest first; `None` where fewer than two lags are known.
pub(super) fn draw(series: &[(Duration, Option<f32>)]) -> Option<Spark> {
    let known_from = series.iter().position(|(_, lag)| lag.is_some())?;
    let series = series.get(known_from..)?;
    let known = || series.iter().filter_map(|(at, lag)| Some((*at, f64::from((*lag)?))));
    let (first, last) = (known().next()?, known().next_back()?);
    let (from, to) = (series.first()?.0, series.last()?.0);
    let span = to.checked_sub(from)?;
    if first.0 == last.0 {
        return None;
    }
    let highest = known().map(|(_, lag)| lag).fold(0.0, f64::max);
    let scale = highest.max(SCALE_MIN_SECONDS);
    let place = |at: Duration, lag: f64| {
        let along = at.saturating_sub(from).as_secs_f64() / span.as_secs_f64();
        let x = MARGIN + along * (WIDTH - 2.0 * MARGIN);
        (x, HEIGHT - MARGIN - lag / scale * (HEIGHT - 2.0 * MARGIN))
    };
    let (mut path, mut pen) = (String::new(), 'M');
    for (at, lag) in series {
        let Some(lag) = lag else {
            pen = 'M';
            continue;
        };
        let (x, y) = place(*at, f64::from(*lag));
        // Writing to a String does not fail.
        let _ = write!(path, "{pen}{x:.1} {y:.1}");
        pen = 'L';
    }
    let (x, y) = place(last.0, last.1);
    let highest = Duration::try_from_secs_f64(highest).ok()?;
    Some(Spark {
        path,
        dot: (format!("{x:.1}"), format!("{y:.1}")),
        words: format!(
            "lag over the last {}: {} at most",
            figures::span(span),
            figures::span(highest)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(series: &[(u64, Option<f32>)], expected: Option<(&str, &str)>) {
        let series: Vec<_> =
            series.iter().map(|(second, lag)| (Duration::from_secs(*second), *lag)).collect();
        let drawn = draw(&series);
        let drawn = drawn.as_ref().map(|spark| (spark.path.as_str(), spark.words.as_str()));
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_series_is_a_curve_with_its_gaps() {
        check(&[], None);
        check(&[(0, Some(1.0))], None);
        check(&[(0, Some(1.0)), (5, None)], None);
        check(&[(0, None), (5, None)], None);
        let words = "lag over the last 10.0 s: 4.0 s at most";
        check(&[(0, Some(0.0)), (10, Some(4.0))], Some(("M2.0 22.0L118.0 2.0", words)));
        let late = [(0, None), (90, Some(0.0)), (100, Some(4.0))];
        check(&late, Some(("M2.0 22.0L118.0 2.0", words)));
        let gap = [(0, Some(0.0)), (5, None), (8, Some(4.0)), (10, Some(2.0))];
        check(&gap, Some(("M2.0 22.0M94.8 2.0L118.0 12.0", words)));
        // Noise is not blown up to a mountain.
        let words = "lag over the last 10.0 s: 100 ms at most";
        check(&[(0, Some(0.0)), (10, Some(0.1))], Some(("M2.0 22.0L118.0 20.0", words)));
    }
}
