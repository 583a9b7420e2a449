//! Owns a server that answers every request with one constant, as cheaply as can be.

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

/// Starts it on a thread of its own; gives its port.
pub(crate) async fn start(answer: &'static str) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket option");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(serve(listener, answer));
    });
    port
}

async fn serve(listener: std::net::TcpListener, answer: &'static str) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).ok();
        connections.spawn(async move {
            let service =
                service_fn(move |request: http::Request<hyper::body::Incoming>| async move {
                    request.into_body().collect().await.ok();
                    let head = Response::builder()
                        .header("content-type", "application/x-amz-json-1.1")
                        .header("x-amzn-requestid", "c7a5f3c2-0000-4000-8000-000000000000");
                    head.body(Full::new(Bytes::from_static(answer.as_bytes())))
                });
            auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}
