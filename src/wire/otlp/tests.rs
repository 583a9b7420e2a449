//! Owns the tests of how a span becomes OTLP. What `opentelemetry-proto` reads must be the span, and
//! no byte may be left over.

use super::attribute;
use super::spans::Origin;
use super::spans::append;
use crate::domain::time::Wall;
use crate::domain::trace::Kind;
use crate::domain::trace::Link;
use crate::domain::trace::Span;
use crate::domain::trace::SpanId;
use crate::domain::trace::Status;
use crate::domain::trace::TraceContext;
use crate::domain::trace::TraceState;
use crate::domain::trace::Value;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1 as proto;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use proptest::prelude::*;
use prost::Message;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn context(text: &str) -> TraceContext {
    TraceContext::parse(text.as_bytes()).unwrap()
}

pub(super) fn span() -> Span {
    Span {
        name: "send orders".into(),
        kind: Kind::Producer,
        context: context(&format!("00-{TRACE}-b7ad6b7169203331-03")),
        tracestate: TraceState::default(),
        parent: None,
        start: Wall::from_nanos(1_700_000_000_123_456_789),
        end: Wall::from_nanos(1_700_000_000_223_456_789),
        attributes: Vec::new(),
        links: Vec::new(),
        status: Status::Unset,
    }
}

fn link(place: u64) -> Link {
    Link {
        context: context(&format!("00-{TRACE}-{:016x}-02", place + 1)),
        tracestate: TraceState::parse("a=1"),
        attributes: vec![("messaging.message.id", Value::from(place.to_string()))],
    }
}

/// A request of these spans, with a resource.
pub(super) fn request(spans: impl IntoIterator<Item = Span>) -> ExportTraceServiceRequest {
    let mut bytes = Vec::new();
    spans.into_iter().for_each(|span| assert!(append(&mut bytes, &span, usize::MAX)));
    let origin = Origin::of(&[("service.name".to_owned(), "inventory".to_owned())]);
    let request = origin.request(&bytes);
    assert!(request.len() >= origin.bytes() + bytes.len());
    assert!(request.len() <= origin.bytes() + bytes.len() + 12);
    ExportTraceServiceRequest::decode(&*request).unwrap()
}

/// The span as others read it.
fn read(span: Span) -> proto::Span {
    let mut request = request([span]);
    request.resource_spans[0].scope_spans[0].spans.pop().unwrap()
}

/// The span as others would write it.
fn expected(span: &Span) -> proto::Span {
    let ids = |context: &TraceContext| {
        (context.trace_id.bytes().to_vec(), context.span_id.bytes().to_vec())
    };
    let state = |state: &TraceState| state.as_str().unwrap_or_default().to_owned();
    let pairs = |attributes: &[_]| attributes.iter().cloned().map(attribute).collect();
    let link = |link: &Link| {
        let (trace_id, span_id) = ids(&link.context);
        proto::span::Link {
            trace_id,
            span_id,
            trace_state: state(&link.tracestate),
            attributes: pairs(&link.attributes),
            flags: 0x300 | u32::from(link.context.flags.byte()),
            ..Default::default()
        }
    };
    let (trace_id, span_id) = ids(&span.context);
    let remote = if span.parent.is_some() { 0x300 } else { 0x100 };
    proto::Span {
        trace_id,
        span_id,
        trace_state: state(&span.tracestate),
        parent_span_id: span.parent.map(|id| id.bytes().to_vec()).unwrap_or_default(),
        flags: remote | u32::from(span.context.flags.byte()),
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
            Kind::Client => SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: span.start.as_nanos(),
        end_time_unix_nano: span.end.as_nanos(),
        attributes: pairs(&span.attributes),
        links: span.links.iter().map(link).collect(),
        status: match &span.status {
            Status::Unset => None,
            Status::Error(why) => {
                Some(proto::Status { message: why.clone(), code: StatusCode::Error.into() })
            }
        },
        ..Default::default()
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,300}".prop_map(Value::from),
        any::<i64>().prop_map(Value::Int),
        (-1e300..1e300).prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
    ]
}

proptest! {
    #[test]
    fn others_read_what_was_meant(
        name in ".{1,200}",
        kind in prop::sample::select(vec![Kind::Producer, Kind::Consumer, Kind::Client]),
        flags in 0..4_u8,
        parent in any::<[u8; 8]>(),
        state in prop::sample::select(vec!["", "a=1", "b=2,a=1", "t@vendorlongerthanfourteen=1,c=3"]),
        start in 1..u64::MAX,
        end in 1..u64::MAX,
        values in prop::collection::vec(value(), 0..12),
        links in 0..40_u64,
        failed in prop::option::of(".{1,200}"),
    ) {
        let span = Span {
            name,
            kind,
            context: context(&format!("00-{TRACE}-b7ad6b7169203331-{flags:02x}")),
            tracestate: TraceState::parse(state),
            parent: SpanId::new(parent),
            start: Wall::from_nanos(start),
            end: Wall::from_nanos(end),
            attributes: values.into_iter().map(|value| ("a.name", value)).collect(),
            links: (0..links).map(link).collect(),
            status: failed.map_or(Status::Unset, Status::Error),
        };
        let expected = expected(&span);
        // In the same order, too: what fits is reckoned in the bytes that are sent.
        let alone = proto::ScopeSpans { spans: vec![expected.clone()], ..Default::default() };
        let mut bytes = Vec::new();
        prop_assert!(append(&mut bytes, &span, usize::MAX));
        prop_assert_eq!(bytes, alone.encode_to_vec());
        prop_assert_eq!(read(span), expected);
    }
}

#[test]
fn who_recorded_it_is_said_once() {
    let request = request([span(), span()]);
    let [resource] = &request.resource_spans[..] else { panic!("{request:?}") };
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    assert_eq!(attributes[..], [attribute(("service.name", Value::from("inventory")))]);
    let [scope] = &resource.scope_spans[..] else { panic!("{request:?}") };
    assert_eq!(scope.spans.len(), 2);
    let scope = scope.scope.as_ref().unwrap();
    let (name, version) = (scope.name.as_str(), scope.version.as_str());
    assert_eq!((name, version), ("kinescope", env!("CARGO_PKG_VERSION")));
}

#[test]
fn no_link_is_cut() {
    let read = read(Span { links: (0..10_000).map(link).collect(), ..span() });
    assert_eq!((read.links.len(), read.dropped_links_count), (10_000, 0));
    assert_eq!(read.links.last().unwrap().span_id, 10_000_u64.to_be_bytes());
}

#[test]
fn links_are_left_out_until_a_span_fits() {
    let whole = Span { links: (0..1_000).map(link).collect(), ..span() };
    let appended = |span: &Span, bytes_max: usize| {
        let mut bytes = Vec::new();
        append(&mut bytes, span, bytes_max).then_some(bytes)
    };
    let bytes = |span: &Span| appended(span, usize::MAX).unwrap().len();
    let check = |bytes_max: usize, links: Option<usize>| {
        let bytes = appended(&whole, bytes_max);
        let Some((bytes, links)) = bytes.as_ref().zip(links) else {
            assert_eq!(bytes.is_some(), links.is_some(), "{bytes_max}");
            return;
        };
        assert!(bytes.len() <= bytes_max);
        let mut read = proto::ScopeSpans::decode(&**bytes).unwrap().spans;
        let read = read.pop().unwrap();
        assert_eq!((read.links.len(), read.dropped_links_count as usize), (links, 1_000 - links));
        let first = expected(&Span { links: whole.links[..links].into(), ..span() });
        assert_eq!(read.links, first.links, "the first ones stay");
    };
    // What says how many are gone has six bytes at most.
    let said = 6;
    let bare = bytes(&span());
    let one = bytes(&Span { links: vec![link(0)], ..span() });
    check(bytes(&whole), Some(1_000));
    check(bytes(&whole) - 1, Some(999));
    check(one + said, Some(1));
    check(one - 1, Some(0));
    check(bare + said, Some(0));
    check(bare - 1, None);
}
