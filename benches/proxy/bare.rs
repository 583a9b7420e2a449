//! Owns the yardstick: the least that a hyper reverse proxy can do, on the same server and client
//! stack as the data plane. It reads no body, signs nothing, counts nothing.

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

/// On tokio's default runtime, a thread for each core, or on one thread as the sidecar is.
pub(crate) fn run(listen: &str, upstream: &str, one_thread: bool) {
    let mut builder = match one_thread {
        true => tokio::runtime::Builder::new_current_thread(),
        false => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build();
    runtime.expect("a runtime").block_on(serve(listen, upstream));
}

async fn serve(listen: &str, upstream: &str) {
    let listener = tokio::net::TcpListener::bind(listen).await.expect("a port");
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(tcp);
    let authority: http::uri::Authority = upstream.parse().expect("an authority");
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).ok();
        let (client, authority) = (client.clone(), authority.clone());
        connections.spawn(async move {
            let service = service_fn(move |mut request: Request<Incoming>| {
                let uri = format!("http://{authority}/");
                *request.uri_mut() = uri.parse().expect("a URI");
                client.request(request)
            });
            auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}
