//! Owns the pace of calls: CloudWatch counts calls and the points that each might have. Refuses to
//! wait; it says how long.

use std::time::Duration;

/// CloudWatch takes 50 calls a second of a region; dashboards and alarms need theirs.
const CALLS_PER_SECOND: f64 = 20.0;
/// It counts 180,000 points a second of a region, there or not, for the last three hours.
const POINTS_PER_SECOND: f64 = 90_000.0;

/// Two buckets that fill with time and hold a second's worth. A call may overdraw them; the next
/// one then waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    calls: f64,
    points: f64,
    at: Duration,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { calls: CALLS_PER_SECOND, points: POINTS_PER_SECOND, at: Duration::ZERO }
    }
}

impl Bucket {
    /// Takes one call of `points`, estimated, at `now` in monotonic time; gives how long to wait
    /// before it is made.
    pub fn take(&mut self, points: u64, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.calls = (self.calls + passed * CALLS_PER_SECOND).min(CALLS_PER_SECOND);
        self.points = (self.points + passed * POINTS_PER_SECOND).min(POINTS_PER_SECOND);
        let debt = (-self.calls / CALLS_PER_SECOND).max(-self.points / POINTS_PER_SECOND);
        self.calls -= 1.0;
        self.points -= points as f64;
        Duration::from_secs_f64(debt.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long `calls` of `points` take when each waits as it is told.
    fn seconds(calls: u32, points: u64) -> f64 {
        let (mut bucket, mut now) = (Bucket::default(), Duration::ZERO);
        for _ in 0..calls {
            now += bucket.take(points, now);
        }
        now.as_secs_f64()
    }

    #[test]
    fn whichever_limit_is_nearer_holds() {
        let check = |calls, points, least: f64, most: f64| {
            let took = seconds(calls, points);
            assert!((least..=most).contains(&took), "{calls} of {points}: {took} s");
        };
        check(20, 2_500, 0.0, 0.0);
        // A plain cycle of a thousand streams, and one after three hours' outage.
        check(40, 2_500, 0.9, 1.1);
        check(40, 90_000, 38.0, 39.0);
        check(400, 2_500, 18.0, 19.1);
    }
}
