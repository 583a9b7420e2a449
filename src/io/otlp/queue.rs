//! Owns the bounded queue between the data plane and the exporter. Refuses to block, and to lose
//! a span uncounted: what leaves the queue unsettled counts itself as dropped.

use super::batch::Batch;
use super::metrics::Metrics;
use crate::domain::time::Wall;
use crate::domain::trace::Flags;
use crate::domain::trace::Span;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Most spans that wait: eight seconds of a thousand calls a second, enough for a collector's
/// restart. Policy: a full queue drops the new span and counts it.
pub(super) const SPANS_MAX: usize = 8_192;
/// Most spans and links together, waiting or being sent: a read of 10,000 records links to each, so
/// a bound on spans alone would bound nothing. At some 300 bytes a link this is 10 MiB. Policy: as
/// above.
pub(super) const WEIGHT_MAX: usize = 32_768;

/// A new queue. The exporter is woken as soon as `batch_max` spans wait, and not for each span.
#[must_use]
pub fn queue(metrics: Metrics, batch_max: usize) -> (SpanSink, Queue) {
    let (sender, receiver) = mpsc::channel(SPANS_MAX);
    let books = Arc::new(Books { room: Semaphore::new(WEIGHT_MAX), metrics });
    let wake = Arc::new(Notify::new());
    let entry = Entry { sender, books: books.clone(), wake: wake.clone(), wake_at: batch_max };
    (SpanSink(Some(Arc::new(entry))), Queue { receiver, books, wake, put_back: None })
}

/// Where the data plane leaves finished spans. Cloning is one reference count.
#[derive(Debug, Clone)]
pub struct SpanSink(Option<Arc<Entry>>);

#[derive(Debug)]
struct Entry {
    sender: mpsc::Sender<Queued>,
    books: Arc<Books>,
    wake: Arc<Notify>,
    wake_at: usize,
}

#[derive(Debug)]
struct Books {
    room: Semaphore,
    metrics: Metrics,
}

impl SpanSink {
    /// The sink of a process that exports no spans: every offer is one comparison.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Whether spans are exported at all: asked before the work that only a span needs.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A place for one span of these flags, asked for before the span is built, so that a span that
    /// cannot be taken costs no allocation. `None`: export is off, the span is not sampled, or there
    /// is no room, which is counted here as a dropped span.
    #[must_use]
    pub fn slot(&self, flags: Flags) -> Option<Slot<'_>> {
        let entry = self.0.as_deref()?;
        if !flags.sampled() {
            return None;
        }
        match entry.sender.try_reserve() {
            Ok(place) => Some(Slot { place, entry }),
            Err(TrySendError::Full(())) => {
                entry.books.metrics.dropped_full.inc();
                None
            }
            Err(TrySendError::Closed(())) => {
                entry.books.metrics.dropped_shutdown.inc();
                None
            }
        }
    }

    /// Leaves a span: never blocks. A span that is not sampled is not exported, as its trace's
    /// root decided; one that finds no room is counted as dropped.
    pub fn offer(&self, span: Span) {
        if let Some(slot) = self.slot(span.context.flags) {
            slot.put(span);
        }
    }
}

/// A place in the queue. Not to be held across a wait: it is room that others lack.
#[derive(Debug)]
#[must_use = "an unused place was reserved for nothing"]
pub struct Slot<'a> {
    place: mpsc::Permit<'a, Queued>,
    entry: &'a Entry,
}

impl Slot<'_> {
    /// Fills the place; a span with more links than there is room for is counted as dropped.
    pub fn put(self, span: Span) {
        let books = &self.entry.books;
        let weight = u32::try_from(span.links.len()).unwrap_or(u32::MAX).saturating_add(1);
        match books.room.try_acquire_many(weight) {
            Ok(room) => {
                room.forget();
                let held = Held { books: books.clone(), spans: 1, weight: weight as usize };
                self.place.send(Queued { span, held });
            }
            Err(_) => books.metrics.dropped_full.inc(),
        }
        let sender = &self.entry.sender;
        if sender.max_capacity() - sender.capacity() >= self.entry.wake_at {
            self.entry.wake.notify_one();
        }
    }
}

#[derive(Debug)]
struct Queued {
    span: Span,
    held: Held,
}

/// The room that spans take. Dropping it gives the room back, and counts spans that nobody settled,
/// whatever ended them: a deadline, an aborted task, a queue that went away full.
#[derive(Debug)]
pub(super) struct Held {
    books: Arc<Books>,
    spans: u64,
    weight: usize,
}

impl Held {
    /// Takes over what another holds.
    fn merge(&mut self, mut other: Self) {
        self.spans += std::mem::take(&mut other.spans);
        self.weight += std::mem::take(&mut other.weight);
    }

    /// Spans that nobody settled.
    pub(super) const fn spans(&self) -> u64 {
        self.spans
    }

    /// Some spans reached the collector, which refused `rejected` of them.
    pub(super) fn delivered(&mut self, spans: u64, rejected: u64) {
        let spans = self.settle(spans);
        let rejected = rejected.min(spans);
        let metrics = &self.books.metrics;
        metrics.accepted.inc_by(spans - rejected);
        metrics.rejected.inc_by(rejected);
        metrics.dropped_rejected.inc_by(rejected);
    }

    /// Some spans are more than the collector takes at once.
    pub(super) fn too_large(&mut self, spans: u64) {
        let spans = self.settle(spans);
        self.books.metrics.failed.inc_by(spans);
        self.books.metrics.dropped_too_large.inc_by(spans);
    }

    /// Some spans are of a time that the collector refuses.
    pub(super) fn out_of_time(&mut self, spans: u64) {
        let spans = self.settle(spans);
        self.books.metrics.failed.inc_by(spans);
        self.books.metrics.dropped_out_of_time.inc_by(spans);
    }

    /// The spans that are left were given up.
    pub(super) fn failed(&mut self) {
        let spans = std::mem::take(&mut self.spans);
        self.books.metrics.failed.inc_by(spans);
        self.books.metrics.dropped_failed.inc_by(spans);
    }

    fn settle(&mut self, spans: u64) -> u64 {
        let spans = spans.min(self.spans);
        self.spans -= spans;
        spans
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.books.room.add_permits(self.weight);
        self.books.metrics.dropped_shutdown.inc_by(self.spans);
    }
}

/// What closes a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// No span after so many.
    pub(super) spans_max: usize,
    /// No span after so many spans and links.
    pub(super) weight_max: usize,
    /// No span after so many bytes.
    pub(super) bytes_max: usize,
    /// No span with more bytes: it loses links, or is dropped and counted.
    pub(super) span_bytes_max: usize,
    /// No span of another time, where the collector is particular: it is dropped and counted.
    pub(super) window: Option<Window>,
}

/// Times of spans that a collector takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// None began before.
    pub(super) earliest: Wall,
    /// None ended after.
    pub(super) latest: Wall,
    /// The longest from the first begin to the last end of a batch.
    pub(super) spread_max: Duration,
}

impl Window {
    fn holds(&self, span: &Span) -> bool {
        self.earliest <= span.start
            && span.end <= self.latest
            && span.end.since(span.start) <= self.spread_max
    }
}

/// The exporter's end.
#[derive(Debug)]
pub struct Queue {
    receiver: mpsc::Receiver<Queued>,
    books: Arc<Books>,
    wake: Arc<Notify>,
    /// Taken out, and too far in time from the batch that it would have ended.
    put_back: Option<Queued>,
}

impl Queue {
    /// Waits until a batch's worth of spans was offered; may return once too often.
    pub(super) async fn batch_ready(&self) {
        self.wake.notified().await;
    }

    /// Spans that wait now.
    pub(super) fn len(&self) -> usize {
        self.receiver.len() + usize::from(self.put_back.is_some())
    }

    /// From now on offers count as dropped; what waits can still be taken.
    pub(super) fn close(&mut self) {
        self.receiver.close();
    }

    /// Takes spans until one of the limits is reached; `None` when nothing waits that can be sent.
    pub(super) fn take(&mut self, limits: &Limits) -> Option<(Batch, Held)> {
        let mut held = Held { books: self.books.clone(), spans: 0, weight: 0 };
        let mut batch = Batch::default();
        while batch.len() < limits.spans_max
            && batch.bytes() < limits.bytes_max
            && held.weight < limits.weight_max
        {
            let Some(Queued { span, held: mut own }) = self.next() else { break };
            if let Some(window) = &limits.window {
                if !window.holds(&span) {
                    own.out_of_time(1);
                    continue;
                }
                if batch.spread_with(&span) > window.spread_max {
                    self.put_back = Some(Queued { span, held: own });
                    break;
                }
            }
            if batch.push(span, limits.span_bytes_max) {
                held.merge(own);
            } else {
                own.too_large(1);
            }
        }
        (batch.len() > 0).then_some((batch, held))
    }

    fn next(&mut self) -> Option<Queued> {
        self.put_back.take().or_else(|| self.receiver.try_recv().ok())
    }
}
