//! Owns `inject` and `extract`: one envelope from standard input to standard output, judged as the
//! proxy judges it. Refuses input that is larger than any record of Kinesis.

use super::{Context, complain, say};
use crate::domain::envelope::aggregate::{self, Aggregated};
use crate::domain::envelope::{Examined, Insertion, Kind, Leave, Places, examine};
use crate::domain::trace::{Flags, TraceContext, TraceState};
use crate::io::entropy;
use serde::Deserialize;
use serde_json::json;
use std::io::{self, Read, Write};
use std::process::ExitCode;

/// The largest record that Kinesis takes.
const ENVELOPE_BYTES_MAX: usize = 10 << 20;

/// The verdict on a payload that context is added to; the others are reasons to leave it.
const INJECTED: &str = "injected";

/// Prints the envelope with context added, or as it came; the verdict goes to standard error.
pub(super) fn inject(context: &Context) -> ExitCode {
    let envelope = match read(&mut io::stdin().lock()) {
        Ok(envelope) => envelope,
        Err(error) => return unreadable(&error),
    };
    let (context, state) = match (&context.traceparent, &context.tracestate) {
        (Some(context), Some(state)) => (*context, state.clone()),
        (Some(context), None) => (*context, TraceState::default()),
        (None, _) => (root(), TraceState::default()),
    };
    let insertion = Insertion::new(&context, &state);
    let (out, verdict) = match injected(&envelope, &insertion, Aggregated::Tags) {
        Ok(out) => (out, INJECTED),
        Err(leave) => (envelope, leave.as_str()),
    };
    complain(verdict);
    let mut stdout = io::stdout().lock();
    match stdout.write_all(&out).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Half an envelope is worse than none: whoever reads it must know.
        Err(error) => {
            complain(format_args!("the envelope cannot be written: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints what an envelope is and carries, as JSON.
pub(super) fn extract() -> ExitCode {
    match read(&mut io::stdin().lock()) {
        Ok(envelope) => {
            say(shown(&envelope));
            ExitCode::SUCCESS
        }
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &io::Error) -> ExitCode {
    complain(format_args!("standard input cannot be read: {error}"));
    ExitCode::FAILURE
}

fn read(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut envelope = Vec::new();
    from.take(ENVELOPE_BYTES_MAX as u64 + 1).read_to_end(&mut envelope)?;
    if envelope.len() > ENVELOPE_BYTES_MAX {
        let why = "it has more than 10 MiB, the most that a record may have";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(envelope)
}

/// A new trace.
pub(super) fn root() -> TraceContext {
    TraceContext {
        trace_id: entropy::trace_id(),
        span_id: entropy::span_id(),
        flags: Flags::SAMPLED_RANDOM,
    }
}

/// The payload with context added, or why it stays as it came.
pub(super) fn injected(
    payload: &[u8],
    insertion: &Insertion,
    aggregated: Aggregated,
) -> Result<Vec<u8>, Leave> {
    let places = examine(payload).places?;
    if places == Places::Aggregate {
        return aggregate::splice(payload, insertion, aggregated);
    }
    let (mut out, mut from) = (Vec::with_capacity(payload.len() + 256), 0);
    for place in places.as_slice() {
        out.extend_from_slice(payload.get(from..place.at).unwrap_or_default());
        out.extend_from_slice(insertion.bytes(place.empty));
        from = place.at;
    }
    out.extend_from_slice(payload.get(from..).unwrap_or_default());
    Ok(out)
}

/// What is said of an envelope: contexts, kind, the type of its event (nothing else of its
/// contents), and what the proxy would do to it.
fn shown(payload: &[u8]) -> serde_json::Value {
    let Examined { kind, contexts, foreign, places } = examine(payload);
    let context = |(context, state): &(TraceContext, TraceState)| json!({ "traceparent": context.to_string(), "tracestate": state.as_str() });
    json!({
        "kind": kind_word(kind),
        "event_type": event_type(payload),
        "contexts": contexts.iter().map(context).collect::<Vec<_>>(),
        "foreign_context": foreign.map(|context| context.to_string()),
        "verdict": places.map_or_else(|leave| leave.as_str(), |_| INJECTED),
    })
}

/// The closed list behind the attribute `kinescope.payload.kind`.
pub(super) const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Empty => "empty",
        Kind::Object => "object",
        Kind::Event => "event",
        Kind::Command => "command",
        Kind::CloudEvent => "cloud_event",
        Kind::JsonLines => "json_lines",
        Kind::Json => "json",
        Kind::Aggregate => "aggregate",
        Kind::Gzip => "gzip",
        Kind::Zstd => "zstd",
        Kind::Avro => "avro",
        Kind::Glue => "glue",
        Kind::Protobuf => "protobuf",
        Kind::Spring => "spring",
        Kind::Opaque => "opaque",
    }
}

/// The event's type, under the name that its form gives it; of several events, the first one's.
fn event_type(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "eventType")]
        event: Option<String>,
        #[serde(rename = "commandType")]
        command: Option<String>,
        /// CloudEvents say their version; any other `type` may mean anything.
        specversion: Option<serde::de::IgnoredAny>,
        #[serde(rename = "type")]
        cloud: Option<serde_json::Value>,
    }
    let text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    let named = serde_json::Deserializer::from_slice(text).into_iter::<Named>().next()?.ok()?;
    let cloud = named.specversion.and(named.cloud.as_ref()).and_then(serde_json::Value::as_str);
    named.event.or(named.command).or_else(|| cloud.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn context_is_added_where_there_is_a_place() {
        let context = TraceContext::parse(PARENT.as_bytes()).unwrap();
        let insertion = Insertion::new(&context, &TraceState::default());
        let check = |payload: &str, expected: Result<&str, &str>| {
            let out = injected(payload.as_bytes(), &insertion, Aggregated::Tags);
            let out = out.map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(out.as_deref().map_err(|leave| leave.as_str()), expected);
        };
        let with = format!("{{\"traceparent\"   :\"{PARENT}\",\"a\":1}}");
        check("{\"a\":1}", Ok(&with));
        check(&with, Err("context_present"));
        check("[1]", Err("not_object"));
        check("", Err("empty"));
    }

    #[test]
    fn what_is_shown_of_an_envelope() {
        let payload = format!("{{\"eventType\":\"OrderPlaced\",\"traceparent\":\"{PARENT}\"}}");
        let shown = shown(payload.as_bytes());
        assert_eq!(shown["event_type"], "OrderPlaced");
        assert_eq!(shown["verdict"], "context_present");
        assert_eq!(shown["contexts"][0]["traceparent"], PARENT);
        assert_eq!(super::shown(b"{}")["verdict"], "injected");
    }

    #[test]
    fn types_of_events() {
        let check = |payload: &str, expected: Option<&str>| {
            assert_eq!(event_type(payload.as_bytes()).as_deref(), expected, "{payload}");
        };
        check("{\"eventType\":\"A\",\"type\":\"B\"}", Some("A"));
        check("\u{feff} {\"commandType\":\"C\"}", Some("C"));
        check("{\"specversion\":\"1.0\",\"type\":\"D\"}", Some("D"));
        check("{\"type\":\"D\"}", None);
        check("{\"eventType\":\"A\"}\n{\"eventType\":\"B\"}\n", Some("A"));
        check("{\"eventType\":7}", None);
        check("[1]", None);
        check("\u{1f}", None);
    }

    #[test]
    fn input_has_a_bound() {
        let check = |bytes: usize, right: bool| {
            assert_eq!(read(&mut io::repeat(b'a').take(bytes as u64)).is_ok(), right, "{bytes}");
        };
        check(ENVELOPE_BYTES_MAX, true);
        check(ENVELOPE_BYTES_MAX + 1, false);
    }
}
