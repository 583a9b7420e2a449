//! Owns a finished span as a value, in OpenTelemetry's terms. Refuses to know how it is sent.

use super::context::{SpanId, TraceContext};
use super::state::TraceState;
use crate::domain::time::Wall;
use std::borrow::Cow;

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// `{messaging.operation.name} {destination}`, such as `send orders`.
    pub name: String,
    /// OpenTelemetry's span kind.
    pub kind: Kind,
    /// The span's own trace id, span id and flags.
    pub context: TraceContext,
    /// The tracestate that travels with the context; empty when there is none.
    pub tracestate: TraceState,
    /// The parent, if the span is not a root.
    pub parent: Option<SpanId>,
    /// When the call arrived at us.
    pub start: Wall,
    /// When its answer had left.
    pub end: Wall,
    /// Attributes by the messaging conventions.
    pub attributes: Vec<Attribute>,
    /// Spans that are related but not parents, one for each distinct context.
    pub links: Vec<Link>,
    /// Whether the operation failed.
    pub status: Status,
}

/// A name of the semantic conventions and its value.
pub type Attribute = (&'static str, Value);

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

/// OpenTelemetry's span kinds that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Made the messages: a send whose own context is in the records.
    Producer,
    /// Handles a message.
    Consumer,
    /// A call: a receive, or a send whose records carry other contexts.
    Client,
}

/// A relation to another span.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The other span.
    pub context: TraceContext,
    /// Its tracestate.
    pub tracestate: TraceState,
    /// What is particular to this relation, such as the record's sequence number.
    pub attributes: Vec<Attribute>,
}

/// Whether the operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nothing to say.
    Unset,
    /// Failed, with a sentence for a person.
    Error(String),
}
