//! Owns the bodies and answers of `/envelope/v1/inject`, `/extract` and `/processed`: an envelope
//! with context added, what an envelope carries, a report of what was processed. Refuses to re-encode
//! an envelope, and to guess what a report meant: what is wrong is told by the field's name.

mod members;
mod report;

use crate::domain::envelope::aggregate::{self, Aggregated};
use crate::domain::envelope::{self, Examined, Insertion, Places, examine};
use crate::domain::trace::{TraceContext, TraceState};
use serde_json::json;

pub use crate::domain::envelope::{Facts, facts};
pub use crate::wire::kinesis::put::RecordVerdict as Verdict;
pub use members::BadField;
pub use report::{Failure, Report, report};

/// The largest record that Kinesis takes, data and partition key together, in bytes.
pub const RECORD_BYTES_MAX: usize = 10 << 20;

/// What was found in an envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct Extracted {
    /// What the payload is: a word of a closed list.
    pub kind: &'static str,
    /// The contexts that it carries, each once, in order.
    pub contexts: Vec<(TraceContext, TraceState)>,
    /// What its event calls itself; of several events, the first.
    pub facts: Facts,
    /// What the proxy would do to it: `injected`, or why it would leave it alone.
    pub verdict: &'static str,
}

/// The payload with context added, byte for byte the same around it.
///
/// # Errors
/// Why it stays as it came.
pub fn inject(
    payload: &[u8],
    insertion: &Insertion,
    aggregated: Aggregated,
    record_bytes_max: usize,
) -> Result<Vec<u8>, Verdict> {
    let injected = match (examine(payload).places, aggregated) {
        (Ok(Places::Aggregate), Aggregated::Off) => return Err(Verdict::AggregateOff),
        (Ok(Places::Aggregate), Aggregated::Tags | Aggregated::Json) => {
            aggregate::splice(payload, insertion, aggregated)
        }
        (Ok(Places::One(_) | Places::Many(_)) | Err(_), _) => envelope::splice(payload, insertion),
    };
    let injected = injected.map_err(Verdict::Left)?;
    if injected.len() > record_bytes_max { Err(Verdict::RecordTooLarge) } else { Ok(injected) }
}

/// Looks at an envelope.
#[must_use]
pub fn extract(payload: &[u8]) -> Extracted {
    let Examined { kind, contexts, foreign: _, places } = examine(payload);
    let verdict = places.map_or_else(Verdict::Left, |_| Verdict::Injected).as_str();
    Extracted { kind: kind.as_str(), contexts, facts: facts(payload), verdict }
}

impl Extracted {
    /// The answer's JSON: what is not there is null.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let context = |(context, state): &(TraceContext, TraceState)| json!({ "traceparent": context.to_string(), "tracestate": state.as_str() });
        let first = self.contexts.first();
        let answer = json!({
            "traceparent": first.map(|(context, _)| context.to_string()),
            "tracestate": first.and_then(|(_, state)| state.as_str()),
            "contexts": self.contexts.iter().map(context).collect::<Vec<_>>(),
            "kind": self.kind,
            "eventType": self.facts.event_type,
            "eventId": self.facts.event_id,
            "sagaId": self.facts.saga_id,
            "verdict": self.verdict,
        });
        answer.to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn context_goes_in_by_the_rules_of_the_proxy() {
        let context = TraceContext::parse(PARENT.as_bytes()).unwrap();
        let insertion = Insertion::new(&context, &TraceState::default());
        let check = |payload: &str, bytes_max, expected: Result<&str, &str>| {
            let out = inject(payload.as_bytes(), &insertion, Aggregated::Tags, bytes_max);
            let out = out.map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(out.as_deref().map_err(Verdict::as_str), expected, "{payload}");
        };
        let with = format!("{{\"traceparent\"   :\"{PARENT}\",\"a\":1.10}}");
        check("{\"a\":1.10}", RECORD_BYTES_MAX, Ok(&with));
        check("{\"a\":1.10}", with.len(), Ok(&with));
        check("{\"a\":1.10}", with.len() - 1, Err("record_too_large"));
        check(&with, RECORD_BYTES_MAX, Err("context_present"));
        check("[1]", RECORD_BYTES_MAX, Err("not_object"));
        check("", RECORD_BYTES_MAX, Err("empty"));
        check("\u{1f}\u{8b}", RECORD_BYTES_MAX, Err("not_json"));
    }

    #[test]
    fn what_is_told_of_an_envelope() {
        let check = |payload: &str, expected: serde_json::Value| {
            let json = extract(payload.as_bytes()).json();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).unwrap(), expected);
        };
        check(
            &format!(
                "{{\"eventId\":\"e1\",\"eventType\":\"ORDER_PLACED\",\"traceparent\":\"{PARENT}\",\"tracestate\":\"a=1\",\"payload\":{{\"sagaId\":\"s1\"}}}}"
            ),
            json!({
                "traceparent": PARENT,
                "tracestate": "a=1",
                "contexts": [{ "traceparent": PARENT, "tracestate": "a=1" }],
                "kind": "event",
                "eventType": "ORDER_PLACED",
                "eventId": "e1",
                "sagaId": "s1",
                "verdict": "context_present",
            }),
        );
        check(
            "no JSON",
            json!({
                "traceparent": null,
                "tracestate": null,
                "contexts": [],
                "kind": "opaque",
                "eventType": null,
                "eventId": null,
                "sagaId": null,
                "verdict": "not_json",
            }),
        );
    }
}
