//! Owns the collectors of the tests: OTLP receivers on loopback, over HTTP and gRPC, that answer by
//! a script and tell what they received.

use super::config::Protocol;
use ::http::HeaderMap;
use ::http::Request;
use ::http::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
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
    /// 401, or PERMISSION_DENIED.
    Deny,
    /// Never answers.
    Hang,
}

/// A request that arrived, answered or not.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) headers: HeaderMap,
    pub(super) body: ExportTraceServiceRequest,
}

impl Received {
    /// Spans in the request.
    pub(super) fn spans(&self) -> usize {
        self.body.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum()
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
        let path = match protocol {
            Protocol::HttpProtobuf => {
                tasks.spawn(serve_http(listener, script));
                "/v1/traces"
            }
            Protocol::Grpc => {
                tasks.spawn(serve_grpc(listener, script));
                ""
            }
        };
        Self { address: format!("http://127.0.0.1:{port}{path}"), received, _tasks: tasks }
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
    assert_eq!(request.uri().path(), "/v1/traces");
    let (parts, body) = request.into_parts();
    let mut body = body.collect().await.unwrap().to_bytes().to_vec();
    if parts.headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        let packed = std::mem::take(&mut body);
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut body).unwrap();
    }
    let body = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let answer = |status: u16| Response::builder().status(status);
    let response = match script.next(Received { headers: parts.headers, body }).await {
        Reply::Accept => answer(200).body(Full::default()),
        Reply::Refuse(spans) => answer(200).body(partial(spans).encode_to_vec().into()),
        Reply::Busy(None) => answer(503).body(Full::default()),
        Reply::Busy(Some(wait)) => answer(503).header("retry-after", wait).body(Full::default()),
        Reply::Deny => answer(401).body(Full::default()),
        Reply::Hang => unreachable!("a collector that hangs says nothing"),
    };
    Ok(response.unwrap())
}

async fn serve_grpc(listener: TcpListener, script: Script) {
    let service = TraceServiceServer::new(script).accept_compressed(CompressionEncoding::Gzip);
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = tonic::transport::Server::builder().add_service(service);
    server.serve_with_incoming(incoming).await.unwrap();
}

#[tonic::async_trait]
impl TraceService for Script {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let (metadata, _, body) = request.into_parts();
        match self.next(Received { headers: metadata.into_headers(), body }).await {
            Reply::Accept => Ok(tonic::Response::new(ExportTraceServiceResponse::default())),
            Reply::Refuse(spans) => Ok(tonic::Response::new(partial(spans))),
            Reply::Busy(_) => Err(tonic::Status::unavailable("busy")),
            Reply::Deny => Err(tonic::Status::permission_denied("no")),
            Reply::Hang => unreachable!("a collector that hangs says nothing"),
        }
    }
}

fn partial(rejected_spans: i64) -> ExportTraceServiceResponse {
    let error_message = "too old".to_owned();
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message });
    ExportTraceServiceResponse { partial_success }
}
