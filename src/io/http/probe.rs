//! Owns the question whether a plain `http` upstream takes HTTP/2 without being asked (h2c): one
//! connection that carries no request, its answer remembered. Refuses to guess: silence is a no.

use super::connect::{BoxError, Connector};
use crate::domain::time::Moment;
use crate::io::clock::Clock;
use http::Uri;
use http::uri::Authority;
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_service::Service;

/// How long a request may wait for the answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Another program may listen there by then.
const ASK_AGAIN: Duration = Duration::from_secs(5 * 60);
/// Upstreams that are remembered; beyond, the oldest is asked again. A pod has one or two.
const REMEMBERED_MAX: usize = 16;

/// HTTP/2's preface and empty settings, with which a client that knows begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const FRAME_HEAD_BYTES: usize = 9;
const SETTINGS: u8 = 4;

/// What is known of plain upstreams.
pub(super) struct Probes {
    connector: Connector,
    clock: Clock,
    slots: Mutex<Vec<(Authority, Slot)>>,
}

/// Locked while the question is open: who comes meanwhile waits for the same answer.
type Slot = Arc<tokio::sync::Mutex<Option<Known>>>;

#[derive(Clone, Copy)]
struct Known {
    takes_h2c: bool,
    since: Moment,
}

impl Probes {
    pub(super) fn new(connector: Connector, clock: Clock) -> Self {
        Self { connector, clock, slots: Mutex::default() }
    }

    /// Whether the upstream takes h2c.
    ///
    /// # Errors
    /// It could not be connected to, and nothing was sent.
    pub(super) async fn takes_h2c(&self, authority: &Authority) -> Result<bool, BoxError> {
        let slot = self.slot(authority);
        let mut known = slot.lock().await;
        let now = self.clock.now();
        if let Some(Known { takes_h2c, since }) = *known
            && now.since(since) < ASK_AGAIN
        {
            return Ok(takes_h2c);
        }
        let answer = tokio::time::timeout(PATIENCE, self.ask(authority)).await;
        let takes_h2c = answer.unwrap_or(Ok(false))?;
        *known = Some(Known { takes_h2c, since: now });
        Ok(takes_h2c)
    }

    /// The upstream may have changed: the next request asks again.
    pub(super) fn forget(&self, authority: &Authority) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(of, _)| of != authority);
    }

    fn slot(&self, authority: &Authority) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = slots.iter().find(|(of, _)| of == authority) {
            return Arc::clone(slot);
        }
        slots.truncate(REMEMBERED_MAX - 1);
        let slot = Slot::default();
        slots.insert(0, (authority.clone(), Arc::clone(&slot)));
        slot
    }

    async fn ask(&self, authority: &Authority) -> Result<bool, BoxError> {
        let uri = Uri::builder().scheme("http").authority(authority.clone()).path_and_query("/");
        let stream = self.connector.clone().call(uri.build()?).await?;
        let mut stream = TokioIo::new(stream);
        let mut head = [0; FRAME_HEAD_BYTES];
        let answered = async {
            stream.write_all(PREFACE).await?;
            stream.read_exact(&mut head).await
        };
        if answered.await.is_err() {
            return Ok(false);
        }
        let [_, _, _, kind, _, of_stream @ ..] = head;
        Ok(kind == SETTINGS && of_stream == [0; 4])
    }
}
