//! Owns `inject` and `extract`: one envelope from standard input to standard output, judged as the
//! proxy judges it. Refuses input that is larger than any record of Kinesis.

use super::{Context, complain, say};
use crate::domain::envelope::aggregate::Aggregated;
use crate::domain::envelope::{Examined, Insertion, examine};
use crate::domain::trace::{Flags, TraceContext, TraceState};
use crate::io::entropy;
use crate::wire::envelope_api::{self as api, facts};
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
    let (out, verdict) = match api::inject(&envelope, &insertion, Aggregated::Tags, usize::MAX) {
        Ok(out) => (out, INJECTED),
        Err(verdict) => (envelope, verdict.as_str()),
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

/// What is said of an envelope: contexts, kind, the type of its event (nothing else of its
/// contents), and what the proxy would do to it.
fn shown(payload: &[u8]) -> serde_json::Value {
    let Examined { kind, contexts, foreign, places } = examine(payload);
    let context = |(context, state): &(TraceContext, TraceState)| json!({ "traceparent": context.to_string(), "tracestate": state.as_str() });
    json!({
        "kind": kind.as_str(),
        "event_type": facts(payload).event_type,
        "contexts": contexts.iter().map(context).collect::<Vec<_>>(),
        "foreign_context": foreign.map(|context| context.to_string()),
        "verdict": places.map_or_else(|leave| leave.as_str(), |_| INJECTED),
    })
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
            let out = api::inject(payload.as_bytes(), &insertion, Aggregated::Tags, usize::MAX);
            let out = out.map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(out.as_deref().map_err(|verdict| verdict.as_str()), expected);
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
            assert_eq!(facts(payload.as_bytes()).event_type.as_deref(), expected, "{payload}");
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
