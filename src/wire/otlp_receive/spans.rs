//! Owns the way from an OTLP span to ours. Refuses spans that are not about Kinesis and attributes
//! that no reader of ours knows.

use super::Fault;
use super::cut;
use super::service;
use super::sift;
use super::text;
use crate::domain::fleet::SYSTEM;
use crate::domain::fleet::attribute;
use crate::domain::time::Wall;
use crate::domain::trace::Attribute;
use crate::domain::trace::Flags;
use crate::domain::trace::Kind;
use crate::domain::trace::Link;
use crate::domain::trace::Span;
use crate::domain::trace::SpanId;
use crate::domain::trace::Status;
use crate::domain::trace::TraceContext;
use crate::domain::trace::TraceId;
use crate::domain::trace::TraceState;
use crate::domain::trace::Value;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;
use std::sync::Arc;

/// A span and who recorded it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpan {
    /// `service.name` of its resource.
    pub service: Arc<str>,
    /// The span, with the attributes that `domain::fleet` knows.
    pub span: Span,
}

/// What a request held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Received {
    /// Spans about Kinesis.
    pub spans: Vec<ServiceSpan>,
    /// Spans about other things: well-formed, not ours.
    pub foreign: u64,
    /// Spans without a valid trace or span id.
    pub invalid: u64,
}

/// Reads an `ExportTraceServiceRequest`.
///
/// # Errors
/// When it is malformed or would take too much memory.
pub fn spans(body: &[u8]) -> Result<Received, Fault> {
    sift::sift(body, &sift::TRACES)?;
    let request = ExportTraceServiceRequest::decode(body).map_err(|_| Fault::Malformed)?;
    let mut received = Received::default();
    for resource in request.resource_spans {
        let service = service(resource.resource.as_ref());
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let is_ours = text(&span.attributes, attribute::SYSTEM) == Some(SYSTEM);
            match (context(&span.trace_id, &span.span_id, span.flags), is_ours) {
                (None, _) => received.invalid += 1,
                (Some(_), false) => received.foreign += 1,
                (Some(context), true) => {
                    let span = ours(span, context);
                    received.spans.push(ServiceSpan { service: service.clone(), span });
                }
            }
        }
    }
    Ok(received)
}

fn ours(span: proto::Span, context: TraceContext) -> Span {
    let status = span.status.as_ref();
    let failed = status.filter(|s| s.code == proto::status::StatusCode::Error as i32);
    Span {
        name: cut(&span.name).to_owned(),
        kind: match proto::span::SpanKind::try_from(span.kind) {
            Ok(proto::span::SpanKind::Producer) => Kind::Producer,
            Ok(proto::span::SpanKind::Consumer) => Kind::Consumer,
            _ => Kind::Client,
        },
        context,
        tracestate: TraceState::parse(&span.trace_state),
        parent: id(&span.parent_span_id).and_then(SpanId::new),
        start: Wall::from_nanos(span.start_time_unix_nano),
        end: Wall::from_nanos(span.end_time_unix_nano),
        attributes: attributes(span.attributes),
        links: span.links.into_iter().filter_map(link).collect(),
        status: failed.map_or(Status::Unset, |s| Status::Error(cut(&s.message).to_owned())),
    }
}

fn link(link: proto::span::Link) -> Option<Link> {
    Some(Link {
        context: context(&link.trace_id, &link.span_id, link.flags)?,
        tracestate: TraceState::parse(&link.trace_state),
        attributes: attributes(link.attributes),
    })
}

fn attributes(sent: Vec<KeyValue>) -> Vec<Attribute> {
    let known = |sent: KeyValue| {
        let name = attribute::ALL.into_iter().find(|name| *name == sent.key)?;
        let value = match sent.value?.value? {
            any_value::Value::StringValue(text) => Value::from(cut(&text).to_owned()),
            any_value::Value::IntValue(number) => Value::Int(number),
            any_value::Value::DoubleValue(number) => Value::Float(number),
            any_value::Value::BoolValue(truth) => Value::Bool(truth),
            any_value::Value::ArrayValue(_)
            | any_value::Value::KvlistValue(_)
            | any_value::Value::BytesValue(_)
            | any_value::Value::StringValueStrindex(_) => return None,
        };
        Some((name, value))
    };
    sent.into_iter().filter_map(known).collect()
}

fn context(trace_id: &[u8], span_id: &[u8], flags: u32) -> Option<TraceContext> {
    let (trace_id, span_id) = (TraceId::new(id(trace_id)?)?, SpanId::new(id(span_id)?)?);
    // The W3C flags are the lowest byte.
    let [flags, ..] = flags.to_le_bytes();
    Some(TraceContext { trace_id, span_id, flags: Flags::new(flags) })
}

fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}
