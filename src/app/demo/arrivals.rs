//! Owns what the embedded Kinesis forgets: when each record arrived, to the millisecond, and so how
//! far behind a read cursor is. Refuses to hold records.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Most records of one shard that are remembered; the demo's Kinesis forgets the same ones.
pub(super) const RECORDS_MAX: usize = 20_000;

/// A sequence number, ordered as the number it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sequence(Box<str>);

impl Ord for Sequence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Sequence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Arrival of every remembered record, by stream and shard, in the order of the shard.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    shards: BTreeMap<(String, String), VecDeque<(Sequence, u64)>>,
}

impl Arrivals {
    /// Remembers one accepted record. Returns the sequence number of the oldest, forgotten for it
    /// when the shard has more than [`RECORDS_MAX`].
    pub(super) fn stamp(
        &mut self,
        stream: &str,
        shard: &str,
        sequence: &str,
        arrival_ms: u64,
    ) -> Option<String> {
        let records = self.shards.entry((stream.to_owned(), shard.to_owned())).or_default();
        let sequence = Sequence(sequence.into());
        // Nearly always the end: sequence numbers are given out in order.
        let at = records.partition_point(|(known, _)| *known < sequence);
        records.insert(at, (sequence, arrival_ms));
        if records.len() <= RECORDS_MAX {
            return None;
        }
        records.pop_front().map(|(oldest, _)| oldest.0.into())
    }

    /// When a record arrived, in milliseconds since the epoch; `None` for one not remembered.
    #[must_use]
    pub(super) fn arrival_ms(&self, stream: &str, shard: &str, sequence: &str) -> Option<u64> {
        let records = self.shard(stream, shard)?;
        let sequence = Sequence(sequence.into());
        let at = records.binary_search_by(|(known, _)| known.cmp(&sequence)).ok()?;
        records.get(at).map(|(_, arrival_ms)| *arrival_ms)
    }

    /// How far a cursor that stands just after `last_read` is behind at `now_ms`: as long as the
    /// next unread record has waited; 0 at the tip.
    #[must_use]
    pub(super) fn behind_ms(&self, stream: &str, shard: &str, last_read: &str, now_ms: u64) -> u64 {
        let Some(records) = self.shard(stream, shard) else { return 0 };
        let last_read = Sequence(last_read.into());
        let next = records.partition_point(|(known, _)| *known <= last_read);
        // A record of this very millisecond has waited, too: 0 is for the tip alone.
        records.get(next).map_or(0, |(_, arrival_ms)| now_ms.saturating_sub(*arrival_ms).max(1))
    }

    fn shard(&self, stream: &str, shard: &str) -> Option<&VecDeque<(Sequence, u64)>> {
        self.shards.get(&(stream.to_owned(), shard.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_behind_as_long_as_the_next_record_has_waited() {
        let mut arrivals = Arrivals::default();
        // Out of order, and with a sequence number one digit shorter: numbers, not text.
        for (sequence, arrival_ms) in [("100", 3_000), ("98", 0), ("99", 1_500)] {
            assert_eq!(arrivals.stamp("s", "shard", sequence, arrival_ms), None);
        }
        let behind = |last_read, now_ms| arrivals.behind_ms("s", "shard", last_read, now_ms);
        assert_eq!(behind("97", 4_500), 4_500);
        assert_eq!(behind("98", 4_500), 3_000);
        assert_eq!(behind("99", 4_500), 1_500);
        assert_eq!(behind("99", 3_000), 1);
        assert_eq!(behind("100", 4_500), 0);
        assert_eq!(arrivals.behind_ms("s", "other", "1", 4_500), 0);
        assert_eq!(arrivals.arrival_ms("s", "shard", "99"), Some(1_500));
        assert_eq!(arrivals.arrival_ms("s", "shard", "101"), None);
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut arrivals = Arrivals::default();
        for number in 0..RECORDS_MAX {
            assert_eq!(arrivals.stamp("s", "shard", &format!("{number:09}"), 7), None);
        }
        assert_eq!(arrivals.stamp("s", "shard", "999999999", 7), Some("000000000".to_owned()));
        assert_eq!(arrivals.arrival_ms("s", "shard", "000000000"), None);
    }
}
