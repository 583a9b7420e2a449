//! Owns what the observer gets of a subscription, and how it gets it: whole messages, handed over
//! without waiting. Refuses to hold more bytes than its bound: then messages are dropped and
//! counted, never the stream.

use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::Moment;
use crate::domain::trace::Parent;
use crate::io::clock::Clock;
use crate::wire::kinesis::subscribe::{Framer, Message};
use bytes::Bytes;
use prometheus::IntCounterVec;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// One successful SubscribeToShard call.
#[derive(Debug)]
pub struct Subscription {
    /// The stream, if the consumer's ARN told it.
    pub stream: Option<StreamName>,
    /// The shard.
    pub shard: ShardId,
    /// Who asked.
    pub consumer: ConsumerName,
    /// The registered consumer: Kinesis has one subscription of it per shard.
    pub consumer_arn: Arc<str>,
    /// The host that the request was sent to.
    pub server: Arc<str>,
    /// When the request arrived.
    pub started: Moment,
    /// `x-amzn-RequestId`.
    pub request_id: Option<String>,
    /// The application's own span, if it sent one.
    pub parent: Option<Parent>,
}

/// What the observer gets of a subscription.
#[derive(Debug)]
pub struct StreamPiece {
    /// Which.
    pub subscription: Arc<Subscription>,
    /// When it passed.
    pub at: Moment,
    /// What passed.
    pub what: What,
    /// The bound's share, given back when the piece is done with.
    _held: Option<OwnedSemaphorePermit>,
}

#[cfg(test)]
impl StreamPiece {
    /// A piece that takes nothing of any bound.
    pub(in crate::io::proxy) fn free(
        subscription: Arc<Subscription>,
        at: Moment,
        what: What,
    ) -> Self {
        Self { subscription, at, what, _held: None }
    }
}

impl StreamPiece {
    /// Bytes of its message.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.what {
            What::Message(message) => message.pieces().iter().map(Bytes::len).sum(),
            What::Ended { .. } => 0,
        }
    }
}

/// What passed.
#[derive(Debug)]
pub enum What {
    /// A complete message.
    Message(Message),
    /// Nothing more will.
    Ended {
        /// How it ended.
        how: StreamEnd,
    },
}

/// How a subscription's answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// Kinesis ended it.
    Complete,
    /// The client hung up.
    Cut,
    /// The connection to Kinesis failed.
    Broken,
}

/// Where pieces go. Bounded in number and in bytes; full, it drops the newest and counts.
#[derive(Debug, Clone)]
pub struct StreamSink {
    sender: mpsc::Sender<StreamPiece>,
    /// One permit a byte.
    room: Arc<Semaphore>,
    dropped: IntCounterVec,
}

impl StreamSink {
    /// A sink and its other end: `queue_max` pieces, and `bytes_max` bytes of messages, those that
    /// have not wholly passed too.
    #[must_use]
    pub fn new(
        queue_max: usize,
        bytes_max: usize,
        dropped: IntCounterVec,
    ) -> (Self, mpsc::Receiver<StreamPiece>) {
        let (sender, receiver) = mpsc::channel(queue_max);
        let room = Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS)));
        (Self { sender, room, dropped }, receiver)
    }

    /// Hands a piece over, or drops it and counts. Never waits.
    fn offer(&self, piece: StreamPiece) {
        match self.sender.try_send(piece) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.count("full", 1),
            Err(mpsc::error::TrySendError::Closed(_)) => self.count("stopping", 1),
        }
    }

    fn share(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }

    fn count(&self, reason: &str, messages: usize) {
        self.dropped.with_label_values(&["observer", reason]).inc_by(messages as u64);
    }
}

/// The observer's look at what passes.
#[derive(Debug)]
pub(super) struct Tap {
    subscription: Arc<Subscription>,
    sink: StreamSink,
    clock: Clock,
    /// `None` once the frames are broken.
    framer: Option<Framer>,
    /// The share of the message under way.
    held: Option<OwnedSemaphorePermit>,
}

impl Tap {
    pub(super) fn new(subscription: Subscription, sink: StreamSink, clock: Clock) -> Self {
        let subscription = Arc::new(subscription);
        Self { subscription, sink, clock, framer: Some(Framer::default()), held: None }
    }

    /// Looks at the body's next piece.
    pub(super) fn look(&mut self, data: &Bytes) {
        let Some(framer) = &mut self.framer else { return };
        let messages = framer.push(data);
        let needed: usize = messages.iter().map(Message::held_bytes).sum();
        let needed = needed + framer.held_bytes();
        let before = self.held.take();
        let more = needed.saturating_sub(before.as_ref().map_or(0, |held| held.num_permits()));
        if let Some(mut share) = self.sink.share(more) {
            before.into_iter().for_each(|before| share.merge(before));
            self.held = share.split(framer.held_bytes());
            if !messages.is_empty() {
                let at = self.clock.now();
                for message in messages {
                    let held = share.split(message.held_bytes());
                    self.offer(at, What::Message(message), held);
                }
            }
        } else {
            let under_way = usize::from(framer.forget());
            self.sink.count("bytes", messages.len() + under_way);
        }
        if self.framer.as_ref().is_some_and(|framer| framer.broken().is_some()) {
            (self.framer, self.held) = (None, None);
            self.sink.count("broken_frames", 1);
        }
    }

    /// The last piece.
    pub(super) fn end(&self, how: StreamEnd) {
        self.offer(self.clock.now(), What::Ended { how }, None);
    }

    fn offer(&self, at: Moment, what: What, held: Option<OwnedSemaphorePermit>) {
        let subscription = Arc::clone(&self.subscription);
        self.sink.offer(StreamPiece { subscription, at, what, _held: held });
    }
}
