//! Owns the small public library: context into an envelope, and out of it, for producers and
//! consumers that never pass through the sidecar. Refuses I/O, clocks and chance: every function is
//! pure, and the bytes that it does not add stay as they came.
//!
//! A producer that writes what this gives, and a sidecar on its way, agree: the sidecar keeps the
//! context that it finds and links to it.

use crate::domain::envelope::Insertion;
use crate::domain::envelope::aggregate::Aggregated;
use crate::domain::trace::{TraceContext, TraceState};
use crate::wire::envelope_api as api;
use std::borrow::Cow;

pub use crate::wire::envelope_api::Facts;

/// The text is no W3C `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the traceparent is not one of W3C trace context")]
pub struct NotAContext;

/// What became of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected<'a> {
    /// The payload to write: with context, or as it came.
    pub payload: Cow<'a, [u8]>,
    /// `injected`, or why it stays as it came, such as `context_present` or `not_json`.
    pub verdict: &'static str,
}

/// What a payload carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The first context, to be linked: it is no parent of whoever reads it.
    pub traceparent: Option<String>,
    /// Its tracestate.
    pub tracestate: Option<String>,
    /// How many contexts the payload carries: lines of JSON and aggregates may have several.
    pub contexts: usize,
    /// What the payload is, such as `event`, `command`, `cloud_event`, `aggregate` or `opaque`.
    pub kind: &'static str,
    /// What its event calls itself.
    pub facts: Facts,
}

/// Adds context to a payload, by the rules of the sidecar: into one JSON object, into each of
/// several lines, into the `tags` of a KPL aggregate's user records. What carries context already,
/// and what is not understood, stays as it came. A `tracestate` that breaks its grammar is dropped.
///
/// # Errors
/// `traceparent` is none.
///
/// ```
/// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let order = br#"{"eventType":"ORDER_PLACED","total":1.10}"#;
/// let injected = kinescope::api::inject(order, parent, "")?;
/// assert_eq!(injected.verdict, "injected");
/// assert!(injected.payload.ends_with(br#""eventType":"ORDER_PLACED","total":1.10}"#));
///
/// let again = kinescope::api::inject(&injected.payload, parent, "")?;
/// assert_eq!((again.verdict, &again.payload), ("context_present", &injected.payload));
/// # Ok::<(), kinescope::api::NotAContext>(())
/// ```
pub fn inject<'a>(
    payload: &'a [u8],
    traceparent: &str,
    tracestate: &str,
) -> Result<Injected<'a>, NotAContext> {
    let context = TraceContext::parse(traceparent.as_bytes()).ok_or(NotAContext)?;
    let insertion = Insertion::new(&context, &TraceState::parse(tracestate));
    let out = api::inject(payload, &insertion, Aggregated::Tags, api::RECORD_BYTES_MAX);
    Ok(match out {
        Ok(payload) => {
            Injected { payload: payload.into(), verdict: api::Verdict::Injected.as_str() }
        }
        Err(verdict) => Injected { payload: payload.into(), verdict: verdict.as_str() },
    })
}

/// What a payload carries, whoever wrote it.
///
/// ```
/// let event = br#"{"eventId":"e1","eventType":"ORDER_PLACED","payload":{"sagaId":"s1"},
///     "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#;
/// let extracted = kinescope::api::extract(event);
/// assert_eq!(extracted.kind, "event");
/// assert_eq!(extracted.facts.event_type.as_deref(), Some("ORDER_PLACED"));
/// assert_eq!(extracted.facts.saga_id.as_deref(), Some("s1"));
/// assert!(extracted.traceparent.is_some_and(|parent| parent.ends_with("-b7ad6b7169203331-01")));
/// assert_eq!(kinescope::api::extract(b"\x1f\x8b").traceparent, None);
/// ```
#[must_use]
pub fn extract(payload: &[u8]) -> Extracted {
    let api::Extracted { kind, contexts, facts, verdict: _ } = api::extract(payload);
    let first = contexts.first();
    Extracted {
        traceparent: first.map(|(context, _)| context.to_string()),
        tracestate: first.and_then(|(_, state)| state.as_str()).map(str::to_owned),
        contexts: contexts.len(),
        kind,
        facts,
    }
}
