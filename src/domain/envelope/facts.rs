//! Owns what an event says of itself: its type, its id, its saga and when it was made, under the
//! names that the known envelopes give them, and which event of a payload carries which context. Refuses to read anything
//! else of a payload, and of a large one more than its beginning.

use super::made::Made;
use super::payload::{EDGE_BYTES, Examined, Kind};
use super::{aggregate, text};
use crate::domain::json::{Fault, Scanner, Text};
use crate::domain::trace::{TraceContext, TraceState};
use std::ops::Range;

/// Most events of one payload that are told.
pub(super) const EVENTS_MAX: usize = 1_000;

/// The longest type or id that is one, in bytes: a longer text is left out, since half an id is
/// another id.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// What an event calls itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `eventType`, else `commandType`, else the `type` of a CloudEvent.
    pub event_type: Option<String>,
    /// `eventId`, else the `id` of a CloudEvent.
    pub event_id: Option<String>,
    /// `sagaId`, in the root or in the object `payload`.
    pub saga_id: Option<String>,
    /// `timestamp`, else the `time` of a CloudEvent.
    pub made: Option<Made>,
}

/// An event that carries a context.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The context.
    pub context: (TraceContext, TraceState),
    /// What it calls itself.
    pub facts: Facts,
}

/// The events of a payload that carry a context and call themselves anything, in order; bounded.
/// `seen` is what was seen of the same payload; of a large one its first [`EDGE_BYTES`] will do.
#[must_use]
pub fn events(payload: &[u8], seen: &Examined) -> Vec<Event> {
    let carried = seen.contexts.first().cloned();
    let foreign = || seen.foreign.map(|context| (context, TraceState::default()));
    let Some(context) = carried.or_else(foreign) else { return Vec::new() };
    match seen.kind {
        Kind::Object | Kind::Event | Kind::Command | Kind::CloudEvent => {
            let facts = facts_of_head(payload);
            (facts != Facts::default()).then_some(Event { context, facts }).into_iter().collect()
        }
        Kind::JsonLines => text::events(payload),
        Kind::Aggregate => aggregate::events(payload),
        Kind::Empty
        | Kind::Json
        | Kind::Gzip
        | Kind::Zstd
        | Kind::Avro
        | Kind::Glue
        | Kind::Protobuf
        | Kind::Spring
        | Kind::Opaque => Vec::new(),
    }
}

/// Reads the event of a payload that is one object, from its beginning: what stands behind the
/// first [`EDGE_BYTES`] is not seen. Of several objects nothing is told, since none is the whole.
#[must_use]
pub fn facts_of_head(payload: &[u8]) -> Facts {
    let cut = payload.len() >= EDGE_BYTES;
    let head = payload.get(..EDGE_BYTES).unwrap_or(payload);
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let mut seen = Seen::default();
    let mut scanner = Scanner::new(text);
    match scanner.object(|scanner, key| seen.member(text, scanner, &key)) {
        Ok(()) if scanner.end().is_ok() => seen.facts(text),
        Err(Fault::Truncated) if cut => seen.facts(text),
        Ok(()) | Err(Fault::Syntax(_) | Fault::Truncated | Fault::TooDeep(_)) => Facts::default(),
    }
}

/// Reads the payload's event; of several, the first. What is no JSON object has no facts.
#[must_use]
pub fn facts(payload: &[u8]) -> Facts {
    let text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    let mut seen = Seen::default();
    // What stands behind the first object does not matter, and half an object tells nothing.
    match Scanner::new(text).object(|scanner, key| seen.member(text, scanner, &key)) {
        Ok(()) => seen.facts(text),
        Err(Fault::Syntax(_) | Fault::Truncated | Fault::TooDeep(_)) => Facts::default(),
    }
}

/// Where the values are.
#[derive(Default)]
struct Seen {
    event_type: Option<Range<usize>>,
    command_type: Option<Range<usize>>,
    cloud_type: Option<Range<usize>>,
    event_id: Option<Range<usize>>,
    cloud_id: Option<Range<usize>>,
    /// CloudEvents say their version; any other `type` and `id` may mean anything.
    cloud: bool,
    saga_id: Option<Range<usize>>,
    timestamp: Option<Range<usize>>,
    cloud_time: Option<Range<usize>>,
    /// Where the object `payload` begins.
    payload_at: Option<usize>,
}

impl Seen {
    fn member(&mut self, text: &[u8], scanner: &mut Scanner<'_>, key: &Text) -> Result<(), Fault> {
        let name = key.unescaped(text).unwrap_or_default();
        if name == "payload" {
            // Before it is read: of one that goes on behind the head, what is here can still be.
            scanner.space();
            self.payload_at = Some(scanner.at());
        }
        let value = Some(scanner.value()?);
        match name.as_ref() {
            "eventType" => self.event_type = value,
            "commandType" => self.command_type = value,
            "type" => self.cloud_type = value,
            "eventId" => self.event_id = value,
            "id" => self.cloud_id = value,
            "specversion" => self.cloud = true,
            "sagaId" => self.saga_id = value,
            "timestamp" => self.timestamp = value,
            "time" => self.cloud_time = value,
            _ => {}
        }
        Ok(())
    }

    fn facts(self, text: &[u8]) -> Facts {
        let name = |value: Option<Range<usize>>| named(text.get(value?)?);
        let cloud = |value| name(value).filter(|_| self.cloud);
        let made = |value: Range<usize>| {
            let value = text.get(value)?;
            Made::of(value, named(value).as_deref())
        };
        let in_payload = || {
            let payload = text.get(self.payload_at?..)?;
            // Far cheaper than to read it; nobody writes the name with escapes.
            memchr::memmem::find(payload, b"\"sagaId\"")?;
            let mut saga = None;
            let members = |scanner: &mut Scanner<'_>, key: Text| {
                let value = scanner.value()?;
                if key.is(payload, "sagaId") {
                    saga = Some(value);
                }
                Ok(())
            };
            // One that was cut has told what it told.
            let _whole_or_cut = Scanner::new(payload).object(members);
            named(payload.get(saga?)?)
        };
        Facts {
            event_type: name(self.event_type)
                .or_else(|| name(self.command_type))
                .or_else(|| cloud(self.cloud_type)),
            event_id: name(self.event_id).or_else(|| cloud(self.cloud_id)),
            saga_id: name(self.saga_id).or_else(in_payload),
            made: self.timestamp.or(self.cloud_time.filter(|_| self.cloud)).and_then(made),
        }
    }
}

/// A JSON string that is short enough and not empty.
fn named(value: &[u8]) -> Option<String> {
    let text = Scanner::new(value).text().ok().filter(|_| value.starts_with(b"\""))?;
    let text = text.unescaped(value)?;
    (1..=NAME_BYTES_MAX).contains(&text.len()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_known_envelopes() {
        let check = |payload: &str, expected: [Option<&str>; 3]| {
            let Facts { event_type, event_id, saga_id, made: _ } = facts(payload.as_bytes());
            let seen = [event_type.as_deref(), event_id.as_deref(), saga_id.as_deref()];
            assert_eq!(seen, expected, "{payload}");
        };
        check(
            "{\"eventType\":\"A\",\"type\":\"B\",\"eventId\":\"1\"}",
            [Some("A"), Some("1"), None],
        );
        check("\u{feff} {\"commandType\":\"C\",\"sagaId\":\"s\"}", [Some("C"), None, Some("s")]);
        check(
            "{\"specversion\":\"1.0\",\"type\":\"D\",\"id\":\"2\"}",
            [Some("D"), Some("2"), None],
        );
        check("{\"type\":\"D\",\"id\":\"2\"}", [None; 3]);
        check("{\"payload\":{\"a\":[],\"sagaId\":\"s\"}}", [None, None, Some("s")]);
        check("{\"payload\":\"{\\\"sagaId\\\":1}\"}", [None; 3]);
        check("{\"\\u0065ventType\":\"\\u0041\"}", [Some("A"), None, None]);
        check("{\"eventType\":\"A\"}\n{\"eventType\":\"B\"}\n", [Some("A"), None, None]);
        check("{\"eventType\":7,\"eventId\":\"\",\"sagaId\":null}", [None; 3]);
        check("{\"eventType\":\"A\"", [None; 3]);
        check("[1]", [None; 3]);
        check("", [None; 3]);
        check(&format!("{{\"eventType\":\"{}\"}}", "x".repeat(257)), [None; 3]);
    }

    #[test]
    fn a_head_tells_what_stands_in_it() {
        let check = |payload: &str, expected: [Option<&str>; 2]| {
            let Facts { event_type, event_id: _, saga_id, made: _ } =
                facts_of_head(payload.as_bytes());
            assert_eq!([event_type.as_deref(), saga_id.as_deref()], expected, "{payload:.80}");
        };
        let long = "x".repeat(EDGE_BYTES);
        check("{\"eventType\":\"A\",\"sagaId\":\"s\"}\n", [Some("A"), Some("s")]);
        check(
            &format!("{{\"eventType\":\"A\",\"payload\":{{\"sagaId\":\"s\",\"b\":\"{long}\"}}}}"),
            [Some("A"), Some("s")],
        );
        check(
            &format!("{{\"sagaId\":\"s\",\"a\":\"{long}\",\"eventType\":\"A\"}}"),
            [None, Some("s")],
        );
        // Cut off by its producer, not by us; and several objects.
        check("{\"eventType\":\"A\",\"b\":\"x", [None, None]);
        check("{\"eventType\":\"A\"}\n{\"eventType\":\"B\"}\n", [None, None]);
    }

    #[test]
    fn when_an_event_was_made() {
        let check = |payload: &str, expected: bool| {
            assert_eq!(facts(payload.as_bytes()).made.is_some(), expected, "{payload}");
        };
        check("{\"timestamp\":\"2026-11-23T05:27:38Z\"}", true);
        check("{\"timestamp\":1795411658123}", true);
        check("{\"specversion\":\"1.0\",\"time\":\"2026-11-23T05:27:38Z\"}", true);
        check("{\"time\":\"2026-11-23T05:27:38Z\"}", false);
        check("{\"payload\":{\"timestamp\":1795411658123}}", false);
        check("{\"timestamp\":[1795411658123]}", false);
    }

    const ONE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const TWO: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01";

    /// Each event's span id's last digit and its type.
    fn told(payload: &[u8]) -> Vec<String> {
        let seen = super::super::examine(payload);
        let event = |Event { context: (context, _), facts }: &Event| {
            let span = context.span_id.to_string();
            format!("{} {}", span.split_at(15).1, facts.event_type.as_deref().unwrap_or("-"))
        };
        events(payload, &seen).iter().map(event).collect()
    }

    #[test]
    fn each_event_has_its_own_context() {
        let line = |name: &str, parent: &str| {
            format!("{{\"eventType\":\"{name}\",\"traceparent\":\"{parent}\"}}\n")
        };
        let check = |payload: &str, expected: &[&str]| {
            assert_eq!(told(payload.as_bytes()), expected, "{payload}");
        };
        check(&line("A", ONE), &["1 A"]);
        check(&[line("A", ONE), line("B", TWO), line("B", ONE)].concat(), &["1 A", "2 B", "1 B"]);
        check(&format!("{}{{\"eventType\":\"C\"}}\n", line("A", ONE)), &["1 A"]);
        check(&format!("{{\"traceparent\":\"{ONE}\"}}"), &[]);
        check("{\"eventType\":\"A\"}", &[]);
        check("no json", &[]);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(rest in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = facts(&[b"{\"eventType\":".as_slice(), &rest].concat());
        }
    }
}
