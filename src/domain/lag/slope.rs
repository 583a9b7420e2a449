//! Owns velocity: how fast lag grows, in seconds of lag per second, by least squares over a bounded
//! window. Refuses to answer from too few points or too short a time, to call noise a trend, and
//! never answers NaN or infinity.

use super::Tuning;
use std::collections::VecDeque;
use std::time::Duration;

/// Fewer points make a line out of noise.
const POINTS_MIN: usize = 3;

/// Lag jumps by one poll interval with every batch; over less time that jump is all one sees.
const SPAN_MIN: Duration = Duration::from_secs(5);

/// Points of each of the two windows.
const POINTS_MAX: usize = 16;

/// The new window's points are at least this far apart, so that it covers 8 s of a reader that
/// polls 5 times a second, the shard's limit …
const NEW_APART: Duration = Duration::from_millis(500);
/// … and those of the long window this far, so that it covers a minute.
const LONG_APART: Duration = Duration::from_secs(4);

/// No point is older than this: what a reader did before says nothing about what it does now.
pub(super) const POINTS_SPAN: Duration = Duration::from_secs(600);

/// One lag as it was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) at: Duration,
    pub(super) lag: Duration,
}

/// A point in twelve bytes, in whole microseconds of up to nine years: ten thousand shards keep
/// thirty-two each. The low halves of both times, then what is above.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Packed([u32; 3]);

impl From<Point> for Packed {
    fn from(point: Point) -> Self {
        const MAX: u64 = (1 << 48) - 1;
        let micros = |time: Duration| {
            let seconds = time.as_secs().saturating_mul(1_000_000);
            seconds.saturating_add(time.subsec_micros().into()).min(MAX)
        };
        let (at, lag) = (micros(point.at), micros(point.lag));
        Self([at as u32, lag as u32, (at >> 32 | lag >> 32 << 16) as u32])
    }
}

impl Packed {
    /// Microseconds.
    const fn at(self) -> u64 {
        let Self([low, _, high]) = self;
        low as u64 | (high as u64 & 0xffff) << 32
    }

    /// Microseconds.
    const fn lag(self) -> u64 {
        let Self([_, low, high]) = self;
        low as u64 | (high as u64 >> 16) << 32
    }

    /// Since an earlier one.
    const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.at().saturating_sub(earlier.at()))
    }
}

/// Over the new window lag must have changed by so much to count as moving: arrivals and batches
/// are not even, and the long window has the better mean.
const GAIN_MIN: f64 = 1.5;

/// A figure is doubted by so many of its standard errors: neighbouring lags are not independent,
/// so that the error is greater than it seems.
const DOUBT: f64 = 3.0;

/// A line through points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slope {
    /// Seconds of lag per second.
    pub(super) velocity: f64,
    /// Its standard error.
    pub(super) error: f64,
    /// The time it covers, in seconds.
    span: f64,
}

impl Slope {
    /// That of a reader which does not read.
    pub(super) const SILENT: Self = Self { velocity: 1.0, error: 0.0, span: 0.0 };

    /// Whether the points say plainly on which side of the dead band they are.
    fn is_plain(self, dead_band: f64) -> bool {
        let (speed, doubt) = (self.velocity.abs(), DOUBT * self.error);
        if speed > dead_band {
            speed - dead_band > doubt && speed * self.span >= GAIN_MIN
        } else {
            doubt <= dead_band
        }
    }

    /// Whether both may be the same line.
    fn agrees(self, other: Self) -> bool {
        let apart = (self.velocity - other.velocity).abs();
        apart <= DOUBT * (self.error + other.error) || apart * self.span < GAIN_MIN
    }

    /// What is left when twice the error is taken away: noise is no movement.
    fn damped(self) -> Self {
        let rest = (self.velocity.abs() - 2.0 * self.error).max(0.0);
        Self { velocity: rest.copysign(self.velocity), ..self }
    }
}

/// Lags over time: the newest closely, those of a longer time sparsely. A turn shows in the new
/// window within seconds; where that is too noisy to tell, the long one decides.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Trend {
    new: VecDeque<Packed>,
    long: VecDeque<Packed>,
}

impl Trend {
    pub(super) fn add(&mut self, point: Point) {
        let point = Packed::from(point);
        push_apart(&mut self.new, point, NEW_APART);
        push_apart(&mut self.long, point, LONG_APART);
    }

    /// What came before says nothing of what comes.
    pub(super) fn clear(&mut self) {
        self.new.clear();
        self.long.clear();
    }

    /// The newest lag.
    pub(super) fn newest(&self) -> Option<Duration> {
        self.new.back().map(|point| Duration::from_micros(point.lag()))
    }

    /// The slope of the last `span`; where that is too noisy to say, of the longer time, unless
    /// they contradict each other: then there was a turn.
    pub(super) fn slope(&self, span: Duration, tuning: &Tuning) -> Option<Slope> {
        let newest = *self.new.back()?;
        let fresh = |point: &&Packed| newest.since(**point) <= span;
        let skip = self.new.len() - self.new.iter().rev().take_while(fresh).count();
        let new = fit(self.new.range(skip..).copied());
        if new.is_some_and(|slope| slope.is_plain(tuning.dead_band)) {
            return new;
        }
        let long = fit(self.long.iter().copied());
        match (new, long) {
            (Some(new), Some(long)) if !new.agrees(long) => Some(new.damped()),
            (_, Some(long)) if long.is_plain(tuning.dead_band) => Some(long),
            (_, Some(long)) => Some(long.damped()),
            (new, None) => new.map(Slope::damped),
        }
    }

    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        self.new.len() <= POINTS_MAX && self.long.len() <= POINTS_MAX
    }
}

/// The newest point always counts; one that came too soon after the one before gives way to it.
fn push_apart(points: &mut VecDeque<Packed>, point: Packed, apart: Duration) {
    let crowded = points
        .iter()
        .nth_back(1)
        .zip(points.back())
        .is_some_and(|(before, last)| last.since(*before) < apart);
    if crowded {
        points.pop_back();
    }
    if points.len() >= POINTS_MAX {
        points.pop_front();
    }
    points.push_back(point);
    while points.front().is_some_and(|old| point.since(*old) > POINTS_SPAN) {
        points.pop_front();
    }
}

/// The least squares line, oldest point first.
fn fit(
    points: impl ExactSizeIterator<Item = Packed> + DoubleEndedIterator + Clone,
) -> Option<Slope> {
    let count = points.len();
    let (first, last) = (points.clone().next()?, points.clone().next_back()?);
    let span = last.since(first);
    if count < POINTS_MIN || span < SPAN_MIN {
        return None;
    }
    // Relative to the first point, so that a process of many days loses no precision.
    let relative = |micros: u64, to: u64| (micros.cast_signed() - to.cast_signed()) as f64;
    let (at, lag) = (first.at(), first.lag());
    let (mut x_sum, mut y_sum, mut xx_sum, mut xy_sum, mut yy_sum) = (0.0, 0.0, 0.0, 0.0, 0.0);
    points.for_each(|point| {
        let (x, y) = (relative(point.at(), at), relative(point.lag(), lag));
        x_sum += x;
        y_sum += y;
        xx_sum += x * x;
        xy_sum += x * y;
        yy_sum += y * y;
    });
    let count = count as f64;
    let xy = count * xy_sum - x_sum * y_sum;
    let xx = count * xx_sum - x_sum * x_sum;
    let yy = count * yy_sum - y_sum * y_sum;
    let velocity = xy / xx;
    // Rounding may leave less than nothing.
    let rest = (yy - velocity * xy).max(0.0);
    let error = (rest / (count - 2.0) / xx).sqrt();
    let span = span.as_secs_f64();
    (velocity.is_finite() && error.is_finite()).then_some(Slope { velocity, error, span })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn points(points: &[(u64, u64)]) -> Vec<Point> {
        let point = |(at, lag): &(u64, u64)| Point {
            at: Duration::from_secs(*at),
            lag: Duration::from_millis(*lag),
        };
        points.iter().map(point).collect()
    }

    fn slope(of: impl IntoIterator<Item = Point>) -> Option<f64> {
        let mut trend = Trend::default();
        of.into_iter().for_each(|point| trend.add(point));
        assert!(trend.is_bounded());
        trend.slope(Duration::from_secs(8), &Tuning::default()).map(|slope| slope.velocity)
    }

    #[test]
    fn lines() {
        let check = |of: &[(u64, u64)], expected: Option<f64>| {
            let packed = points(of).into_iter().map(Packed::from);
            assert_eq!(fit(packed).map(|line| line.velocity), expected, "{of:?}");
        };
        check(&[(0, 0), (5, 5_000), (10, 10_000)], Some(1.0));
        check(&[(0, 40_000), (5, 30_000), (10, 20_000)], Some(-2.0));
        check(&[(0, 7_000), (5, 7_000), (10, 7_000)], Some(0.0));
        check(&[(0, 0), (0, 0), (10, 10_000), (10, 10_000)], Some(1.0));
        check(&[], None);
        check(&[(0, 0), (10, 10_000)], None);
        check(&[(0, 0), (2, 5_000), (4, 9_000)], None);
        check(&[(3, 0), (3, 5_000), (3, 9_000)], None);
        check(&[(20, 0), (10, 5_000), (0, 9_000)], None);
    }

    #[test]
    fn a_packed_point_is_the_same_to_a_microsecond() {
        let check = |at: Duration, lag: Duration, micros: (u64, u64)| {
            let packed = Packed::from(Point { at, lag });
            assert_eq!((packed.at(), packed.lag()), micros);
        };
        let year = 365 * 86_400;
        check(Duration::ZERO, Duration::from_nanos(1_999), (0, 1));
        let (at, lag) = (Duration::from_secs(year), Duration::from_millis(8_760 * 3_600_001));
        check(at, lag, (year * 1_000_000, 8_760 * 3_600_001_000));
        check(Duration::MAX, Duration::MAX, ((1 << 48) - 1, (1 << 48) - 1));
    }

    #[test]
    fn a_turn_shows_within_its_window() {
        let grows = (0..60).map(|second| (second, 60_000 + 500 * second));
        let falls = (60..=69).map(|second| (second, 90_000 - 1_000 * (second - 60)));
        let all: Vec<_> = grows.chain(falls).collect();
        assert_eq!(slope(points(&all)), Some(-1.0));
        assert_eq!(slope(points(&all[..60])), Some(0.5));
    }

    #[test]
    fn noise_is_no_trend_and_hides_none() {
        let noisy = |step: i64| {
            let lag = |second: u64| {
                let noise = [0, 2_400, -1_900, 1_100, -2_600][(second % 5) as usize];
                (second, 600_000_u64.saturating_add_signed(noise + step * second.cast_signed()))
            };
            slope(points(&(0..64).map(lag).collect::<Vec<_>>())).unwrap()
        };
        let check = |step, expected: f64| {
            let found = noisy(step);
            assert!((found - expected).abs() < 0.05, "{step}: {found}");
        };
        check(0, 0.0);
        check(500, 0.5);
        check(-2_000, -2.0);
    }

    proptest! {
        #[test]
        fn never_nan_or_infinite(of: Vec<(Duration, Duration)>) {
            let found = slope(of.into_iter().map(|(at, lag)| Point { at, lag }));
            prop_assert!(found.is_none_or(f64::is_finite));
        }
    }
}
