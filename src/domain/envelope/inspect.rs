//! Owns the look into a payload: is it one JSON object, and does its root carry trace context?
//! Refuses to change anything. Source of the edge cases: reference/tracing.md 8.

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

/// Why a payload goes out as it came. The closed list behind the label `verdict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leave {
    /// No bytes at all.
    Empty,
    /// Not JSON, or not only one JSON value.
    NotJson,
    /// JSON, but an array or a scalar.
    NotObject,
    /// Two root members have one name: which of them a reader takes is not ours to guess.
    DuplicateKeys,
    /// Nested deeper, or wider, than we follow.
    TooComplex,
    /// Already carries a valid context: kept, and linked.
    ContextPresent,
    /// Already carries something under `traceparent` or `tracestate` that is not a context.
    ContextInvalid,
}

impl Leave {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotJson => "not_json",
            Self::NotObject => "not_object",
            Self::DuplicateKeys => "duplicate_keys",
            Self::TooComplex => "too_complex",
            Self::ContextPresent => "context_present",
            Self::ContextInvalid => "context_invalid",
        }
    }
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
    let mut names = Names::default();
    let (mut traceparent, mut tracestate) = (None, None);
    let mut duplicate = false;
    let read = scanner.object(|scanner, key| {
        let value = scanner.value()?;
        if key.is(payload, "traceparent") {
            traceparent = Some(value);
        } else if key.is(payload, "tracestate") {
            tracestate = Some(value);
        }
        duplicate |= names.contain(payload, &key);
        names.push(key).ok_or(Fault::TooDeep(scanner.at()))
    });
    match read.and_then(|()| scanner.end()) {
        Err(Fault::TooDeep(_)) => return Err(Leave::TooComplex),
        Err(Fault::Syntax(_) | Fault::Truncated) => return Err(Leave::NotJson),
        Ok(()) if duplicate => return Err(Leave::DuplicateKeys),
        Ok(()) => {}
    }
    let existing = existing(payload, traceparent, tracestate);
    Ok(Envelope { insert_at, empty: names.len == 0, existing })
}

/// The context that a payload's root carries, whoever wrote it.
#[must_use]
pub fn extract(payload: &[u8]) -> Option<(TraceContext, TraceState)> {
    match inspect(payload).ok()?.existing {
        Existing::Context(context, state) => Some((context, state)),
        Existing::None | Existing::Invalid => None,
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
