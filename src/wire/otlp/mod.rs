//! Owns the span as OpenTelemetry's SDK names it: a finished span becomes one `SpanData`, which the
//! OTLP exporter writes. Refuses to cut anything silently: every link, attribute and flag goes
//! along, and a span that must lose links for a collector's sake says how many.

pub mod divide;
pub mod grpc;
pub mod metrics;
pub mod size;
#[cfg(test)]
mod tests;

use crate::domain::trace::Attribute;
use crate::domain::trace::Kind;
use crate::domain::trace::Link;
use crate::domain::trace::Span;
use crate::domain::trace::Status;
use crate::domain::trace::TraceContext;
use crate::domain::trace::TraceState;
use crate::domain::trace::Value;
use opentelemetry::InstrumentationScope;
use opentelemetry::KeyValue;
use opentelemetry::trace as otel;
use opentelemetry_proto::tonic::common::v1 as proto;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::Attributes;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::trace::SpanEvents;
use opentelemetry_sdk::trace::SpanLinks;
use prost::Message;
use std::time::Duration;
// The epoch is a constant, not a reading of the clock.
use std::time::UNIX_EPOCH;

/// Who records what is exported.
#[must_use]
pub fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("kinescope").with_version(env!("CARGO_PKG_VERSION")).build()
}

/// A resource's attributes in the SDK's form.
pub fn resource(attributes: &[(String, String)]) -> impl Iterator<Item = KeyValue> {
    attributes.iter().map(|(name, text)| KeyValue::new(name.clone(), text.clone()))
}

/// The same as OTLP writes it.
fn proto_resource(attributes: &[(String, String)]) -> Resource {
    let attributes = Attributes::from(resource(attributes)).0;
    Resource { attributes, ..Resource::default() }
}

/// Bytes that each request has beside its spans: the resource and the scope.
#[must_use]
pub fn origin_bytes(attributes: &[(String, String)]) -> usize {
    let scope = proto::InstrumentationScope::from((scope(), None));
    proto_resource(attributes).encoded_len() + scope.encoded_len()
}

/// The span in the SDK's form, under `scope` (who recorded it).
#[must_use]
pub fn span_data(span: Span, scope: &InstrumentationScope) -> SpanData {
    // Public fields instead of the SDK's builder: that one cuts links at 128.
    let mut links = SpanLinks::default();
    links.links = span.links.into_iter().map(link).collect();
    SpanData {
        span_context: context(span.context, &span.tracestate, false),
        parent_span_id: span
            .parent
            .map_or(otel::SpanId::INVALID, |id| otel::SpanId::from_bytes(id.bytes())),
        // Every parent we know of came to us over the wire.
        parent_span_is_remote: span.parent.is_some(),
        span_kind: match span.kind {
            Kind::Producer => otel::SpanKind::Producer,
            Kind::Consumer => otel::SpanKind::Consumer,
            Kind::Client => otel::SpanKind::Client,
        },
        name: span.name.into(),
        start_time: UNIX_EPOCH + Duration::from_nanos(span.start.as_nanos()),
        end_time: UNIX_EPOCH + Duration::from_nanos(span.end.as_nanos()),
        attributes: span.attributes.into_iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: match span.status {
            Status::Unset => otel::Status::Unset,
            Status::Error(description) => otel::Status::error(description),
        },
        instrumentation_scope: scope.clone(),
    }
}

fn link(link: Link) -> otel::Link {
    otel::Link::new(
        context(link.context, &link.tracestate, true),
        link.attributes.into_iter().map(attribute).collect(),
        0,
    )
}

fn context(context: TraceContext, state: &TraceState, remote: bool) -> otel::SpanContext {
    otel::SpanContext::new(
        otel::TraceId::from_bytes(context.trace_id.bytes()),
        otel::SpanId::from_bytes(context.span_id.bytes()),
        otel::TraceFlags::new(context.flags.byte()),
        remote,
        tracestate(state),
    )
}

/// The SDK knows level 1 of the grammar only and refuses a whole list for one member; so the
/// members it cannot hold are left out one by one.
fn tracestate(state: &TraceState) -> otel::TraceState {
    let held = |pair: &(&str, &str)| otel::TraceState::from_key_value([*pair]).is_ok();
    let members = state.as_str().into_iter().flat_map(|text| text.split(','));
    let pairs = members.filter_map(|member| member.split_once('=')).filter(held);
    otel::TraceState::from_key_value(pairs).unwrap_or_default()
}

fn attribute((name, value): Attribute) -> KeyValue {
    match value {
        Value::Text(text) => KeyValue::new(name, opentelemetry::StringValue::from(text)),
        Value::Int(number) => KeyValue::new(name, number),
        Value::Float(number) => KeyValue::new(name, number),
        Value::Bool(truth) => KeyValue::new(name, truth),
    }
}
