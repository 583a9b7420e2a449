//! Owns the laws of trace contexts: what is read can be written and read again, and nothing that
//! was read breaks the JSON that it is spliced into.

use kinescope::domain::envelope::{Insertion, extract, splice, unsplice};
use kinescope::domain::trace::{TraceContext, TraceState, parse_xray};

pub fn trace_context(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let contexts = [TraceContext::parse(data), parse_xray(&text)];
    for context in contexts.into_iter().flatten() {
        assert_eq!(context.to_string().as_bytes(), context.text());
        assert_eq!(TraceContext::parse(&context.text()), Some(context));
        in_an_envelope(&context, &TraceState::default());
    }
    let state = TraceState::parse(&text);
    let Some(kept) = state.as_str() else { return };
    assert!(kept.len() <= TraceState::BYTES_MAX);
    assert!(kept.split(',').count() <= TraceState::MEMBERS_MAX);
    assert!(kept.split(',').all(|member| text.contains(member)));
    assert_eq!(TraceState::parse(kept), state);
    let context = TraceContext::parse(super::envelope::PARENT.as_bytes()).unwrap();
    in_an_envelope(&context, &state);
}

pub(super) fn in_an_envelope(context: &TraceContext, state: &TraceState) {
    for payload in [&b"{}"[..], b"{\"a\":1}"] {
        let spliced = splice(payload, &Insertion::new(context, state)).unwrap();
        assert_eq!(unsplice(&spliced), payload);
        assert_eq!(extract(&spliced), Some((*context, state.clone())));
        let read: serde_json::Value = serde_json::from_slice(&spliced).unwrap();
        assert_eq!(read["traceparent"].as_str(), Some(context.to_string().as_str()));
        assert_eq!(read["tracestate"].as_str(), state.as_str());
    }
}
