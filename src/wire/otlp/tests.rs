//! Owns the tests of how a span becomes OTLP.

use super::*;
use crate::domain::time::Wall;
use crate::domain::trace::SpanId;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn parent(text: &str) -> TraceContext {
    TraceContext::parse(text.as_bytes()).unwrap()
}

pub(super) fn span() -> Span {
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

pub(super) fn data(span: Span) -> SpanData {
    span_data(span, &scope())
}

pub(super) fn link(place: u64) -> Link {
    Link {
        context: parent(&format!("00-{TRACE}-{:016x}-02", place + 1)),
        tracestate: TraceState::parse("a=1"),
        attributes: vec![("messaging.message.id", Value::from(place.to_string()))],
    }
}

#[test]
fn identity_flags_and_times_are_kept() {
    let data = data(span());
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
    let data = data(Span { parent: SpanId::from_hex(b"00f067aa0ba902b7"), ..span() });
    assert_eq!(data.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert!(data.parent_span_is_remote);
}

#[test]
fn kinds_and_statuses() {
    let check = |kind, expected| {
        assert_eq!(data(Span { kind, ..span() }).span_kind, expected);
    };
    check(Kind::Producer, otel::SpanKind::Producer);
    check(Kind::Consumer, otel::SpanKind::Consumer);
    check(Kind::Client, otel::SpanKind::Client);
    let failed = data(Span { status: Status::Error("throttled".into()), ..span() });
    assert_eq!(failed.status, otel::Status::error("throttled"));
    assert_eq!(data(span()).status, otel::Status::Unset);
}

#[test]
fn attributes_keep_their_types() {
    let check = |value, expected: KeyValue| {
        let data = data(Span { attributes: vec![("a", value)], ..span() });
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
    let data = data(Span { links: (0..10_000).map(link).collect(), ..span() });
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
        let data = data(Span { tracestate: TraceState::parse(text), ..span() });
        assert_eq!(data.span_context.trace_state().header(), expected, "{text}");
    };
    check("", "");
    check("b=2,a=1", "b=2,a=1");
    check("a=1,t@vendorlongerthanfourteen=1,c=3", "a=1,c=3");
}
