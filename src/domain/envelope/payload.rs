//! Owns what a record's payload is, which contexts it carries and where context may go. Refuses to
//! change it. Large payloads are judged by their two ends if those tell: see `edges.rs`, also for
//! what that gives up.

use super::edges::examine_edges;
use super::inspect::{Envelope, Existing};
use super::leave::Leave;
use super::{aggregate, binary, text};
use crate::domain::trace::{TraceContext, TraceState};
use std::collections::HashSet;

/// What a payload is. The closed list behind the attribute `kinescope.payload.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No bytes.
    Empty,
    /// One JSON object without a known shape.
    Object,
    /// An event of the seed article's form: `eventId`, `eventType`, `timestamp`, `payload`.
    Event,
    /// A command: `commandType`.
    Command,
    /// CloudEvents 1.0 in structured JSON.
    CloudEvent,
    /// JSON objects, one a line.
    JsonLines,
    /// JSON, but an array or a scalar.
    Json,
    /// A KPL aggregate.
    Aggregate,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// An Avro object container or single-object encoding.
    Avro,
    /// A Glue Schema Registry header.
    Glue,
    /// Protocol buffers, by their wire format.
    Protobuf,
    /// Spring Cloud Stream's embedded headers.
    Spring,
    /// Anything else.
    Opaque,
}

impl Kind {
    /// The attribute's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Object => "object",
            Self::Event => "event",
            Self::Command => "command",
            Self::CloudEvent => "cloud_event",
            Self::JsonLines => "json_lines",
            Self::Json => "json",
            Self::Aggregate => "aggregate",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Avro => "avro",
            Self::Glue => "glue",
            Self::Protobuf => "protobuf",
            Self::Spring => "spring",
            Self::Opaque => "opaque",
        }
    }
}

/// A payload, seen through.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// What it is.
    pub kind: Kind,
    /// Contexts that its events carry, in order, each once; bounded.
    pub contexts: Vec<(TraceContext, TraceState)>,
    /// Another tracer's context (`_datadog`): a candidate for the parent, never touched.
    pub foreign: Option<TraceContext>,
    /// Where context goes, or why none does.
    pub places: Result<Places, Leave>,
}

/// Where context goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// Into one object.
    One(Place),
    /// Into each of several objects, in order.
    Many(Vec<Place>),
    /// Into the user records of a KPL aggregate: the payload is written anew by
    /// [`super::aggregate::splice`].
    Aggregate,
}

/// One place in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Offset of the insertion in the payload: just behind an object's opening brace.
    pub at: usize,
    /// The object has no member, so that no comma follows the insertion.
    pub empty: bool,
}

impl Places {
    /// The places of insertions, in order; none for an aggregate.
    #[must_use]
    pub fn as_slice(&self) -> &[Place] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
            Self::Aggregate => &[],
        }
    }
}

/// Payloads over this are judged by their ends.
pub const WHOLE_BYTES_MAX: usize = 64 << 10;
/// How many bytes of each end of a large payload are looked at: a multiple of three, so that the
/// base64 of each end can be decoded alone.
pub const EDGE_BYTES: usize = 12 << 10;

/// Most contexts of one payload that are told.
const CONTEXTS_MAX: usize = 1_000;

/// Looks at a payload: whole up to [`WHOLE_BYTES_MAX`], else by [`examine_edges`] if they tell.
#[must_use]
pub fn examine(payload: &[u8]) -> Examined {
    let edges = || {
        let tail = payload.len().checked_sub(EDGE_BYTES)?;
        examine_edges(payload.get(..EDGE_BYTES)?, payload.get(tail..)?, payload.len())
    };
    edges().unwrap_or_else(|| examine_whole(payload))
}

/// Looks at all of a payload, however large. Its kind is the first that fits: no bytes; an
/// aggregate's magic; other magic bytes; JSON; protobuf's wire format; anything else.
#[must_use]
pub fn examine_whole(payload: &[u8]) -> Examined {
    if payload.is_empty() {
        return Examined::left(Kind::Empty, Leave::Empty);
    }
    if payload.starts_with(&aggregate::MAGIC) {
        return aggregate::examine(payload);
    }
    if let Some((kind, leave)) = binary::by_magic(payload) {
        return Examined::left(kind, leave);
    }
    text::examine(payload).unwrap_or_else(|| {
        let (kind, leave) = binary::by_form(payload);
        Examined::left(kind, leave)
    })
}

/// The context that a payload carries, whoever wrote it; of several the first.
#[must_use]
pub fn extract(payload: &[u8]) -> Option<(TraceContext, TraceState)> {
    examine(payload).contexts.into_iter().next()
}

impl Examined {
    pub(super) fn left(kind: Kind, leave: Leave) -> Self {
        Self { kind, contexts: Vec::new(), foreign: None, places: Err(leave) }
    }

    /// Of one object, `start` bytes into the payload.
    pub(super) fn object(envelope: Envelope, start: usize) -> Self {
        let place = envelope.place().map(|place| place.moved(start));
        let contexts = match envelope.existing {
            Existing::Context(context, state) => vec![(context, state)],
            Existing::None | Existing::Invalid => Vec::new(),
        };
        let foreign = envelope.datadog.flatten();
        Self { kind: envelope.kind, contexts, foreign, places: place.map(Places::One) }
    }
}

impl Place {
    pub(super) fn moved(self, by: usize) -> Self {
        Self { at: self.at + by, ..self }
    }
}

/// Contexts in order, each once; bounded.
#[derive(Default)]
pub(super) struct Contexts {
    pub(super) list: Vec<(TraceContext, TraceState)>,
    known: HashSet<(TraceContext, TraceState)>,
}

impl Contexts {
    pub(super) fn push(&mut self, context: (TraceContext, TraceState)) {
        // Most payloads come from one trace.
        if self.list.last() != Some(&context)
            && self.list.len() < CONTEXTS_MAX
            && self.known.insert(context.clone())
        {
            self.list.push(context);
        }
    }

    pub(super) fn push_existing(&mut self, existing: Existing) {
        if let Existing::Context(context, state) = existing {
            self.push((context, state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::aggregate::Aggregated;
    use super::super::{Insertion, splice, unsplice};
    use super::*;
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// The kind, and the places or why there are none.
    fn check(payload: impl AsRef<[u8]>, kind: Kind, places: Result<&[(usize, bool)], Leave>) {
        let payload = payload.as_ref();
        let shown = String::from_utf8_lossy(payload);
        let seen = examine(payload);
        assert_eq!(seen.kind, kind, "{shown}");
        let seen: Result<Vec<_>, _> =
            seen.places.map(|all| all.as_slice().iter().map(|p| (p.at, p.empty)).collect());
        assert_eq!(seen, places.map(<[_]>::to_vec), "{shown}");
    }

    #[test]
    fn objects_by_their_members() {
        let check = |payload: &str, kind| check(payload, kind, Ok(&[(1, payload == "{}")]));
        check("{}", Kind::Object);
        check("{\"eventId\":\"1\"}", Kind::Object);
        check("{\"eventId\":\"1\",\"payload\":{},\"eventType\":\"A\"}", Kind::Event);
        check("{\"eventId\":\"1\",\"event\\u0054ype\":\"A\"}", Kind::Event);
        check("{\"eventId\":\"1\",\"a\":{\"eventType\":\"A\"}}", Kind::Object);
        check("{\"commandType\":\"A\",\"eventId\":\"1\"}", Kind::Command);
        check(
            "{\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"specversion\":\"1.0\"}",
            Kind::CloudEvent,
        );
        check(
            "{\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"specversion\":\"0.3\"}",
            Kind::Object,
        );
        check("{\"id\":\"1\",\"source\":\"s\",\"specversion\":\"1.0\"}", Kind::Object);
    }

    #[test]
    fn json_of_every_form() {
        check("\u{feff} {\"a\":1}", Kind::Object, Ok(&[(5, false)]));
        check("\u{feff}[1]", Kind::Json, Err(Leave::NotObject));
        check("\u{feff}", Kind::Opaque, Err(Leave::NotJson));
        check("\u{feff}\u{feff}{}", Kind::Opaque, Err(Leave::NotJson));
        check("[{}]\n", Kind::Json, Err(Leave::NotObject));
        check("-1.5", Kind::Json, Err(Leave::NotObject));
        check("{\"a\":1,\"a\":2}", Kind::Object, Err(Leave::DuplicateKeys));
        check("{\n \"a\": 1\n}\n", Kind::Object, Ok(&[(1, false)]));
        check(format!("{{\"a\":{}", "[".repeat(300)), Kind::Object, Err(Leave::TooComplex));
        check("{\"a\":1", Kind::Opaque, Err(Leave::NotJson));
        check("eyJhIjoxfQ==", Kind::Opaque, Err(Leave::NotJson));
        let members = |count: u32| (0..count).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>();
        // Two more are ours.
        check(format!("{{{}}}", members(1022).join(",")), Kind::Object, Ok(&[(1, false)]));
        check(format!("{{{}}}", members(1023).join(",")), Kind::Object, Err(Leave::TooComplex));
    }

    #[test]
    fn objects_one_a_line() {
        let good = |payload: &str, places: &[(usize, bool)]| {
            check(payload, Kind::JsonLines, Ok(places));
        };
        good("{\"a\":1}\n{}", &[(1, false), (9, true)]);
        good("\u{feff}{\"a\":1}\r\n\r\n {\"a\":1}\r\n", &[(4, false), (16, false)]);
        good("\n{ }\n\n{}\n", &[(2, true), (7, true)]);
        let bad = |payload: &str| check(payload, Kind::Opaque, Err(Leave::NotJson));
        bad("{\"a\":1}{\"a\":1}");
        bad("{\"a\":1} {\"a\":1}");
        bad("{\"a\":1}\n{\"a\":1");
        bad("{\"a\":1}\n[1]");
        bad("{\"a\":1}\n,{\"a\":1}");
        bad("{\n\"a\":1}\n{\"a\":1}");
        bad(" \r\n ");
        check("{\"a\":1}\n{\"a\":1,\"a\":2}", Kind::JsonLines, Err(Leave::DuplicateKeys));
        let carrying = format!("{{\"a\":1}}\n{{\"traceparent\":\"{PARENT}\"}}\n");
        check(carrying.repeat(2), Kind::JsonLines, Err(Leave::ContextPresent));
        assert_eq!(examine(carrying.repeat(2).as_bytes()).contexts.len(), 1);
        check("{}\n{\"traceparent\":0}", Kind::JsonLines, Err(Leave::ContextInvalid));
        check("{}\n{\"_datadog\":{}}", Kind::JsonLines, Err(Leave::Datadog));
        check("{}\n".repeat(1001), Kind::JsonLines, Err(Leave::TooComplex));
        assert_eq!(examine("{}\n".repeat(1000).as_bytes()).places.unwrap().as_slice().len(), 1000);
    }

    #[test]
    fn what_is_no_json() {
        let check = |payload: &[u8], kind, leave| check(payload, kind, Err(leave));
        check(b"", Kind::Empty, Leave::Empty);
        check(b"\x1f\x8b\x08\0", Kind::Gzip, Leave::Gzip);
        check(b"\x28\xb5\x2f\xfd\x04", Kind::Zstd, Leave::Zstd);
        check(b"Obj\x01\x04", Kind::Avro, Leave::Avro);
        check(b"Object", Kind::Opaque, Leave::NotJson);
        check(b"\xc3\x0112345678", Kind::Avro, Leave::Avro);
        check(b"\xc3\x011234567", Kind::Opaque, Leave::NotJson);
        check(b"\x03\x000123456789abcdef", Kind::Glue, Leave::Glue);
        check(b"\x03\x050123456789abcdefx", Kind::Glue, Leave::Glue);
        check(b"\x03\x010123456789abcdef", Kind::Opaque, Leave::NotJson);
        check(b"\x03\x000123456789abcde", Kind::Opaque, Leave::NotJson);
        check(b"\xff\x01\x02id\0\0\0\x03\"x\"{}", Kind::Spring, Leave::Spring);
        check(b"\xff\x02\x02id\0\0\0\x03\"x\"{}", Kind::Opaque, Leave::NotJson);
        check(b"\xff\x01\x02id\0\0\0\x09\"x\"", Kind::Opaque, Leave::NotJson);
        check(b"\xff\x00{}", Kind::Opaque, Leave::NotJson);
        check(b"\x0a\x05hello\x10\x01", Kind::Protobuf, Leave::Protobuf);
        check(b"\x0a\x7b{\"a\":1}", Kind::Opaque, Leave::NotJson);
        check(b"\n\tninebytes", Kind::Opaque, Leave::NotJson); // text, and protobuf too
        check(b"plain text", Kind::Opaque, Leave::NotJson);
        check(&[0xde, 0xad, 0xbe, 0xef], Kind::Opaque, Leave::NotJson);
        check(b"\xf3\x89\x9a\xc2 but no more", Kind::Aggregate, Leave::AggregateBroken);
    }

    #[test]
    fn another_tracers_context_is_a_candidate() {
        let foreign = |payload: &str, expected: Result<(), Leave>, context: Option<&str>| {
            let seen = examine(payload.as_bytes());
            assert_eq!(seen.places.map(drop), expected, "{payload}");
            assert_eq!(seen.foreign.map(|c| c.to_string()).as_deref(), context, "{payload}");
        };
        let datadog = "{\"x-datadog-trace-id\":\"255\",\"x-datadog-parent-id\":\"1\"}";
        let context = Some("00-000000000000000000000000000000ff-0000000000000001-00");
        foreign(&format!("{{\"a\":1,\"_datadog\":{datadog}}}"), Err(Leave::Datadog), context);
        foreign(&format!("{{\"\\u005fdatadog\":{datadog}}}"), Err(Leave::Datadog), context);
        foreign("{\"_datadog\":{}}", Err(Leave::Datadog), None);
        foreign("{\"_datadog\":null}", Ok(()), None);
        foreign(&format!("{{\"a\":{{\"_datadog\":{datadog}}}}}"), Ok(()), None);
        let both = format!("{{\"_datadog\":{datadog},\"traceparent\":\"{PARENT}\"}}");
        foreign(&both, Err(Leave::ContextPresent), context);
        assert_eq!(extract(both.as_bytes()).unwrap().0.to_string(), PARENT);
    }

    /// What makes the look go further than any bytes would.
    const BEGINNINGS: [&[u8]; 8] = [
        b"",
        b"\xf3\x89\x9a\xc2",
        b"\xff\x01",
        b"\x03\0",
        b"\xef\xbb\xbf",
        b"{\"_datadog\":{",
        b"{}\n",
        b"\n\x04",
    ];

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(
            beginning in 0..BEGINNINGS.len(),
            rest in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let payload = [BEGINNINGS[beginning], &rest].concat();
            let context = TraceContext::parse(PARENT.as_bytes()).unwrap();
            let insertion = Insertion::new(&context, &TraceState::default());
            prop_assert_eq!(splice(&payload, &insertion).is_ok(), examine(&payload).places.is_ok());
            prop_assert_eq!(aggregate::splice(&payload, &insertion, Aggregated::Json), Err(Leave::AggregateBroken));
            prop_assert_eq!(unsplice(&payload), payload.as_slice());
        }
    }
}
