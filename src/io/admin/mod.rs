//! Owns the admin listener: its sockets, its connections and their bounds; `routes` answers.
//! Refuses to let a slow, idle or greedy client hold anything for long, and to be the reason that
//! the application waits: it shares nothing with the data plane but the runtime's threads.

mod accept;
mod gzip;
mod live;
mod own;
mod page;
mod reload;
mod routes;
mod silences;
mod source;
mod writes;

pub use page::ConfigurationSource;
pub use reload::{Differences, ReloadSource, Reloaded};
pub use source::{Asked, FleetSource, Question, SnapshotAsk, SnapshotSource};

use crate::io::clock::Clock;
use crate::io::http::brief::{self, Brevity};
use crate::io::http::server::is_family_missing;
use crate::io::silences::SilenceBook;
use crate::wire::exposition::Scope;
use crate::wire::exposition::openmetrics::Exemplars;
use crate::wire::status::Identity;
use axum::Router;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const BREVITY: Brevity = Brevity {
    name: "admin",
    // And so requests at once.
    connections_max: 64,
    head_within: Duration::from_secs(10),
    // A client that reads one byte a minute would otherwise keep a place for ever.
    life: Some(Duration::from_secs(120)),
};

/// All that the admin listener shows and does.
#[derive(Debug)]
pub struct Admin {
    /// Where to listen; an address family that the machine lacks is a warning.
    pub listen: Vec<SocketAddr>,
    /// The process's counters and histograms.
    pub registry: prometheus::Registry,
    /// The traces behind its histograms, for OpenMetrics.
    pub exemplars: Arc<Mutex<Exemplars>>,
    /// Where snapshots come from.
    pub snapshots: SnapshotSource,
    /// Where traces and sagas come from.
    pub fleet: FleetSource,
    /// Where silences are kept.
    pub silences: SilenceBook,
    /// What the page says of the configuration.
    pub configuration: ConfigurationSource,
    /// Both clocks.
    pub clock: Clock,
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
pub struct Bound {
    listeners: Vec<TcpListener>,
    router: Router,
    live: live::Live,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("listeners", &self.listeners).finish_non_exhaustive()
    }
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
        let (router, live) = routes::router(self);
        Ok(Bound { listeners, router, live })
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
        let service = TowerToHyperService::new(self.router);
        let answer = move |mut request: Request<Incoming>, peer| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let answering = service.call(request);
            async { answering.await.unwrap_or_else(|never| match never {}) }
        };
        let serving = brief::serve(self.listeners, BREVITY, answer, stop.clone());
        tokio::join!(serving, self.live.run(stop));
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

#[cfg(test)]
mod tests;
