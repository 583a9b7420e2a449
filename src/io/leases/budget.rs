//! Owns how fast a table may be read: what a page has cost is waited for before the next one.
//! Refuses to guess the cost where DynamoDB tells it.

use crate::io::clock::Clock;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Rows of some 500 bytes that half a read unit pays for where nobody tells: it takes 4 KiB.
const ROWS_PER_HALF_UNIT: f64 = 8.0;

/// The budget of one table; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    clock: Clock,
    units_per_second: f64,
    /// What was spent is paid at this monotonic time.
    paid_at: Arc<Mutex<Duration>>,
}

impl Budget {
    pub(super) fn new(clock: Clock, units_per_second: u32) -> Self {
        let units_per_second = f64::from(units_per_second.max(1));
        Self { clock, units_per_second, paid_at: Arc::default() }
    }

    /// Waits until all that was spent is paid.
    pub(super) async fn turn(&self) {
        let at = *self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.sleep_until(at).await;
    }

    /// Takes in what a page has cost, or how many rows were looked at; gives the cost in read units.
    pub(super) fn spend(&self, units: Option<f64>, rows: i32) -> f64 {
        let estimated = (f64::from(rows.max(1)) / ROWS_PER_HALF_UNIT).ceil() / 2.0;
        let units = units.filter(|units| units.is_finite() && *units > 0.0).unwrap_or(estimated);
        let now = self.clock.now().mono;
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        *paid_at = (*paid_at).max(now) + Duration::from_secs_f64(units / self.units_per_second);
        units
    }

    /// Rows of a page: about what a second pays for, so that no page is a burst.
    pub(super) fn page_rows(&self) -> i32 {
        let rows = 2.0 * ROWS_PER_HALF_UNIT * self.units_per_second;
        rows.clamp(25.0, 1_000.0) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;

    #[tokio::test(start_paused = true)]
    async fn what_was_spent_is_waited_for() {
        let clock = Clock::simulated(Wall::from_ms(0));
        let budget = Budget::new(clock.clone(), 10);
        let spend = async |units: Option<f64>, rows, cost: f64, at_ms| {
            budget.turn().await;
            assert!((budget.spend(units, rows) - cost).abs() < 1e-9);
            budget.turn().await;
            assert_eq!(clock.now().mono.as_millis(), at_ms);
        };
        spend(Some(20.0), 1, 20.0, 2_000).await;
        spend(Some(0.5), 1, 0.5, 2_050).await;
        // DynamoDB Local and emulators may tell nothing.
        spend(None, 16, 1.0, 2_150).await;
        spend(Some(0.0), 0, 0.5, 2_200).await;
        assert_eq!(budget.page_rows(), 160);
    }
}
