//! Owns the truth about the demo's events: what was put, and for each reader what came back and
//! whether it was what had been sent. Refuses to take a sidecar's word for anything.

use super::COMMANDS;
use super::EMAIL_SERVICE;
use super::INVENTORY_SERVICE;
use super::ORDERS;
use super::SAGA;
use crate::app::demo::otlp::CONTEXTS_MAX;
use crate::app::demo::otlp::Context;
use crate::domain::trace::TraceContext;
use crate::domain::trace::TraceId;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Events whose body is kept to compare with: far more than any reader of the demo is behind.
const SENT_MAX: usize = 20_000;

/// A service's reading of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reader {
    /// The service.
    pub service: &'static str,
    /// The stream.
    pub stream: &'static str,
}

/// Every reader of the demo.
pub(crate) const READERS: [Reader; 4] = [
    Reader { service: INVENTORY_SERVICE, stream: ORDERS },
    Reader { service: EMAIL_SERVICE, stream: ORDERS },
    Reader { service: SAGA, stream: ORDERS },
    Reader { service: SAGA, stream: COMMANDS },
];

/// What came to one reader.
#[derive(Debug, Clone, Default)]
pub struct Deliveries {
    /// Records.
    pub records: u64,
    /// Of these: not what had been sent, the added members aside.
    pub altered: u64,
    /// Of these: nobody sent them, or too long ago to compare.
    pub unknown: u64,
    /// Of these: had come before.
    pub repeated: u64,
    /// Of these: without a `traceparent`.
    pub without_context: u64,
    /// The contexts that came, and how many records carried each.
    pub contexts: HashMap<Context, u64>,
}

#[derive(Debug)]
struct Sent {
    body: Value,
    /// Readers that had it, one bit each.
    read_by: u8,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// Records that Kinesis accepted, by stream.
    pub put: BTreeMap<&'static str, u64>,
    /// Calls or records that were given up.
    pub put_failures: u64,
    /// GetRecords and GetShardIterator calls that failed and were made again.
    pub read_failures: u64,
    /// What came to each reader, in the order of [`READERS`].
    pub deliveries: [Deliveries; READERS.len()],
    /// Traces that a client began by itself, with a `traceparent` header on its put.
    pub client_traces: HashSet<TraceId>,
    /// Sagas that began, shipped, and took everything back.
    pub sagas: Sagas,
    sent: HashMap<String, Sent>,
    order: VecDeque<String>,
}

/// What became of the sagas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sagas {
    /// Begun.
    pub started: u64,
    /// Shipped.
    pub completed: u64,
    /// Taken back.
    pub compensated: u64,
}

impl Pages {
    /// Whether every reader has everything that was put into its stream and no saga is under way.
    #[must_use]
    pub(crate) fn drained(&self) -> bool {
        let put = |reader: &Reader| self.put.get(reader.stream).copied().unwrap_or_default();
        let all = |(reader, came): (&Reader, &Deliveries)| came.records >= put(reader);
        let ended = self.sagas.completed + self.sagas.compensated;
        READERS.iter().zip(&self.deliveries).all(all) && ended >= self.sagas.started
    }
}

/// The pages, shared by all services.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Pages>);

impl Book {
    /// The pages; do not hold them over an await.
    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an event before it is put.
    pub(crate) fn sending(&self, id: &str, body: Value) {
        let mut pages = self.pages();
        pages.sent.insert(id.to_owned(), Sent { body, read_by: 0 });
        pages.order.push_back(id.to_owned());
        if pages.order.len() > SENT_MAX
            && let Some(oldest) = pages.order.pop_front()
        {
            pages.sent.remove(&oldest);
        }
    }

    /// Notes a trace that a client began.
    pub(crate) fn client_trace(&self, trace: TraceId) {
        let mut pages = self.pages();
        if pages.client_traces.len() < CONTEXTS_MAX {
            pages.client_traces.insert(trace);
        }
    }

    /// Notes a record that came to `reader`. Returns the event and its context; `None` when it is
    /// no JSON object.
    pub(crate) fn delivered(
        &self,
        reader: Reader,
        data: &[u8],
    ) -> Option<(Value, Option<TraceContext>)> {
        let index = READERS.iter().position(|known| *known == reader)?;
        let mut pages = self.pages();
        let Pages { sent, deliveries, .. } = &mut *pages;
        let came = deliveries.get_mut(index)?;
        came.records += 1;
        let Ok(Value::Object(mut event)) = serde_json::from_slice(data) else {
            came.altered += 1;
            return None;
        };
        let context = event.remove("traceparent");
        event.remove("tracestate");
        let event = Value::Object(event);
        let context = context.as_ref().and_then(Value::as_str);
        let context = context.and_then(|text| TraceContext::parse(text.as_bytes()));
        match context {
            Some(context) if came.contexts.len() < CONTEXTS_MAX => {
                *came.contexts.entry((context.trace_id, context.span_id)).or_default() += 1;
            }
            Some(_) => {}
            None => came.without_context += 1,
        }
        match event.get("eventId").and_then(Value::as_str).and_then(|id| sent.get_mut(id)) {
            None => came.unknown += 1,
            Some(sent) => {
                came.altered += u64::from(sent.body != event);
                came.repeated += u64::from(sent.read_by >> index & 1);
                sent.read_by |= 1 << index;
            }
        }
        Some((event, context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn deliveries_are_compared_with_what_was_sent() {
        let book = Book::default();
        let [reader, ..] = READERS;
        book.sending("1", json!({"eventId": "1", "payload": {"a": 1}}));
        let plain = json!({"eventId": "1", "payload": {"a": 1}});
        let traced = json!({"eventId": "1", "payload": {"a": 1}, "traceparent": TRACEPARENT});
        let altered = json!({"eventId": "1", "payload": {"a": 2}, "traceparent": TRACEPARENT});
        let stranger = json!({"eventId": "2"});
        for (event, has_context) in
            [(traced, true), (altered, true), (plain, false), (stranger, false)]
        {
            let (body, context) =
                book.delivered(reader, event.to_string().as_bytes()).expect("an object");
            assert_eq!(body.get("traceparent"), None);
            assert_eq!(context.is_some(), has_context);
        }
        assert_eq!(book.delivered(reader, b"not json"), None);
        let pages = book.pages();
        let came = &pages.deliveries[0];
        assert_eq!((came.records, came.altered, came.unknown), (5, 2, 1));
        assert_eq!((came.repeated, came.without_context), (2, 2));
        assert_eq!(came.contexts.values().sum::<u64>(), 2);
        assert_eq!(pages.deliveries[1].records, 0);
    }

    #[test]
    fn drained_is_when_every_reader_has_all_and_no_saga_waits() {
        let mut pages = Pages::default();
        assert!(pages.drained());
        pages.put.insert(ORDERS, 2);
        assert!(!pages.drained());
        for came in &mut pages.deliveries {
            came.records = 2;
        }
        assert!(pages.drained());
        pages.sagas.started = 1;
        assert!(!pages.drained());
        pages.sagas.compensated = 1;
        assert!(pages.drained());
    }
}
