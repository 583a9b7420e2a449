//! Owns the kept HTTP/1.1 connections to plain upstreams: a stack of those that wait, and hyper's
//! own connection below. Refuses to send a request twice: one comes back only from a connection
//! that was closed before any byte of it was taken.
//!
//! hyper-util's pool costs a sixth of what a whole bare pass-through takes (`benches/proxy`): it
//! makes ready to connect before it looks for a connection, and starts a task for each request that
//! waits for its answer's end. Here a connection whose answer is not read yet lies among the
//! others, and is passed over.

use super::client::Error;
use super::connect::Connector;
use super::pieces::PiecesBody;
use crate::domain::time::Moment;
use http::uri::{Authority, PathAndQuery};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tower_service::Service;

/// Connections, the newest last.
pub(super) struct KeptConnections {
    connector: Connector,
    idle_max: Duration,
    connections_max: usize,
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    to: Authority,
    /// When its last request was sent.
    since: Moment,
    sender: SendRequest<PiecesBody>,
}

impl KeptConnections {
    /// None yet; keeps so many at most, none of which waits for longer.
    pub(super) const fn new(
        connector: Connector,
        idle_max: Duration,
        connections_max: usize,
    ) -> Self {
        Self { connector, idle_max, connections_max, kept: Mutex::new(Vec::new()) }
    }

    /// Sends a request over a connection that waits, else over a new one.
    ///
    /// # Errors
    /// Whether anything may have been sent.
    pub(super) fn request(
        &self,
        mut request: Request<PiecesBody>,
        to: Authority,
        now: Moment,
    ) -> impl Future<Output = Result<Response<Incoming>, Error>> + Send {
        let uri = std::mem::take(request.uri_mut());
        *request.uri_mut() = path_of(&uri);
        // A block, since an `async fn` would hold what it is given twice.
        async move {
            loop {
                let waiting = self.take(&to, now);
                let reused = waiting.is_some();
                let mut sender = match waiting {
                    Some(sender) => sender,
                    // Boxed, since it is rare and large: all requests carry the room of this future.
                    None => Box::pin(self.connect(uri.clone())).await?,
                };
                match sender.try_send_request(request).await {
                    Ok(answer) => {
                        self.keep(to, sender, now);
                        return Ok(answer);
                    }
                    Err(mut error) => match error.take_message() {
                        Some(unsent) if reused => request = unsent,
                        Some(_) | None => return Err(Error::Broke(error.into_error().into())),
                    },
                }
            }
        }
    }

    async fn connect(&self, to: Uri) -> Result<SendRequest<PiecesBody>, Error> {
        let stream = self.connector.clone().call(to).await.map_err(Error::Connect)?;
        let shaken = http1::handshake(stream).await;
        let (mut sender, connection) = shaken.map_err(|error| Error::Connect(error.into()))?;
        // Ends with its sender, or when upstream hangs up.
        TokioExecutor::new().execute(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to upstream ended early");
            }
        });
        sender.ready().await.map_err(|error| Error::Connect(error.into()))?;
        Ok(sender)
    }

    /// The newest that can take a request now; those that are of no use are given up.
    fn take(&self, to: &Authority, now: Moment) -> Option<SendRequest<PiecesBody>> {
        let mut kept = self.lock();
        loop {
            let found = kept
                .iter()
                .rposition(|it| (it.sender.is_ready() || it.sender.is_closed()) && it.to == *to)?;
            let Kept { since, sender, .. } = kept.remove(found);
            if !sender.is_closed() && now.since(since) < self.idle_max {
                return Some(sender);
            }
        }
    }

    fn keep(&self, to: Authority, sender: SendRequest<PiecesBody>, now: Moment) {
        let mut kept = self.lock();
        // Nearly in the order of their waiting: the first is one of the oldest.
        let old = kept.iter().take_while(|it| now.since(it.since) >= self.idle_max).count();
        let over = (kept.len() + 1).saturating_sub(self.connections_max);
        kept.drain(..old.max(over));
        kept.push(Kept { to, since: now, sender });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an origin is asked for: the path alone.
fn path_of(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
}
