//! Owns how much may be in flight: requests, and bytes of their bodies. Refuses to buffer without
//! a bound: over it a request waits a moment and is then answered with a retryable 503.

use super::Config;
use crate::wire::kinesis::fault::Fault;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for room. Longer than a burst, shorter than any client's patience.
const PATIENCE: Duration = Duration::from_millis(250);
/// A refused body is read and thrown away up to this, so that the client can send it all and then
/// read why; beyond it the connection is closed.
const DISCARD_BYTES_MAX: usize = 64 << 20;
/// And no longer than this.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes are counted in units, since a semaphore counts in u32.
const UNIT_BYTES: usize = 1_024;

/// The bounds.
#[derive(Debug, Clone)]
pub(super) struct Load {
    requests: Arc<Semaphore>,
    subscriptions: Arc<Semaphore>,
    units: Arc<Semaphore>,
    body_bytes_max: usize,
}

/// Room held while a request is on its way.
#[derive(Debug)]
pub(super) struct Room {
    _request: OwnedSemaphorePermit,
    _units: OwnedSemaphorePermit,
}

impl Load {
    pub(super) fn new(config: &Config) -> Self {
        let body_bytes_max = config.body_bytes_max;
        // A bound below one body would refuse every large request for ever.
        let units = config.buffered_bytes_max.max(body_bytes_max).div_ceil(UNIT_BYTES);
        Self {
            requests: Arc::new(Semaphore::new(config.in_flight_max)),
            subscriptions: Arc::new(Semaphore::new(config.subscriptions_max)),
            units: Arc::new(Semaphore::new(units)),
            body_bytes_max,
        }
    }

    /// Room for one subscription, for as long as it lasts: minutes, so that waiting is no use.
    pub(super) fn subscription(&self) -> Result<OwnedSemaphorePermit, Fault> {
        Arc::clone(&self.subscriptions).try_acquire_owned().map_err(|_| Fault::Overloaded)
    }

    /// Reads a body whole: the signature needs its hash before its first byte can be sent.
    pub(super) async fn read(&self, body: Incoming) -> Result<(Bytes, Room), Fault> {
        let announced = body.size_hint().exact().map(usize::try_from);
        let bytes = match announced {
            Some(Ok(bytes)) if bytes <= self.body_bytes_max => bytes,
            Some(_) => {
                Box::pin(discard(body)).await;
                return Err(Fault::BodyTooLarge);
            }
            // Chunked: as much as it may become.
            None => self.body_bytes_max,
        };
        let room = match self.room_now(bytes) {
            Some(room) => room,
            // Boxed, as it is rare: every request carries the room of its future.
            None => match Box::pin(tokio::time::timeout(PATIENCE, self.room(bytes))).await {
                Ok(Some(room)) => room,
                Ok(None) | Err(_) => return Err(Fault::Overloaded),
            },
        };
        let whole = whole(body, self.body_bytes_max).await?;
        Ok((whole, room))
    }

    /// Room for an answer that is read whole before it is passed on, or none.
    pub(super) async fn answer_room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = Arc::clone(&self.units).acquire_many_owned(units(bytes));
        tokio::time::timeout(PATIENCE, units).await.ok()?.ok()
    }

    /// Almost always: without a timer.
    fn room_now(&self, bytes: usize) -> Option<Room> {
        Some(Room {
            _request: Arc::clone(&self.requests).try_acquire_owned().ok()?,
            _units: Arc::clone(&self.units).try_acquire_many_owned(units(bytes)).ok()?,
        })
    }

    async fn room(&self, bytes: usize) -> Option<Room> {
        let units = units(bytes);
        Some(Room {
            _request: Arc::clone(&self.requests).acquire_owned().await.ok()?,
            _units: Arc::clone(&self.units).acquire_many_owned(units).await.ok()?,
        })
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// All of a body. One that comes in a single frame is not copied; of others each frame is copied at
/// once, while it is in the processor's cache and its own memory can take the next one.
async fn whole(mut body: Incoming, bytes_max: usize) -> Result<Bytes, Fault> {
    let first = frame(&mut body).await?.unwrap_or_default();
    if first.len() > bytes_max {
        return Err(Fault::BodyTooLarge);
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    // The announced length is within the bound, and room was made for it.
    let rest = body.size_hint().exact().and_then(|rest| usize::try_from(rest).ok());
    let capacity = first.len().saturating_add(rest.unwrap_or_default()).min(bytes_max);
    let mut whole = BytesMut::with_capacity(capacity);
    whole.extend_from_slice(&first);
    drop(first);
    while let Some(data) = frame(&mut body).await? {
        if whole.len() + data.len() > bytes_max {
            return Err(Fault::BodyTooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The next data of a body; none at its end.
async fn frame(body: &mut Incoming) -> Result<Option<Bytes>, Fault> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::BodyIncomplete)?;
        // Trailers mean nothing to Kinesis.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn discard(body: Incoming) {
    let mut body = Limited::new(body, DISCARD_BYTES_MAX);
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    // Late or not, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_TIME_MAX, rest).await;
}
