//! Owns the look into a delivered record's data for contexts, whichever wire form it came in.
//! Refuses to decode a large payload whole where its two ends tell.

use crate::domain::envelope::{
    EDGE_BYTES, Event, Examined, Kind, WHOLE_BYTES_MAX, events, examine, examine_edges,
    examine_whole,
};
use crate::domain::trace::{TraceContext, TraceState};
use crate::wire::kinesis::form::WireForm;

/// Base64 characters of an edge: whole groups.
const EDGE_CHARS: usize = EDGE_BYTES / 3 * 4;

/// What was seen of a record's data.
pub(super) struct Payload {
    /// What it is.
    pub(super) kind: Kind,
    /// The contexts that it carries.
    pub(super) contexts: Vec<(TraceContext, TraceState)>,
    /// Its events that carry one and call themselves anything.
    pub(super) events: Vec<Event>,
    /// The label `verdict`.
    pub(super) verdict: &'static str,
}

/// Looks at a record's data.
pub(super) fn look(form: WireForm, data: &[u8], scratch: &mut Vec<u8>) -> Payload {
    let examined = match form {
        WireForm::Json => examine_base64(data, scratch),
        WireForm::Cbor => Some(with_events(examine(data), data)),
    };
    let Some((examined, events)) = examined else {
        let (contexts, events) = (Vec::new(), Vec::new());
        return Payload { kind: Kind::Opaque, contexts, events, verdict: "not_base64" };
    };
    let mut contexts = examined.contexts;
    if contexts.is_empty() {
        contexts.extend(examined.foreign.map(|context| (context, TraceState::default())));
    }
    let verdict = if contexts.is_empty() { "no_context" } else { "linked" };
    Payload { kind: examined.kind, contexts, events, verdict }
}

fn with_events(examined: Examined, payload: &[u8]) -> (Examined, Vec<Event>) {
    let events = events(payload, &examined);
    (examined, events)
}

fn examine_base64(base64: &[u8], scratch: &mut Vec<u8>) -> Option<(Examined, Vec<Event>)> {
    let payload_bytes = payload_bytes(base64)?;
    if payload_bytes > WHOLE_BYTES_MAX {
        // One group more at the end: padding makes its last one shorter.
        let tail_at = base64.len().checked_sub(EDGE_CHARS + 4)?;
        let mut tail = Vec::new();
        let head = decode(base64.get(..EDGE_CHARS)?, scratch)?;
        let tail = decode(base64.get(tail_at..)?, &mut tail)?;
        if let Some(examined) = examine_edges(head, tail, payload_bytes) {
            return Some(with_events(examined, head));
        }
        return decode(base64, scratch).map(|whole| with_events(examine_whole(whole), whole));
    }
    decode(base64, scratch).map(|whole| with_events(examine(whole), whole))
}

fn payload_bytes(base64: &[u8]) -> Option<usize> {
    let padding = base64.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    base64.len().is_multiple_of(4).then_some(())?;
    (base64.len() / 4 * 3).checked_sub(padding)
}

/// Decodes standard, padded base64 into `scratch`: grown once, used again for the next record.
pub(in crate::wire::kinesis) fn decode<'a>(
    base64: &[u8],
    scratch: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    let needed = base64.len() / 4 * 3 + 3;
    if scratch.len() < needed {
        scratch.resize(needed, 0);
    }
    let out = base64_simd::Out::from_slice(scratch.as_mut_slice());
    base64_simd::STANDARD.decode(base64, out).ok().map(|decoded| &*decoded)
}
