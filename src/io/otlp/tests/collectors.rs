//! Owns the collectors of the tests: OTLP receivers on loopback, over HTTP and gRPC, that answer by
//! a script and tell what they received.

use super::super::config::Protocol;
use ::http::HeaderMap;
use ::http::Request;
use ::http::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsService;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceServiceServer;
use prost::Message;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read;
use std::sync::Arc;
use std::sync::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;

/// What a collector does with a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    /// Takes all.
    Accept,
    /// Takes all but so many.
    Refuse(i64),
    /// 503 with this Retry-After, or UNAVAILABLE.
    Busy(Option<&'static str>),
    /// This status and an empty body, or PERMISSION_DENIED.
    Status(u16),
    /// 413, or RESOURCE_EXHAUSTED, for requests of more bytes; others are accepted.
    AtMost(usize),
    /// Never answers.
    Hang,
}

/// A request that arrived, answered or not.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// The body as it was sent; of gRPC the message.
    pub(super) raw: Vec<u8>,
    message: Vec<u8>,
}

impl Received {
    /// The spans.
    pub(super) fn body(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.message.as_slice()).unwrap()
    }

    /// How many spans.
    pub(super) fn spans(&self) -> usize {
        let scopes = self.body().resource_spans.into_iter().flat_map(|r| r.scope_spans);
        scopes.map(|scope| scope.spans.len()).sum()
    }

    /// The names of the metrics.
    pub(super) fn metrics(&self) -> Vec<String> {
        let request = ExportMetricsServiceRequest::decode(self.message.as_slice()).unwrap();
        let scopes = request.resource_metrics.into_iter().flat_map(|r| r.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name).collect()
    }
}

/// A collector that runs until it is dropped.
pub(super) struct Collector {
    pub(super) address: String,
    pub(super) received: mpsc::Receiver<Received>,
    _tasks: JoinSet<()>,
}

/// The answers to the first requests, then the one to all others.
#[derive(Clone)]
struct Script {
    first: Arc<Mutex<VecDeque<Reply>>>,
    then: Reply,
    received: mpsc::Sender<Received>,
}

impl Script {
    async fn next(&self, received: Received) -> Reply {
        self.received.send(received).await.unwrap();
        let reply = self.first.lock().unwrap().pop_front().unwrap_or(self.then);
        if matches!(reply, Reply::Hang) {
            std::future::pending::<()>().await;
        }
        reply
    }
}

impl Collector {
    pub(super) async fn start(protocol: Protocol, first: &[Reply], then: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, received) = mpsc::channel(1_000);
        let first = Arc::new(Mutex::new(first.iter().copied().collect()));
        let script = Script { first, then, received: sender };
        let mut tasks = JoinSet::new();
        match protocol {
            Protocol::HttpProtobuf => tasks.spawn(serve_http(listener, script)),
            Protocol::Grpc => tasks.spawn(serve_grpc(listener, script)),
        };
        Self { address: format!("http://127.0.0.1:{port}"), received, _tasks: tasks }
    }
}

async fn serve_http(listener: TcpListener, script: Script) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let script = script.clone();
        let service = service_fn(move |request| answer_http(request, script.clone()));
        connections.spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            http.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn answer_http(
    request: Request<Incoming>,
    script: Script,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let raw = body.collect().await.unwrap().to_bytes().to_vec();
    let mut message = raw.clone();
    if parts.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        message.clear();
        flate2::read::GzDecoder::new(raw.as_slice()).read_to_end(&mut message).unwrap();
    }
    let (path, bytes) = (parts.uri.path().to_owned(), message.len());
    let answer = |status: u16| Response::builder().status(status);
    let response = match script.next(Received { path, headers: parts.headers, raw, message }).await
    {
        Reply::Accept => answer(200).body(Full::default()),
        Reply::Refuse(spans) => answer(200).body(partial(spans).encode_to_vec().into()),
        Reply::Busy(None) => answer(503).body(Full::default()),
        Reply::Busy(Some(wait)) => answer(503).header("retry-after", wait).body(Full::default()),
        Reply::Status(status) => answer(status).body(Full::default()),
        Reply::AtMost(most) => answer(if bytes > most { 413 } else { 200 }).body(Full::default()),
        Reply::Hang => unreachable!("a collector that hangs says nothing"),
    };
    Ok(response.unwrap())
}

async fn serve_grpc(listener: TcpListener, script: Script) {
    let gzip = CompressionEncoding::Gzip;
    let traces = TraceServiceServer::new(script.clone()).accept_compressed(gzip);
    let metrics = MetricsServiceServer::new(script).accept_compressed(gzip);
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().add_service(traces).add_service(metrics);
    server.serve_with_incoming(incoming).await.unwrap();
}

impl Script {
    async fn answer_grpc<M: Message>(
        &self,
        request: tonic::Request<M>,
    ) -> Result<ExportTraceServiceResponse, tonic::Status> {
        let (metadata, _, body) = request.into_parts();
        let (raw, headers) = (body.encode_to_vec(), metadata.into_headers());
        let (path, bytes, message) = (String::new(), raw.len(), raw.clone());
        match self.next(Received { path, headers, raw, message }).await {
            Reply::Accept => Ok(ExportTraceServiceResponse::default()),
            Reply::Refuse(spans) => Ok(partial(spans)),
            Reply::Busy(_) => Err(tonic::Status::unavailable("busy")),
            Reply::Status(_) => Err(tonic::Status::permission_denied("no")),
            Reply::AtMost(most) if bytes > most => {
                Err(tonic::Status::resource_exhausted("received message larger than max"))
            }
            Reply::AtMost(_) => Ok(ExportTraceServiceResponse::default()),
            Reply::Hang => unreachable!("a collector that hangs says nothing"),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Script {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.answer_grpc(request).await.map(tonic::Response::new)
    }
}

#[tonic::async_trait]
impl MetricsService for Script {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let partial_success = self.answer_grpc(request).await?.partial_success.map(|partial| {
            let rejected_data_points = partial.rejected_spans;
            ExportMetricsPartialSuccess {
                rejected_data_points,
                error_message: partial.error_message,
            }
        });
        Ok(tonic::Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

fn partial(rejected_spans: i64) -> ExportTraceServiceResponse {
    let error_message = "too old".to_owned();
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
    ExportTraceServiceResponse { partial_success }
}
