//! Owns the pooled client towards Kinesis: which protocol, which connection. Refuses to send a
//! request twice.
//!
//! The pools are hyper-util's, but that of ordinary calls to plain upstreams, which is `kept`'s. One
//! thing looks like a retry. A connection may be closed while it waits. A request that was handed to
//! such a connection's queue and never taken out of it comes back whole
//! (`TrySendError::take_message`), and goes out on another connection; invariant 4 allows that, since no byte of it was written. Read in hyper 1.12 and
//! hyper-util 0.1.21: the request comes back only from a queue that is closed or dropped with it
//! inside (`client/dispatch.rs`, and `recv_msg` in `proto/h1/dispatch.rs`); once the connection's
//! task took it, every error says `message: None`, also GOAWAY and REFUSED_STREAM of HTTP/2; and a
//! request on a connection that was not reused is never sent again at all.

use super::connect::{BoxError, Connector};
use super::kept::KeptConnections;
use super::pieces::PiecesBody;
use super::probe::Probes;
use crate::domain::time::Moment;
use crate::io::clock::Clock;
use http::uri::Authority;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_util::either::Either;

pub use super::connect::{ClientSettings, ProxySettings};

/// Idle connections are kept this long: under the 60 s after which AWS' front ends close theirs,
/// so that few requests meet a closed one.
const IDLE_MAX: Duration = Duration::from_secs(50);
/// Idle connections kept to one host; a pod rarely has more calls in flight at once.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Subscriptions last five minutes and servers let some 100 run on one connection; a request over
/// that would wait for one of them to end. Spread over this many connections, a pod's all run.
const SUBSCRIPTION_CONNECTIONS: usize = 8;
/// What upstream may send of one answer that its reader does not take, in bytes: an event stream's
/// message or two. KCL's own client has the same.
const SUBSCRIPTION_WINDOW_BYTES: u32 = 512 << 10;
/// The same for ordinary answers, which are read at once.
const CALL_WINDOW_BYTES: u32 = 1 << 20;
/// The same of all answers on one connection: one reader that stalls leaves room for the others.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A connection that died without a word (a NAT that forgot it) is found by a PING: at this
/// distance while something waits for an answer, and given up after `PING_MAX`.
const SUBSCRIPTION_PING_EVERY: Duration = Duration::from_secs(30);
const CALL_PING_EVERY: Duration = Duration::from_secs(10);
const PING_MAX: Duration = Duration::from_secs(10);

/// Which pool a request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// An answer that comes at once.
    Call,
    /// SubscribeToShard: an answer that lasts for minutes.
    Subscription,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was sent.
    #[error("cannot connect to upstream")]
    Connect(#[source] BoxError),
    /// The request, or a part of it, may have arrived.
    #[error("the connection broke before an answer")]
    Broke(#[source] BoxError),
}

type Pool = legacy::Client<Connector, PiecesBody>;

/// The client; cheap to clone, all clones share the pools.
#[derive(Clone)]
pub struct Client(Arc<Pools>);

struct Pools {
    calls: Pool,
    /// Never h2c: measured through the whole proxy (`benches/proxy`, 1 KiB puts) it costs a tenth
    /// more CPU and twice the latency on one connection, since each answer wakes two tasks more;
    /// and plain upstreams are emulators, which take HTTP/1.1.
    plain_calls: KeptConnections,
    subscriptions: [Lane; SUBSCRIPTION_CONNECTIONS],
    /// Counts subscriptions, to share them out.
    subscribed: AtomicUsize,
    probes: Probes,
}

/// Connections of some subscriptions: what ALPN gives on `https`, or HTTP/1.1 on `http`; and h2c.
struct Lane {
    negotiated: Pool,
    h2c: Pool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// A client that has no connection yet.
    #[must_use]
    pub fn new(settings: &ClientSettings, clock: Clock) -> Self {
        let connector = Connector::new(settings, clock.clone());
        let calls = pools(CALL_WINDOW_BYTES, CALL_PING_EVERY).build(connector.clone());
        let subscriptions = std::array::from_fn(|_| {
            let mut pools = pools(SUBSCRIPTION_WINDOW_BYTES, SUBSCRIPTION_PING_EVERY);
            let negotiated = pools.build(connector.clone());
            Lane { negotiated, h2c: pools.http2_only(true).build(connector.clone()) }
        });
        let plain_calls = KeptConnections::new(connector.clone(), IDLE_MAX, IDLE_CONNECTIONS_MAX);
        let probes = Probes::new(connector, clock);
        let subscribed = AtomicUsize::new(0);
        Self(Arc::new(Pools { calls, plain_calls, subscriptions, subscribed, probes }))
    }

    /// Sends a request and gives the answer's head as soon as it is there. To end a request early,
    /// drop this future or the answer's body.
    ///
    /// # Errors
    /// Whether anything may have been sent.
    pub fn request(
        &self,
        request: Request<PiecesBody>,
        kind: CallKind,
        now: Moment,
    ) -> impl Future<Output = Result<Response<Incoming>, Error>> + Send {
        let pools = &self.0;
        let plain = plain(request.uri()).cloned();
        match (kind, plain) {
            (CallKind::Call, Some(to)) => Either::Left(pools.plain_calls.request(request, to, now)),
            // Boxed, since every call to a plain upstream would carry the room of this future.
            (_, plain) => Either::Right(Box::pin(pools.pooled(request, kind, plain))),
        }
    }
}

impl Pools {
    async fn pooled(
        &self,
        request: Request<PiecesBody>,
        kind: CallKind,
        plain: Option<Authority>,
    ) -> Result<Response<Incoming>, Error> {
        if kind == CallKind::Call {
            return Ok(self.calls.request(request).await?);
        }
        let turn = self.subscribed.fetch_add(1, Ordering::Relaxed);
        // The remainder is within, so the first is never taken in its place.
        let [first, ..] = &self.subscriptions;
        let lane = self.subscriptions.get(turn % SUBSCRIPTION_CONNECTIONS).unwrap_or(first);
        let Some(plain) = plain else { return Ok(lane.negotiated.request(request).await?) };
        let h2c = self.probes.takes_h2c(&plain).await.map_err(Error::Connect)?;
        let pool = if h2c { &lane.h2c } else { &lane.negotiated };
        let answer = pool.request(request).await;
        answer.map_err(|error| {
            // Another program may have taken the port.
            self.probes.forget(&plain);
            Error::from(error)
        })
    }
}

/// The authority of a plain upstream.
fn plain(uri: &Uri) -> Option<&Authority> {
    uri.authority().filter(|_| uri.scheme() == Some(&http::uri::Scheme::HTTP))
}

impl From<legacy::Error> for Error {
    fn from(error: legacy::Error) -> Self {
        if error.is_connect() { Self::Connect(error.into()) } else { Self::Broke(error.into()) }
    }
}

fn pools(window_bytes: u32, ping_every: Duration) -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http2_initial_stream_window_size(window_bytes)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(ping_every)
        .http2_keep_alive_timeout(PING_MAX);
    builder
}
