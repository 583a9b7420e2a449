//! Owns a subscription's answer on its way to the client: every frame is passed on as it comes.
//! Refuses to hold the stream up, to read from Kinesis before the client takes more, and to let
//! anything that goes wrong with a copy touch the bytes.

mod strip;
mod tap;
#[cfg(test)]
pub(super) mod tests;

pub use tap::StreamSink;
pub(super) use tap::{StreamEnd, StreamPiece, Subscription, What};

use crate::io::clock::Clock;
use crate::wire::kinesis::subscribe;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use strip::{Passing, Strip};
use tap::Tap;
use tokio::sync::OwnedSemaphorePermit;

/// The body of a subscription's answer. It is polled only when the client takes more, which is how
/// backpressure reaches Kinesis; dropped, it resets the stream there.
#[derive(Debug)]
pub struct EventStream {
    inner: Incoming,
    tap: Tap,
    strip: Option<Strip>,
    /// Among the subscriptions that may last at once.
    _room: OwnedSemaphorePermit,
    /// `None` while it lasts.
    how: Option<StreamEnd>,
}

impl EventStream {
    /// Passes `inner` on unchanged, and copies for `sink`; gives `room` back at its end.
    #[must_use]
    pub fn new(
        inner: Incoming,
        subscription: Subscription,
        sink: StreamSink,
        clock: Clock,
        room: OwnedSemaphorePermit,
    ) -> Self {
        let tap = Tap::new(subscription, sink, clock);
        Self { inner, tap, strip: None, _room: room, how: None }
    }

    /// From its first byte on with every record as its producer wrote it (`deliver: strip`). The
    /// answer's length is then not known beforehand: it may have no `content-length`.
    #[must_use]
    pub fn stripped(mut self) -> Self {
        self.strip = Some(Strip::new(subscribe::strip));
        self
    }

    /// The next frame of Kinesis', which the observer gets to see.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Passing> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => self.tap.look(data),
                // Trailers: nothing comes behind them.
                None => self.how = Some(StreamEnd::Complete),
            },
            Some(Err(_)) => self.how = Some(StreamEnd::Broken),
            None => self.how = self.how.or(Some(StreamEnd::Complete)),
        }
        Poll::Ready(frame)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let passed = self.strip.as_ref().is_none_or(Strip::is_empty);
        self.tap.end(match self.how {
            Some(StreamEnd::Complete) if !passed => StreamEnd::Cut,
            Some(how) => how,
            None if self.is_end_stream() => StreamEnd::Complete,
            None => StreamEnd::Cut,
        });
    }
}

impl HttpBody for EventStream {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Passing> {
        let this = self.get_mut();
        loop {
            if let Some(strip) = &mut this.strip {
                if let Some(data) = ready!(strip.poll_ready(cx)) {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                if let Some(last) = strip.last.take() {
                    return Poll::Ready(last);
                }
            }
            let frame = ready!(this.poll_inner(cx));
            match &mut this.strip {
                Some(strip) => strip.take(frame),
                None => return Poll::Ready(frame),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.strip.as_ref().is_none_or(Strip::is_empty) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.strip.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}
