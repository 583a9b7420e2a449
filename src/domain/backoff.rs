//! Owns the delay before another try, as a value. Refuses to wait and to roll dice: the jitter is
//! an argument. Source: reference/alerts.md 1.2 (Alertmanager's 500 ms, ×1.5, ±50 %, 60 s).

use std::time::Duration;

/// An exponential delay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub initial: Duration,
    /// What each further failure multiplies it by.
    pub factor: f64,
    /// The longest delay before jitter.
    pub max: Duration,
    /// How far, as a share of the delay, jitter may move it either way (0..1).
    pub jitter: f64,
}

impl Backoff {
    /// Alertmanager's schedule.
    pub const NOTIFY: Self = Self {
        initial: Duration::from_millis(500),
        factor: 1.5,
        max: Duration::from_secs(60),
        jitter: 0.5,
    };

    /// The delay after `failures` failures in a row (1 for the first), with `chance` in 0..1.
    #[must_use]
    pub fn delay(&self, failures: u32, chance: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1).min(64)).unwrap_or(64);
        let plain = self.initial.as_secs_f64() * self.factor.powi(exponent);
        let moved = 1.0 + self.jitter * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        Duration::from_secs_f64(plain.min(self.max.as_secs_f64()) * moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_bound() {
        let check = |failures, chance, ms| {
            assert_eq!(Backoff::NOTIFY.delay(failures, chance).as_millis(), ms);
        };
        check(1, 0.5, 500);
        check(2, 0.5, 750);
        check(1, 0.0, 250);
        check(1, 1.0, 750);
        check(1_000_000, 0.5, 60_000);
    }
}
