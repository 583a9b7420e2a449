//! Owns the connections of listeners that are no data plane: HTTP/1.1, few, and none held for long.
//! Refuses to let a slow, idle or greedy client keep a place.

use crate::io::http::server::is_family_missing;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A request's head may be this large; browsers send less than half, exporters a few hundred bytes.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// What a connection gets to finish its last answer.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A pause after a refused accept (no file descriptors left), or it would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long what may last.
#[derive(Debug, Clone, Copy)]
pub struct Brevity {
    /// Who listens, for the log.
    pub name: &'static str,
    /// Connections at once over all listeners; further ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// A request's head must come within this, and an idle connection is closed after it, so that
    /// waiting for one of the connections ends.
    pub head_within: Duration,
    /// A connection is closed after this even if it is busy; `None` where only idle ones are.
    pub life: Option<Duration>,
}

/// Serves the listeners until `stop`, then lets the last answers out for a few seconds. `answer` gets
/// each request and who sent it.
pub async fn serve<B, S, F>(
    listeners: Vec<TcpListener>,
    brevity: Brevity,
    answer: S,
    stop: CancellationToken,
) where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    let own = stop.clone();
    let connected = move |stream, peer| {
        let answer = answer.clone();
        connection(stream, brevity, move |request| answer(request, peer), own.clone())
    };
    accept_all(listeners, (brevity.name, brevity.connections_max), connected, stop).await;
}

/// Accepts until `stop`, at most so many connections at once over all listeners, and waits for the
/// last to end. `connected` is one connection from its first byte to its last.
pub(in crate::io) async fn accept_all<C, F>(
    listeners: Vec<TcpListener>,
    (name, connections_max): (&'static str, usize),
    connected: C,
    stop: CancellationToken,
) where
    C: Fn(TcpStream, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(connections_max));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let (connected, permits, stop) = (connected.clone(), Arc::clone(&permits), stop.clone());
        accepting.spawn(accept(listener, name, connected, permits, stop));
    }
    while accepting.join_next().await.is_some() {}
}

/// Binds the address; `[::]` falls back to `0.0.0.0` on a machine without IPv6.
///
/// # Errors
/// What the system says.
pub(in crate::io) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let all = address.is_ipv6() && address.ip().is_unspecified();
    match TcpListener::bind(address).await {
        Err(error) if all && is_family_missing(&error) => {
            tracing::warn!(%address, "this machine has no IPv6: 0.0.0.0 is listened on");
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

async fn accept<C, F>(
    listener: TcpListener,
    name: &'static str,
    connected: C,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
) where
    C: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let next = async || {
        let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
        Some((listener.accept().await, permit))
    };
    while let Some(Some((accepted, permit))) = stop.run_until_cancelled(next()).await {
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let connected = connected(stream, peer);
                connections.spawn(async move {
                    let _permit = permit;
                    connected.await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, listener = name, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

/// One connection from its first byte to its last. Its errors are the client's, who knows.
async fn connection<B, F>(
    stream: TcpStream,
    brevity: Brevity,
    answer: impl Fn(Request<Incoming>) -> F,
    stop: CancellationToken,
) where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    F: Future<Output = Response<B>>,
{
    let service = service_fn(|request| {
        let answering = answer(request);
        async { Ok::<_, Infallible>(answering.await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(brevity.head_within)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(brevity.life.unwrap_or_default()), if brevity.life.is_some() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended_or_late = timeout(LAST_ANSWER_WITHIN, connection).await;
}
