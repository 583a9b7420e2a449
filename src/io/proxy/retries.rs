//! Owns what ties a second try to the first: calls by the id that an SDK gives all tries of one,
//! and records that Kinesis refused one by one, by a keyed hash of their bytes. Refuses to grow, to
//! remember for long, and to keep a record.

use super::names;
use crate::domain::time::Moment;
use crate::domain::trace::{TraceContext, TraceState};
use hex_simd::AsOut;
use http::{HeaderMap, HeaderValue};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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

/// The first context of each call that was not answered with all of a 200, by its
/// `amz-sdk-invocation-id`: only those are tried again.
#[derive(Debug)]
pub(super) struct Calls(Known<u128>);

impl Calls {
    /// Remembers `most` calls. Over it the oldest is forgotten, and a late retry of it then begins a
    /// trace of its own.
    pub(super) fn new(most: usize) -> Self {
        Self(Known::new(most))
    }

    /// The context that an earlier try of this call got. A request without an id that is a UUID is a
    /// call of its own.
    pub(super) fn first_context(&self, headers: &HeaderMap, now: Moment) -> Option<Context> {
        if self.0.is_empty() {
            return None;
        }
        let id = invocation(headers.get(&names::SDK_INVOCATION_ID)?)?;
        self.0.change(now, |calls| calls.get(id))
    }

    /// A try of a call begins. Unless it is [`Trying::answered`], its end notes its context.
    pub(super) fn begin(
        self: &Arc<Self>,
        headers: &HeaderMap,
        context: &Context,
        now: Moment,
    ) -> Option<Trying> {
        let id = headers.get(&names::SDK_INVOCATION_ID)?.clone();
        Some(Trying { calls: Arc::clone(self), id, context: Some(context.clone()), began: now })
    }
}

/// A try of a call whose end is open. Dropped so, as by a client that hung up, it may come again.
#[derive(Debug)]
pub(super) struct Trying {
    calls: Arc<Calls>,
    id: HeaderValue,
    context: Option<Context>,
    began: Moment,
}

impl Trying {
    /// The client got all of a 200: there is no other try.
    pub(super) fn answered(mut self) {
        self.context = None;
    }
}

impl Drop for Trying {
    fn drop(&mut self) {
        if let Some((context, id)) = self.context.take().zip(invocation(&self.id)) {
            self.calls.0.change(self.began, |calls| calls.keep(id, context, self.began));
        }
    }
}

/// A UUID as the number that it is.
fn invocation(text: &HeaderValue) -> Option<u128> {
    let text = text.as_bytes();
    let mut digits = [0; 32];
    let mut rest = &mut digits[..];
    for group in text.splitn(5, |byte| *byte == b'-').zip([8, 4, 4, 4, 12]) {
        let (place, behind) = rest.split_at_mut_checked(group.1)?;
        place.copy_from_slice(Some(group.0).filter(|digits| digits.len() == group.1)?);
        rest = behind;
    }
    let mut id = [0; 16];
    // What is missing is no digit either.
    hex_simd::decode(&digits, id.as_mut_slice().as_out()).ok()?;
    Some(u128::from_be_bytes(id))
}

/// The context of each record that Kinesis refused inside a 200, by the bytes that the application
/// sent: it will send them again in a put of its own, and they are still the same event.
#[derive(Debug)]
pub struct RefusedRecords {
    records: Known<u64>,
    hasher: RandomState,
}

impl Default for RefusedRecords {
    fn default() -> Self {
        Self { records: Known::new(RECORDS_MAX), hasher: RandomState::new() }
    }
}

impl RefusedRecords {
    /// Whether nothing is remembered, so that no record need be hashed.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A record was refused that carried this context. One of the same bytes that was refused
    /// before and did not come back yet keeps its own.
    pub(super) fn note(&self, record: &[u8], context: Context, now: Moment) {
        let key = self.hasher.hash_one(record);
        self.records.change(now, |records| records.keep(key, context, now));
    }

    /// The context that a record was refused with, if it was. It is then forgotten: a later record
    /// of the same bytes is another event.
    pub(super) fn first_context(&self, record: &[u8], now: Moment) -> Option<Context> {
        if self.is_empty() {
            return None;
        }
        let key = self.hasher.hash_one(record);
        self.records.change(now, |records| records.of.remove(&key).map(|(context, _)| context))
    }
}

/// What is remembered, shared.
#[derive(Debug)]
struct Known<K> {
    recent: Mutex<Recent<K>>,
    /// How many are remembered: the usual put reads this and no more.
    len: AtomicUsize,
}

impl<K: Copy + Eq + Hash> Known<K> {
    fn new(max: usize) -> Self {
        let recent = Recent { of: HashMap::new(), order: VecDeque::new(), max };
        Self { recent: Mutex::new(recent), len: AtomicUsize::new(0) }
    }

    fn is_empty(&self) -> bool {
        self.len.load(Ordering::Relaxed) == 0
    }

    /// Looks or changes, what is too old forgotten first.
    fn change<T>(&self, now: Moment, change: impl FnOnce(&mut Recent<K>) -> T) -> T {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.forget_old(now);
        let found = change(&mut recent);
        self.len.store(recent.of.len(), Ordering::Relaxed);
        found
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
    fn get(&self, key: K) -> Option<Context> {
        self.of.get(&key).map(|(context, _)| context.clone())
    }

    /// Keeps a context; one that is known by this key stays.
    fn keep(&mut self, key: K, context: Context, now: Moment) {
        let Entry::Vacant(place) = self.of.entry(key) else { return };
        place.insert((context, now));
        self.order.push_back((key, now));
        if self.order.len() > self.max {
            self.forget_oldest();
        }
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
        let calls = Arc::new(Calls::new(CALLS_MAX));
        let check = |id: &str, seconds, fresh, expected| {
            let headers = headers("amz-sdk-invocation-id", id.as_bytes());
            let first = calls.first_context(&headers, at(seconds));
            let given = first.unwrap_or_else(|| context(fresh));
            assert_eq!(given, context(expected), "{id} at {seconds} s");
            calls.begin(&headers, &given, at(seconds)).unwrap()
        };
        let (a, b) =
            ("8a0fdc61-0ef5-4bb9-9b51-2f9a7b1f3c00", "8a0fdc61-0ef5-4bb9-9b51-2f9a7b1f3c01");
        drop(check(a, 0, 1, 1));
        drop(check(b, 0, 2, 2));
        drop(check(a, 1, 3, 1));
        drop(check("8A0FDC61-0EF5-4BB9-9B51-2F9A7B1F3C00", 119, 4, 1));
        drop(check(a, 120, 5, 5));
        drop(check(b, 121, 6, 6));
        for no_id in [
            "",
            "1",
            "8a0fdc61-0ef5-4bb9-9b51-2f9a7b1f3c0",
            "8a0fdc61-0ef5-4bb9-9b51-2f9a7b1f3c0g",
            "8a0fdc6100ef504bb909b5102f9a7b1f3c00",
        ] {
            drop(check(no_id, 0, 7, 7));
            drop(check(no_id, 0, 8, 8));
        }
    }

    #[test]
    fn an_answered_call_is_not_remembered() {
        let calls = Arc::new(Calls::new(CALLS_MAX));
        let headers = headers("amz-sdk-invocation-id", b"8a0fdc61-0ef5-4bb9-9b51-2f9a7b1f3c00");
        let begin = || calls.begin(&headers, &context(1), at(0)).unwrap();
        begin().answered();
        assert!(calls.0.is_empty());
        let open = begin();
        assert_eq!(calls.first_context(&headers, at(1)), None);
        drop(open);
        assert_eq!(calls.first_context(&headers, at(1)), Some(context(1)));
        assert!(calls.begin(&HeaderMap::new(), &context(1), at(0)).is_none());
    }

    #[test]
    fn calls_are_bounded() {
        let calls = Arc::new(Calls::new(CALLS_MAX));
        let of = |number: usize| {
            let id = format!("00000000-0000-0000-0000-{number:012x}");
            headers("amz-sdk-invocation-id", id.as_bytes())
        };
        for number in 1..=CALLS_MAX + 1 {
            drop(calls.begin(&of(number), &context(number), at(0)));
        }
        assert_eq!(calls.first_context(&of(2), at(0)), Some(context(2)));
        assert_eq!(calls.first_context(&of(1), at(0)), None, "the oldest is forgotten");
        calls.0.change(at(0), |calls| {
            assert_eq!((calls.of.len(), calls.order.len()), (CALLS_MAX, CALLS_MAX));
        });
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
        refused.records.change(at(2), |records| {
            assert!(records.of.len() <= RECORDS_MAX && records.order.len() <= RECORDS_MAX);
            assert_eq!(records.of.len(), refused.records.len.load(Ordering::Relaxed));
        });
    }
}
