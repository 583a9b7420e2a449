//! Owns what puts take of a shard's capacity: rates over a window, utilisation, skew, the heaviest
//! keys. Refuses clocks and keys: a key is a number that only this process can make of it.
//! Source of the limits: reference/metrics.md 3.3.

mod day;
mod loads;
mod named;
mod placing;
mod sketch;
mod window;

pub use day::{Day, Usage};
pub use loads::{Loads, ShardLoad, StreamLoad, TopSeen};
pub use named::{Named, Naming, OTHER};
pub use placing::{HashRange, HashRanges, hash_of_digits, hash_of_key};
pub use sketch::{Heavy, Sketch};
pub use window::{Rates, Window};

use std::sync::Arc;

/// What a shard takes a second, data and partition keys.
pub const BYTES_PER_SECOND: f64 = 1_000_000.0;
/// What a shard takes a second, in records.
pub const RECORDS_PER_SECOND: f64 = 1_000.0;

/// What was put to one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Puts {
    /// Records that were stored.
    pub records: u64,
    /// Their bytes as Kinesis counts them: data and partition keys.
    pub bytes: u64,
    /// Records that were refused by throttling.
    pub throttled: u64,
}

/// What the heaviest key is to one shard, as one process counted it: another process cannot tell
/// which key it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopKey {
    /// Its share of what that process put to the shard, 0..1: so much at least.
    pub share: f64,
    /// How many keys are heavy.
    pub keys: u32,
}

/// Another process, whose puts are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writer {
    /// The service it sits beside.
    pub service: Arc<str>,
    /// The pod's name, or where it has none what it calls itself since its start.
    pub pod: Arc<str>,
}

impl Puts {
    /// Adds others.
    pub const fn add(&mut self, other: Self) {
        self.records = self.records.saturating_add(other.records);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.throttled = self.throttled.saturating_add(other.throttled);
    }

    /// What came since `before`; all of it where the count began anew.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        if self.records < before.records || self.bytes < before.bytes {
            return self;
        }
        Self {
            records: self.records - before.records,
            bytes: self.bytes - before.bytes,
            throttled: self.throttled.saturating_sub(before.throttled),
        }
    }

    /// Whether nothing was put.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0 && self.bytes == 0 && self.throttled == 0
    }
}

#[cfg(test)]
mod tests;
