//! Owns one request and its answer as the observer gets them: a copy, handed over without waiting.
//! Refuses to hold more bytes than its bound: then the copy is dropped and counted, never the
//! stream.

use super::placing::Placing;
use super::retries::Trying;
use super::spans::Carried;
use super::upstream::Resent;
use crate::domain::envelope;
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::Moment;
use crate::domain::trace::{Parent, SpanId, TraceContext, TraceState};
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::operation::Operation;
use crate::wire::kinesis::put::{self, PutBody};
use bytes::{Bytes, BytesMut};
use prometheus::IntCounterVec;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc};

/// One request and what came of it.
#[derive(Debug)]
pub struct Exchange {
    /// What was asked.
    pub operation: Operation,
    /// Who asked.
    pub consumer: ConsumerName,
    /// The host that it was sent to.
    pub server: Arc<str>,
    /// When it arrived.
    pub started: Moment,
    /// When its answer had left.
    pub ended: Moment,
    /// What we understood of the request.
    pub facts: Facts,
    /// Why it was sent a second time, if it was.
    pub resent: Option<Resent>,
    /// What came back.
    pub answer: Answer,
}

impl Exchange {
    /// At once: the next try of the call may come before anybody looks at this one.
    fn end_try(&mut self) {
        let Facts::Put(put) = &mut self.facts else { return };
        let Some(trying) = put.trying.take() else { return };
        if matches!(self.answer, Answer::Whole { status: 200, .. }) {
            trying.answered();
        }
    }
}

/// What we understood of a request.
#[derive(Debug)]
pub enum Facts {
    /// PutRecord or PutRecords.
    Put(Box<PutFacts>),
    /// GetRecords.
    Read {
        /// The iterator.
        iterator: String,
        /// The stream, if the request named it.
        stream: Option<StreamName>,
        /// The application's own span, if it sent one.
        parent: Option<Parent>,
        /// Its library works on one batch while it asks for the next.
        prefetches: bool,
    },
    /// GetShardIterator.
    Iterator {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
    },
    /// A receive from a queue.
    Queue {
        /// The queue's name.
        queue: StreamName,
        /// The application's own span, if it sent one.
        parent: Option<Parent>,
    },
}

/// What became of a put's records on their way through us.
#[derive(Debug)]
pub struct PutFacts {
    /// The stream, if the body could be read that far.
    pub stream: Option<StreamName>,
    /// Our span's context.
    pub context: TraceContext,
    /// Its tracestate.
    pub state: TraceState,
    /// What injected records carry: our span's context, or that of the call's first try.
    pub carried: (TraceContext, TraceState),
    /// Our span's parent.
    pub parent: Option<SpanId>,
    /// Each record's verdict, or one verdict of a body that was not understood.
    pub verdicts: Vec<&'static str>,
    /// Payload bytes that were added.
    pub injected_bytes: usize,
    /// Which try of the client's this is, where it says.
    pub attempt: Option<u32>,
    /// What a later try of the call has to know, as long as there may be one.
    pub(super) trying: Option<Trying>,
    /// Records that went out with another context than `carried`, in order.
    pub(super) own: Vec<Carried>,
    /// What each record takes of its shard before anything is added, where the client's bytes are
    /// not kept.
    pub each: Weight,
    /// What the hash key of a single record is made of.
    pub placing: Placing,
    /// What the event of a single record calls itself, where the span is recorded.
    pub event: Option<Box<envelope::Facts>>,
    /// The client's bytes of several records, so that one which fails can be known again.
    pub originals: Option<Originals>,
}

/// A put's body as the client sent it.
#[derive(Debug)]
pub struct Originals {
    /// The bytes.
    pub body: Bytes,
    /// Where its records are.
    pub put: PutBody,
    /// The bound's share.
    pub held: Held,
}

/// What a record takes of its shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes, as Kinesis counts them.
    pub bytes: u64,
    /// What this process makes of its partition key.
    pub key: Option<u64>,
}

impl Weight {
    /// Of one record of a body.
    #[must_use]
    pub fn of(keys: &RandomState, body: &[u8], put: &PutBody, record: usize) -> Self {
        let key = put::key_bytes(body, put, record).filter(|key| !key.is_empty());
        let bytes = put::stored_bytes(body, put, record) as u64;
        Self { bytes, key: key.map(|key| keys.hash_one(key)) }
    }

    /// Of each record of a body, where nobody will look at them one by one.
    #[must_use]
    pub fn each(keys: &RandomState, body: &[u8], put: &PutBody) -> Self {
        if put.len() == 1 {
            return Self::of(keys, body, put, 0);
        }
        let bytes: usize = (0..put.len()).map(|record| put::stored_bytes(body, put, record)).sum();
        Self { bytes: (bytes / put.len().max(1)) as u64, key: None }
    }
}

impl PutFacts {
    /// Takes what each record takes of its shard, where the client's bytes are not kept.
    pub(super) fn weigh(&mut self, keys: &RandomState, body: &[u8], put: &PutBody) {
        self.each = Weight::each(keys, body, put);
        if put.len() == 1 {
            self.placing = Placing::of(body, put, 0);
        }
    }

    /// The hash key of one record, where it can still be told.
    #[must_use]
    pub fn hash_key(&self, record: usize) -> Option<u128> {
        match &self.originals {
            Some(Originals { body, put, .. }) => put::hash_key(body, put, record),
            None => self.placing.hash_key(),
        }
    }

    /// What was added to each record that was injected into: they share it.
    #[must_use]
    pub fn added_each(&self) -> u64 {
        let injected = self.verdicts.iter().filter(|verdict| **verdict == "injected").count();
        (self.injected_bytes / injected.max(1)) as u64
    }

    /// What one record took of its shard; `added_each` is what [`Self::added_each`] says.
    #[must_use]
    pub fn weight(&self, keys: &RandomState, record: usize, added_each: u64) -> Weight {
        let Weight { bytes, key } = match &self.originals {
            Some(Originals { body, put, .. }) => Weight::of(keys, body, put, record),
            None => self.each,
        };
        let injected = self.verdicts.get(record) == Some(&"injected");
        Weight { bytes: bytes + if injected { added_each } else { 0 }, key }
    }

    /// The context of the call's first try, where this is not it.
    #[must_use]
    pub fn first_try(&self) -> Option<&(TraceContext, TraceState)> {
        (self.carried.0 != self.context).then_some(&self.carried)
    }

    /// The client's own bytes went out in the end.
    pub fn take_back(&mut self) {
        self.verdicts.iter_mut().filter(|it| **it == "injected").for_each(|it| *it = "taken_back");
        self.own.retain(|it| !it.created);
        self.injected_bytes = 0;
    }
}

/// What came back.
#[derive(Debug)]
pub enum Answer {
    /// Kinesis' answer.
    Whole {
        /// HTTP status.
        status: u16,
        /// How the body is written.
        form: WireForm,
        /// `x-amzn-RequestId`.
        request_id: Option<String>,
        /// The body.
        body: Bytes,
        /// The bound's share, given back when the exchange is done with.
        held: Held,
    },
    /// Kinesis answered, but the copy was cut: by the client, by the connection, or by our bound.
    Cut {
        /// HTTP status.
        status: u16,
    },
    /// We answered.
    Fault(Fault),
}

impl Answer {
    /// Bytes of the copied body.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Whole { body, .. } => body.len(),
            Self::Cut { .. } | Self::Fault(_) => 0,
        }
    }
}

/// Where exchanges go. Bounded in number and in bytes; full, it drops the newest and counts.
#[derive(Debug, Clone)]
pub struct ObserverSink {
    sender: mpsc::Sender<Box<Exchange>>,
    bell: Arc<Bell>,
    bytes: Arc<Budget>,
    dropped: IntCounterVec,
}

/// Tells the observer that something waits: once, until it has looked. Waking it for each exchange
/// would cost a put more than everything else that we do to it.
#[derive(Debug, Default)]
struct Bell {
    rung: AtomicBool,
    ring: Notify,
}

/// The observer's end of the queue.
#[derive(Debug)]
pub struct Exchanges {
    receiver: mpsc::Receiver<Box<Exchange>>,
    bell: Arc<Bell>,
}

impl Exchanges {
    /// Waits until something was offered since the last look; may return once too often.
    pub async fn ready(&self) {
        self.bell.ring.notified().await;
    }

    /// From now on offers are dropped and counted; what waits can still be taken.
    pub fn close(&mut self) {
        self.receiver.close();
    }

    /// Before taking: what comes from now on rings again.
    pub fn look(&self) {
        self.bell.rung.store(false, Ordering::SeqCst);
    }

    /// Up to `most` exchanges that wait.
    pub fn take(&mut self, most: usize) -> impl Iterator<Item = Box<Exchange>> {
        std::iter::from_fn(|| self.receiver.try_recv().ok()).take(most)
    }
}

#[derive(Debug)]
struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl ObserverSink {
    /// A sink and its other end. `queue_max` exchanges, and `bytes_max` bytes of copied answers.
    #[must_use]
    pub fn new(queue_max: usize, bytes_max: usize, dropped: IntCounterVec) -> (Self, Exchanges) {
        let (sender, receiver) = mpsc::channel(queue_max);
        let bytes = Arc::new(Budget { used: AtomicUsize::new(0), max: bytes_max });
        let bell = Arc::new(Bell::default());
        let queue = Exchanges { receiver, bell: Arc::clone(&bell) };
        (Self { sender, bell, bytes, dropped }, queue)
    }

    /// Hands an exchange over, or drops it and counts. Never waits.
    pub fn offer(&self, mut exchange: Box<Exchange>) {
        exchange.end_try();
        if let Err(error) = self.sender.try_send(exchange) {
            let reason = match error {
                mpsc::error::TrySendError::Full(_) => "full",
                mpsc::error::TrySendError::Closed(_) => "stopping",
            };
            self.dropped.with_label_values(&["observer", reason]).inc();
        }
        if !self.bell.rung.swap(true, Ordering::SeqCst) {
            self.bell.ring.notify_one();
        }
    }

    /// An empty copy.
    #[must_use]
    pub fn copy(&self) -> Copy {
        let held = Held { budget: Arc::clone(&self.bytes), bytes: 0 };
        Copy { frames: Vec::new(), held, cut: false }
    }

    /// A share of the byte bound, if there is room.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Option<Held> {
        let mut held = Held { budget: Arc::clone(&self.bytes), bytes: 0 };
        held.grow(bytes).then_some(held)
    }

    fn count_cut(&self) {
        self.dropped.with_label_values(&["observer", "bytes"]).inc();
    }
}

/// A share of the byte bound.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    fn grow(&mut self, by: usize) -> bool {
        let before = self.budget.used.fetch_add(by, Ordering::Relaxed);
        self.bytes += by;
        before + by <= self.budget.max
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Frames up to this are copied: a reference would hold the connection's whole buffer of 8 KiB,
/// which the bound does not count, and in whose place the next answer would need another.
const COPIED_BYTES_MAX: usize = 1 << 10;

/// An answer's frames as they pass: references to the same bytes, where they are many.
#[derive(Debug)]
pub struct Copy {
    frames: Vec<Bytes>,
    held: Held,
    cut: bool,
}

impl Copy {
    /// Keeps a frame, if the bound allows.
    pub fn keep(&mut self, frame: &Bytes, sink: &ObserverSink) {
        if self.cut {
            return;
        }
        if self.held.grow(frame.len()) {
            let small = frame.len() <= COPIED_BYTES_MAX;
            self.frames.push(if small { Bytes::copy_from_slice(frame) } else { frame.clone() });
        } else {
            self.cut = true;
            self.frames = Vec::new();
            sink.count_cut();
        }
    }

    /// The answer, `complete` if its end was seen.
    #[must_use]
    pub fn answer(self, head: AnswerHead, complete: bool) -> Answer {
        let AnswerHead { status, form, request_id } = head;
        if self.cut || !complete {
            return Answer::Cut { status };
        }
        let mut frames = self.frames;
        let body = if frames.len() == 1 {
            frames.pop().unwrap_or_default()
        } else {
            let mut joined = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
            frames.iter().for_each(|frame| joined.extend_from_slice(frame));
            joined.freeze()
        };
        Answer::Whole { status, form, request_id, body, held: self.held }
    }
}

/// What an answer's head says.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    /// HTTP status.
    pub status: u16,
    /// How the body is written.
    pub form: WireForm,
    /// `x-amzn-RequestId`.
    pub request_id: Option<String>,
}
