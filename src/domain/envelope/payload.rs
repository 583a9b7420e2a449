//! Owns what a record's payload is, which contexts it carries and where context may go. Refuses to
//! change it. Large payloads are judged by their two ends if those tell: see `edges.rs`, also for
//! what that gives up.

use super::edges::examine_edges;
use super::inspect::{Envelope, Existing, inspect};
use super::leave::Leave;
use super::{aggregate, binary};
use crate::domain::json::Scanner;
use crate::domain::trace::{TraceContext, TraceState};
use std::collections::HashSet;

/// What a payload is. The closed list behind the attribute `kinescope.payload.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No bytes.
    Empty,
    /// One JSON object without a known shape.
    Object,
    /// An event of the seed article's form: `eventId`, `eventType`, `timestamp`, `payload`.
    Event,
    /// A command: `commandType`.
    Command,
    /// CloudEvents 1.0 in structured JSON.
    CloudEvent,
    /// JSON objects, one a line.
    JsonLines,
    /// JSON, but an array or a scalar.
    Json,
    /// A KPL aggregate.
    Aggregate,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// An Avro object container or single-object encoding.
    Avro,
    /// A Glue Schema Registry header.
    Glue,
    /// Protocol buffers, by their wire format.
    Protobuf,
    /// Spring Cloud Stream's embedded headers.
    Spring,
    /// Anything else.
    Opaque,
}

/// A payload, seen through.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// What it is.
    pub kind: Kind,
    /// Contexts that its events carry, in order, each once; bounded.
    pub contexts: Vec<(TraceContext, TraceState)>,
    /// Another tracer's context (`_datadog`): a candidate for the parent, never touched.
    pub foreign: Option<TraceContext>,
    /// Where context goes, or why none does.
    pub places: Result<Places, Leave>,
}

/// Where context goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// Into one object.
    One(Place),
    /// Into each of several objects, in order.
    Many(Vec<Place>),
    /// Into the user records of a KPL aggregate: the payload is written anew by
    /// [`super::aggregate::splice`].
    Aggregate,
}

/// One place in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Offset of the insertion in the payload: just behind an object's opening brace.
    pub at: usize,
    /// The object has no member, so that no comma follows the insertion.
    pub empty: bool,
}

impl Places {
    /// The places of insertions, in order; none for an aggregate.
    #[must_use]
    pub fn as_slice(&self) -> &[Place] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
            Self::Aggregate => &[],
        }
    }
}

/// Payloads over this are judged by their ends.
pub const WHOLE_BYTES_MAX: usize = 64 << 10;
/// How many bytes of each end of a large payload are looked at: a multiple of three, so that the
/// base64 of each end can be decoded alone.
pub const EDGE_BYTES: usize = 12 << 10;

/// Most objects of one payload that we follow.
const LINES_MAX: usize = 1_000;
/// Most contexts of one payload that are told.
const CONTEXTS_MAX: usize = 1_000;

/// Looks at a payload: whole up to [`WHOLE_BYTES_MAX`], else by [`examine_edges`] if they tell.
#[must_use]
pub fn examine(payload: &[u8]) -> Examined {
    let edges = || {
        let tail = payload.len().checked_sub(EDGE_BYTES)?;
        examine_edges(payload.get(..EDGE_BYTES)?, payload.get(tail..)?, payload.len())
    };
    edges().unwrap_or_else(|| examine_whole(payload))
}

/// Looks at all of a payload, however large. Its kind is the first that fits: no bytes; an
/// aggregate's magic; other magic bytes; JSON; protobuf's wire format; anything else.
#[must_use]
pub fn examine_whole(payload: &[u8]) -> Examined {
    if payload.is_empty() {
        return Examined::left(Kind::Empty, Leave::Empty);
    }
    if payload.starts_with(&aggregate::MAGIC) {
        return aggregate::examine(payload);
    }
    if let Some((kind, leave)) = binary::by_magic(payload) {
        return Examined::left(kind, leave);
    }
    json(payload).unwrap_or_else(|| {
        let (kind, leave) = binary::by_form(payload);
        Examined::left(kind, leave)
    })
}

/// The context that a payload carries, whoever wrote it; of several the first.
#[must_use]
pub fn extract(payload: &[u8]) -> Option<(TraceContext, TraceState)> {
    examine(payload).contexts.into_iter().next()
}

impl Examined {
    pub(super) fn left(kind: Kind, leave: Leave) -> Self {
        Self { kind, contexts: Vec::new(), foreign: None, places: Err(leave) }
    }

    /// Of one object, `start` bytes into the payload.
    pub(super) fn object(envelope: Envelope, start: usize) -> Self {
        let place = envelope.place().map(|place| place.moved(start));
        let contexts = match envelope.existing {
            Existing::Context(context, state) => vec![(context, state)],
            Existing::None | Existing::Invalid => Vec::new(),
        };
        let foreign = envelope.datadog.flatten();
        Self { kind: envelope.kind, contexts, foreign, places: place.map(Places::One) }
    }
}

impl Place {
    fn moved(self, by: usize) -> Self {
        Self { at: self.at + by, ..self }
    }
}

/// Bytes of the byte order mark that the payload begins with.
pub(super) fn mark_bytes(payload: &[u8]) -> usize {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if payload.starts_with(MARK) { MARK.len() } else { 0 }
}

fn json(payload: &[u8]) -> Option<Examined> {
    let start = mark_bytes(payload);
    match inspect(payload.get(start..)?) {
        Ok(envelope) => Some(Examined::object(envelope, start)),
        Err(Leave::NotObject) => Some(Examined::left(Kind::Json, Leave::NotObject)),
        Err(leave @ (Leave::DuplicateKeys | Leave::TooComplex)) => {
            Some(Examined::left(Kind::Object, leave))
        }
        Err(_) => lines(payload, start),
    }
}

/// Several objects, one a line; nothing if that is not what the payload is. Context goes into all
/// of them or none.
fn lines(payload: &[u8], start: usize) -> Option<Examined> {
    let mut contexts = Contexts::default();
    let (mut foreign, mut places, mut reason) = (None, Vec::new(), None);
    let mut objects = 0;
    for (at, line) in lines_of(payload, start) {
        if objects == LINES_MAX {
            reason = Some(Leave::TooComplex);
            break;
        }
        objects += 1;
        let place = match inspect(line) {
            Ok(envelope) => {
                let place = envelope.place();
                contexts.push_existing(envelope.existing);
                foreign = foreign.or(envelope.datadog.flatten());
                place
            }
            Err(Leave::NotJson | Leave::NotObject | Leave::Empty) => return None,
            Err(leave) => Err(leave),
        };
        match place {
            Ok(place) => places.push(place.moved(at)),
            Err(leave) => reason = reason.or(Some(leave)),
        }
    }
    let places = reason.map_or(Ok(Places::Many(places)), Err);
    (objects > 0).then_some(Examined {
        kind: Kind::JsonLines,
        contexts: contexts.list,
        foreign,
        places,
    })
}

/// The lines that are not blank, each with its offset.
pub(super) fn lines_of(payload: &[u8], start: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = start;
    std::iter::from_fn(move || {
        let rest = payload.get(at..).filter(|rest| !rest.is_empty())?;
        let line = memchr::memchr(b'\n', rest).and_then(|end| rest.get(..=end)).unwrap_or(rest);
        at += line.len();
        Some((at - line.len(), line))
    })
    .filter(|(_, line)| Scanner::new(line).peek().is_some())
}

/// Contexts in order, each once; bounded.
#[derive(Default)]
pub(super) struct Contexts {
    pub(super) list: Vec<(TraceContext, TraceState)>,
    known: HashSet<(TraceContext, TraceState)>,
}

impl Contexts {
    pub(super) fn push(&mut self, context: (TraceContext, TraceState)) {
        // Most payloads come from one trace.
        if self.list.last() != Some(&context)
            && self.list.len() < CONTEXTS_MAX
            && self.known.insert(context.clone())
        {
            self.list.push(context);
        }
    }

    fn push_existing(&mut self, existing: Existing) {
        if let Existing::Context(context, state) = existing {
            self.push((context, state));
        }
    }
}
