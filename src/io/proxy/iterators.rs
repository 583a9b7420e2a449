//! Owns which stream and shard an opaque iterator belongs to: learned at GetShardIterator, followed
//! through NextShardIterator. Refuses to grow: one place holds its current iterator and the one
//! before (a client may repeat a call), and all places together are bounded.

use crate::domain::stream::{ShardId, StreamName};
use crate::domain::time::Moment;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Kinesis forgets an iterator after five minutes; a call that was made in time may still be on its
/// way.
const LIFE: Duration = Duration::from_secs(6 * 60);

/// What an iterator stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard: ShardId,
    /// When the batch that came with this iterator was delivered; `None` for a first iterator.
    pub delivered: Option<Moment>,
    previous: Option<u64>,
}

/// The map, keyed by a hash: iterators are long and there are many.
#[derive(Debug)]
pub(super) struct Iterators {
    places: HashMap<u64, Place>,
    order: VecDeque<(Moment, u64)>,
    hasher: RandomState,
    places_max: usize,
}

impl Iterators {
    pub(super) fn new(places_max: usize) -> Self {
        Self {
            places: HashMap::new(),
            order: VecDeque::new(),
            hasher: RandomState::new(),
            places_max,
        }
    }

    /// An iterator that GetShardIterator gave.
    pub(super) fn begin(
        &mut self,
        iterator: &str,
        stream: StreamName,
        shard: ShardId,
        now: Moment,
    ) {
        let place = Place { stream, shard, delivered: None, previous: None };
        self.insert(self.hasher.hash_one(iterator), place, now);
    }

    /// Where an iterator reads.
    pub(super) fn place(&self, iterator: &str) -> Option<&Place> {
        self.places.get(&self.hasher.hash_one(iterator))
    }

    /// `next` continues `iterator`.
    pub(super) fn follow(&mut self, iterator: &str, next: &str, now: Moment) {
        let (from, to) = (self.hasher.hash_one(iterator), self.hasher.hash_one(next));
        let Some(place) = self.places.get(&from) else { return };
        let (stream, shard, before) = (place.stream.clone(), place.shard.clone(), place.previous);
        if let Some(before) = before.filter(|before| *before != to) {
            self.places.remove(&before);
        }
        self.insert(to, Place { stream, shard, delivered: Some(now), previous: Some(from) }, now);
    }

    fn insert(&mut self, key: u64, place: Place, now: Moment) {
        while let Some((since, oldest)) = self.order.front().copied() {
            let live = self.places.contains_key(&oldest);
            if live && self.places.len() < self.places_max && now.since(since) < LIFE {
                break;
            }
            self.order.pop_front();
            self.places.remove(&oldest);
        }
        // Followed iterators leave their place in the order behind a long-lived front.
        if self.order.len() > 2 * self.places_max {
            self.order.retain(|(_, key)| self.places.contains_key(key));
        }
        if self.places.insert(key, place).is_none() {
            self.order.push_back((now, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    fn shard_of(iterators: &Iterators, iterator: &str) -> Option<String> {
        iterators.place(iterator).map(|place| place.shard.to_string())
    }

    #[test]
    fn an_iterator_is_followed_and_a_repeat_still_known() {
        let mut iterators = Iterators::new(10);
        iterators.begin("a0", "s".into(), "1".into(), at(0));
        for step in 0..100_u64 {
            iterators.follow(&format!("a{step}"), &format!("a{}", step + 1), at(step));
        }
        assert_eq!(shard_of(&iterators, "a100").as_deref(), Some("1"));
        assert_eq!(shard_of(&iterators, "a99").as_deref(), Some("1"), "a repeated call");
        assert_eq!(shard_of(&iterators, "a98"), None);
        assert!(iterators.places.len() <= 2);
    }

    #[test]
    fn bounded_in_number_and_age() {
        let mut iterators = Iterators::new(10);
        for i in 0..1_000 {
            iterators.begin(&format!("x{i}"), "s".into(), "1".into(), at(0));
        }
        assert!(iterators.places.len() <= 10 && iterators.order.len() <= 21);
        iterators.begin("late", "s".into(), "2".into(), at(3_600));
        assert_eq!(iterators.places.len(), 1);
        assert_eq!(shard_of(&iterators, "late").as_deref(), Some("2"));
    }
}
