//! Owns a put on its way out: its parent, its span's context, and the splice of its records.
//! Refuses to fail: whatever is not understood goes out as it came, with the reason.

use super::admit::text;
use super::exchange::PutFacts;
use super::{Propagate, Proxy};
use crate::domain::envelope::Insertion;
use crate::domain::envelope::aggregate::Aggregated;
use crate::domain::trace::{Flags, TraceContext, TraceState, parse_xray};
use crate::io::entropy;
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::put::{
    self, Insertions, Look, Plan, PutBody, RecordVerdict, SizeLaw, Spliced,
};
use bytes::Bytes;
use http::HeaderMap;
use std::collections::HashMap;

/// The body to send and what was done to it; no facts for a dry run, which is no traffic, and for
/// a stream that is switched off.
pub(super) fn prepare(
    proxy: &Proxy,
    headers: &HeaderMap,
    body: Bytes,
) -> (Bytes, Option<PutFacts>) {
    if let Some(reason) = unreadable(headers) {
        return (body, Some(facts(None, parent(headers, &[]), Vec::new(), reason)));
    }
    let put = match put::locate(WireForm::Json, &body) {
        Ok(put) if put.dry_run => return (body, None),
        Ok(put) => put,
        Err(fault) => {
            return (body, Some(facts(None, parent(headers, &[]), Vec::new(), fault.as_str())));
        }
    };
    let propagate = proxy.propagate(put.stream.as_ref());
    if propagate == Propagate::Off {
        return (body, Some(facts(Some(&put), parent(headers, &[]), Vec::new(), "off")));
    }
    let looks = put::look(&body, &put);
    let mut facts = facts(Some(&put), parent(headers, &looks), links(&looks), "");
    let common = Insertion::new(&facts.context, &facts.state);
    let insertions = Insertions { common, own: HashMap::new() };
    let law = SizeLaw::default();
    let plan = match propagate {
        Propagate::Inject => {
            Plan::Inject { insertions: &insertions, law, aggregated: Aggregated::Tags }
        }
        Propagate::Observe | Propagate::Off => Plan::Observe,
    };
    let Spliced { body, verdicts, injected_bytes } = put::splice(&body, &put, &looks, &plan);
    facts.injected = verdicts.iter().filter(|v| **v == RecordVerdict::Injected).count();
    facts.verdicts = verdicts.iter().map(RecordVerdict::as_str).collect();
    facts.injected_bytes = injected_bytes;
    (body.to_bytes(), Some(facts))
}

/// Why a body is not even looked at.
fn unreadable(headers: &HeaderMap) -> Option<&'static str> {
    if text(headers, "content-encoding").is_some_and(|encoding| encoding != "identity") {
        return Some("body_encoded");
    }
    let json =
        text(headers, "content-type").is_some_and(|t| t.starts_with("application/x-amz-json-1.1"));
    (!json).then_some("body_other_wire_form")
}

/// Facts of a put whose records all have one verdict; of an unreadable body, one for the whole.
fn facts(
    put: Option<&PutBody>,
    parent: Option<(TraceContext, TraceState)>,
    links: Vec<(TraceContext, TraceState)>,
    verdict: &'static str,
) -> PutFacts {
    let (context, state) = child(parent.as_ref());
    PutFacts {
        stream: put.and_then(|put| put.stream.clone()),
        context,
        state,
        parent: parent.map(|(context, _)| context.span_id),
        links,
        verdicts: vec![verdict; put.map_or(1, |put| put.records.len())],
        injected: 0,
        injected_bytes: 0,
    }
}

fn links(looks: &[Look]) -> Vec<(TraceContext, TraceState)> {
    looks.iter().flat_map(Look::contexts).cloned().collect()
}

/// The parent: the request's `traceparent`, else X-Ray's header, else the first context that a
/// record carries.
fn parent(headers: &HeaderMap, looks: &[Look]) -> Option<(TraceContext, TraceState)> {
    request_parent(headers)
        .or_else(|| looks.iter().find_map(|look| look.contexts().first().cloned()))
}

/// The application's own span, out of the request's headers.
pub(super) fn request_parent(headers: &HeaderMap) -> Option<(TraceContext, TraceState)> {
    let w3c = text(headers, "traceparent").and_then(|text| TraceContext::parse(text.as_bytes()));
    if let Some(context) = w3c {
        let state: Vec<&str> =
            headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok()).collect();
        return Some((context, TraceState::parse(&state.join(","))));
    }
    Some((parse_xray(text(headers, "x-amzn-trace-id")?)?, TraceState::default()))
}

/// Our span's context: in the parent's trace with the parent's flags, or a new, sampled root.
fn child(parent: Option<&(TraceContext, TraceState)>) -> (TraceContext, TraceState) {
    let span_id = entropy::span_id();
    match parent {
        Some((context, state)) => (TraceContext { span_id, ..*context }, state.clone()),
        None => {
            let trace_id = entropy::trace_id();
            let context = TraceContext { trace_id, span_id, flags: Flags::SAMPLED_RANDOM };
            (context, TraceState::default())
        }
    }
}
