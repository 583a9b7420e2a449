//! Owns what an event calls itself: its type, its id and its saga, under the names that the known
//! envelopes give them. Refuses to read anything else of a payload.

use crate::domain::json::{Fault, Scanner, Text};
use std::ops::Range;

/// The longest type or id that is one, in bytes: a longer text is left out, since half an id is
/// another id.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// What an event calls itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `eventType`, else `commandType`, else the `type` of a CloudEvent.
    pub event_type: Option<String>,
    /// `eventId`, else the `id` of a CloudEvent.
    pub event_id: Option<String>,
    /// `sagaId`, in the root or in the object `payload`.
    pub saga_id: Option<String>,
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
    payload: Option<Range<usize>>,
}

impl Seen {
    fn member(&mut self, text: &[u8], scanner: &mut Scanner<'_>, key: &Text) -> Result<(), Fault> {
        let value = Some(scanner.value()?);
        let name = key.unescaped(text).unwrap_or_default();
        match name.as_ref() {
            "eventType" => self.event_type = value,
            "commandType" => self.command_type = value,
            "type" => self.cloud_type = value,
            "eventId" => self.event_id = value,
            "id" => self.cloud_id = value,
            "specversion" => self.cloud = true,
            "sagaId" => self.saga_id = value,
            "payload" => self.payload = value,
            _ => {}
        }
        Ok(())
    }

    fn facts(self, text: &[u8]) -> Facts {
        let name = |value: Option<Range<usize>>| named(text.get(value?)?);
        let cloud = |value| name(value).filter(|_| self.cloud);
        let in_payload = || {
            let payload = text.get(self.payload.clone()?)?;
            let mut saga = None;
            let members = |scanner: &mut Scanner<'_>, key: Text| {
                let value = scanner.value()?;
                if key.is(payload, "sagaId") {
                    saga = Some(value);
                }
                Ok(())
            };
            Scanner::new(payload).object(members).ok()?;
            named(payload.get(saga?)?)
        };
        Facts {
            event_type: name(self.event_type)
                .or_else(|| name(self.command_type))
                .or_else(|| cloud(self.cloud_type)),
            event_id: name(self.event_id).or_else(|| cloud(self.cloud_id)),
            saga_id: name(self.saga_id).or_else(in_payload),
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
            let Facts { event_type, event_id, saga_id } = facts(payload.as_bytes());
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

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(rest in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = facts(&[b"{\"eventType\":".as_slice(), &rest].concat());
        }
    }
}
