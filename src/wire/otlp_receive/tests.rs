//! Tests of what arrives: our own exporter's spans come back as they were, KCL's fixture, and
//! bodies that are not what they seem.

use super::*;
use crate::domain::fleet::{SYSTEM, attribute};
use crate::domain::time::Wall;
use crate::domain::trace::{Kind, Link, Span, SpanId, Status, TraceContext, TraceState, Value};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
use opentelemetry_proto::tonic::metrics::v1 as points;
use opentelemetry_proto::tonic::trace::v1 as proto;
use proptest::prelude::*;
use std::time::Duration;

fn context(text: &str) -> TraceContext {
    TraceContext::parse(text.as_bytes()).unwrap()
}

fn receive() -> Span {
    let of = |span: u8| {
        context(&format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033{span:02x}-02"))
    };
    let link = |span| Link {
        context: of(span),
        tracestate: TraceState::parse("a=1"),
        attributes: vec![
            (attribute::SEQUENCE, "4957".into()),
            (attribute::TIME_IN_STREAM_MS, Value::Float(35.5)),
        ],
    };
    Span {
        name: "receive orders".into(),
        kind: Kind::Client,
        context: context("00-1af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-03"),
        tracestate: TraceState::parse("b=2"),
        parent: SpanId::from_hex(b"00f067aa0ba902b8"),
        start: Wall::from_nanos(1_700_000_000_123_456_789),
        end: Wall::from_nanos(1_700_000_000_223_456_789),
        attributes: vec![
            (attribute::SYSTEM, SYSTEM.into()),
            (attribute::OPERATION, "receive".into()),
            (attribute::RECORDS, Value::Int(2)),
            (attribute::INFERRED, Value::Bool(true)),
        ],
        links: (0..200).map(link).collect(),
        status: Status::Error("throttled".into()),
    }
}

fn attributes(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue((*value).to_owned())) }),
        ..KeyValue::default()
    };
    pairs.iter().map(pair).collect()
}

fn resource(service: Option<&str>) -> Option<Resource> {
    let pairs: Vec<_> = service.map(|name| ("service.name", name)).into_iter().collect();
    Some(Resource { attributes: attributes(&pairs), ..Resource::default() })
}

fn request(service: Option<&str>, spans: Vec<proto::Span>) -> Vec<u8> {
    let scope_spans = vec![proto::ScopeSpans { spans, ..proto::ScopeSpans::default() }];
    let spans = proto::ResourceSpans {
        resource: resource(service),
        scope_spans,
        ..proto::ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec()
}

fn sent_attributes(attributes: &[crate::domain::trace::Attribute]) -> Vec<KeyValue> {
    let sent = |(name, value): &(&str, Value)| {
        let value = match value.clone() {
            Value::Text(text) => any_value::Value::StringValue(text.into_owned()),
            Value::Int(number) => any_value::Value::IntValue(number),
            Value::Float(number) => any_value::Value::DoubleValue(number),
            Value::Bool(truth) => any_value::Value::BoolValue(truth),
        };
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: (*name).to_owned(), value, ..KeyValue::default() }
    };
    attributes.iter().map(sent).collect()
}

/// A failed CLIENT's span as exporters send it.
fn sent(span: &Span) -> proto::Span {
    let state = |state: &TraceState| state.as_str().unwrap_or_default().to_owned();
    let link = |link: &Link| proto::span::Link {
        trace_id: link.context.trace_id.bytes().to_vec(),
        span_id: link.context.span_id.bytes().to_vec(),
        trace_state: state(&link.tracestate),
        attributes: sent_attributes(&link.attributes),
        // Above the W3C byte stands whether the context came from elsewhere.
        flags: u32::from(link.context.flags.byte()) | 0x300,
        ..proto::span::Link::default()
    };
    proto::Span {
        trace_id: span.context.trace_id.bytes().to_vec(),
        span_id: span.context.span_id.bytes().to_vec(),
        trace_state: state(&span.tracestate),
        parent_span_id: span.parent.map_or(vec![], |id| id.bytes().to_vec()),
        flags: u32::from(span.context.flags.byte()) | 0x100,
        name: span.name.clone(),
        kind: proto::span::SpanKind::Client as i32,
        start_time_unix_nano: span.start.as_nanos(),
        end_time_unix_nano: span.end.as_nanos(),
        attributes: sent_attributes(&span.attributes),
        links: span.links.iter().map(link).collect(),
        status: Some(proto::Status {
            message: "throttled".to_owned(),
            code: proto::status::StatusCode::Error as i32,
        }),
        ..proto::Span::default()
    }
}

#[test]
fn a_span_of_ours_comes_back_as_it_was() {
    let received = spans(&request(None, vec![sent(&receive())])).unwrap();
    let service = UNKNOWN_SERVICE.into();
    assert_eq!(received.spans, [ServiceSpan { service, span: receive() }]);
    assert_eq!((received.foreign, received.invalid), (0, 0));
}

#[test]
fn what_is_not_ours_is_counted_and_unknown_attributes_are_dropped() {
    let ids = proto::Span { trace_id: vec![1; 16], span_id: vec![1; 8], ..proto::Span::default() };
    let ours = [(attribute::SYSTEM, SYSTEM), ("app.customer", "secret")];
    let ours = proto::Span { attributes: attributes(&ours), ..ids.clone() };
    let zero = proto::Span { trace_id: vec![0; 16], ..ours.clone() };
    let short = proto::Span { span_id: vec![1; 7], ..ours.clone() };
    let received = spans(&request(Some("shop"), vec![ours, ids, zero, short])).unwrap();
    assert_eq!((received.foreign, received.invalid), (1, 2));
    let [ServiceSpan { service, span }] = &received.spans[..] else { panic!("one is ours") };
    assert_eq!(
        (&**service, &span.attributes[..]),
        ("shop", &[(attribute::SYSTEM, SYSTEM.into())][..])
    );
}

#[test]
fn names_are_cut_at_a_character() {
    let long = "é".repeat(300);
    let ours = proto::Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        attributes: attributes(&[(attribute::SYSTEM, SYSTEM), (attribute::EVENT_TYPE, &long)]),
        ..proto::Span::default()
    };
    let received = spans(&request(Some(&long), vec![ours])).unwrap();
    assert_eq!(*received.spans[0].service, *"é".repeat(128));
    let kept = Value::from("é".repeat(128));
    assert_eq!(received.spans[0].span.attributes[1], (attribute::EVENT_TYPE, kept));
}

#[test]
fn a_body_that_would_unpack_is_refused_before() {
    let check = |parts, expected| {
        // A resource, a scope and a span with links of two bytes each.
        let span = proto::Span { links: vec![Default::default(); parts], ..proto::Span::default() };
        let body = request(None, vec![span]);
        assert_eq!(spans(&body).map(|received| received.invalid), expected, "{parts}");
    };
    let wrapping = 4;
    check(sift::PARTS_MAX - wrapping, Ok(1));
    check(sift::PARTS_MAX - wrapping + 1, Err(Fault::TooManyParts));
}

#[test]
fn bodies_that_are_no_requests() {
    let good = request(Some("shop"), vec![proto::Span::default()]);
    assert_eq!(spans(&good[..good.len() - 1]), Err(Fault::Malformed));
    assert_eq!(spans(b"{\"resourceSpans\":[]}"), Err(Fault::Malformed));
    assert_eq!(spans(b""), Ok(Received::default()));
    // An attribute's value nested deeper than any decoder follows.
    let nested = (0..200).fold(AnyValue::default(), |inner, _| AnyValue {
        value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![inner] })),
    });
    let attributes = vec![KeyValue { key: "a".into(), value: Some(nested), ..KeyValue::default() }];
    let deep = proto::Span { attributes, ..proto::Span::default() };
    assert_eq!(spans(&request(None, vec![deep])), Err(Fault::Malformed));
}

fn kcl(temporality: i32, unit: &str, with: &[(&str, &str)]) -> points::Metric {
    // The fixture: KCL 3.5's MillisBehindLatest through its OpenTelemetry backend.
    let point = points::HistogramDataPoint {
        attributes: attributes(with),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        time_unix_nano: 1_700_000_060_000_000_000,
        count: 4,
        sum: Some(10_000.0),
        max: Some(9_000.0),
        bucket_counts: vec![3, 1],
        explicit_bounds: vec![5_000.0],
        ..points::HistogramDataPoint::default()
    };
    points::Metric {
        name: "aws.kinesis.client.consumer.lag.duration".to_owned(),
        unit: unit.to_owned(),
        data: Some(points::metric::Data::Histogram(points::Histogram {
            data_points: vec![point],
            aggregation_temporality: temporality,
        })),
        ..points::Metric::default()
    }
}

const KCL: [(&str, &str); 4] = [
    ("aws.kinesis.operation", "ProcessTask"),
    ("aws.kinesis.shard.id", "shardId-000000000001"),
    ("aws.kinesis.stream_name", "orders"),
    ("aws.kinesis.consumer.name", "worker-7"),
];

fn metric_request(metrics: Vec<points::Metric>) -> Vec<u8> {
    let scope_metrics = vec![points::ScopeMetrics { metrics, ..points::ScopeMetrics::default() }];
    let metrics = points::ResourceMetrics {
        resource: resource(Some("inventory")),
        scope_metrics,
        ..points::ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }.encode_to_vec()
}

#[test]
fn kcls_own_lag_is_read() {
    let received = metrics(&metric_request(vec![kcl(2, "ms", &KCL)])).unwrap();
    let lag = LagPoint {
        service: "inventory".into(),
        stream: "orders".into(),
        shard: "shardId-000000000001".into(),
        worker: Some("worker-7".into()),
        at: Wall::from_ms(1_700_000_060_000),
        since: Wall::from_ms(1_700_000_000_000),
        reads: 4,
        behind_sum: Duration::from_secs(10),
        behind_max: Some(Duration::from_secs(9)),
        cumulative: true,
    };
    assert_eq!(received, ReceivedMetrics { lags: vec![lag.clone()], ..ReceivedMetrics::default() });
    let ms = |ms| Some(Duration::from_millis(ms));
    let later = LagPoint { reads: 6, behind_sum: Duration::from_secs(11), ..lag.clone() };
    assert_eq!((lag.mean_after(None), later.mean_after(Some(&lag))), (ms(2_500), ms(500)));
    assert_eq!(lag.mean_after(Some(&lag)), None, "no read, no lag");
    assert_eq!(lag.mean_after(Some(&later)), None, "points that do not add up");
    let restarted = LagPoint { since: lag.at, ..later };
    assert_eq!(restarted.mean_after(Some(&lag)), restarted.mean_after(None));
}

#[test]
fn other_points_are_foreign_and_unusable_ones_invalid() {
    let check = |metric, foreign, invalid| {
        let received = metrics(&metric_request(vec![metric])).unwrap();
        assert_eq!((received.foreign, received.invalid), (foreign, invalid));
        assert_eq!(received.lags, []);
    };
    let name = "aws.kinesis.client.records.size".to_owned();
    check(points::Metric { name, ..kcl(2, "ms", &KCL) }, 1, 0);
    check(kcl(2, "min", &KCL), 1, 0);
    check(kcl(0, "ms", &KCL), 0, 1);
    check(kcl(2, "ms", &KCL[..2]), 0, 1);
    check(kcl(2, "ms", &KCL[2..]), 0, 1);
    let numbers = points::Gauge { data_points: vec![Default::default(); 3] };
    let data = Some(points::metric::Data::Gauge(numbers));
    check(points::Metric { data, ..kcl(2, "ms", &KCL) }, 0, 3);
}

#[test]
fn answers() {
    assert_eq!(answer(Signal::Traces, 0, "not said"), b"");
    let body = answer(Signal::Traces, 3, "not ours");
    let traces = ExportTraceServiceResponse::decode(&body[..]).unwrap().partial_success.unwrap();
    assert_eq!((traces.rejected_spans, traces.error_message.as_str()), (3, "not ours"));
    let body = answer(Signal::Metrics, 3, "not ours");
    let points = ExportMetricsServiceResponse::decode(&body[..]).unwrap().partial_success.unwrap();
    assert_eq!(points.rejected_data_points, 3);
    assert_eq!(refusal("no"), b"\x12\x02no");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = spans(&body);
        let _ = metrics(&body);
    }

    /// A good request with a few bytes changed.
    #[test]
    fn damaged_requests_are_read_or_refused(at in 0_usize..500, byte in any::<u8>()) {
        let span = Span { links: receive().links[..3].to_vec(), ..receive() };
        let mut body = request(Some("shop"), vec![sent(&span)]);
        let at = at % body.len();
        body[at] = byte;
        let _ = spans(&body);
    }
}
