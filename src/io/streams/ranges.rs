//! Owns each stream's hash ranges as ListShards told them, where the observer of puts can look
//! without asking. Refuses to guess: a stream that was not listed has none, and neither has one
//! whose list contradicts itself.

use crate::domain::capacity::HashRanges;
use crate::domain::stream::{ShardId, StreamName};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;

/// Streams whose ranges are kept; as many as are described. 60 bytes a shard.
const STREAMS_MAX: usize = 1_000;

type Known = HashMap<StreamName, Arc<HashRanges>>;

/// The learned ranges; clones share them. Read without a lock, written by the describer alone.
#[derive(Debug, Clone, Default)]
pub struct ShardRanges(Arc<ArcSwap<Known>>);

impl ShardRanges {
    /// The open shard of a hash key.
    #[must_use]
    pub fn shard(&self, stream: &StreamName, hash: u128) -> Option<ShardId> {
        self.0.load().get(stream)?.shard(hash).cloned()
    }

    /// Remembers the newest list of a stream.
    pub fn learn(&self, stream: &StreamName, ranges: Option<HashRanges>) {
        let known = self.0.load();
        if known.get(stream).map(|known| &**known) == ranges.as_ref() {
            return;
        }
        let mut all = Known::clone(&known);
        match ranges {
            Some(ranges) if all.len() < STREAMS_MAX || all.contains_key(stream) => {
                all.insert(stream.clone(), Arc::new(ranges));
            }
            Some(_) => return,
            None => {
                all.remove(stream);
            }
        }
        self.0.store(Arc::new(all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::capacity::HashRange;

    #[test]
    fn the_newest_list_counts() {
        let ranges = ShardRanges::default();
        let orders = StreamName::from("orders");
        let listed = |end, shard: &str| {
            HashRanges::new(vec![HashRange { begin: 0, end, shard: shard.into() }])
        };
        let says = |expected: Option<&str>| {
            let shard = ranges.shard(&orders, 7);
            assert_eq!(shard.as_ref().map(ShardId::as_str), expected);
        };
        says(None);
        ranges.learn(&orders, listed(9, "a"));
        says(Some("a"));
        ranges.learn(&orders, listed(9, "b"));
        says(Some("b"));
        ranges.learn(&orders, listed(6, "c"));
        says(None);
        ranges.learn(&orders, None);
        says(None);
        (0..2 * STREAMS_MAX)
            .for_each(|i| ranges.learn(&format!("s{i}").as_str().into(), listed(9, "a")));
        assert_eq!(ranges.0.load().len(), STREAMS_MAX);
    }
}
