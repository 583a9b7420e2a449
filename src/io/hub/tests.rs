//! Tests of the receiver: every refusal with its status, the bounds, and one request over a socket.

use super::line::ToldBy;
use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus::{IntCounterVec, Opts, Registry};
use prost::Message;
use receive::{BODY_BYTES_MAX, UNPACKED_BYTES_MAX};
use std::io::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

fn metrics() -> (Metrics, Registry) {
    let (registry, labels) = (Registry::new(), ["queue", "reason"]);
    let dropped = IntCounterVec::new(Opts::new("kinescope_dropped_total", "Drops."), &labels);
    let dropped = dropped.unwrap();
    registry.register(Box::new(dropped.clone())).unwrap();
    (Metrics::register(&registry, &dropped).unwrap(), registry)
}

fn counted(registry: &Registry) -> Vec<String> {
    let families = registry.gather();
    let lines = families.iter().flat_map(|family| {
        family.get_metric().iter().filter(|metric| metric.get_counter().get_value() > 0.0).map(
            |metric| {
                let labels: Vec<_> = metric.get_label().iter().map(|label| label.value()).collect();
                format!("{} {}", labels.join(" "), metric.get_counter().get_value())
            },
        )
    });
    lines.collect()
}

fn desk(forward: bool, arrivals_max: usize, room_bytes_max: usize) -> (Desk, Inbox, Registry) {
    let (sender, inbox) = mpsc::channel(arrivals_max);
    let (metrics, registry) = metrics();
    (Desk::new(sender, forward, room_bytes_max, metrics), inbox, registry)
}

/// One span about Kinesis, one about something else.
fn traces() -> Vec<u8> {
    let value = Some(any_value::Value::StringValue("aws.kinesis".to_owned()));
    let system = KeyValue {
        key: "messaging.system".to_owned(),
        value: Some(AnyValue { value }),
        ..KeyValue::default()
    };
    let foreign = Span { trace_id: vec![1; 16], span_id: vec![1; 8], ..Span::default() };
    let ours = Span { attributes: vec![system], ..foreign.clone() };
    let scope_spans = vec![ScopeSpans { spans: vec![ours, foreign], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post("/v1/traces").header(CONTENT_TYPE, "application/x-protobuf");
    request.body(Full::new(body.into())).unwrap()
}

fn zipped(body: &[u8]) -> Request<Full<Bytes>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    let mut request = post(encoder.finish().unwrap());
    request.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
    request
}

async fn body(response: Response<Full<Bytes>>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_hub_keeps_what_is_ours_and_says_how_much_was_not() {
    for request in [post(traces()), zipped(&traces())] {
        let (desk, mut inbox, registry) = desk(false, 1, 1 << 20);
        let response = desk.answer(request, &ToldBy::default()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let answer = ExportTraceServiceResponse::decode(body(response).await).unwrap();
        assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
        let arrival = inbox.try_recv().unwrap();
        assert_eq!((arrival.spans.len(), arrival.forward), (1, None));
        assert_eq!(counted(&registry), ["accepted traces 1", "foreign traces 1"]);
    }
}

#[tokio::test]
async fn a_sidecar_hands_the_whole_request_on() {
    let (desk, mut inbox, _) = desk(true, 1, 1 << 20);
    let response = desk.answer(zipped(&traces()), &ToldBy::default()).await;
    assert_eq!((response.status(), body(response).await), (StatusCode::OK, Bytes::new()));
    let arrival = inbox.try_recv().unwrap();
    assert_eq!(arrival.forward.as_deref(), Some(&traces()[..]), "unpacked, byte for byte");
}

#[tokio::test]
async fn refusals() {
    let check = async |request: Request<Full<Bytes>>, code: u16, word: &str| {
        let (desk, mut inbox, registry) = desk(false, 1, 64 << 20);
        let response = desk.answer(request, &ToldBy::default()).await;
        assert_eq!(response.status().as_u16(), code, "{word}");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-protobuf");
        let body = body(response).await;
        assert!(String::from_utf8_lossy(&body).contains(word), "{word}: {body:?}");
        assert!(inbox.try_recv().is_err());
        assert_eq!(counted(&registry), ["otlp_receive refused 1"]);
    };
    let path = |path: &str| {
        let mut request = post(traces());
        *request.uri_mut() = path.parse().unwrap();
        request
    };
    let with = |name: http::HeaderName, value: &str| {
        let mut request = post(traces());
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    check(path("/v1/logs"), 404, "/v1/traces").await;
    check(path("/"), 404, "/v1/traces").await;
    let mut get = post(traces());
    *get.method_mut() = http::Method::GET;
    check(get, 405, "POST").await;
    check(with(CONTENT_TYPE, "application/json"), 415, "x-protobuf").await;
    check(with(CONTENT_TYPE, "application/grpc"), 415, "x-protobuf").await;
    check(with(CONTENT_ENCODING, "zstd"), 415, "gzip").await;
    check(with(CONTENT_ENCODING, "gzip"), 400, "not gzip").await;
    check(post("{}"), 400, "no protobuf").await;
    check(post(vec![0; BODY_BYTES_MAX + 1]), 413, "over 4194304").await;
    check(zipped(&vec![0; UNPACKED_BYTES_MAX + 1]), 413, "unpacked").await;
}

#[tokio::test]
async fn what_has_no_room_is_to_be_sent_again() {
    let check = async |desk: &Desk, registry: &Registry, drops: u64| {
        let response = desk.answer(post(traces()), &ToldBy::default()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert!(counted(registry).contains(&format!("otlp_receive full {drops}")));
    };
    let bytes = traces().len();
    // A queue of one request.
    let (one, mut inbox, registry) = desk(false, 1, 1 << 20);
    assert_eq!(one.answer(post(traces()), &ToldBy::default()).await.status(), StatusCode::OK);
    check(&one, &registry, 1).await;
    inbox.try_recv().unwrap();
    assert_eq!(one.answer(post(traces()), &ToldBy::default()).await.status(), StatusCode::OK);
    // Room for the bytes of one request: given back when its arrival is dropped.
    let (narrow, mut inbox, registry) = desk(false, 9, bytes);
    assert_eq!(narrow.answer(post(traces()), &ToldBy::default()).await.status(), StatusCode::OK);
    check(&narrow, &registry, 1).await;
    drop(inbox.try_recv().unwrap());
    assert_eq!(narrow.answer(post(traces()), &ToldBy::default()).await.status(), StatusCode::OK);
    // Nobody reads any more.
    drop(inbox);
    check(&narrow, &registry, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (desk, _inbox, _) = desk(false, 1, 1 << 20);
    let request = Request::post("/v1/traces").header(CONTENT_TYPE, "application/x-protobuf");
    let response = desk.answer(request.body(Never).unwrap(), &ToldBy::default()).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}

struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn over_a_socket_until_it_is_told_to_stop() {
    let (metrics, _) = metrics();
    let listen = ["127.0.0.1:0".parse().unwrap()];
    let (receiver, mut inbox) = Receiver::bind(&listen, false, metrics).await.unwrap();
    let address = receiver.local_addresses()[0];
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(receiver.run(stop.clone()));
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = traces();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: hub\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&body).await.unwrap();
    assert_eq!(inbox.recv().await.unwrap().spans.len(), 1);
    stop.cancel();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
    tasks.join_next().await.unwrap().unwrap();
    assert!(inbox.recv().await.is_none(), "the end of the receiver is the end of the inbox");
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = Receiver::bind(&[address], false, metrics().0).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen for OTLP on {address}"));
}
