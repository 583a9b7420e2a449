//! Owns the tests of OTLP's bytes: what is written here is read by the conventions' own types.

use super::Origin;
use super::metrics;
use super::metrics::Histogram;
use super::metrics::Metric;
use super::metrics::Times;
use super::write_span;
use crate::domain::time::Wall;
use crate::domain::trace::Attribute;
use crate::domain::trace::Kind;
use crate::domain::trace::Link;
use crate::domain::trace::Span;
use crate::domain::trace::SpanId;
use crate::domain::trace::Status;
use crate::domain::trace::TraceContext;
use crate::domain::trace::TraceState;
use crate::domain::trace::Value;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as their_metrics;
use opentelemetry_proto::tonic::trace::v1 as theirs;
use proptest::prelude::any;
use proptest::prelude::proptest;
use prost::Message;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn context(text: &str) -> TraceContext {
    TraceContext::parse(text.as_bytes()).unwrap()
}

fn span() -> Span {
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

fn link(i: u64) -> Link {
    Link {
        context: context(&format!("00-{TRACE}-{:016x}-02", i + 1)),
        tracestate: TraceState::parse("t@vendorlongerthanfourteen=1,a=2"),
        attributes: vec![("messaging.message.id", Value::from(i.to_string()))],
    }
}

fn request(items: &[u8]) -> Vec<u8> {
    Origin::new(&[("service.name".to_owned(), "inventory".to_owned())]).request(items)
}

fn read(span: &Span) -> theirs::Span {
    let mut out = Vec::new();
    assert!(write_span(&mut out, span, usize::MAX));
    let request = ExportTraceServiceRequest::decode(request(&out).as_slice()).unwrap();
    let [resource] = &request.resource_spans[..] else { panic!("one resource") };
    let [scope] = &resource.scope_spans[..] else { panic!("one scope") };
    let [span] = &scope.spans[..] else { panic!("one span") };
    span.clone()
}

fn text(key: &str, text: &str) -> common::KeyValue {
    pair(key, common::any_value::Value::StringValue(text.to_owned()))
}

fn pair(key: &str, value: common::any_value::Value) -> common::KeyValue {
    let value = Some(common::AnyValue { value: Some(value) });
    common::KeyValue { key: key.to_owned(), value, ..Default::default() }
}

#[test]
fn a_request_names_its_origin() {
    let mut out = Vec::new();
    (0..3).for_each(|_| assert!(write_span(&mut out, &span(), usize::MAX)));
    let request = ExportTraceServiceRequest::decode(request(&out).as_slice()).unwrap();
    let [resource] = &request.resource_spans[..] else { panic!("one resource") };
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    assert_eq!(attributes, &[text("service.name", "inventory")]);
    let [scope] = &resource.scope_spans[..] else { panic!("one scope") };
    let name = scope.scope.as_ref().unwrap();
    assert_eq!((name.name.as_str(), name.version.as_str()), ("kinescope", "0.1.0"));
    assert_eq!(scope.spans.len(), 3);
}

#[test]
fn identity_flags_and_times_are_kept() {
    let read = read(&span());
    assert_eq!(hex::encode(&read.trace_id), TRACE);
    assert_eq!(hex::encode(&read.span_id), "b7ad6b7169203331");
    assert_eq!(read.flags, 0x103, "the random bit stays, and a root has no remote parent");
    assert!(read.parent_span_id.is_empty());
    assert_eq!(read.name, "send orders");
    assert_eq!(read.start_time_unix_nano, 1_700_000_000_123_456_789);
    assert_eq!(read.end_time_unix_nano, 1_700_000_000_223_456_789);
    assert_eq!((read.status, read.dropped_links_count), (None, 0));
}

#[test]
fn a_parent_is_remote() {
    let read = read(&Span { parent: SpanId::from_hex(b"00f067aa0ba902b7"), ..span() });
    assert_eq!(hex::encode(&read.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(read.flags, 0x303);
}

#[test]
fn kinds_and_statuses() {
    let check = |kind, expected| assert_eq!(read(&Span { kind, ..span() }).kind(), expected);
    check(Kind::Producer, theirs::span::SpanKind::Producer);
    check(Kind::Consumer, theirs::span::SpanKind::Consumer);
    check(Kind::Client, theirs::span::SpanKind::Client);
    let status = read(&Span { status: Status::Error("throttled".into()), ..span() }).status;
    let status = status.unwrap();
    assert_eq!(status.code(), theirs::status::StatusCode::Error);
    assert_eq!(status.message, "throttled");
}

#[test]
fn attributes_keep_their_types() {
    use common::any_value::Value as Their;
    let check = |value, expected| {
        let read = read(&Span { attributes: vec![("a", value)], ..span() });
        assert_eq!(read.attributes, [pair("a", expected)]);
    };
    check(Value::from("x"), Their::StringValue("x".into()));
    check(Value::from(""), Their::StringValue(String::new()));
    check(Value::from("é".repeat(70_000)), Their::StringValue("é".repeat(70_000)));
    check(Value::Int(500), Their::IntValue(500));
    check(Value::Int(0), Their::IntValue(0));
    check(Value::Int(-1), Their::IntValue(-1));
    check(Value::Int(i64::MIN), Their::IntValue(i64::MIN));
    check(Value::Float(0.5), Their::DoubleValue(0.5));
    check(Value::Bool(true), Their::BoolValue(true));
    check(Value::Bool(false), Their::BoolValue(false));
}

#[test]
fn no_link_is_cut() {
    let read = read(&Span { links: (0..10_000).map(link).collect(), ..span() });
    assert_eq!((read.links.len(), read.dropped_links_count), (10_000, 0));
    let last = read.links.last().unwrap();
    assert_eq!(hex::encode(&last.trace_id), TRACE);
    assert_eq!(hex::encode(&last.span_id), format!("{:016x}", 10_000));
    assert_eq!(
        (last.flags, last.trace_state.as_str()),
        (0x302, "t@vendorlongerthanfourteen=1,a=2")
    );
    assert_eq!(last.attributes, [text("messaging.message.id", "9999")]);
}

#[test]
fn a_span_that_must_lose_links_says_how_many() {
    let large = Span { links: (0..1_000).map(link).collect(), ..span() };
    let check = |bytes_max: usize| {
        let mut out = b"before".to_vec();
        assert!(write_span(&mut out, &large, bytes_max));
        let written = out.len() - b"before".len();
        assert!(written <= bytes_max && written + 200 > bytes_max, "{written} of {bytes_max}");
        let mut rest = &out[b"before".len()..];
        prost::encoding::decode_key(&mut rest).unwrap();
        let read = theirs::Span::decode_length_delimited(rest).unwrap();
        assert_eq!(read.links.len() + read.dropped_links_count as usize, 1_000);
    };
    check(400);
    check(10_000);
    check(20_000);
    let mut out = b"before".to_vec();
    assert!(!write_span(&mut out, &large, 60), "too large without any link");
    assert_eq!(out, b"before");
}

proptest! {
    /// Lengths around every boundary of their own size.
    #[test]
    fn what_is_written_is_read(
        name in ".{0,300}", number: i64, float in any::<f64>(), links in 0..40_u64, error in ".{0,200}"
    ) {
        let written = Span {
            name: name.clone(),
            attributes: vec![("i", Value::Int(number)), ("f", Value::Float(float))],
            links: (0..links).map(link).collect(),
            status: Status::Error(error.clone()),
            ..span()
        };
        let read = read(&written);
        assert_eq!((read.name, read.links.len() as u64), (name, links));
        assert_eq!(read.status.unwrap().message, error);
        assert_eq!(read.attributes[0], pair("i", common::any_value::Value::IntValue(number)));
    }
}

#[test]
fn metrics_arrive() {
    let attributes: Vec<Attribute> = vec![("messaging.system", Value::from("aws.kinesis"))];
    let times = Times { start: Wall::from_nanos(5), now: Wall::from_nanos(9) };
    let metric = |name| Metric { name, description: "what", unit: "s" };
    let mut histogram = Histogram::default();
    let bounds = [0.1, 1.0];
    for value in [0.05, 0.1, 0.5, 7.0] {
        histogram.observe(&bounds, value);
    }
    let mut out = Vec::new();
    let point = [(attributes.as_slice(), 3)];
    metrics::write_sum(&mut out, metric("sum"), times, point.into_iter());
    metrics::write_sum(&mut out, metric("none"), times, std::iter::empty());
    let point = [(attributes.as_slice(), &histogram)];
    metrics::write_histogram(&mut out, metric("took"), times, &bounds, point.into_iter());
    let request = ExportMetricsServiceRequest::decode(request(&out).as_slice()).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["sum", "took"]);
    let Some(their_metrics::metric::Data::Sum(sum)) = &metrics[0].data else { panic!("a sum") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality(), their_metrics::AggregationTemporality::Cumulative);
    let point = &sum.data_points[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 9));
    assert_eq!(point.value, Some(their_metrics::number_data_point::Value::AsInt(3)));
    assert_eq!(point.attributes, [text("messaging.system", "aws.kinesis")]);
    let Some(their_metrics::metric::Data::Histogram(took)) = &metrics[1].data else {
        panic!("a histogram")
    };
    let point = &took.data_points[0];
    assert_eq!(
        (&point.bucket_counts[..], &point.explicit_bounds[..]),
        (&[2, 1, 1][..], &bounds[..])
    );
    assert_eq!((point.count, point.sum), (4, Some(7.65)));
    assert_eq!(point.attributes, [text("messaging.system", "aws.kinesis")]);
}
