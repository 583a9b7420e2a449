//! Owns the span as OpenTelemetry's SDK names it: a finished span becomes one `SpanData`, which the
//! OTLP exporter writes. Refuses to cut anything: every link, attribute and flag goes along.

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
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::trace::SpanEvents;
use opentelemetry_sdk::trace::SpanLinks;
use std::time::Duration;
// The epoch is a constant, not a reading of the clock.
use std::time::UNIX_EPOCH;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use crate::domain::trace::SpanId;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn parent(text: &str) -> TraceContext {
        TraceContext::parse(text.as_bytes()).unwrap()
    }

    fn span() -> Span {
        Span {
            name: "send orders".into(),
            kind: Kind::Producer,
            context: parent(&format!("00-{TRACE}-b7ad6b7169203331-03")),
            tracestate: TraceState::default(),
            parent: None,
            start: Wall::from_nanos(1_700_000_000_123_456_789),
            end: Wall::from_nanos(1_700_000_000_223_456_789),
            attributes: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    fn encoded(span: Span) -> SpanData {
        span_data(span, &InstrumentationScope::builder("kinescope").build())
    }

    #[test]
    fn identity_flags_and_times_are_kept() {
        let data = encoded(span());
        assert_eq!(data.span_context.trace_id().to_string(), TRACE);
        assert_eq!(data.span_context.span_id().to_string(), "b7ad6b7169203331");
        assert_eq!(data.span_context.trace_flags().to_u8(), 3, "the random bit stays");
        assert_eq!(data.parent_span_id, otel::SpanId::INVALID);
        let start = data.start_time.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(start.as_nanos(), 1_700_000_000_123_456_789);
        let took = data.end_time.duration_since(data.start_time).unwrap();
        assert_eq!(took, Duration::from_millis(100));
    }

    #[test]
    fn a_parent_is_remote() {
        let data = encoded(Span { parent: SpanId::from_hex(b"00f067aa0ba902b7"), ..span() });
        assert_eq!(data.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert!(data.parent_span_is_remote);
    }

    #[test]
    fn kinds_and_statuses() {
        let check = |kind, expected| {
            assert_eq!(encoded(Span { kind, ..span() }).span_kind, expected);
        };
        check(Kind::Producer, otel::SpanKind::Producer);
        check(Kind::Consumer, otel::SpanKind::Consumer);
        check(Kind::Client, otel::SpanKind::Client);
        let failed = encoded(Span { status: Status::Error("throttled".into()), ..span() });
        assert_eq!(failed.status, otel::Status::error("throttled"));
        assert_eq!(encoded(span()).status, otel::Status::Unset);
    }

    #[test]
    fn attributes_keep_their_types() {
        let check = |value, expected: KeyValue| {
            let data = encoded(Span { attributes: vec![("a", value)], ..span() });
            assert_eq!(data.attributes, [expected]);
        };
        check(Value::from("x"), KeyValue::new("a", "x"));
        check(Value::from(String::from("y")), KeyValue::new("a", "y"));
        check(Value::Int(500), KeyValue::new("a", 500));
        check(Value::Float(0.5), KeyValue::new("a", 0.5));
        check(Value::Bool(true), KeyValue::new("a", true));
    }

    #[test]
    fn no_link_is_cut() {
        let link = |i: u64| Link {
            context: parent(&format!("00-{TRACE}-{:016x}-02", i + 1)),
            tracestate: TraceState::parse("a=1"),
            attributes: vec![("messaging.message.id", Value::from(i.to_string()))],
        };
        let data = encoded(Span { links: (0..10_000).map(link).collect(), ..span() });
        assert_eq!((data.links.links.len(), data.links.dropped_count), (10_000, 0));
        let last = data.links.links.last().unwrap();
        assert_eq!(last.span_context.span_id().to_string(), format!("{:016x}", 10_000));
        assert_eq!(last.span_context.trace_flags().to_u8(), 2);
        assert!(last.span_context.is_remote());
        assert_eq!(last.span_context.trace_state().header(), "a=1");
        assert_eq!(last.attributes, [KeyValue::new("messaging.message.id", "9999")]);
    }

    #[test]
    fn tracestate_loses_only_what_the_sdk_cannot_hold() {
        let check = |text: &str, expected: &str| {
            let data = encoded(Span { tracestate: TraceState::parse(text), ..span() });
            assert_eq!(data.span_context.trace_state().header(), expected, "{text}");
        };
        check("", "");
        check("b=2,a=1", "b=2,a=1");
        check("a=1,t@vendorlongerthanfourteen=1,c=3", "a=1,c=3");
    }
}
