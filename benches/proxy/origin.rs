//! Owns a server that answers every request with a constant, as cheaply as can be, plain or behind
//! TLS.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use kinescope::io::http::server;
use kinescope::io::http::tls::Identity;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What Kinesis says to a PutRecord.
pub(crate) const STORED: &str = "{\"SequenceNumber\":\"49590338271490256608559692538361571095921575989136588898\",\"ShardId\":\"shardId-000000000000\"}";

/// Starts it on a thread of its own; gives its port.
pub(crate) fn start(answer: &'static str, identity: Option<Arc<Identity>>) -> u16 {
    start_with(vec![("", Bytes::from_static(answer.as_bytes()))], identity)
}

/// The same with an answer for each operation: the first whose name the target ends with.
pub(crate) fn start_with(
    answers: Vec<(&'static str, Bytes)>,
    identity: Option<Arc<Identity>>,
) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket option");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(serve(listener, answers, identity));
    });
    port
}

async fn serve(
    listener: std::net::TcpListener,
    answers: Vec<(&'static str, Bytes)>,
    identity: Option<Arc<Identity>>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let answer = move |request: Request<Incoming>, _peer| {
        let target = request.headers().get("x-amz-target").and_then(|it| it.to_str().ok());
        let answer = answers.iter().find(|(name, _)| target.unwrap_or_default().ends_with(name));
        respond(request, answer.map(|(_, body)| body.clone()).unwrap_or_default())
    };
    let (connections, stop) = (Arc::new(Semaphore::new(1_000)), CancellationToken::new());
    server::serve(listener, identity, connections, answer, stop).await;
}

async fn respond(request: Request<Incoming>, body: Bytes) -> Response<Full<Bytes>> {
    request.into_body().collect().await.ok();
    let head = Response::builder()
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amzn-requestid", "c7a5f3c2-0000-4000-8000-000000000000");
    head.body(Full::new(body)).expect("an answer")
}
