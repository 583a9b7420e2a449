//! Owns the admin listener: its sockets, its connections and their bounds; `routes` answers.
//! Refuses to let a slow, idle or greedy client hold anything for long, and to be the reason that
//! the application waits: it shares nothing with the data plane but the runtime's threads.

mod gzip;
mod reload;
mod routes;
mod source;
mod writes;

pub use reload::{Differences, ReloadSource, Reloaded};
pub use source::{Asked, FleetSource, Question, SnapshotSource};

use crate::io::http::server::is_family_missing;
use crate::wire::exposition::Scope;
use crate::wire::status::Identity;
use axum::Router;
use axum::extract::{ConnectInfo, Extension};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections at once, and so requests at once; further ones wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 64;
/// A request's head must come within this, and an idle connection is closed after it, so that
/// waiting for one of the connections ends.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// A request's head may be this large; browsers send less than half.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A connection is closed after this even if it is busy: a client that reads one byte a minute
/// would otherwise keep it for ever.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);
/// What a connection gets to finish its last answer.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A pause after a refused accept (no file descriptors left), or it would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All that the admin listener shows and does.
#[derive(Debug)]
pub struct Admin {
    /// Where to listen; an address family that the machine lacks is a warning.
    pub listen: Vec<SocketAddr>,
    /// The process's counters and histograms.
    pub registry: prometheus::Registry,
    /// Where snapshots come from.
    pub snapshots: SnapshotSource,
    /// Where traces and sagas come from.
    pub fleet: FleetSource,
    /// How a snapshot becomes metrics.
    pub scope: Scope,
    /// What this process is.
    pub identity: Identity,
    /// Set once listeners are bound and configuration is in force.
    pub ready: Arc<AtomicBool>,
    /// Cancelled by `POST /-/quit`.
    pub quit: CancellationToken,
    /// Asked by `POST /-/reload`.
    pub reload: ReloadSource,
    /// Holds the token that lets others than loopback programs write; read at each such request,
    /// so that a rotated one counts at once.
    pub token_file: Option<PathBuf>,
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration has no address.
    #[error("no admin address to listen on was given")]
    NoAddress,
    /// An address could not be had.
    #[error("cannot listen for admin requests on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A listener that is bound and waits to serve.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<TcpListener>,
    router: Router,
}

impl Admin {
    /// Binds every address of `listen`. A missing address family is skipped with a warning if any
    /// other address was bound; so is an IPv4 wildcard that `[::]` already covers.
    ///
    /// # Errors
    /// When no address was given, none could be bound, or one is refused for another reason.
    pub async fn bind(self) -> Result<Bound, Error> {
        let mut listeners: Vec<TcpListener> = Vec::new();
        let mut missing = None;
        for &address in &self.listen {
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                Err(source) if is_covered(address, &source, &listeners) => {}
                Err(source) if is_family_missing(&source) => missing = Some((address, source)),
                Err(source) => return Err(Error::Listen { address, source }),
            }
        }
        match missing {
            Some((address, source)) if listeners.is_empty() => {
                return Err(Error::Listen { address, source });
            }
            Some((address, source)) => {
                tracing::warn!(%address, %source, "the admin listener does without this address");
            }
            None if listeners.is_empty() => return Err(Error::NoAddress),
            None => {}
        }
        Ok(Bound { listeners, router: routes::router(self) })
    }
}

impl Bound {
    /// The addresses in use, with the ports that the system chose for 0.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until `stop`, then lets the last answers out for a few seconds.
    pub async fn serve(self, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(listener, self.router.clone(), permits.clone(), stop.clone()));
        }
        while accepting.join_next().await.is_some() {}
    }
}

/// Whether `[::]` on the same port, bound before, already hears this IPv4 wildcard.
fn is_covered(address: SocketAddr, error: &io::Error, bound: &[TcpListener]) -> bool {
    let hears = |local: SocketAddr| {
        local.is_ipv6() && local.ip().is_unspecified() && local.port() == address.port()
    };
    error.kind() == io::ErrorKind::AddrInUse
        && address.is_ipv4()
        && address.ip().is_unspecified()
        && bound.iter().filter_map(|listener| listener.local_addr().ok()).any(hears)
}

async fn accept(
    listener: TcpListener,
    router: Router,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let next = async || {
        let permit = permits.clone().acquire_owned().await.ok()?;
        Some((listener.accept().await, permit))
    };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = next() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Some((Ok((stream, peer)), permit)) => {
                let router = router.clone().layer(Extension(ConnectInfo(peer)));
                connections.spawn(connection(stream, router, permit, stop.clone()));
            }
            Some((Err(error), _)) => {
                tracing::warn!(%error, "the admin listener could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
            None => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

/// One connection from its first byte to its last. Its errors are the client's, who knows.
async fn connection(
    stream: TcpStream,
    router: Router,
    _permit: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    );
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(CONNECTION_LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended_or_late = timeout(LAST_ANSWER_WITHIN, connection).await;
}

#[cfg(test)]
mod tests;
