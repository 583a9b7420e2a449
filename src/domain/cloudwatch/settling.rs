//! Owns how long a metric takes to settle, learned from values that came or changed after they were
//! first asked for. Refuses to go below what was configured, and to run after single stragglers:
//! those the overlap corrects.

use std::time::Duration;

/// The longest delay that is learned.
const DELAY_MAX: Duration = Duration::from_secs(600);
/// More than one value in this many must have changed for the delay to grow.
const TOLERATED: u64 = 100;
/// Rounds without a change before the delay is tried shorter.
const CALM_ROUNDS: u32 = 60;
/// How much shorter.
const STEP: Duration = Duration::from_secs(30);

/// The delay of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settling {
    least: Duration,
    delay: Duration,
    calm: u32,
    round: Round,
}

/// What one round of asks showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Round {
    told: u64,
    changed: u64,
    /// The oldest that a changed period was when it was seen to have changed.
    age: Duration,
}

impl Settling {
    /// A delay of at least `least`.
    #[must_use]
    pub fn new(least: Duration) -> Self {
        Self { least, delay: least, calm: 0, round: Round::default() }
    }

    /// How old a period's end must be before it counts as settled.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        self.delay
    }

    /// A value was told for the first time.
    pub(super) fn told(&mut self) {
        self.round.told += 1;
    }

    /// A value came, or changed, for a period that had been answered; its end is `age` ago.
    pub(super) fn changed(&mut self, age: Duration) {
        self.round.told += 1;
        self.round.changed += 1;
        self.round.age = self.round.age.max(age);
    }

    /// A round of asks is over.
    pub(super) fn finish_round(&mut self) {
        let Round { told, changed, age } = std::mem::take(&mut self.round);
        if changed.saturating_mul(TOLERATED) > told {
            self.delay = self.delay.max(age).min(DELAY_MAX.max(self.least));
            self.calm = 0;
        } else if told > 0 {
            self.calm += 1;
        }
        if self.calm >= CALM_ROUNDS {
            self.delay = self.delay.saturating_sub(STEP).max(self.least);
            self.calm = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_secs(120);

    fn round(settling: &mut Settling, told: u64, changed: u64, age: u64) -> u64 {
        (0..told - changed).for_each(|_| settling.told());
        (0..changed).for_each(|_| settling.changed(Duration::from_secs(age)));
        settling.finish_round();
        settling.delay().as_secs()
    }

    #[test]
    fn the_delay_follows_what_settles_late_and_comes_back() {
        let mut settling = Settling::new(LEAST);
        assert_eq!(round(&mut settling, 1_000, 10, 300), 120, "one in a hundred is a straggler");
        assert_eq!(round(&mut settling, 1_000, 11, 185), 185);
        assert_eq!(round(&mut settling, 10, 10, 9_999), 600);
        let calm = (0..CALM_ROUNDS).map(|_| round(&mut settling, 10, 0, 0)).last();
        assert_eq!(calm, Some(570));
        for _ in 0..CALM_ROUNDS * 20 {
            round(&mut settling, 10, 0, 0);
        }
        assert_eq!(settling.delay(), LEAST);
    }

    #[test]
    fn silence_is_no_proof_of_calm() {
        let mut settling = Settling::new(LEAST);
        round(&mut settling, 10, 10, 300);
        (0..CALM_ROUNDS * 5).for_each(|_| settling.finish_round());
        assert_eq!(settling.delay().as_secs(), 300);
    }
}
