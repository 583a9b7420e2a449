//! Owns context in KPL aggregates: found in their user records, added to them at the wire level,
//! and taken away again. Refuses to touch keys, indices, order and unknown fields, and any
//! aggregate in which a sidecar already left context: two insertions could not be told apart.
//! Source: reference/tracing.md 4.
//!
//! A tag of ours is its record's last field and has its value before its key: a form that every
//! decoder takes and no serialiser writes, so that it cannot be taken for a producer's own.

use super::facts::{EVENTS_MAX, Event, Facts, facts_of_head};
pub(super) use super::frame::MAGIC;
use super::frame::{Frame, UserRecord};
use super::leave::Leave;
use super::payload::{self, Contexts, Examined, Kind, Places};
use super::protobuf::put_bytes;
use super::splice::{self as json, Insertion};
use crate::domain::trace::{TraceContext, TraceState};

const TRACEPARENT: &[u8] = b"traceparent";
const TRACESTATE: &[u8] = b"tracestate";

/// How context goes into an aggregate's user records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregated {
    /// In the `tags` field, which the KPL and KCL do not use: user data stays as it is.
    Tags,
    /// Spliced into each user record's JSON.
    Json,
    /// Not at all.
    Off,
}

/// How many user records the payload holds, if it is an aggregate that consumers take apart.
#[must_use]
pub fn user_records(payload: &[u8]) -> Option<usize> {
    Frame::read(payload).ok().map(|frame| frame.records.len())
}

/// The aggregate with context in its user records, MD5 made anew. Records that carry context, or
/// (with [`Aggregated::Json`]) cannot carry it, are left. If it would grow by more than a tenth,
/// only the first that can gets it.
///
/// # Errors
/// Why it stays as it is.
pub fn splice(payload: &[u8], insertion: &Insertion, mode: Aggregated) -> Result<Vec<u8>, Leave> {
    let frame = Frame::read(payload)?;
    let tags = tags(insertion.context(), insertion.state());
    let looks: Vec<Look> = frame.records.iter().map(Look::at).collect();
    open(&frame, &looks)?;
    let body = |(record, look): (&UserRecord<'_>, &Look)| match (look.leave, mode) {
        (_, Aggregated::Off) => Err(Leave::Aggregate),
        (Some(leave), _) => Err(leave),
        (None, Aggregated::Tags) => Ok([record.body, &tags].concat()),
        (None, Aggregated::Json) => {
            json::splice(record.data, insertion).map(|data| record.with_data(&data))
        }
    };
    let bodies: Vec<_> = frame.records.iter().zip(&looks).map(body).collect();
    let reason = bodies.first().and_then(|first| first.as_ref().err().copied());
    let mut bodies: Vec<_> = bodies.into_iter().map(Result::ok).collect();
    let Some(first) = bodies.iter().position(Option::is_some) else {
        return Err(reason.unwrap_or(Leave::Aggregate));
    };
    let spliced = frame.with_bodies(&bodies);
    if spliced.len().saturating_sub(payload.len()) <= payload.len() / GROWTH_PART {
        return Ok(spliced);
    }
    bodies.iter_mut().skip(first + 1).for_each(|body| *body = None);
    Ok(frame.with_bodies(&bodies))
}

/// An aggregate grows by one part in so many, or by one user record's context.
const GROWTH_PART: usize = 10;

/// Whether any context can be added.
fn open(frame: &Frame<'_>, looks: &[Look]) -> Result<(), Leave> {
    if looks.iter().any(|look| look.ours) {
        return Err(Leave::ContextPresent);
    }
    if looks.iter().all(|look| look.leave.is_some()) {
        return Err(looks.first().and_then(|look| look.leave).unwrap_or(Leave::AggregateBroken));
    }
    if frame.minimal { Ok(()) } else { Err(Leave::AggregateForm) }
}

/// Looks at a payload that begins with the magic.
pub(super) fn examine(payload: &[u8]) -> Examined {
    let frame = match Frame::read(payload) {
        Ok(frame) => frame,
        Err(leave) => return Examined::left(Kind::Aggregate, leave),
    };
    let looks: Vec<Look> = frame.records.iter().map(Look::at).collect();
    let places = open(&frame, &looks).map(|()| Places::Aggregate);
    let (mut contexts, mut foreign) = (Contexts::default(), None);
    for look in looks {
        foreign = foreign.or(look.foreign);
        look.contexts.into_iter().for_each(|context| contexts.push(context));
    }
    Examined { kind: Kind::Aggregate, contexts: contexts.list, foreign, places }
}

/// The events of an aggregate that was examined before: its checksum is right.
pub(super) fn events(payload: &[u8]) -> Vec<Event> {
    let Some(frame) = Frame::read_again(payload) else { return Vec::new() };
    let event = |record: &UserRecord<'_>| {
        let context = match tagged(record) {
            Tagged::Context(context, state) => (context, state),
            Tagged::Not | Tagged::Invalid => payload::extract(record.data)?,
        };
        let facts = facts_of_head(record.data);
        (facts != Facts::default()).then_some(Event { context, facts })
    };
    frame.records.iter().filter_map(event).take(EVENTS_MAX).collect()
}

/// What a user record carries.
struct Look {
    contexts: Vec<(TraceContext, TraceState)>,
    foreign: Option<TraceContext>,
    /// Why it gets no context, however it would.
    leave: Option<Leave>,
    /// It carries context in a form that only we write.
    ours: bool,
}

impl Look {
    fn at(record: &UserRecord<'_>) -> Self {
        let inside = payload::examine(record.data);
        match tagged(record) {
            Tagged::Not => Self {
                leave: inside.places.err().filter(carries),
                ours: !inside.contexts.is_empty() && json::original(record.data).is_some(),
                contexts: inside.contexts,
                foreign: inside.foreign,
            },
            Tagged::Context(context, state) => Self {
                ours: record.body.ends_with(&tags(&context, &state)),
                contexts: vec![(context, state)],
                foreign: inside.foreign,
                leave: Some(Leave::ContextPresent),
            },
            Tagged::Invalid => Self {
                contexts: inside.contexts,
                foreign: inside.foreign,
                leave: Some(Leave::ContextInvalid),
                ours: false,
            },
        }
    }
}

/// Of the reasons to leave a payload those that say that it has context of its own.
fn carries(leave: &Leave) -> bool {
    [Leave::ContextPresent, Leave::ContextInvalid, Leave::Datadog].contains(leave)
}

/// What a user record's tags say.
enum Tagged {
    Not,
    Context(TraceContext, TraceState),
    Invalid,
}

fn tagged(record: &UserRecord<'_>) -> Tagged {
    let named = |name| record.tags.iter().filter(move |tag| tag.key == name).map(|tag| tag.value);
    let (mut parents, mut states) = (named(TRACEPARENT), named(TRACESTATE));
    match (parents.next(), parents.next(), states.next()) {
        (None, _, None) => Tagged::Not,
        (Some(parent), None, state) => match TraceContext::parse(parent) {
            Some(context) => {
                let state = state.and_then(|text| std::str::from_utf8(text).ok());
                Tagged::Context(context, state.map(TraceState::parse).unwrap_or_default())
            }
            None => Tagged::Invalid,
        },
        (None, _, Some(_)) | (Some(_), Some(_), _) => Tagged::Invalid,
    }
}

/// The tags of ours for a context, as fields of a user record.
fn tags(context: &TraceContext, state: &TraceState) -> Vec<u8> {
    let mut tags = Vec::new();
    let mut put = |key: &[u8], value: &[u8]| {
        let mut tag = Vec::new();
        put_bytes(&mut tag, 2, value);
        put_bytes(&mut tag, 1, key);
        put_bytes(&mut tags, 4, &tag);
    };
    put(TRACEPARENT, &context.text());
    if let Some(state) = state.as_str() {
        put(TRACESTATE, state.as_bytes());
    }
    tags
}

/// The aggregate without our insertions, if splicing what is left again gives the same bytes.
pub(super) fn original(payload: &[u8]) -> Option<Vec<u8>> {
    // Far cheaper than the checksum, and nothing is ours in most aggregates.
    memchr::memmem::find(payload, TRACEPARENT)?;
    let frame = Frame::read(payload).ok()?;
    [Aggregated::Tags, Aggregated::Json].into_iter().find_map(|mode| {
        let mut insertion = None;
        let mut without = |record: &UserRecord<'_>| {
            let (found, body) = match mode {
                Aggregated::Tags => untagged(record)?,
                Aggregated::Json => {
                    let (found, data) = json::original(record.data)?;
                    (found, record.with_data(&data))
                }
                Aggregated::Off => return None,
            };
            (*insertion.get_or_insert_with(|| found.clone()) == found).then_some(body)
        };
        let bodies: Vec<_> = frame.records.iter().map(&mut without).collect();
        let rest = frame.with_bodies(&bodies);
        (splice(&rest, &insertion?, mode).ok()? == payload).then_some(rest)
    })
}

/// What our tag holds, and the record's body without it.
fn untagged(record: &UserRecord<'_>) -> Option<(Insertion, Vec<u8>)> {
    let Tagged::Context(context, state) = tagged(record) else { return None };
    let body = record.body.strip_suffix(tags(&context, &state).as_slice())?;
    Some((Insertion::new(&context, &state), body.to_vec()))
}

#[cfg(test)]
mod tests;
