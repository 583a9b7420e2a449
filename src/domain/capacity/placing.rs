//! Owns which shard a record belongs to: its partition key's MD5, or its explicit hash key, against
//! the hash ranges of the open shards. Refuses to guess: a key of no range has no shard, and ranges
//! that overlap are no map.

use crate::domain::stream::ShardId;
use md5::{Digest, Md5};

/// The hash ranges of a stream's open shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashRanges(Vec<HashRange>);

/// The hash keys of one open shard, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashRange {
    /// The first.
    pub begin: u128,
    /// The last.
    pub end: u128,
    /// Whose they are.
    pub shard: ShardId,
}

impl HashRanges {
    /// A map of these; `None` where they are none, or contradict each other.
    #[must_use]
    pub fn new(mut ranges: Vec<HashRange>) -> Option<Self> {
        ranges.sort_by_key(|range| range.begin);
        let ordered = ranges.iter().all(|range| range.begin <= range.end);
        let apart =
            ranges.iter().zip(ranges.iter().skip(1)).all(|(one, next)| one.end < next.begin);
        (ordered && apart && !ranges.is_empty()).then_some(Self(ranges))
    }

    /// Whose a hash key is.
    #[must_use]
    pub fn shard(&self, hash: u128) -> Option<&ShardId> {
        let after = self.0.partition_point(|range| range.begin <= hash);
        let range = self.0.get(after.checked_sub(1)?)?;
        (hash <= range.end).then_some(&range.shard)
    }
}

/// The hash key that Kinesis makes of a partition key.
#[must_use]
pub fn hash_of_key(partition_key: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}

/// A hash key as requests and ListShards write it: a decimal number.
#[must_use]
pub fn hash_of_digits(digits: &[u8]) -> Option<u128> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(begin: u128, end: u128, shard: &str) -> HashRange {
        HashRange { begin, end, shard: shard.into() }
    }

    #[test]
    fn a_hash_belongs_to_the_range_that_holds_it() {
        let middle = u128::MAX / 2;
        let ranges = vec![range(middle + 1, u128::MAX, "b"), range(10, middle, "a")];
        let ranges = HashRanges::new(ranges).unwrap();
        let check = |hash, expected: Option<&str>| {
            assert_eq!(ranges.shard(hash).map(ShardId::as_str), expected, "{hash}");
        };
        check(9, None);
        check(10, Some("a"));
        check(middle, Some("a"));
        check(middle + 1, Some("b"));
        check(u128::MAX, Some("b"));
        // As `md5sum` says: 0cc1… and 92eb….
        check(hash_of_key(b"a"), Some("a"));
        check(hash_of_key(b"b"), Some("b"));
        assert_eq!(hash_of_key(b"a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    }

    #[test]
    fn ranges_that_contradict_are_no_map() {
        assert_eq!(HashRanges::new(Vec::new()), None);
        assert_eq!(HashRanges::new(vec![range(0, 5, "a"), range(5, 9, "b")]), None);
        assert_eq!(HashRanges::new(vec![range(5, 4, "a")]), None);
        assert!(HashRanges::new(vec![range(0, 4, "a"), range(7, 9, "b")]).is_some());
    }

    #[test]
    fn hash_keys_are_decimal() {
        let check =
            |digits: &str, expected| assert_eq!(hash_of_digits(digits.as_bytes()), expected);
        check("340282366920938463463374607431768211455", Some(u128::MAX));
        check("340282366920938463463374607431768211456", None);
        check("0", Some(0));
        check("-1", None);
        check("", None);
    }
}
