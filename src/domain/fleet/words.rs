//! Owns the reading of a span: which attribute says what about a record's way. Refuses spans that
//! are not about a Kinesis stream, and every attribute that it has no word for.
//! Source: reference/tracing.md 2.1.

use crate::domain::stream::SequenceNumber;
use crate::domain::stream::ShardId;
use crate::domain::stream::StreamName;
use crate::domain::trace::Attribute;
use crate::domain::trace::Span;
use crate::domain::trace::Status;
use crate::domain::trace::Value;
use std::sync::Arc;
use std::time::Duration;

/// `messaging.system` of a span that is ours.
pub const SYSTEM: &str = "aws.kinesis";

/// The attributes that a span's reader knows; an OTLP receiver keeps these and drops the others.
pub mod attribute {
    /// Which messaging system: [`super::SYSTEM`].
    pub const SYSTEM: &str = "messaging.system";
    /// `create`, `send`, `receive` or `process`.
    pub const OPERATION: &str = "messaging.operation.name";
    /// The stream, or the queue.
    pub const STREAM: &str = "messaging.destination.name";
    /// True where it is a queue.
    pub const QUEUE: &str = "kinescope.queue";
    /// The shard, on a span or a link.
    pub const SHARD: &str = "messaging.destination.partition.id";
    /// The record's sequence number, on a span or a link.
    pub const SEQUENCE: &str = "messaging.message.id";
    /// Where a link stands for several records, the sequence number of the first …
    pub const SEQUENCE_FIRST: &str = "kinescope.message.id.first";
    /// … and of the last.
    pub const SEQUENCE_LAST: &str = "kinescope.message.id.last";
    /// Records of the call, or of the link where it stands for several.
    pub const RECORDS: &str = "messaging.batch.message_count";
    /// Records of the call that Kinesis refused.
    pub const FAILED: &str = "kinescope.records.failed";
    /// What went wrong, by name.
    pub const ERROR: &str = "error.type";
    /// `eventType` of the envelope, on a span or a link; only where `privacy.fields` names it.
    pub const EVENT_TYPE: &str = "kinescope.event.type";
    /// The saga, on a span or a link: [`crate::domain::saga::SagaId`] as text, never `sagaId` itself
    /// unless `privacy.fields` names it.
    pub const SAGA_ID: &str = "kinescope.saga.id";
    /// From 1: which of the spans that tell of one call this is.
    pub const PART: &str = "kinescope.part";
    /// Arrival to delivery in milliseconds, of the slowest record of a link.
    pub const TIME_IN_STREAM_MS: &str = "kinescope.time_in_stream_ms";
    /// True on a process span that nobody reported.
    pub const INFERRED: &str = "kinescope.inferred";

    /// All of them.
    pub const ALL: [&str; 16] = [
        SYSTEM,
        OPERATION,
        STREAM,
        QUEUE,
        SHARD,
        SEQUENCE,
        SEQUENCE_FIRST,
        SEQUENCE_LAST,
        PART,
        RECORDS,
        FAILED,
        ERROR,
        EVENT_TYPE,
        SAGA_ID,
        TIME_IN_STREAM_MS,
        INFERRED,
    ];
}

/// What was done with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A record was made.
    Create,
    /// Records were put.
    Send,
    /// Records were delivered.
    Receive,
    /// A record was worked on.
    Process,
}

/// What a span says of its call.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) operation: Operation,
    pub(super) stream: Option<StreamName>,
    /// The stream is a queue: which stream its records were put to is not said.
    pub(super) is_queue: bool,
    pub(super) shard: Option<ShardId>,
    pub(super) event_type: Option<Arc<str>>,
    pub(super) records: Option<u64>,
    pub(super) failed: u64,
    pub(super) error: Option<Arc<str>>,
    pub(super) inferred: bool,
    /// Another span tells of the same call already.
    pub(super) goes_on: bool,
}

/// Reads a span; `None` where it is not about a Kinesis stream or does something else with it.
pub(super) fn read(span: &Span) -> Option<Reading> {
    let said = |name| text(&span.attributes, name);
    if said(attribute::SYSTEM) != Some(SYSTEM) {
        return None;
    }
    let operation = match said(attribute::OPERATION)? {
        "create" => Operation::Create,
        "send" => Operation::Send,
        "receive" => Operation::Receive,
        "process" => Operation::Process,
        _ => return None,
    };
    let failure = match &span.status {
        Status::Unset => None,
        Status::Error(_) => Some("error"),
    };
    Some(Reading {
        operation,
        stream: said(attribute::STREAM).map(StreamName::from),
        is_queue: find(&span.attributes, attribute::QUEUE) == Some(&Value::Bool(true)),
        shard: said(attribute::SHARD).map(ShardId::from),
        event_type: said(attribute::EVENT_TYPE).map(Arc::from),
        records: count(&span.attributes, attribute::RECORDS),
        failed: count(&span.attributes, attribute::FAILED).unwrap_or_default(),
        error: said(attribute::ERROR).or(failure).map(Arc::from),
        inferred: find(&span.attributes, attribute::INFERRED) == Some(&Value::Bool(true)),
        goes_on: count(&span.attributes, attribute::PART) > Some(1),
    })
}

/// How long a record lay in its stream, as a link tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InStream {
    /// So long.
    Told(Duration),
    /// Less than nothing: the clocks of Kinesis and the reader disagree, and nothing can be said.
    Absurd,
    /// The link says nothing.
    Untold,
}

/// Reads a link's time in stream.
pub(super) fn in_stream(link: &[Attribute]) -> InStream {
    let ms = match find(link, attribute::TIME_IN_STREAM_MS) {
        Some(Value::Int(ms)) => *ms as f64,
        Some(Value::Float(ms)) => *ms,
        Some(Value::Text(_) | Value::Bool(_)) | None => return InStream::Untold,
    };
    // Also refuses NaN and what no Duration holds.
    Duration::try_from_secs_f64(ms / 1_000.0).map_or(InStream::Absurd, InStream::Told)
}

/// The records that a link stands for, by the first and last of them; `None` where it names none.
pub(super) type Batch = Option<(SequenceNumber, SequenceNumber)>;

/// Reads which records a link stands for, and how many.
pub(super) fn batch(link: &[Attribute]) -> (Batch, u64) {
    let batch = ends(link);
    let batch = batch.map(|(first, last)| (SequenceNumber::from(first), last.into()));
    (batch, count(link, attribute::RECORDS).unwrap_or(1))
}

/// The sequence numbers of the first and the last of them.
pub(super) fn ends(link: &[Attribute]) -> Option<(&str, &str)> {
    let single = text(link, attribute::SEQUENCE).map(|sequence| (sequence, sequence));
    let named = |name| text(link, name);
    single.or_else(|| named(attribute::SEQUENCE_FIRST).zip(named(attribute::SEQUENCE_LAST)))
}

/// An attribute that is text.
pub(super) fn text<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    match find(attributes, name)? {
        Value::Text(text) => Some(text.as_ref()),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => None,
    }
}

fn count(attributes: &[Attribute], name: &str) -> Option<u64> {
    match find(attributes, name)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Text(_) | Value::Float(_) | Value::Bool(_) => None,
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Value> {
    attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}
