//! Owns the body of `/envelope/v1/processed`: one record that a consumer has processed, or failed
//! to. Refuses what is not certain, and names the field.

use super::members::{BadField, Members};
use crate::domain::envelope::examine;
use crate::domain::envelope::facts::NAME_BYTES_MAX;
use crate::domain::envelope::{Facts, facts};
use crate::domain::json::{Scanner, Text};
use crate::domain::stream::{SequenceNumber, ShardId, StreamName};
use crate::domain::time::Wall;
use crate::domain::trace::{TraceContext, TraceState};
use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

/// Longer than anything that processes one record: seven days, in milliseconds.
const DURATION_MS_MAX: f64 = 7.0 * 24.0 * 3_600_000.0;
/// The year 2500, in milliseconds since 1970: within what nanoseconds in 64 bits can say.
const START_MS_MAX: f64 = 16_725_225_600_000.0;
/// So much of an error's message is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 512;
/// Longer is no message, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

const FIELDS: [&str; 11] = [
    "stream",
    "durationMs",
    "eventType",
    "envelope",
    "traceparent",
    "tracestate",
    "shard",
    "sequenceNumber",
    "startTimeMs",
    "error",
    "sagaId",
];

/// A record that was processed.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The stream that it came from.
    pub stream: StreamName,
    /// Its shard.
    pub shard: Option<ShardId>,
    /// Its sequence number.
    pub sequence: Option<SequenceNumber>,
    /// The contexts that it carried, each once.
    pub contexts: Vec<(TraceContext, TraceState)>,
    /// What its event calls itself.
    pub facts: Facts,
    /// How long it took.
    pub duration: Duration,
    /// When it began; none where the report says only how long it took.
    pub started: Option<Wall>,
    /// How it failed.
    pub failure: Option<Failure>,
}

/// How processing failed, in the consumer's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Of a small number, such as the exception's class; `_OTHER` where the report names none.
    pub kind: String,
    /// For a person; cut.
    pub message: Option<String>,
}

/// Reads a report.
///
/// # Errors
/// The first field that is wrong, and what to send instead.
pub fn report(body: &[u8]) -> Result<Report, BadField> {
    if std::str::from_utf8(body).is_err() {
        return Err(BadField {
            field: "body".into(),
            what: "is not UTF-8".into(),
            todo: "send JSON".into(),
        });
    }
    let members = Members::read(body, 0..body.len(), "", FIELDS)?;
    let name = |field: &str, todo| members.text(field, NAME_BYTES_MAX, todo);
    let duration_ms = members
        .number("durationMs", 0.0..=DURATION_MS_MAX, "send milliseconds, such as 12.5")?
        .ok_or_else(|| {
            members.refuse("durationMs", "is missing", "send how many milliseconds it took")
        })?;
    let started =
        members.number("startTimeMs", 0.0..=START_MS_MAX, "send milliseconds since 1970 in UTC")?;
    let (contexts, found) = carried(body, &members)?;
    let event_type = name("eventType", "send the event's type as a string")?;
    let saga_id = name("sagaId", "send the saga's id as a string")?;
    let shard = name("shard", "send a shard's id, such as \"shardId-000000000000\"")?;
    let sequence = name("sequenceNumber", "send the record's SequenceNumber as a string")?;
    Ok(Report {
        stream: stream(&members)?,
        shard: shard.as_deref().map(ShardId::from),
        sequence: sequence.as_deref().map(SequenceNumber::from),
        contexts,
        facts: Facts {
            event_type: event_type.map(Cow::into_owned).or(found.event_type),
            saga_id: saga_id.map(Cow::into_owned).or(found.saga_id),
            event_id: found.event_id,
            made: found.made,
        },
        duration: Duration::from_secs_f64(duration_ms / 1_000.0),
        started: started.map(microseconds),
        failure: failure(body, &members)?,
    })
}

/// A double has room for microseconds of the present, and not for nanoseconds.
fn microseconds(ms: f64) -> Wall {
    Wall::from_nanos(((ms * 1e3).round() as u64).saturating_mul(1_000))
}

type Fields<'a> = Members<'a, { FIELDS.len() }>;

fn stream(members: &Fields<'_>) -> Result<StreamName, BadField> {
    let todo = "send the stream's name or ARN";
    let text = members
        .text("stream", 2_048, todo)?
        .ok_or_else(|| members.refuse("stream", "is missing", todo))?;
    let stream = StreamName::from_arn(&text).unwrap_or_else(|| StreamName::from(&*text));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let name = stream.as_str();
    if (1..=128).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(stream)
    } else {
        Err(members.refuse("stream", "is no name that a stream can have", todo))
    }
}

/// What the record carried: as the report says, else as its envelope does.
fn carried(
    body: &[u8],
    members: &Fields<'_>,
) -> Result<(Vec<(TraceContext, TraceState)>, Facts), BadField> {
    let envelope = members.range("envelope").map(|value| envelope(body, value));
    let envelope = envelope.transpose().map_err(|what| {
        let todo = "send the record's data: its JSON object, or its text as a string";
        members.refuse("envelope", what, todo)
    })?;
    let found = envelope.as_deref().map(facts).unwrap_or_default();
    let todo = "send the traceparent that the record carried, or leave it out";
    let Some(parent) = members.text("traceparent", 512, todo)? else {
        // Many envelopes carry none, and some a broken one: nothing to link then.
        return Ok((envelope.map(|it| examine(&it).contexts).unwrap_or_default(), found));
    };
    let Some(context) = TraceContext::parse(parent.as_bytes()) else {
        return Err(members.refuse("traceparent", "is no W3C trace context", todo));
    };
    // A tracestate that breaks the grammar is dropped, as W3C says.
    let state = members.text("tracestate", 8_192, "send the record's tracestate")?;
    let state = state.map(|state| TraceState::parse(&state)).unwrap_or_default();
    Ok((vec![(context, state)], found))
}

fn envelope(body: &[u8], value: Range<usize>) -> Result<Cow<'_, [u8]>, &'static str> {
    let bytes = body.get(value).unwrap_or_default();
    match bytes.first() {
        Some(b'{') => Ok(Cow::Borrowed(bytes)),
        Some(b'"') => {
            let text: Option<Text> = Scanner::new(bytes).text().ok();
            let text = text.and_then(|text| text.unescaped(bytes)).ok_or("is no text")?;
            Ok(match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            })
        }
        _ => Err("is neither a JSON object nor a string"),
    }
}

fn failure(body: &[u8], members: &Fields<'_>) -> Result<Option<Failure>, BadField> {
    let Some(value) = members.range("error") else { return Ok(None) };
    let error = Members::read(body, value, "error.", ["type", "message"])?;
    let kind = error.text("type", NAME_BYTES_MAX, "send the kind of error as a string")?;
    let message =
        error.text("message", MESSAGE_BYTES_MAX, "send a sentence for a person as a string")?;
    Ok(Some(Failure {
        // The conventions' own word for an error without a known type.
        kind: kind.filter(|kind| !kind.is_empty()).map_or("_OTHER".into(), Cow::into_owned),
        message: message.map(|text| text.chars().take(MESSAGE_CHARS_MAX).collect()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const LEAST: &str = "{\"stream\":\"orders\",\"durationMs\":1}";

    fn read(body: serde_json::Value) -> Report {
        report(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_whole_report() {
        let told = read(json!({
            "stream": "arn:aws:kinesis:us-east-1:123456789012:stream/orders",
            "shard": "shardId-000000000001",
            "sequenceNumber": "49",
            "traceparent": PARENT,
            "tracestate": "a=1",
            "eventType": "ORDER_PLACED",
            "sagaId": "s1",
            "durationMs": 12.5,
            "startTimeMs": 1_700_000_000_000.25_f64,
            "error": { "type": "TimeoutError", "message": "m".repeat(600) },
        }));
        assert_eq!(told.stream.as_str(), "orders");
        assert_eq!(told.shard.unwrap().as_str(), "shardId-000000000001");
        assert_eq!(told.sequence.unwrap().as_str(), "49");
        let (context, state) = told.contexts.first().unwrap();
        assert_eq!((context.to_string().as_str(), state.as_str()), (PARENT, Some("a=1")));
        assert_eq!(told.facts.event_type.as_deref(), Some("ORDER_PLACED"));
        assert_eq!(told.duration, Duration::from_micros(12_500));
        assert_eq!(told.started.unwrap().as_nanos(), 1_700_000_000_000_250_000);
        let failure = told.failure.unwrap();
        assert_eq!((failure.kind.as_str(), failure.message.unwrap().len()), ("TimeoutError", 512));
    }

    #[test]
    fn the_least_and_the_envelope() {
        let least = report(LEAST.as_bytes()).unwrap();
        assert_eq!((least.contexts.len(), least.failure, least.started), (0, None, None));
        let event =
            json!({ "eventType": "A", "eventId": "e", "sagaId": "s", "traceparent": PARENT });
        for envelope in [event.clone(), json!(event.to_string()), json!(format!("{event}\n{{}}"))] {
            let told = read(
                json!({ "stream": "o", "durationMs": 0, "error": null, "envelope": envelope }),
            );
            assert_eq!(told.contexts.first().unwrap().0.to_string(), PARENT);
            assert_eq!(told.facts.event_type.as_deref(), Some("A"));
            assert_eq!(told.facts.event_id.as_deref(), Some("e"));
        }
        // Broken context in an envelope is the producer's affair.
        let told = read(
            json!({ "stream": "o", "durationMs": 0, "eventType": "B", "envelope": { "eventType": "A", "traceparent": "x" } }),
        );
        assert_eq!((told.contexts.len(), told.facts.event_type.as_deref()), (0, Some("B")));
        let other = read(json!({ "stream": "o", "durationMs": 0, "error": {} }));
        assert_eq!(other.failure.unwrap().kind, "_OTHER");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |body: &str, field: &str, what: &str| {
            let error = report(body.as_bytes()).unwrap_err();
            assert_eq!((error.field.as_str(), error.what.as_str()), (field, what), "{body}");
            let json: serde_json::Value = serde_json::from_slice(&error.json()).unwrap();
            assert_eq!(
                (&json["field"], &json["__type"]),
                (&json!(field), &json!("ValidationException"))
            );
            assert!(json["message"].as_str().unwrap().starts_with(&format!("kinescope: {field} ")));
        };
        let with = |member: &str| LEAST.replace('}', &format!(",{member}}}"));
        check("", "body", "is no JSON object");
        check("[]", "body", "is no JSON object");
        check("{\"stream\":", "body", "cannot be read: the JSON ends too early");
        check(&format!("{LEAST} x"), "body", "cannot be read: not JSON at byte 35");
        check("{\"durationMs\":1}", "stream", "is missing");
        check("{\"durationMs\":1,\"stream\":7}", "stream", "(byte 25) is no string");
        check(
            "{\"durationMs\":1,\"stream\":\"a b\"}",
            "stream",
            "(byte 25) is no name that a stream can have",
        );
        check("{\"stream\":\"o\"}", "durationMs", "is missing");
        check("{\"durationMs\":null}", "durationMs", "is missing");
        check("{\"durationMs\":\"5\"}", "durationMs", "(byte 14) is no number");
        check("{\"durationMs\":-1}", "durationMs", "(byte 14) is not between 0 and 604800000");
        check("{\"durationMs\":1e999}", "durationMs", "(byte 14) is no number");
        check(&with("\"event_type\":\"A\""), "event_type", "(byte 47) is no field of this call");
        check(&with("\"stream\":\"p\""), "stream", "(byte 43) is there twice");
        check(
            &with("\"startTimeMs\":1e300"),
            "startTimeMs",
            "(byte 48) is not between 0 and 16725225600000",
        );
        check(
            &with("\"traceparent\":\"00-1-1-01\""),
            "traceparent",
            "(byte 48) is no W3C trace context",
        );
        check(
            &with("\"envelope\":[1]"),
            "envelope",
            "(byte 45) is neither a JSON object nor a string",
        );
        check(&with("\"error\":true"), "error", "is no JSON object");
        check(&with("\"error\":{\"code\":1}"), "error.code", "(byte 50) is no field of this call");
        check(&with("\"error\":{\"type\":1}"), "error.type", "(byte 50) is no string");
        check(
            &with(&format!("\"eventType\":\"{}\"", "x".repeat(257))),
            "eventType",
            "(byte 46) is longer than 256 bytes",
        );
        assert_eq!(report(b"{\"stream\":\"\xff\"}").unwrap_err().what, "is not UTF-8");
    }

    #[test]
    fn the_largest_envelope_is_taken() {
        let event =
            json!({ "eventType": "A", "traceparent": PARENT, "payload": "x".repeat(10 << 20) });
        let told = read(json!({ "stream": "o", "durationMs": 0, "envelope": event }));
        assert_eq!((told.contexts.len(), told.facts.event_type.as_deref()), (1, Some("A")));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(body in proptest::collection::vec(any::<u8>(), 0..80), member in 0..FIELDS.len()) {
            let _ = report(&body);
            let _ = report(&[format!("{{\"{}\":", FIELDS[member]).as_bytes(), &body].concat());
        }
    }
}
