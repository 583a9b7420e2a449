//! Owns the two spans of the data plane by OpenTelemetry's messaging conventions: `send` for a put,
//! `receive` for a read that returned records. Refuses record data and partition keys as attributes.
//! Source: reference/tracing.md 2.1.

use super::exchange::{Exchange, PutFacts};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::Moment;
use crate::domain::trace::{
    Attribute, Flags, Kind, Link, Span, SpanId, Status, TraceContext, TraceState, Value,
};
use crate::wire::kinesis::operation::Operation;
use crate::wire::kinesis::outcome::PutOutcome;
use crate::wire::kinesis::read::ReadRecord;

/// Most links on one receive span; a read of more is told by several spans of the same call, so
/// that one export stays below what collectors take in one message (4 MiB over gRPC).
pub(super) const LINKS_MAX: usize = 1_000;

/// A call, for its spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// Who asked.
    pub consumer: &'a ConsumerName,
    /// The host that it was sent to.
    pub server: &'a str,
    /// When it, or this part of it, began.
    pub started: Moment,
    /// When it ended.
    pub ended: Moment,
}

impl<'a> Call<'a> {
    /// The whole exchange.
    pub(super) fn of(exchange: &'a Exchange) -> Self {
        let Exchange { consumer, server, started, ended, .. } = exchange;
        Self { consumer, server, started: *started, ended: *ended }
    }
}

/// Where records came from, for their receive span.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery<'a> {
    /// The stream, where it is known.
    pub stream: Option<&'a StreamName>,
    /// The shard.
    pub shard: &'a ShardId,
    /// The application's own span.
    pub parent: Option<&'a (TraceContext, TraceState)>,
}

/// What a call came to, for its span.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    /// `error.type`: the error's name, or our reason.
    pub error: Option<String>,
    /// `aws.request_id`.
    pub request_id: Option<String>,
    /// `http.response.status_code`.
    pub status: Option<u16>,
}

/// The producer span of a put. It is a PRODUCER when records carry its context, a CLIENT when all
/// of them kept their own.
pub(super) fn send(
    exchange: &Exchange,
    put: &PutFacts,
    ending: &Ending,
    outcome: &PutOutcome,
) -> Span {
    let call = Call::of(exchange);
    let mut attributes = common(&call, put.stream.as_ref(), "send", ending);
    // The conventions of HTTP: a resend is one that the same call caused, the first is none.
    let resends = put.attempt.map_or(0, |attempt| attempt.saturating_sub(1));
    if resends > 0 {
        attributes.push(("http.request.resend_count", Value::Int(resends.into())));
    }
    if let Some(resent) = exchange.resent {
        attributes.push(("kinescope.resent", resent.as_str().into()));
    }
    if exchange.operation == Operation::PutRecords {
        attributes.push(("messaging.batch.message_count", count(put.verdicts.len())));
    } else if let Some((shard, sequence)) = outcome.stored.first() {
        attributes.push(("messaging.destination.partition.id", shard.clone().into()));
        attributes.push(("messaging.message.id", sequence.clone().into()));
    }
    if !outcome.failed.is_empty() {
        attributes.push(("kinescope.records.failed", count(outcome.failed.len())));
    }
    let failure = ending.error.clone().or_else(|| Some(outcome.failed.first()?.1.clone()));
    if let (None, Some((_, code))) = (&ending.error, outcome.failed.first()) {
        attributes.push(("error.type", code.clone().into()));
    }
    Span {
        name: name("send", put.stream.as_ref()),
        kind: if put.injected > 0 { Kind::Producer } else { Kind::Client },
        context: put.context,
        tracestate: put.state.clone(),
        parent: put.parent,
        start: exchange.started.wall,
        end: exchange.ended.wall,
        attributes,
        links: put.links.iter().map(|(context, state)| link(context, state, vec![])).collect(),
        status: failure
            .map_or(Status::Unset, |error| Status::Error(format!("Kinesis answered {error}"))),
    }
}

/// The receive spans of a read that returned records: one, or several where the links need it.
pub(super) fn receive(
    call: &Call<'_>,
    of: &Delivery<'_>,
    records: &[ReadRecord],
    ending: &Ending,
    mut fresh: impl FnMut() -> TraceContext,
) -> Vec<Span> {
    let Delivery { stream, shard, parent } = *of;
    let links: Vec<Link> = records
        .iter()
        .filter_map(|record| Some((record, record.sequence.as_ref()?.to_string())))
        .flat_map(|(record, sequence)| {
            let id = move || vec![("messaging.message.id", sequence.clone().into())];
            record.contexts.iter().map(move |(context, state)| link(context, state, id()))
        })
        .collect();
    let mut attributes = common(call, stream, "receive", ending);
    attributes.push(("messaging.batch.message_count", count(records.len())));
    attributes.push(("messaging.destination.partition.id", shard.to_string().into()));
    attributes.push(("messaging.consumer.group.name", call.consumer.to_string().into()));
    // A read whose records carry no context is one span without links.
    let chunks = if links.is_empty() {
        vec![vec![]]
    } else {
        links.chunks(LINKS_MAX).map(<[Link]>::to_vec).collect()
    };
    let span = |links| {
        let minted = fresh();
        let (context, state) = match parent {
            Some((context, state)) => {
                (TraceContext { span_id: minted.span_id, ..*context }, state.clone())
            }
            None => (minted, TraceState::default()),
        };
        Span {
            name: name("receive", stream),
            kind: Kind::Client,
            context,
            tracestate: state,
            parent: parent.map(|(context, _)| context.span_id),
            start: call.started.wall,
            end: call.ended.wall,
            attributes: attributes.clone(),
            links,
            status: Status::Unset,
        }
    };
    chunks.into_iter().map(span).collect()
}

/// A new root's context.
pub(super) fn root(trace_id: crate::domain::trace::TraceId, span_id: SpanId) -> TraceContext {
    TraceContext { trace_id, span_id, flags: Flags::SAMPLED_RANDOM }
}

fn name(operation: &str, stream: Option<&StreamName>) -> String {
    stream.map_or_else(|| operation.to_owned(), |stream| format!("{operation} {stream}"))
}

fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn link(context: &TraceContext, state: &TraceState, attributes: Vec<Attribute>) -> Link {
    Link { context: *context, tracestate: state.clone(), attributes }
}

fn common(
    call: &Call<'_>,
    stream: Option<&StreamName>,
    operation: &'static str,
    ending: &Ending,
) -> Vec<Attribute> {
    let mut attributes: Vec<Attribute> = Vec::with_capacity(12);
    attributes.push(("messaging.system", "aws.kinesis".into()));
    attributes.push(("messaging.operation.name", operation.into()));
    attributes.push(("messaging.operation.type", operation.into()));
    attributes.push(("server.address", call.server.to_owned().into()));
    if let Some(stream) = stream {
        attributes.push(("messaging.destination.name", stream.to_string().into()));
        attributes.push(("aws.kinesis.stream_name", stream.to_string().into()));
    }
    attributes.extend(ending.request_id.clone().map(|id| ("aws.request_id", id.into())));
    attributes.extend(ending.status.map(|s| ("http.response.status_code", Value::Int(s.into()))));
    attributes.extend(ending.error.clone().map(|error| ("error.type", error.into())));
    attributes
}
