//! Owns the bytes that we add to JSON envelopes, and their removal. Refuses any envelope that
//! carries context already.
//!
//! The insertion stands directly behind the opening brace and has a form of its own: one to three
//! spaces between the key and its colon, where no serialiser puts any, so many that the insertion's
//! length is a multiple of three. That multiple keeps the base64 of all later bytes as it was
//! (reference/wire-and-proxy.md 5.3); the form tells our context from one that the producer wrote.

use super::aggregate;
use super::leave::Leave;
use super::payload::{Place, Places, examine};
use super::text::{lines_of, mark_bytes};
use crate::domain::json::Scanner;
use crate::domain::trace::{TraceContext, TraceState};
use std::borrow::Cow;

const KEY: &[u8] = b"\"traceparent\"";
/// The most between the key and its colon.
const SPACES: &[u8] = b"   ";
const STATE_KEY: &[u8] = b",\"tracestate\":\"";

/// The bytes to add for one context: made once a call, the same for all records of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insertion {
    context: TraceContext,
    state: TraceState,
    with_comma: Vec<u8>,
    alone: Vec<u8>,
}

impl Insertion {
    /// The insertion for a context.
    #[must_use]
    pub fn new(context: &TraceContext, state: &TraceState) -> Self {
        let alone = member(context, state, b"");
        let with_comma = member(context, state, b",");
        Self { context: *context, state: state.clone(), with_comma, alone }
    }

    /// What is added.
    #[must_use]
    pub const fn context(&self) -> &TraceContext {
        &self.context
    }

    /// What goes with it.
    #[must_use]
    pub const fn state(&self) -> &TraceState {
        &self.state
    }

    /// The bytes for an object that is empty (no comma) or not. Their number is a multiple of
    /// three.
    #[must_use]
    pub fn bytes(&self, empty: bool) -> &[u8] {
        if empty { &self.alone } else { &self.with_comma }
    }
}

fn member(context: &TraceContext, state: &TraceState, behind: &[u8]) -> Vec<u8> {
    let state = state.as_str();
    let mut member = Vec::with_capacity(128 + 2 * state.map_or(0, str::len));
    member.extend_from_slice(KEY);
    member.extend_from_slice(SPACES);
    member.extend_from_slice(b":\"");
    member.extend_from_slice(&context.text());
    if let Some(state) = state {
        member.push(b'"');
        member.extend_from_slice(STATE_KEY);
        for byte in state.bytes() {
            // The grammar leaves no other character that JSON must escape.
            if matches!(byte, b'"' | b'\\') {
                member.push(b'\\');
            }
            member.push(byte);
        }
    }
    member.push(b'"');
    member.extend_from_slice(behind);
    // As many spaces go as the length is over a multiple of three.
    let over = member.len() % SPACES.len();
    member.drain(KEY.len()..KEY.len() + over);
    member
}

/// The payload with context added to its root, or to each of its objects. An aggregate is left:
/// [`aggregate::splice`] is told how.
///
/// # Errors
/// Why the payload must stay as it is.
pub fn splice(payload: &[u8], insertion: &Insertion) -> Result<Vec<u8>, Leave> {
    let places = match examine(payload).places? {
        Places::Aggregate => return Err(Leave::Aggregate),
        places @ (Places::One(_) | Places::Many(_)) => places,
    };
    let growth: usize = places.as_slice().iter().map(|at| insertion.bytes(at.empty).len()).sum();
    let (mut spliced, mut copied) = (Vec::with_capacity(payload.len() + growth), 0);
    for place in places.as_slice() {
        spliced.extend_from_slice(payload.get(copied..place.at).ok_or(Leave::NotJson)?);
        spliced.extend_from_slice(insertion.bytes(place.empty));
        copied = place.at;
    }
    spliced.extend_from_slice(payload.get(copied..).ok_or(Leave::NotJson)?);
    Ok(spliced)
}

/// The payload as the producer wrote it: without our insertions if, and only if, splicing the rest
/// again would give exactly these bytes. Whatever else it is comes back untouched.
#[must_use]
pub fn unsplice(payload: &[u8]) -> Cow<'_, [u8]> {
    let original = if payload.starts_with(&aggregate::MAGIC) {
        aggregate::original(payload)
    } else {
        original(payload).map(|(_, original)| original)
    };
    original.map_or(Cow::Borrowed(payload), Cow::Owned)
}

/// What was inserted, and the payload without it.
pub(super) fn original(payload: &[u8]) -> Option<(Insertion, Vec<u8>)> {
    let insertion = first_insertion(payload)?;
    // Of several objects each carries it, or, in a large payload judged by its ends, the first. Both
    // fit only where other lines of a large payload came in our form already: then each loses it.
    let original = [usize::MAX, 1].into_iter().find_map(|objects_max| {
        let (rest, places) = without(payload, &insertion, objects_max)?;
        let same = examine(&rest).places.is_ok_and(|again| again.as_slice() == places);
        same.then_some(rest)
    })?;
    Some((insertion, original))
}

/// Reads what stands behind the first brace, if it has our form.
fn first_insertion(payload: &[u8]) -> Option<Insertion> {
    let mark = mark_bytes(payload);
    let brace = Scanner::new(payload.get(mark..)?).at();
    let after_key = payload.get(mark + brace..)?.strip_prefix(b"{")?.strip_prefix(KEY)?;
    if !after_key.starts_with(b" ") {
        return None;
    }
    let mut scanner = Scanner::new(after_key);
    scanner.expect(b':').ok()?;
    let context = scanner.text().ok()?;
    let context = TraceContext::parse(after_key.get(context.inner)?)?;
    let mut state = TraceState::default();
    if after_key.get(scanner.at()..)?.starts_with(STATE_KEY) {
        scanner.expect(b',').ok()?;
        scanner.text().ok()?;
        scanner.expect(b':').ok()?;
        state = TraceState::parse(&scanner.text().ok()?.unescaped(after_key)?);
    }
    Some(Insertion::new(&context, &state))
}

/// The payload without the insertion in its first objects, all of which must have it, and the
/// places where it stood, as they are in what is left.
fn without(
    payload: &[u8],
    insertion: &Insertion,
    objects_max: usize,
) -> Option<(Vec<u8>, Vec<Place>)> {
    let (mut rest, mut places, mut copied) = (Vec::with_capacity(payload.len()), Vec::new(), 0);
    for (at, line) in lines_of(payload, mark_bytes(payload)).take(objects_max) {
        let brace = Scanner::new(line).at() + 1;
        let behind = line.get(brace..)?;
        let empty = !behind.starts_with(insertion.bytes(false));
        let inserted = insertion.bytes(empty);
        if !behind.starts_with(inserted) {
            return None;
        }
        rest.extend_from_slice(payload.get(copied..at + brace)?);
        places.push(Place { at: rest.len(), empty });
        copied = at + brace + inserted.len();
    }
    rest.extend_from_slice(payload.get(copied..)?);
    Some((rest, places))
}

#[cfg(test)]
mod tests {
    use super::super::payload::{EDGE_BYTES, WHOLE_BYTES_MAX, extract};
    use super::*;
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn insertion(state: &str) -> Insertion {
        let context = TraceContext::parse(PARENT.as_bytes()).unwrap();
        Insertion::new(&context, &TraceState::parse(state))
    }

    #[test]
    fn spliced_forms() {
        let check = |payload: &str, state: &str, expected: String| {
            let spliced = splice(payload.as_bytes(), &insertion(state)).unwrap();
            assert_eq!(String::from_utf8_lossy(&spliced), expected);
            assert_eq!((spliced.len() - payload.len()) % 3, 0, "the base64 behind it moved");
            let json = &spliced[mark_bytes(&spliced)..];
            assert!(serde_json::from_slice::<serde_json::Value>(json).is_ok());
            assert_eq!(unsplice(&spliced), payload.as_bytes());
            assert_eq!(splice(&spliced, &insertion(state)), Err(Leave::ContextPresent));
        };
        check("{\"a\":1}", "", format!("{{\"traceparent\"   :\"{PARENT}\",\"a\":1}}"));
        check(" {}\n", "", format!(" {{\"traceparent\" :\"{PARENT}\"}}\n"));
        check(
            "{ \"a\":1.10}",
            "x=\"\\",
            format!("{{\"traceparent\"  :\"{PARENT}\",\"tracestate\":\"x=\\\"\\\\\", \"a\":1.10}}"),
        );
        check("\u{feff} { }", "", format!("\u{feff} {{\"traceparent\" :\"{PARENT}\" }}"));
    }

    #[test]
    fn every_object_of_several() {
        let (with_comma, alone) =
            (format!("\"traceparent\"   :\"{PARENT}\","), format!("\"traceparent\" :\"{PARENT}\""));
        let check = |payload: &str, expected: String| {
            let spliced = splice(payload.as_bytes(), &insertion("")).unwrap();
            assert_eq!(String::from_utf8_lossy(&spliced), expected);
            assert_eq!(unsplice(&spliced), payload.as_bytes());
            assert_eq!(splice(&spliced, &insertion("")), Err(Leave::ContextPresent));
        };
        check(
            "\u{feff}\r\n {\"a\":1}\r\n\n{}",
            format!("\u{feff}\r\n {{{with_comma}\"a\":1}}\r\n\n{{{alone}}}"),
        );
        // Not all of them: some other hand wrote it.
        let some = format!("{{{with_comma}\"a\":1}}\n{{}}\n");
        assert_eq!(unsplice(some.as_bytes()), some.as_bytes());
        let other = PARENT.replace("b7ad", "b7ae");
        let two = format!("{{{with_comma}\"a\":1}}\n{{\"traceparent\" :\"{other}\"}}\n");
        assert_eq!(unsplice(two.as_bytes()), two.as_bytes());
    }

    #[test]
    fn large_payloads_by_their_ends() {
        let round = |payload: &str| {
            let spliced = splice(payload.as_bytes(), &insertion("a=1")).unwrap();
            assert!(unsplice(&spliced) == payload.as_bytes());
            assert_eq!(extract(&spliced).unwrap().0.to_string(), PARENT);
            assert_eq!(splice(&spliced, &insertion("a=1")), Err(Leave::ContextPresent));
        };
        for bytes in [WHOLE_BYTES_MAX - 100, WHOLE_BYTES_MAX - 9, WHOLE_BYTES_MAX, 1 << 20] {
            let long = "x".repeat(bytes);
            round(&format!("{{\"a\":\"{long}\"}}"));
            round(&format!("\u{feff} {{\"a\":\"{long}\"}}\n{{}}\n"));
            round(&format!("{{\"a\":1}}\n{{\"a\":\"{long}\"}}"));
            // Two lines, both longer than an end.
            let half = &long[bytes / 2..];
            round(&format!("{{\"a\":\"{half}\"}}\n{{\"a\":\"{half}\"}}"));
            // Where the space before the object fills the head.
            for space in [EDGE_BYTES / 2, EDGE_BYTES - 9, EDGE_BYTES, EDGE_BYTES + 1] {
                round(&format!("{}{{\"a\":\"{long}\"}}", " ".repeat(space)));
            }
        }
        let many: Vec<_> = (0..1022).map(|i| format!("\"{i}\":0")).collect();
        round(&format!("{{{},\"a\":\"{}\"}}", many[1..].join(","), "x".repeat(WHOLE_BYTES_MAX)));
        round(&format!("{{{}}}", many.join(",")));
    }

    #[test]
    fn a_producers_own_context_is_not_ours() {
        for own in [
            format!("{{\"traceparent\":\"{PARENT}\",\"a\":1}}"),
            format!("{{\"traceparent\" :\"{PARENT}\",\"a\":1}}"),
            format!("{{\"traceparent\" : \"{PARENT}\"}}"),
            format!("{{\"traceparent\"   :\"{PARENT}\",\"traceparent\":\"{PARENT}\"}}"),
        ] {
            assert_eq!(unsplice(own.as_bytes()), own.as_bytes(), "{own}");
        }
    }

    /// JSON objects with the odd white space, numbers and escapes that re-encoding would lose.
    fn object() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("1e400".to_owned()),
            Just("0.10".to_owned()),
            Just("-0".to_owned()),
            Just("null".to_owned()),
            "\"[a-zA-Zé\\u{0} ]{0,12}\"".prop_map(|s| s.replace('\u{0}', "\\u0000")),
        ];
        let space = "[ \\t\\r\\n]{0,3}";
        let members = proptest::collection::vec(("[a-z]{1,6}", space, scalar, space), 0..6);
        (members, space, space).prop_map(|(members, before, after)| {
            let inner: Vec<String> = members
                .into_iter()
                .enumerate()
                .map(|(i, (key, one, value, two))| {
                    format!("{one}\"{key}{i}\"{two}:{one}{value}{two}")
                })
                .collect();
            format!("{before}{{{before}{}}}{after}", inner.join(","))
        })
    }

    proptest! {
        #[test]
        fn unsplice_undoes_splice(payload in object(), state in "(k=[!-+./0-9:;<>-~]{1,9})?") {
            let spliced = splice(payload.as_bytes(), &insertion(&state)).unwrap();
            prop_assert_eq!(unsplice(&spliced), payload.as_bytes());
            prop_assert_eq!(extract(&spliced).unwrap().0.to_string(), PARENT);
        }

        #[test]
        fn unsplice_undoes_lines(
            objects in proptest::collection::vec((object(), "\r?\n[ \n]{0,2}"), 1..6),
            last in any::<bool>(),
            mark in "\u{feff}?",
        ) {
            let mut payload = mark;
            for (object, end) in &objects {
                payload += &object.replace(['\n', '\r'], " ");
                payload += end;
            }
            if last {
                payload += "{}";
            }
            let spliced = splice(payload.as_bytes(), &insertion("a=1")).unwrap();
            prop_assert_eq!((spliced.len() - payload.len()) % 3, 0);
            prop_assert_eq!(unsplice(&spliced), payload.as_bytes());
            prop_assert_eq!(splice(&spliced, &insertion("")), Err(Leave::ContextPresent));
            prop_assert_eq!(unsplice(payload.as_bytes()), payload.as_bytes());
        }

        #[test]
        fn any_bytes_come_back(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            match splice(&payload, &insertion("")) {
                Ok(spliced) => prop_assert_eq!(unsplice(&spliced), &payload[..]),
                Err(_) => prop_assert_eq!(unsplice(&payload), &payload[..]),
            }
        }

        /// Near misses of our own form: what `unsplice` takes must be what `splice` makes.
        #[test]
        fn only_our_own_form_is_taken(
            spaces in 0_usize..5,
            gap in "[ ]{0,2}",
            tail in prop_oneof![Just("}"), Just(",\"a\":1}"), Just(", \"traceparent\":1}"), Just(",\"tracestate\":\"a=1\"}"), Just(",\"tracestate\":\"\"}"), Just("]"), Just(" }"), Just("")],
        ) {
            let payload = format!("{{\"traceparent\"{}:{gap}\"{PARENT}\"{tail}", " ".repeat(spaces));
            let back = unsplice(payload.as_bytes());
            if back != payload.as_bytes() {
                let (context, state) = extract(payload.as_bytes()).unwrap();
                prop_assert_eq!(splice(&back, &Insertion::new(&context, &state)).unwrap(), payload.as_bytes());
            }
        }
    }
}
