//! Owns how fast a consumer burns its freshness budget: time above a target, in bounded buckets.
//! Refuses windows of days: those are Prometheus's. Time in which nothing was known burns nothing.

use crate::domain::alert::machine::GAP_MAX;
use crate::domain::alert::signal::{Scope, Signal};
use crate::domain::alert::{Reading, Subject};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Six hours of minutes: the longest window.
const BUCKETS_MAX: usize = 360;
const BUCKET: Duration = Duration::from_secs(60);

/// What a consumer promises: its lag is at or below the target for this share of the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Lag that is still fresh.
    pub target: Duration,
    /// In percent, below 100.
    pub percent: f64,
}

impl Default for Objective {
    /// A minute, 99.9 % of the time: 43 minutes a month may be worse.
    fn default() -> Self {
        Self { target: Duration::from_secs(60), percent: 99.9 }
    }
}

/// Multiples of the pace that would just use the budget up, by window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// Over five minutes.
    pub of_5m: f64,
    /// Over thirty minutes.
    pub of_30m: f64,
    /// Over an hour.
    pub of_1h: f64,
    /// Over six hours.
    pub of_6h: f64,
}

impl Burn {
    /// As a multiple of what is worth waking somebody: 14.4 over an hour uses up two per cent of a
    /// month's budget, 6 over six hours five. The short windows end it soon after it is over.
    #[must_use]
    pub fn of_waking(&self) -> f64 {
        (self.of_1h.min(self.of_5m) / 14.4).max(self.of_6h.min(self.of_30m) / 6.0)
    }
}

/// One consumer's last six hours.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    /// Seconds above the target by minute, the newest last. Empty while there were none.
    buckets: VecDeque<f32>,
    /// Number of the newest bucket.
    newest: u64,
    /// Of the last look: when, and whether it was too old.
    last: Option<(Duration, bool)>,
}

impl Freshness {
    /// Takes in the lag as of `now`, in monotonic time; `None` when it is not known.
    pub fn see(&mut self, lag_seconds: Option<f64>, objective: &Objective, now: Duration) {
        let is_old = lag_seconds.map(|lag| lag > objective.target.as_secs_f64());
        if let Some((at, true)) = self.last {
            let elapsed = now.saturating_sub(at);
            if elapsed <= GAP_MAX {
                self.add(elapsed, now);
            }
        }
        self.last = is_old.map(|is_old| (now, is_old));
    }

    fn add(&mut self, elapsed: Duration, now: Duration) {
        let number = now.as_secs() / BUCKET.as_secs();
        if self.buckets.is_empty() {
            self.newest = number;
            self.buckets.push_back(0.0);
        }
        while self.newest < number {
            self.newest += 1;
            self.buckets.push_back(0.0);
            if self.buckets.len() > BUCKETS_MAX {
                self.buckets.pop_front();
            }
            if number - self.newest > BUCKETS_MAX as u64 {
                self.buckets.clear();
                self.newest = number - 1;
            }
        }
        if let Some(bucket) = self.buckets.back_mut() {
            *bucket += elapsed.as_secs_f32();
        }
    }

    /// How fast it burns as of `now`.
    #[must_use]
    pub fn burn(&self, objective: &Objective, now: Duration) -> Burn {
        let number = now.as_secs() / BUCKET.as_secs();
        let budget = 1.0 - objective.percent / 100.0;
        let over = |minutes: u64| {
            let behind = number.saturating_sub(self.newest);
            let count = usize::try_from(minutes.saturating_sub(behind)).unwrap_or_default();
            let seconds: f32 = self.buckets.iter().rev().take(count).sum();
            f64::from(seconds) / (minutes * BUCKET.as_secs()) as f64 / budget
        };
        Burn { of_5m: over(5), of_30m: over(30), of_1h: over(60), of_6h: over(360) }
    }

    /// Whether nothing of it is worth keeping: not while it is above its target.
    #[must_use]
    pub fn is_clean(&self, now: Duration) -> bool {
        let number = now.as_secs() / BUCKET.as_secs();
        let over = self.buckets.is_empty() || number - self.newest.min(number) > BUCKETS_MAX as u64;
        over && self.last.is_none_or(|(at, is_old)| !is_old || now.saturating_sub(at) > GAP_MAX)
    }
}

/// Consumers whose budget is kept: 1.5 KiB each while it burns.
const BUDGETS_MAX: usize = 1_000;

/// Everybody's budget, as far as it burns.
#[derive(Debug, Default)]
pub struct Budgets {
    objective: Objective,
    by_consumer: BTreeMap<Arc<Subject>, Freshness>,
}

impl Budgets {
    /// Against this objective.
    #[must_use]
    pub fn new(objective: Objective) -> Self {
        Self { objective, by_consumer: BTreeMap::new() }
    }

    /// Goes on against another objective. What was above another target is no evidence against this
    /// one.
    pub fn aim(&mut self, objective: Objective) {
        if self.objective.target != objective.target {
            self.by_consumer.clear();
        }
        self.objective = objective;
    }

    /// Adds to each consumer's reading as of `now` how fast its budget burns.
    pub fn note(&mut self, readings: &mut [Reading], now: Duration) {
        readings.iter_mut().for_each(|reading| self.note_one(reading, now));
        self.by_consumer.retain(|_, budget| !budget.is_clean(now));
    }

    fn note_one(&mut self, reading: &mut Reading, now: Duration) {
        if reading.subject.scope() != Scope::Consumer {
            return;
        }
        let lag = reading.value(Signal::DeliveryLag);
        let is_old = lag.is_some_and(|lag| lag > self.objective.target.as_secs_f64());
        let is_known = self.by_consumer.contains_key(&reading.subject);
        if !is_known && (!is_old || self.by_consumer.len() >= BUDGETS_MAX) {
            // Nothing has burned.
            reading.set(Signal::FreshnessBurn, lag.filter(|_| !is_old).map(|_| 0.0));
            return;
        }
        let budget = self.by_consumer.entry(Arc::clone(&reading.subject)).or_default();
        budget.see(lag, &self.objective, now);
        let burn = budget.burn(&self.objective, now);
        reading.set(Signal::FreshnessBurn, Some(burn.of_waking()));
        if burn.of_waking() > 0.5 {
            for (name, times) in [("burn_1h", burn.of_1h), ("burn_6h", burn.of_6h)] {
                reading.tell(name, Some(format!("{times:.1} times the budget's pace")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTIVE: Objective = Objective { target: Duration::from_secs(60), percent: 99.0 };

    /// Lives through (seconds, lag) stretches a second at a time; the burn at the end.
    fn live(stretches: &[(u64, Option<f64>)]) -> (Freshness, Burn, u64) {
        let (mut freshness, mut second) = (Freshness::default(), 0);
        for (seconds, lag) in stretches {
            for _ in 0..*seconds {
                freshness.see(*lag, &OBJECTIVE, Duration::from_secs(second));
                second += 1;
            }
        }
        let burn = freshness.burn(&OBJECTIVE, Duration::from_secs(second - 1));
        (freshness, burn, second)
    }

    #[test]
    fn burn_is_time_above_the_target_over_the_window() {
        let close = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 0.02 * expected.max(0.5), "{found} {expected}");
        };
        let (_, burn, _) = live(&[(3_600, Some(60.0))]);
        assert_eq!(burn, Burn { of_5m: 0.0, of_30m: 0.0, of_1h: 0.0, of_6h: 0.0 });
        let (_, burn, _) = live(&[(3_000, Some(5.0)), (600, Some(61.0))]);
        close(burn.of_5m, 100.0);
        close(burn.of_30m, 33.3);
        close(burn.of_1h, 16.6);
        close(burn.of_6h, 2.77);
        close(burn.of_waking(), 16.6 / 14.4);
        // What is not known burns nothing, and what is over leaves the short window first.
        let (_, burn, _) = live(&[(3_000, Some(5.0)), (600, Some(61.0)), (600, None)]);
        close(burn.of_1h, 16.6);
        assert_eq!(burn.of_5m, 0.0);
    }

    #[test]
    fn six_hours_are_kept() {
        let (freshness, burn, _) = live(&[(3_600, Some(90.0)), (6 * 3_600, Some(1.0))]);
        assert!(burn.of_6h < 1.0, "{burn:?}");
        assert!(freshness.buckets.len() <= BUCKETS_MAX);
        let (mut freshness, _, second) = live(&[(100, Some(90.0))]);
        let later = Duration::from_secs(second + 100 * 3_600);
        assert!(freshness.is_clean(later));
        freshness.see(Some(90.0), &OBJECTIVE, later);
        freshness.see(Some(90.0), &OBJECTIVE, later + Duration::from_secs(1));
        assert!(freshness.buckets.len() <= BUCKETS_MAX && !freshness.is_clean(later));
        let burn = freshness.burn(&OBJECTIVE, later + Duration::from_secs(1));
        assert!(burn.of_6h < 0.1, "{burn:?}");
    }
}
