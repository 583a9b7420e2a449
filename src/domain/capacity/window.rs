//! Owns the rate of what was put to one shard over the last half minute. Refuses a rate before a
//! whole piece of it has passed: a second's burst is no rate.

use super::{BYTES_PER_SECOND, Puts, RECORDS_PER_SECOND};
use std::time::Duration;

/// One piece of the window …
const PIECE: Duration = Duration::from_secs(5);
/// … and how many there are.
const PIECES: usize = 6;

/// What was put of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// By the number of the piece since the process began, modulo their count.
    pieces: [(u64, Puts); PIECES],
    /// The first piece that was seen from its begin.
    first: Option<u64>,
    newest: Duration,
}

/// What was put a second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Records that were stored.
    pub records: f64,
    /// Their bytes.
    pub bytes: f64,
    /// Records that were refused by throttling.
    pub throttled: f64,
}

impl Rates {
    /// The share of a shard's capacity that this is, by bytes or by records, whichever is nearer to
    /// its limit.
    #[must_use]
    pub fn utilization(&self) -> f64 {
        (self.bytes / BYTES_PER_SECOND).max(self.records / RECORDS_PER_SECOND)
    }
}

const fn piece(at: Duration) -> u64 {
    at.as_secs() / PIECE.as_secs()
}

impl Window {
    /// Takes in what was put up to `at`.
    pub fn add(&mut self, puts: Puts, at: Duration) {
        let number = piece(at);
        self.first.get_or_insert(number + 1);
        self.newest = self.newest.max(at);
        let slot = usize::try_from(number).unwrap_or_default() % PIECES;
        let Some((held, sum)) = self.pieces.get_mut(slot) else { return };
        if *held < number {
            (*held, *sum) = (number, Puts::default());
        }
        if *held == number {
            sum.add(puts);
        }
    }

    /// What was put a second, over the whole pieces before `now`; `None` before there is one.
    #[must_use]
    pub fn rates(&self, now: Duration) -> Option<Rates> {
        let current = piece(now);
        let oldest = self.first?.max(current.saturating_sub(PIECES as u64 - 1));
        let count = current.checked_sub(oldest).filter(|count| *count > 0)?;
        let mut all = Puts::default();
        let whole = self.pieces.iter().filter(|(number, _)| (oldest..current).contains(number));
        whole.for_each(|(_, puts)| all.add(*puts));
        let seconds = count as f64 * PIECE.as_secs_f64();
        let rate = |total: u64| total as f64 / seconds;
        Some(Rates {
            records: rate(all.records),
            bytes: rate(all.bytes),
            throttled: rate(all.throttled),
        })
    }

    /// When something was put last.
    #[must_use]
    pub const fn newest(&self) -> Duration {
        self.newest
    }
}
