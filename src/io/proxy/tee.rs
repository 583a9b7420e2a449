//! Owns the answer's way to the client: each frame is passed on as it comes, and a reference to it
//! kept for the observer. Refuses to wait for anything but the two connections.

use super::exchange::{AnswerHead, Copy, Exchange, ObserverSink};
use super::stream::EventStream;
use crate::io::clock::Clock;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// Ours.
    Own(Full<Bytes>),
    /// Kinesis', passed on.
    Passed(Incoming),
    /// Kinesis', passed on and copied.
    Copied(Box<Tee>),
    /// A subscription's messages.
    Events(Box<EventStream>),
}

/// An answer that is copied while it passes. The exchange goes to the observer when the body is
/// dropped: after its last frame, or when the client hung up.
#[derive(Debug)]
pub struct Tee {
    inner: Incoming,
    ended: bool,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    exchange: Box<Exchange>,
    head: AnswerHead,
    copy: Copy,
    sink: ObserverSink,
    clock: Clock,
}

impl Tee {
    /// Copies `inner` for `sink`; `exchange` lacks its end and its answer.
    #[must_use]
    pub fn new(
        inner: Incoming,
        exchange: Box<Exchange>,
        head: AnswerHead,
        sink: ObserverSink,
        clock: Clock,
    ) -> Self {
        let copy = sink.copy();
        Self { inner, ended: false, pending: Some(Pending { exchange, head, copy, sink, clock }) }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let Pending { mut exchange, head, copy, sink, clock } = pending;
        exchange.ended = clock.after(exchange.started);
        exchange.answer = copy.answer(head, self.ended || is_whole(&self.inner));
        sink.offer(exchange);
    }
}

/// Whether nothing is to come. hyper asks no further once it has written as much as was announced,
/// and an upstream's HTTP/2 may tell the end in a frame of its own, which then nobody polls for.
fn is_whole(body: &Incoming) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

impl HttpBody for Tee {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(pending)) = (frame.data_ref(), &mut self.pending) {
                    pending.copy.keep(data, &pending.sink);
                }
            }
            Some(Err(_)) => {}
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Passed(body) => Pin::new(body).poll_frame(cx),
            Self::Copied(tee) => Pin::new(tee.as_mut()).poll_frame(cx),
            Self::Events(events) => Pin::new(events.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Passed(body) => body.is_end_stream(),
            Self::Copied(tee) => tee.is_end_stream(),
            Self::Events(events) => events.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Passed(body) => body.size_hint(),
            Self::Copied(tee) => tee.size_hint(),
            Self::Events(events) => events.size_hint(),
        }
    }
}
