//! Owns `deliver: strip` of a subscription: each message is held until it is whole and passed on
//! without our insertions. Refuses to change the order, and to change anything in doubt.

use crate::wire::kinesis::subscribe::{Framer, Message};
use bytes::Bytes;
use http_body::Frame;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// Messages up to this are stripped where they are: 0.2 ms at most.
const INLINE_BYTES_MAX: usize = 128 << 10;

/// What a message is to become; `None` leaves it.
pub(super) type Change = fn(&Message) -> Option<Bytes>;

/// Holds each message until it is whole, and passes it on without our insertions.
#[derive(Debug)]
pub(super) struct Strip {
    change: Change,
    /// `None` once the frames are broken: the rest passes as it comes.
    framer: Option<Framer>,
    /// What waits for the client, in order: of one piece of the body, and the message that it
    /// completed.
    ready: VecDeque<Ready>,
    /// What comes behind it: trailers, an error, or the end.
    pub(super) last: Option<Passing>,
}

/// What a body gives.
pub(super) type Passing = Option<Result<Frame<Bytes>, hyper::Error>>;

#[derive(Debug)]
enum Ready {
    Piece(Bytes),
    /// A large message, being stripped on another thread; the original, should that fail.
    Worked(Message, JoinHandle<Option<Bytes>>),
}

impl Strip {
    pub(super) fn new(change: Change) -> Self {
        Self { change, framer: Some(Framer::default()), ready: VecDeque::new(), last: None }
    }

    /// Takes in what Kinesis sent.
    pub(super) fn take(&mut self, passing: Passing) {
        match passing.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => self.push(data),
            Some(Ok(Err(trailers))) => self.finish(Some(Ok(trailers))),
            Some(Err(error)) => self.finish(Some(Err(error))),
            None => self.finish(None),
        }
    }

    fn push(&mut self, data: Bytes) {
        let Some(framer) = &mut self.framer else {
            return self.ready.push_back(Ready::Piece(data));
        };
        for message in framer.push(&data) {
            if message.held_bytes() > INLINE_BYTES_MAX {
                let (change, original) = (self.change, message.clone());
                let job = tokio::task::spawn_blocking(move || change(&message));
                self.ready.push_back(Ready::Worked(original, job));
                continue;
            }
            // A panic of ours costs an insertion that stays.
            let stripped = catch_unwind(AssertUnwindSafe(|| (self.change)(&message)));
            pass(&mut self.ready, &message, stripped.unwrap_or_default());
        }
        if framer.broken().is_some() {
            self.ready.extend(framer.rest().into_iter().map(Ready::Piece));
            self.framer = None;
        }
    }

    /// A message that will never be whole passes as it is.
    fn finish(&mut self, last: Passing) {
        let rest = self.framer.take().map(|mut framer| framer.rest());
        self.ready.extend(rest.unwrap_or_default().into_iter().map(Ready::Piece));
        self.last = Some(last);
    }

    /// The next bytes that may go; `None` when more is needed.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(Ready::Worked(_, job)) = self.ready.front_mut() {
            let stripped = ready!(Pin::new(job).poll(cx)).unwrap_or_default();
            if let Some(Ready::Worked(original, _)) = self.ready.pop_front() {
                let behind = std::mem::take(&mut self.ready);
                pass(&mut self.ready, &original, stripped);
                self.ready.extend(behind);
            }
        }
        match self.ready.pop_front() {
            Some(Ready::Piece(data)) => Poll::Ready(Some(data)),
            Some(Ready::Worked(..)) | None => Poll::Ready(None),
        }
    }

    /// Whether the client has all that was taken in.
    pub(super) fn is_empty(&self) -> bool {
        let nothing_held = self.framer.as_ref().is_none_or(|framer| framer.held_bytes() == 0);
        self.ready.is_empty() && self.last.is_none() && nothing_held
    }
}

fn pass(ready: &mut VecDeque<Ready>, original: &Message, stripped: Option<Bytes>) {
    match stripped {
        Some(stripped) => ready.push_back(Ready::Piece(stripped)),
        None => ready.extend(original.pieces().iter().cloned().map(Ready::Piece)),
    }
}
