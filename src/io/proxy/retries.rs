//! Owns what ties a second try to the first: calls by the id that an SDK gives all tries of one,
//! and records that Kinesis refused one by one, by a keyed hash of their bytes. Refuses to grow, to
//! remember for long, and to keep a record.

use super::names;
use crate::domain::time::Moment;
use crate::domain::trace::{TraceContext, TraceState};
use http::HeaderMap;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// SDKs give up after seconds, producers of their own after a minute or so.
const LIFE: Duration = Duration::from_secs(2 * 60);
/// Refused records that are remembered: sixteen whole puts. Over it the oldest is forgotten.
const RECORDS_MAX: usize = 8_192;

/// What a try gave a record to carry.
pub(super) type Context = (TraceContext, TraceState);

/// Which try of its call a request is, from 1; `None` without a readable `amz-sdk-request`.
pub(super) fn attempt(headers: &HeaderMap) -> Option<u32> {
    let text = headers.get(&names::SDK_REQUEST)?.as_bytes();
    // Of bytes: each put has this header, and to split a `str` takes several times as long.
    let mut pairs = text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let number = |pair: &[u8]| {
        let number = pair.strip_prefix(b"attempt")?.trim_ascii_start().strip_prefix(b"=")?;
        std::str::from_utf8(number.trim_ascii()).ok()?.parse().ok()
    };
    pairs.find_map(number).filter(|number| *number > 0)
}

/// The first context of each call, by its `amz-sdk-invocation-id`.
#[derive(Debug)]
pub(super) struct Calls(Mutex<Recent<u128>>);

impl Calls {
    /// Remembers `most` calls. Over it the oldest is forgotten, and a late retry of it then begins a
    /// trace of its own.
    pub(super) fn new(most: usize) -> Self {
        Self(Mutex::new(Recent::new(most)))
    }

    /// The context that the first try of this call got; the first try gets `fresh`. A request
    /// without an id that is a UUID is a call of its own.
    pub(super) fn first_context(
        &self,
        headers: &HeaderMap,
        now: Moment,
        fresh: impl FnOnce() -> Context,
    ) -> Context {
        let Some(id) = invocation(headers) else { return fresh() };
        let mut calls = lock(&self.0);
        calls.forget_old(now);
        calls.keep(id, fresh, now)
    }
}

/// A UUID as the number that it is.
fn invocation(headers: &HeaderMap) -> Option<u128> {
    let text = headers.get(&names::SDK_INVOCATION_ID)?.as_bytes();
    let mut digits = [0; 32];
    let mut rest = &mut digits[..];
    for group in text.splitn(5, |byte| *byte == b'-').zip([8, 4, 4, 4, 12]) {
        let (place, behind) = rest.split_at_mut_checked(group.1)?;
        place.copy_from_slice(Some(group.0).filter(|digits| digits.len() == group.1)?);
        rest = behind;
    }
    let mut id = [0; 16];
    // What is missing is no digit either.
    hex::decode_to_slice(digits, &mut id).ok()?;
    Some(u128::from_be_bytes(id))
}

/// The context of each record that Kinesis refused inside a 200, by the bytes that the application
/// sent: it will send them again in a put of its own, and they are still the same event.
#[derive(Debug)]
pub struct RefusedRecords {
    records: Mutex<Recent<u64>>,
    hasher: RandomState,
    /// How many are remembered: the usual put reads this and no more.
    len: AtomicUsize,
}

impl Default for RefusedRecords {
    fn default() -> Self {
        let records = Mutex::new(Recent::new(RECORDS_MAX));
        Self { records, hasher: RandomState::new(), len: AtomicUsize::new(0) }
    }
}

impl RefusedRecords {
    /// Whether nothing is remembered, so that no record need be hashed.
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// A record was refused that carried this context. One of the same bytes that was refused
    /// before and did not come back yet keeps its own.
    pub(super) fn note(&self, record: &[u8], context: Context, now: Moment) {
        let key = self.hasher.hash_one(record);
        let mut records = lock(&self.records);
        records.forget_old(now);
        records.keep(key, || context, now);
        self.len.store(records.of.len(), Ordering::Relaxed);
    }

    /// The context that a record was refused with, if it was. It is then forgotten: a later record
    /// of the same bytes is another event.
    pub(super) fn first_context(&self, record: &[u8], now: Moment) -> Option<Context> {
        if self.is_empty() {
            return None;
        }
        let key = self.hasher.hash_one(record);
        let mut records = lock(&self.records);
        records.forget_old(now);
        let context = records.of.remove(&key).map(|(context, _)| context);
        self.len.store(records.of.len(), Ordering::Relaxed);
        context
    }
}

/// Contexts, the oldest forgotten first: by age, and where there are too many.
#[derive(Debug)]
struct Recent<K> {
    of: HashMap<K, (Context, Moment)>,
    order: VecDeque<(K, Moment)>,
    max: usize,
}

impl<K: Copy + Eq + Hash> Recent<K> {
    fn new(max: usize) -> Self {
        Self { of: HashMap::new(), order: VecDeque::new(), max }
    }

    /// What is known by this key, else `fresh`, which is kept.
    fn keep(&mut self, key: K, fresh: impl FnOnce() -> Context, now: Moment) -> Context {
        let context = match self.of.entry(key) {
            Entry::Occupied(known) => return known.get().0.clone(),
            Entry::Vacant(place) => place.insert((fresh(), now)).0.clone(),
        };
        self.order.push_back((key, now));
        if self.order.len() > self.max {
            self.forget_oldest();
        }
        context
    }

    fn forget_old(&mut self, now: Moment) {
        while self.order.front().is_some_and(|(_, since)| now.since(*since) >= LIFE) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((key, since)) = self.order.pop_front() else { return };
        // One that was taken and kept again is younger than its first place in the order.
        if let Entry::Occupied(known) = self.of.entry(key)
            && known.get().1 == since
        {
            known.remove();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const CALLS_MAX: usize = 4_096;

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    fn context(number: usize) -> Context {
        let text = format!("00-{:032x}-{number:016x}-01", 7);
        (TraceContext::parse(text.as_bytes()).unwrap(), TraceState::parse("a=b"))
    }

    fn headers(name: &'static str, value: &[u8]) -> HeaderMap {
        [(http::HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())]
            .into_iter()
            .collect()
    }

    #[test]
    fn which_try_an_sdk_makes() {
        let check = |text: &str, expected: Option<u32>| {
            assert_eq!(attempt(&headers("amz-sdk-request", text.as_bytes())), expected, "{text}");
        };
        check("attempt=1; max=3", Some(1));
        check("attempt=1", Some(1));
        check("ttl=20261122T195700Z; attempt=2; max=3", Some(2));
        check(" attempt = 4 ;; max=4;", Some(4));
        check("attempts=3;attempt=2", Some(2));
        check("attempt=0; max=3", None);
        check("attempt=-1", None);
        check("attempt=99999999999", None);
        check("max=3", None);
        check("é", None);
        check("", None);
        assert_eq!(attempt(&HeaderMap::new()), None);
    }

    #[test]
    fn a_retry_keeps_the_first_context() {
        let calls = Calls::new(CALLS_MAX);
        let check = |id: &str, seconds, fresh, expected| {
            let headers = headers("amz-sdk-invocation-id", id.as_bytes());
            let given = calls.first_context(&headers, at(seconds), || context(fresh));
            assert_eq!(given, context(expected), "{id} at {seconds} s");
        };
        let (a, b) =
            ("8a0fdc61-0ef5-4bb9-9b51-2f9a7b1f3c00", "8a0fdc61-0ef5-4bb9-9b51-2f9a7b1f3c01");
        check(a, 0, 1, 1);
        check(b, 0, 2, 2);
        check(a, 1, 3, 1);
        check("8A0FDC61-0EF5-4BB9-9B51-2F9A7B1F3C00", 119, 4, 1);
        check(a, 120, 5, 5);
        check(b, 121, 6, 6);
        for no_id in
            ["", "1", "8a0fdc61-0ef5-4bb9-9b51-2f9a7b1f3c0", "8a0fdc61-0ef5-4bb9-9b51-2f9a7b1f3c0g"]
        {
            check(no_id, 0, 7, 7);
            check(no_id, 0, 8, 8);
        }
        check("8a0fdc6100ef504bb909b5102f9a7b1f3c00", 0, 9, 9);
        check("8a0fdc6100ef504bb909b5102f9a7b1f3c00", 0, 10, 10);
    }

    #[test]
    fn calls_are_bounded() {
        let calls = Calls::new(CALLS_MAX);
        let given = |number: usize, fresh| {
            let id = format!("00000000-0000-0000-0000-{number:012x}");
            let headers = headers("amz-sdk-invocation-id", id.as_bytes());
            calls.first_context(&headers, at(0), || context(fresh))
        };
        for number in 1..=CALLS_MAX + 1 {
            given(number, number);
        }
        assert_eq!(given(2, 9_999), context(2));
        assert_eq!(given(1, 9_999), context(9_999), "the oldest is forgotten");
        let calls = lock(&calls.0);
        assert_eq!((calls.of.len(), calls.order.len()), (CALLS_MAX, CALLS_MAX));
    }

    #[test]
    fn a_refused_record_comes_back_with_its_context() {
        let refused = RefusedRecords::default();
        let check = |record: &str, seconds, expected: Option<usize>| {
            let found = refused.first_context(record.as_bytes(), at(seconds));
            assert_eq!(found, expected.map(context), "{record} at {seconds} s");
        };
        assert!(refused.is_empty());
        check("a", 0, None);
        refused.note(b"a", context(1), at(0));
        refused.note(b"b", context(2), at(0));
        refused.note(b"a", context(3), at(1));
        assert!(!refused.is_empty());
        check("other", 1, None);
        check("a", 2, Some(1));
        check("a", 2, None);
        // Refused once more: it counts anew.
        refused.note(b"a", context(1), at(3));
        check("b", 120, None);
        check("a", 122, Some(1));
        assert!(refused.is_empty());
        refused.note(b"a", context(4), at(200));
        check("other", 320, None);
        assert!(refused.is_empty(), "what is too old is no reason to hash");
    }

    #[test]
    fn refused_records_are_bounded() {
        let refused = RefusedRecords::default();
        for round in 0..3 {
            for number in 0..RECORDS_MAX {
                refused.note(&number.to_le_bytes(), context(number + 1), at(round));
                if number % 2 == 0 {
                    refused.first_context(&number.to_le_bytes(), at(round));
                }
            }
        }
        let records = lock(&refused.records);
        assert!(records.of.len() <= RECORDS_MAX && records.order.len() <= RECORDS_MAX);
        assert_eq!(records.of.len(), refused.len.load(Ordering::Relaxed));
    }
}
