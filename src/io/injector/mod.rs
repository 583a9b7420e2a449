//! Owns the admission webhook's listener: TLS with a certificate that is read again when it changes,
//! and bounds on connections, requests and their time. `routes` answers. Refuses plain HTTP.

mod routes;

use crate::io::http::brief;
use crate::io::http::tls::Identity;
use crate::wire::admission::Settings;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use routes::Routes;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// An API server keeps a few connections; further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 128;
/// A client in this cluster shakes hands within milliseconds.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// A request's head must come within this; an idle HTTP/1.1 connection is closed after it.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 16 << 10;
/// HTTP/2 requests of one connection at once.
const STREAMS_MAX: u32 = 64;
/// An HTTP/2 client that is gone is noticed so soon.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// After this a connection is asked to end: so an idle one does not keep its place, and a new
/// certificate is shown to everyone in time.
const LIFE: Duration = Duration::from_secs(600);
/// What a connection gets to finish its last answers.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The webhook's server, bound and ready to serve.
#[derive(Debug)]
pub struct Injector {
    listeners: Vec<TcpListener>,
    identity: Arc<Identity>,
    routes: Routes,
}

impl Injector {
    /// Binds the addresses; `[::]` falls back to `0.0.0.0` on a machine without IPv6.
    ///
    /// # Errors
    /// Which address could not be bound, and why.
    pub async fn bind(
        listen: &[SocketAddr],
        identity: Identity,
        settings: Settings,
    ) -> io::Result<Self> {
        let mut listeners = Vec::with_capacity(listen.len());
        for &address in listen {
            listeners.push(brief::bind(address).await.map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            })?);
        }
        Ok(Self { listeners, identity: Arc::new(identity), routes: Routes::new(settings) })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until `stop`, then lets the last answers out.
    pub async fn run(self, stop: CancellationToken) {
        let (identity, routes, own) = (self.identity, self.routes, stop.clone());
        let connected = move |stream, _peer| {
            connection(stream, Arc::clone(&identity), routes.clone(), own.clone())
        };
        brief::accept_all(self.listeners, ("injector", CONNECTIONS_MAX), connected, stop).await;
    }
}

/// One connection from its handshake to its end. Its errors are the client's, who knows.
async fn connection(
    stream: TcpStream,
    identity: Arc<Identity>,
    routes: Routes,
    stop: CancellationToken,
) {
    let shaken = stop.run_until_cancelled(timeout(HANDSHAKE_WITHIN, identity.accept(stream))).await;
    let Some(Ok(Ok(stream))) = shaken else { return };
    let service = service_fn(move |request| {
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.answer(request).await) }
    });
    let http = http();
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended_or_late = timeout(LAST_ANSWER_WITHIN, connection).await;
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(16 << 10);
    http
}
