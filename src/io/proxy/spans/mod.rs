//! Owns the data plane's spans by OpenTelemetry's messaging conventions: `create` for a record that
//! has a context of its own from us, `send` for a put, `receive` for a read that returned records.
//! Refuses record data and partition keys as attributes, a span for an empty poll, and to cut
//! links: what one span may not hold is told by several. Source: reference/tracing.md 2.1.

mod links;
mod process;
mod put;
mod receive;
#[cfg(test)]
mod tests;

pub(super) use process::inferred_process;
pub(super) use put::Carried;
pub(super) use put::spans_of_put;
pub(super) use receive::receive;

use super::exchange::Exchange;
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::{Moment, Wall};
use crate::domain::trace::{Attribute, Link, Parent, Span, SpanId, Value};

/// Most links on one span where nothing asks for fewer, so that one export stays below what
/// collectors take in one message (4 MiB over gRPC).
pub(super) const LINKS_MAX: usize = 1_000;

/// A call, for its spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// Who asked.
    pub consumer: &'a ConsumerName,
    /// The host that it was sent to, with its port where that is known.
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
    /// The stream, or the queue's id, where it is known.
    pub stream: Option<&'a StreamName>,
    /// The shard, where it is known and there is one: a queue has none.
    pub shard: Option<&'a ShardId>,
    /// It is a queue. A call to it goes to Kinesis, so that is its messaging system: operations,
    /// signature and errors are Kinesis' own, and the conventions have no word for either. But
    /// `aws.kinesis.stream_name` is what names a stream, and which one feeds it nobody says.
    pub is_queue: bool,
    /// The application's own span.
    pub parent: Option<&'a Parent>,
}

/// When a span began and ended. The calendar may be set while it lasts: no span ends before it began,
/// or hours later than it did.
fn times(started: Moment, ended: Moment) -> (Wall, Wall) {
    (started.wall, started.wall.plus(ended.since(started)))
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

/// A span's name, `{operation} {destination}`, and the attributes that each of ours has, wherever
/// it is about.
fn head(operation: &'static str, stream: Option<&StreamName>) -> (String, Vec<Attribute>) {
    let mut attributes: Vec<Attribute> = Vec::with_capacity(16);
    attributes.push(("messaging.system", "aws.kinesis".into()));
    attributes.push(("messaging.operation.name", operation.into()));
    attributes.push(("messaging.operation.type", operation.into()));
    let Some(stream) = stream else { return (operation.to_owned(), attributes) };
    attributes.push(("messaging.destination.name", stream.to_string().into()));
    (format!("{operation} {stream}"), attributes)
}

fn stream_name(stream: Option<&StreamName>) -> Option<Attribute> {
    stream.map(|stream| ("aws.kinesis.stream_name", stream.to_string().into()))
}

/// The attributes of a span that is a call to Kinesis.
fn called(call: &Call<'_>, ending: &Ending) -> Vec<Attribute> {
    let Ending { error, request_id, status } = ending;
    let (host, port) = address(call.server);
    let mut attributes: Vec<Attribute> = vec![("server.address", host.to_owned().into())];
    attributes.extend(port.map(|port| ("server.port", Value::Int(port.into()))));
    attributes.extend(request_id.clone().map(|id| ("aws.request_id", id.into())));
    attributes.extend(status.map(|s| ("http.response.status_code", Value::Int(s.into()))));
    attributes.extend(error.clone().map(|error| ("error.type", error.into())));
    attributes
}

/// `host`, `host:port` or `[address]:port`. The port is of Kinesis, not of our listener.
pub(super) fn address(server: &str) -> (&str, Option<u16>) {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => {
            (host, port.parse().ok())
        }
        Some(_) | None => (server, None),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// One span for each part of the links. The parts are one operation: they share a trace, and where
/// the first has no parent it is that of the others, so that a backend shows them together.
fn split(
    whole: Span,
    links: Vec<Link>,
    links_max: usize,
    mut fresh: impl FnMut() -> SpanId,
) -> Vec<Span> {
    let links_max = links_max.max(1);
    let parts = links.len().div_ceil(links_max);
    if parts <= 1 {
        return vec![Span { links, ..whole }];
    }
    let parent = whole.parent.or(Some(whole.context.span_id));
    let mut links = links.into_iter();
    let span = |part| {
        let mut span = whole.clone();
        if part > 1 {
            (span.context.span_id, span.parent) = (fresh(), parent);
        }
        span.attributes.push(("kinescope.part", count(part)));
        span.attributes.push(("kinescope.parts", count(parts)));
        span.links = links.by_ref().take(links_max).collect();
        span
    };
    (1..=parts).map(span).collect()
}

fn count(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
