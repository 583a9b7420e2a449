//! Owns what the embedded Kinesis forgets: when each record arrived, to the millisecond, and so how
//! far behind a read cursor is. Refuses to hold records.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Most records of one shard that are remembered; the demo's Kinesis forgets the same ones.
pub(super) const RECORDS_MAX: usize = 20_000;
/// Most bytes of one shard that are.
pub(super) const BYTES_MAX: usize = 16 << 20;

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

/// One record that was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Accepted<'a> {
    /// Its sequence number.
    pub sequence: &'a str,
    /// When it arrived, in milliseconds since the epoch.
    pub arrival_ms: u64,
    /// How large it is.
    pub bytes: usize,
}

#[derive(Debug)]
struct Remembered {
    sequence: Sequence,
    arrival_ms: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Shard {
    records: VecDeque<Remembered>,
    bytes: usize,
}

/// Arrival of every remembered record, by stream and shard, in the order of the shard.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    shards: BTreeMap<(String, String), Shard>,
}

impl Arrivals {
    /// Remembers one accepted record. Returns the sequence numbers of the oldest, forgotten for it
    /// when the shard has more than [`RECORDS_MAX`] or [`BYTES_MAX`].
    pub(super) fn stamp(
        &mut self,
        stream: &str,
        shard: &str,
        accepted: Accepted<'_>,
    ) -> Vec<String> {
        let Accepted { sequence, arrival_ms, bytes } = accepted;
        let shard = self.shards.entry((stream.to_owned(), shard.to_owned())).or_default();
        let sequence = Sequence(sequence.into());
        // Nearly always the end: sequence numbers are given out in order.
        let at = shard.records.partition_point(|known| known.sequence < sequence);
        shard.records.insert(at, Remembered { sequence, arrival_ms, bytes });
        shard.bytes += bytes;
        let mut forgotten = Vec::new();
        while shard.records.len() > RECORDS_MAX || shard.bytes > BYTES_MAX {
            let Some(oldest) = shard.records.pop_front() else { break };
            shard.bytes = shard.bytes.saturating_sub(oldest.bytes);
            forgotten.push(oldest.sequence.0.into());
        }
        forgotten
    }

    /// When a record arrived, in milliseconds since the epoch; `None` for one not remembered.
    #[must_use]
    pub(super) fn arrival_ms(&self, stream: &str, shard: &str, sequence: &str) -> Option<u64> {
        let records = self.shard(stream, shard)?;
        let sequence = Sequence(sequence.into());
        let at = records.binary_search_by(|known| known.sequence.cmp(&sequence)).ok()?;
        records.get(at).map(|known| known.arrival_ms)
    }

    /// How far a cursor that stands just after `last_read` is behind at `now_ms`: as long as the
    /// next unread record has waited; 0 at the tip.
    #[must_use]
    pub(super) fn behind_ms(&self, stream: &str, shard: &str, last_read: &str, now_ms: u64) -> u64 {
        let Some(records) = self.shard(stream, shard) else { return 0 };
        let last_read = Sequence(last_read.into());
        let next = records.partition_point(|known| known.sequence <= last_read);
        // A record of this very millisecond has waited, too: 0 is for the tip alone.
        records.get(next).map_or(0, |known| now_ms.saturating_sub(known.arrival_ms).max(1))
    }

    fn shard(&self, stream: &str, shard: &str) -> Option<&VecDeque<Remembered>> {
        self.shards.get(&(stream.to_owned(), shard.to_owned())).map(|shard| &shard.records)
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
            let accepted = Accepted { sequence, arrival_ms, bytes: 2 };
            assert_eq!(arrivals.stamp("s", "shard", accepted), [""; 0]);
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

    fn stamp(arrivals: &mut Arrivals, sequence: &str, bytes: usize) -> Vec<String> {
        arrivals.stamp("s", "shard", Accepted { sequence, arrival_ms: 7, bytes })
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut arrivals = Arrivals::default();
        for number in 0..RECORDS_MAX {
            assert_eq!(stamp(&mut arrivals, &format!("{number:09}"), 2), [""; 0]);
        }
        assert_eq!(stamp(&mut arrivals, "999999999", 2), ["000000000"]);
        assert_eq!(arrivals.arrival_ms("s", "shard", "000000000"), None);
    }

    #[test]
    fn as_many_are_forgotten_as_make_room_for_a_large_one() {
        let mut arrivals = Arrivals::default();
        for sequence in ["1", "2", "3", "4"] {
            assert_eq!(stamp(&mut arrivals, sequence, BYTES_MAX / 4), [""; 0]);
        }
        assert_eq!(stamp(&mut arrivals, "5", BYTES_MAX / 2), ["1", "2"]);
        assert_eq!(stamp(&mut arrivals, "6", 1), ["3"]);
        assert_eq!(stamp(&mut arrivals, "7", BYTES_MAX / 4 - 1), [""; 0]);
    }
}
