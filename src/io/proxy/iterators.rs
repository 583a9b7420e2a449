//! Owns which stream and shard an opaque iterator belongs to: learned at GetShardIterator, followed
//! through NextShardIterator, shared by the data plane and the observer. Refuses to grow: one place
//! holds its current iterator and the one before (a client may repeat a call), and all places
//! together are bounded. Refuses to keep an iterator: it knows them by their hash.

use super::journal::Journal;
use crate::domain::stream::{ShardId, StreamName};
use crate::domain::time::{Moment, Wall};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Kinesis forgets an iterator after five minutes; a call that was made in time may still be on its
/// way.
pub(super) const LIFE: Duration = Duration::from_secs(6 * 60);

/// What an iterator stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard: ShardId,
    /// When the batch that came with this iterator was delivered; `None` for a first iterator, and
    /// for one that was handed out before this process began.
    pub delivered: Option<Moment>,
}

/// One step of the map: an iterator was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The iterator's hash.
    pub key: u64,
    /// The hash of the iterator that it continues.
    pub follows: Option<u64>,
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard: ShardId,
    /// When it was handed out.
    pub at: Wall,
}

/// The map, keyed by a hash that is the same in every process: iterators are long, there are many,
/// and they outlive a sidecar. Clones share it.
#[derive(Debug, Clone)]
pub struct Iterators {
    map: Arc<Mutex<Map>>,
    journal: Option<Journal>,
}

#[derive(Debug)]
struct Map {
    places: HashMap<u64, (Entry, Option<Moment>)>,
    /// On the monotonic clock, when each is forgotten.
    order: VecDeque<(Duration, u64)>,
    places_max: usize,
}

impl Iterators {
    /// Follows at most `places_max` iterators.
    #[must_use]
    pub fn new(places_max: usize) -> Self {
        let map = Map { places: HashMap::new(), order: VecDeque::new(), places_max };
        Self { map: Arc::new(Mutex::new(map)), journal: None }
    }

    /// With what another process knew, in the order in which it came to know it. What is too old is
    /// left out, and what is of the future: a clock was set, and nothing tells its age.
    pub(super) fn restore(places_max: usize, entries: Vec<Entry>, now: Moment) -> Self {
        let restored = Self::new(places_max);
        let mut map = restored.map();
        for entry in entries {
            let rest = LIFE.saturating_sub(now.wall.since(entry.at));
            if entry.at <= now.wall && !rest.is_zero() {
                map.step(entry, None, now.mono, rest);
            }
        }
        drop(map);
        restored
    }

    /// Every further step is told to the journal.
    pub(super) fn journaled(self, journal: Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// What is known, oldest first.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let map = self.map();
        map.order.iter().filter_map(|(_, key)| Some(map.places.get(key)?.0.clone())).collect()
    }

    /// An iterator that GetShardIterator gave.
    pub(super) fn begin(&self, iterator: &str, stream: StreamName, shard: ShardId, now: Moment) {
        let entry = Entry { key: key(iterator), follows: None, stream, shard, at: now.wall };
        self.step(entry, None, now);
    }

    /// Where an iterator reads.
    pub(super) fn place(&self, iterator: &str) -> Option<Place> {
        let key = key(iterator);
        let map = self.map();
        let (entry, delivered) = map.places.get(&key)?;
        let (stream, shard) = (entry.stream.clone(), entry.shard.clone());
        Some(Place { stream, shard, delivered: *delivered })
    }

    /// The reader calls with this iterator: when the batch that came with it was delivered. Told
    /// once: a repeated call ends no pause.
    pub(super) fn called(&self, iterator: &str) -> Option<Moment> {
        let key = key(iterator);
        self.map().places.get_mut(&key)?.1.take()
    }

    /// `next` continues `iterator`.
    pub(super) fn follow(&self, iterator: &str, next: &str, now: Moment) {
        let Some(Place { stream, shard, .. }) = self.place(iterator) else { return };
        let follows = Some(key(iterator));
        let entry = Entry { key: key(next), follows, stream, shard, at: now.wall };
        self.step(entry, Some(now), now);
    }

    fn step(&self, entry: Entry, delivered: Option<Moment>, now: Moment) {
        self.map().step(entry.clone(), delivered, now.mono, LIFE);
        if let Some(journal) = &self.journal {
            journal.note(entry);
        }
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map {
    /// Forgets what the new iterator makes old, and keeps it for `rest`.
    fn step(&mut self, entry: Entry, delivered: Option<Moment>, mono: Duration, rest: Duration) {
        let followed = entry.follows.and_then(|follows| self.places.get(&follows));
        if let Some(before) = followed.and_then(|(followed, _)| followed.follows)
            && before != entry.key
        {
            self.places.remove(&before);
        }
        while let Some((expires, oldest)) = self.order.front().copied() {
            let live = self.places.contains_key(&oldest);
            if live && self.places.len() < self.places_max && mono < expires {
                break;
            }
            self.order.pop_front();
            self.places.remove(&oldest);
        }
        // Followed iterators leave their place in the order behind a long-lived front.
        if self.order.len() > 2 * self.places_max {
            self.order.retain(|(_, key)| self.places.contains_key(key));
        }
        let key = entry.key;
        if self.places.insert(key, (entry, delivered)).is_none() {
            self.order.push_back((mono.saturating_add(rest), key));
        }
    }
}

/// The first eight bytes of an iterator's SHA-256.
pub(super) fn key(iterator: &str) -> u64 {
    Sha256::digest(iterator).iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// The shard that a sequence number of Kinesis belongs to; `None` for another form of it (some
/// emulators'), which says nothing. Of the 47 hexadecimal digits of such a number the first is 2,
/// the last its version, the eight before that the shard's index, whose last digit also is the
/// eleventh: found by the authors of kinesalite, and so in all numbers that AWS has published.
pub(super) fn shard_of_sequence(sequence: &str) -> Option<ShardId> {
    if sequence.len() != 56 {
        return None;
    }
    // 192 bits, the lowest first.
    let mut limbs = [0_u64; 3];
    for digit in sequence.bytes() {
        let mut carry = u128::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        for limb in &mut limbs {
            carry += u128::from(*limb) * 10;
            *limb = carry as u64;
            carry >>= 64;
        }
    }
    let [low, _, high] = limbs;
    let shard = low >> 4 & 0xffff_ffff;
    let (version, repeated, first) = (low & 0xf, high >> 16 & 0xf, high >> 56);
    let is_whole = matches!(version, 1 | 2) && repeated == shard & 0xf && first == 2;
    // The number that ends a closed shard may carry a negative index.
    (is_whole && shard >> 31 == 0).then(|| format!("shardId-{shard:012}").as_str().into())
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
        let iterators = Iterators::new(10);
        iterators.begin("a0", "s".into(), "1".into(), at(0));
        for step in 0..100_u64 {
            iterators.follow(&format!("a{step}"), &format!("a{}", step + 1), at(step));
        }
        assert_eq!(shard_of(&iterators, "a100").as_deref(), Some("1"));
        assert_eq!(shard_of(&iterators, "a99").as_deref(), Some("1"), "a repeated call");
        assert_eq!(iterators.called("a100"), Some(at(99)));
        assert_eq!((iterators.called("a100"), iterators.called("other")), (None, None));
        assert_eq!(shard_of(&iterators, "a98"), None);
        assert!(iterators.map().places.len() <= 2);
    }

    #[test]
    fn bounded_in_number_and_age() {
        let iterators = Iterators::new(10);
        for i in 0..1_000 {
            iterators.begin(&format!("x{i}"), "s".into(), "1".into(), at(0));
        }
        let size = |map: &Map| (map.places.len(), map.order.len());
        let size = size(&iterators.map());
        assert!(size.0 <= 10 && size.1 <= 21, "{size:?}");
        iterators.begin("late", "s".into(), "2".into(), at(3_600));
        assert_eq!(iterators.map().places.len(), 1);
        assert_eq!(shard_of(&iterators, "late").as_deref(), Some("2"));
    }

    #[test]
    fn another_process_knows_them_too() {
        let before = Iterators::new(10);
        before.begin("a0", "s".into(), "1".into(), at(0));
        before.follow("a0", "a1", at(100));
        before.follow("a1", "a2", at(350));
        before.begin("b0", "s".into(), "2".into(), at(351));
        // The monotonic clock begins again.
        let now = Moment { wall: at(400).wall, mono: Duration::ZERO };
        let after = Iterators::restore(10, before.entries(), now);
        assert_eq!(shard_of(&after, "a0"), None);
        assert_eq!(shard_of(&after, "a1").as_deref(), Some("1"), "a repeated call");
        assert_eq!(after.place("a2").and_then(|place| place.delivered), None, "not by this clock");
        after.follow("a2", "a3", now);
        assert_eq!(shard_of(&after, "a1"), None);
        assert_eq!(shard_of(&after, "a3").as_deref(), Some("1"));
        // Five minutes count from when an iterator was handed out, not from the restart.
        let late = Moment { wall: at(800).wall, mono: Duration::from_secs(312) };
        after.begin("c0", "s".into(), "3".into(), late);
        assert_eq!((shard_of(&after, "b0"), shard_of(&after, "a2")), (None, None));
        assert_eq!(shard_of(&after, "a3").as_deref(), Some("1"));
    }

    #[test]
    fn what_is_too_old_or_of_the_future_is_left_out() {
        let check = |seconds, expected| {
            let (stream, shard) = ("s".into(), "1".into());
            let entry = Entry { key: key("x"), follows: None, stream, shard, at: at(1_000).wall };
            let restored = Iterators::restore(10, vec![entry], at(seconds));
            assert_eq!(restored.place("x").is_some(), expected, "{seconds}");
        };
        check(999, false);
        check(1_000, true);
        check(1_359, true);
        check(1_360, false);
    }

    #[test]
    fn the_shard_in_a_sequence_number() {
        let check = |sequence, expected: Option<&str>| {
            let shard = shard_of_sequence(sequence);
            assert_eq!(shard.as_ref().map(ShardId::as_str), expected, "{sequence}");
        };
        // Published in AWS' own examples.
        let (zero, one, two) =
            ("shardId-000000000000", "shardId-000000000001", "shardId-000000000002");
        check("49600871682957036442365024926191073437251060580128653314", Some(zero));
        check("49600871682979337187563555549332609155523708941634633746", Some(one));
        check("49600871683001637932762086172474144873796357303140614178", Some(two));
        check("49546986683135544286507457936321625675700192471156785154", Some(zero));
        // One digit on: the version is not one that we know.
        check("49600871682957036442365024926191073437251060580128653315", None);
        // 16 on: another shard, which the eleventh digit denies.
        check("49600871682957036442365024926191073437251060580128653330", None);
        check("49543463076548007577105092703039560359975228518395012686", None);
        check("99999999999999999999999999999999999999999999999999999999", None);
        check("4960087168295703644236502492619107343725106058012865331x", None);
        check("49600871682957036442365024926191073437251060580128653é", None);
        check("2126931998965363794671296540", None);
        check("", None);
    }
}
