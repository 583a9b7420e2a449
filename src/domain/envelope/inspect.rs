//! Owns the look into one JSON object: which envelope it is, and does its root carry trace context?
//! Refuses to change anything. Source of the edge cases: reference/tracing.md 8.

use super::datadog;
use super::leave::Leave;
use super::payload::{Kind, Place};
use crate::domain::json::{Fault, Scanner, Text};
use crate::domain::trace::{TraceContext, TraceState};
use std::ops::Range;

/// Most root members whose names are compared with each other; an object with more is left alone.
const MEMBERS_MAX: usize = 1_024;

/// A payload that is one JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Offset just behind the opening brace.
    pub insert_at: usize,
    /// The object has no member.
    pub empty: bool,
    /// The trace context in its root.
    pub existing: Existing,
    /// `Event`, `Command`, `CloudEvent` or, of no known shape, `Object`.
    pub kind: Kind,
    /// An object `_datadog` in its root, and the context that it holds.
    pub datadog: Option<Option<TraceContext>>,
}

impl Envelope {
    /// Where context goes.
    ///
    /// # Errors
    /// Why none does.
    pub fn place(&self) -> Result<Place, Leave> {
        match self.existing {
            Existing::Context(..) => Err(Leave::ContextPresent),
            Existing::Invalid => Err(Leave::ContextInvalid),
            Existing::None if self.datadog.is_some() => Err(Leave::Datadog),
            Existing::None => Ok(Place { at: self.insert_at, empty: self.empty }),
        }
    }
}

/// The trace context in an object's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// Neither `traceparent` nor `tracestate`.
    None,
    /// A valid `traceparent`; the producer's, to be kept.
    Context(TraceContext, TraceState),
    /// Something under one of the two names that is not a context. It is not ours to replace.
    Invalid,
}

/// Looks at a payload.
///
/// # Errors
/// Why it cannot be an envelope that context is added to.
pub fn inspect(payload: &[u8]) -> Result<Envelope, Leave> {
    if payload.is_empty() {
        return Err(Leave::Empty);
    }
    let mut scanner = Scanner::new(payload);
    let insert_at = scanner.at() + 1;
    if scanner.peek() != Some(b'{') {
        let whole = scanner.value().and_then(|_| scanner.end());
        return Err(if whole.is_ok() { Leave::NotObject } else { Leave::NotJson });
    }
    // ASCII is told apart several times faster, and most events are.
    if !payload.is_ascii() && std::str::from_utf8(payload).is_err() {
        return Err(Leave::NotJson);
    }
    let mut root = Root::new(payload);
    let read = scanner.object(|scanner, key| root.member(scanner, key));
    match read.and_then(|()| scanner.end()) {
        Err(Fault::TooDeep(_)) => return Err(Leave::TooComplex),
        Err(Fault::Syntax(_) | Fault::Truncated) => return Err(Leave::NotJson),
        Ok(()) if root.duplicate => return Err(Leave::DuplicateKeys),
        Ok(()) if root.is_full() => return Err(Leave::TooComplex),
        Ok(()) => {}
    }
    Ok(root.envelope(insert_at))
}

/// The members of an object's root while they are read.
pub(super) struct Root<'a> {
    payload: &'a [u8],
    names: Names,
    duplicate: bool,
    shape: u8,
    traceparent: Option<Range<usize>>,
    tracestate: Option<Range<usize>>,
    datadog: Option<Range<usize>>,
}

// Bits of `Root::shape`: members that make an object an envelope of a known kind.
const EVENT_ID: u8 = 1;
const EVENT_TYPE: u8 = 1 << 1;
const COMMAND: u8 = 1 << 2;
const VERSION: u8 = 1 << 3;
const ID: u8 = 1 << 4;
const SOURCE: u8 = 1 << 5;
const TYPE: u8 = 1 << 6;

impl<'a> Root<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        let names = Names::default();
        let (traceparent, tracestate, datadog) = (None, None, None);
        Self { payload, names, duplicate: false, shape: 0, traceparent, tracestate, datadog }
    }

    /// Reads one member, the scanner at its value.
    pub(super) fn member(&mut self, scanner: &mut Scanner<'_>, key: Text) -> Result<(), Fault> {
        let payload = self.payload;
        let unescaped = if key.escaped { key.unescaped(payload) } else { None };
        let plain = payload.get(key.inner.clone()).unwrap_or_default();
        self.duplicate |= self.names.contain(payload, &key);
        // Before the value is read: where a head ends within it, the name counts.
        self.names.push(key).ok_or(Fault::TooDeep(scanner.at()))?;
        let value = scanner.value()?;
        match unescaped.as_deref().map_or(plain, str::as_bytes) {
            b"traceparent" => self.traceparent = Some(value),
            b"tracestate" => self.tracestate = Some(value),
            b"_datadog" if payload.get(value.start) == Some(&b'{') => self.datadog = Some(value),
            b"eventId" => self.shape |= EVENT_ID,
            b"eventType" => self.shape |= EVENT_TYPE,
            b"commandType" => self.shape |= COMMAND,
            b"specversion" if payload.get(value.clone()) == Some(b"\"1.0\"") => {
                self.shape |= VERSION;
            }
            b"id" => self.shape |= ID,
            b"source" => self.shape |= SOURCE,
            b"type" => self.shape |= TYPE,
            _ => {}
        }
        Ok(())
    }

    /// With our two members there would be more than we follow.
    fn is_full(&self) -> bool {
        self.traceparent.is_none() && self.names.len + 2 > MEMBERS_MAX
    }

    /// What the members so far make of the object.
    fn envelope(self, insert_at: usize) -> Envelope {
        let has = |shape: u8| self.shape & shape == shape;
        let kind = if has(EVENT_ID | EVENT_TYPE) {
            Kind::Event
        } else if has(COMMAND) {
            Kind::Command
        } else if has(VERSION | ID | SOURCE | TYPE) {
            Kind::CloudEvent
        } else {
            Kind::Object
        };
        let payload = self.payload;
        let datadog = self.datadog.map(|value| datadog::context(payload.get(value)?));
        let existing = existing(payload, self.traceparent, self.tracestate);
        Envelope { insert_at, empty: self.names.len == 0, existing, kind, datadog }
    }

    /// The envelope of an object whose first members these are, if they tell enough: at least one,
    /// none twice, and nothing about context that the rest could still change.
    pub(super) fn envelope_so_far(self, insert_at: usize) -> Option<Envelope> {
        let last = self.names.last()?;
        let context_names = ["traceparent", "tracestate", "_datadog"];
        let cut = context_names.iter().any(|name| last.is(self.payload, name));
        let open =
            self.datadog.is_some() || self.tracestate.is_some() && self.traceparent.is_none();
        (!cut && !open && !self.duplicate && !self.is_full()).then(|| self.envelope(insert_at))
    }
}

/// The names of the root members so far; the first sixteen without allocating.
#[derive(Default)]
struct Names {
    first: [Option<Text>; 16],
    more: Vec<Text>,
    len: usize,
}

impl Names {
    fn last(&self) -> Option<&Text> {
        let first = self.len.checked_sub(1).and_then(|last| self.first.get(last)?.as_ref());
        self.more.last().or(first)
    }

    fn contain(&self, payload: &[u8], key: &Text) -> bool {
        let known = self.first.iter().map_while(Option::as_ref).chain(&self.more);
        known.into_iter().any(|name| same(payload, name, key))
    }

    /// `None` when there are too many to compare.
    fn push(&mut self, key: Text) -> Option<()> {
        match self.first.get_mut(self.len) {
            Some(place) => *place = Some(key),
            None if self.len < MEMBERS_MAX => self.more.push(key),
            None => return None,
        }
        self.len += 1;
        Some(())
    }
}

fn same(payload: &[u8], one: &Text, other: &Text) -> bool {
    if !one.escaped && !other.escaped {
        return one.inner.len() == other.inner.len()
            && payload.get(one.inner.clone()) == payload.get(other.inner.clone());
    }
    one.unescaped(payload).is_some_and(|name| other.is(payload, &name))
}

fn existing(
    payload: &[u8],
    traceparent: Option<Range<usize>>,
    tracestate: Option<Range<usize>>,
) -> Existing {
    let string = |range: Range<usize>| {
        let text = Scanner::new(payload.get(range.clone())?).text().ok()?;
        let moved = range.start + text.inner.start..range.start + text.inner.end;
        Some(Text { inner: moved, escaped: text.escaped }.unescaped(payload)?.into_owned())
    };
    match (traceparent, tracestate) {
        (None, None) => Existing::None,
        (None, Some(_)) => Existing::Invalid,
        (Some(parent), state) => {
            match string(parent).and_then(|text| TraceContext::parse(text.as_bytes())) {
                Some(context) => {
                    let state = state.and_then(string).map(|text| TraceState::parse(&text));
                    Existing::Context(context, state.unwrap_or_default())
                }
                None => Existing::Invalid,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn kinds_of_payload() {
        let check = |payload: &str, expected: Result<(usize, bool), Leave>| {
            let seen = inspect(payload.as_bytes());
            if let Ok(envelope) = &seen {
                assert_eq!(envelope.existing, Existing::None, "{payload}");
            }
            assert_eq!(seen.map(|e| (e.insert_at, e.empty)), expected, "{payload}");
        };
        check("{\"a\":1}", Ok((1, false)));
        check(" \r\n{ \"a\":1 }\n", Ok((4, false)));
        check("{ }", Ok((1, true)));
        check("", Err(Leave::Empty));
        check("   ", Err(Leave::NotJson));
        check("[{\"a\":1}]", Err(Leave::NotObject));
        check("\"traceparent\"", Err(Leave::NotObject));
        check("42", Err(Leave::NotObject));
        check("null", Err(Leave::NotObject));
        check("{\"a\":1", Err(Leave::NotJson));
        check("{\"a\":1}\n{\"a\":2}", Err(Leave::NotJson));
        check("\u{feff}{\"a\":1}", Err(Leave::NotJson));
        check("{\"a\":1,\"a\":2}", Err(Leave::DuplicateKeys));
        check("{\"a\":1,\"\\u0061\":2}", Err(Leave::DuplicateKeys));
        check("{\"payload\":{\"traceparent\":\"x\"}}", Ok((1, false)));
        check("{\"a\":\"\\\"traceparent\\\":\"}", Ok((1, false)));
        check(&format!("{{\"a\":{}}}", "[".repeat(300)), Err(Leave::TooComplex));
        assert_eq!(inspect(b"{\"a\":\"\xff\"}"), Err(Leave::NotJson));
        assert_eq!(inspect(b"\x1f\x8b\x08"), Err(Leave::NotJson));
    }

    #[test]
    fn contexts_in_the_root() {
        let check = |payload: String, expected: Existing| {
            assert_eq!(inspect(payload.as_bytes()).unwrap().existing, expected, "{payload}");
        };
        let context = TraceContext::parse(PARENT.as_bytes()).unwrap();
        let with = |state: &str| Existing::Context(context, TraceState::parse(state));
        check(format!("{{\"a\":1,\"traceparent\":\"{PARENT}\"}}"), with(""));
        check(
            format!("{{\"tracestate\":\"a=1\",\"\\u0074raceparent\" : \"{PARENT}\"}}"),
            with("a=1"),
        );
        check(format!("{{\"traceparent\":\"{}\"}}", PARENT.to_uppercase()), Existing::Invalid);
        check("{\"traceparent\":\"\"}".into(), Existing::Invalid);
        check("{\"traceparent\":{}}".into(), Existing::Invalid);
        check("{\"tracestate\":\"a=1\"}".into(), Existing::Invalid);
    }
}
