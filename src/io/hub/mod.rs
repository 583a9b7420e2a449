//! Owns the OTLP receiver, http/protobuf on a listener of its own: in a hub the sidecars' spans, in
//! a sidecar what the application and its KCL export. Refuses to wait for whoever reads what
//! arrived: a full queue is answered with a 503 that exporters repeat.

mod line;
mod metrics;
mod receive;

#[cfg(test)]
mod tests;

pub use metrics::Metrics;

use crate::domain::observation::Report;
use crate::io::http::brief::{self, Brevity};
use crate::wire::otlp_receive::{LagPoint, ServiceSpan, Signal};
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use line::Line;
use receive::Desk;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

const BREVITY: Brevity = Brevity {
    name: "otlp",
    // A sidecar keeps two, for spans and for what it sees: a thousand pods.
    connections_max: 2_048,
    // Exporters send every few seconds; pods come and go, and their places are needed.
    head_within: Duration::from_secs(60),
    life: None,
};
/// Requests that wait for their reader. Policy: a full queue is answered with 503.
const ARRIVALS_MAX: usize = 256;
/// Bytes of bodies, unpacked, that are being read or wait: four of the largest. Policy: as above.
pub const ROOM_BYTES_MAX: usize = 64 << 20;

/// What arrived in one request. Dropping it makes room for others.
#[derive(Debug)]
pub struct Arrival {
    /// Which signal.
    pub signal: Signal,
    /// Spans about Kinesis.
    pub spans: Vec<ServiceSpan>,
    /// KCL's own lag.
    pub lags: Vec<LagPoint>,
    /// What sidecars saw of their pods.
    pub reports: Vec<Report>,
    /// The sidecar that told over a connection which has ended.
    pub hung_up: Option<Arc<str>>,
    /// The whole request, uncompressed protobuf as it came, where it is to be handed on: whatever
    /// is not ours is in it too.
    pub forward: Option<Bytes>,
    _room: OwnedSemaphorePermit,
}

/// What arrived, in order.
pub type Inbox = mpsc::Receiver<Arrival>;

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for OTLP on {address}")]
pub struct Error {
    /// The address.
    address: SocketAddr,
    /// What the system said.
    #[source]
    source: io::Error,
}

/// A receiver that is bound.
#[derive(Debug)]
pub struct Receiver {
    listeners: Vec<TcpListener>,
    desk: Arc<Desk>,
}

impl Receiver {
    /// Binds every address; `[::]` on a machine without IPv6 becomes `0.0.0.0`. With `forward` each
    /// request is also given out whole; without, spans about other things are refused as such.
    ///
    /// # Errors
    /// When an address cannot be had.
    pub async fn bind(
        listen: &[SocketAddr],
        forward: bool,
        metrics: Metrics,
    ) -> Result<(Self, Inbox), Error> {
        let mut listeners = Vec::with_capacity(listen.len());
        for &address in listen {
            let bound = brief::bind(address).await;
            listeners.push(bound.map_err(|source| Error { address, source })?);
        }
        let (sender, inbox) = mpsc::channel(ARRIVALS_MAX);
        let desk = Arc::new(Desk::new(sender, forward, ROOM_BYTES_MAX, metrics));
        Ok((Self { listeners, desk }, inbox))
    }

    /// The addresses in use, with the ports that the system chose for 0.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until `stop`, then lets the last answers out for a few seconds. Whoever reads the
    /// inbox sees its end when this has ended.
    pub async fn run(self, stop: CancellationToken) {
        let desk = self.desk;
        // Cloned for each connection, so that it lives as long as one does.
        let line = Line::new(Arc::clone(&desk));
        let answer = move |request: Request<Incoming>, _peer| {
            let (desk, told) = (Arc::clone(&desk), line.told());
            async move { desk.answer(request, &told).await }
        };
        brief::serve(self.listeners, BREVITY, answer, stop).await;
    }
}
