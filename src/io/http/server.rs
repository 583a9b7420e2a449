//! Owns listening: HTTP/1.1 and HTTP/2 with prior knowledge on one port, both by ALPN on a TLS one,
//! a bound on connections, and a drain. Refuses to look into requests.

use super::tls::Identity;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// What a connection may buffer of a request that is being read, in bytes; `Limits::memory` counts
/// on it.
pub(super) const BUFFER_BYTES_MAX: usize = 64 << 10;
/// HTTP/2 streams of one connection: KCL opens one for each shard.
const STREAMS_MAX: u32 = 1_000;
/// What an HTTP/2 client may send of one request before it is read, in bytes. Clients are on this
/// machine, so a window is refilled within microseconds, and a larger one makes a put no faster.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same of all requests on one connection: some may wait for room while others are read.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// All headers of one HTTP/2 request: a session token may take some KiB. Those of HTTP/1.1 have to
/// fit into the buffer.
const HEADERS_BYTES_MAX: u32 = 32 << 10;
/// A client on this machine shakes hands within milliseconds; one that hangs gives its place up.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// After an accept that failed (no file descriptors left), wait a little instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// `EAFNOSUPPORT`, which has no kind of its own, on Linux and on the BSDs.
const ADDRESS_FAMILY_NOT_SUPPORTED: [i32; 2] = [97, 47];

/// Binds each address. A missing address family (a machine without IPv6) is a warning if another
/// address could be bound; anything else, such as a port in use, is an error.
///
/// # Errors
/// Which address could not be bound, and why.
pub async fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut bound = Vec::with_capacity(addresses.len());
    let mut missing = None;
    for address in addresses {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        };
        match TcpListener::bind(address).await {
            Ok(listener) => bound.push(listener),
            Err(error) if is_family_missing(&error) => missing = Some(named(error)),
            Err(error) => return Err(named(error)),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(error),
        Some(error) => {
            tracing::warn!(%error, "the machine lacks this address");
            Ok(bound)
        }
        None => Ok(bound),
    }
}

/// Whether the machine has no such address, rather than not giving it to us.
#[must_use]
pub fn is_family_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error().is_some_and(|code| ADDRESS_FAMILY_NOT_SUPPORTED.contains(&code))
}

/// Serves until `stop`, then lets the requests in flight end; the caller's deadline cuts what is
/// late by dropping this future. `connections` bounds all listeners that share it; at the bound
/// new ones wait in the kernel's backlog. `answer` gets each request and who sent it.
///
/// With an `identity` it serves behind TLS: ALPN says which protocol a connection speaks; where a
/// client does not ask, its first bytes do. A handshake counts against `connections`.
pub async fn serve<B, S, F>(
    listener: TcpListener,
    identity: Option<Arc<Identity>>,
    connections: Arc<Semaphore>,
    answer: S,
    stop: CancellationToken,
) where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
{
    let http = http();
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = open.join_next() => continue,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answering = answer(request, peer);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        let (http, identity, stop) = (http.clone(), identity.clone(), stop.clone());
        open.spawn(async move {
            let _permit = permit;
            match identity {
                None => drive(http, stream, service, stop).await,
                Some(identity) => {
                    let shaken = stop.run_until_cancelled(handshake(&identity, stream)).await;
                    let Some(Some(stream)) = shaken else { return };
                    let http = match stream.get_ref().1.alpn_protocol() {
                        Some(b"h2") => http.http2_only(),
                        Some(_) => http.http1_only(),
                        None => http,
                    };
                    drive(http, stream, service, stop).await;
                }
            }
        });
    }
    while open.join_next().await.is_some() {}
}

pub(super) fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // No timeout on an idle connection: a client keeps its pool, and would meet a closed one.
    // `connections_max` bounds what idle ones cost.
    http.http1().max_buf_size(BUFFER_BYTES_MAX);
    http.http2()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADERS_BYTES_MAX);
    http
}

async fn handshake(identity: &Identity, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    let ended = tokio::time::timeout(HANDSHAKE_MAX, identity.accept(stream)).await;
    let ended = ended.unwrap_or_else(|late| Err(late.into()));
    // The client says more in its own log: most often it does not trust the certificate.
    ended.inspect_err(|error| tracing::debug!(%error, "a client's TLS handshake failed")).ok()
}

/// One connection, from its first request to its end.
pub(super) async fn drive<I, B, S>(
    http: auto::Builder<TokioExecutor>,
    stream: I,
    service: S,
    stop: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // A failure here only costs latency.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}
