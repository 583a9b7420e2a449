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
/// a bound on spans alone would bound nothing. Two of those fit. At some 450 bytes a link this is 10 MiB.
/// Policy: as above.
pub(super) const WEIGHT_MAX: usize = 24_576;

/// From so many spans and links on the exporter is woken, however few the spans: twenty reads a
/// second of 500 records each would fill the queue before its delay is over.
const WAKE_WEIGHT: usize = WEIGHT_MAX / 4;

/// Most spans that wait to be remembered. Whoever remembers looks ten times a second: some 2,500 a
/// second.
const REMEMBERED_MAX: usize = 256;
/// Most queues behind one sink: a collector's, a hub's, and our own memory of recent traces.
const OUTLETS_MAX: usize = 3;

/// A new queue. The exporter is woken as soon as `batch_max` spans wait, and not for each span.
#[must_use]
pub fn queue(metrics: Metrics, batch_max: usize) -> (SpanSink, Queue) {
    queue_of(metrics, SPANS_MAX, batch_max)
}

/// The queue of who remembers recent spans in this process: woken by the first, and short, so that
/// a process without a collector does not build more spans than its memory is worth. Policy: over
/// it the new span is not remembered, and counted.
#[must_use]
pub fn remembered(metrics: Metrics) -> (SpanSink, Queue) {
    queue_of(metrics, REMEMBERED_MAX, 1)
}

fn queue_of(metrics: Metrics, spans_max: usize, batch_max: usize) -> (SpanSink, Queue) {
    let (sender, receiver) = mpsc::channel(spans_max);
    let books = Arc::new(Books { room: Semaphore::new(WEIGHT_MAX), metrics });
    let wake = Arc::new(Notify::new());
    let entry = Entry { sender, books: books.clone(), wake: wake.clone(), wake_at: batch_max };
    (SpanSink(Arc::new([entry])), Queue { receiver, books, wake, put_back: None })
}

/// Where the data plane leaves finished spans, for each queue behind it. Cloning is one reference
/// count.
#[derive(Debug, Clone)]
pub struct SpanSink(Arc<[Entry]>);

/// One queue. What is full here is not full elsewhere.
#[derive(Debug, Clone)]
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
    /// The sink of a process that does nothing with spans: every offer is one comparison.
    #[must_use]
    pub fn off() -> Self {
        Self(Arc::new([]))
    }

    /// What is left here goes to the queues of both; more than three are none.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&*other.0).take(OUTLETS_MAX).cloned().collect())
    }

    /// Whether spans go anywhere at all: asked before the work that only a span needs.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether a span of these flags would be taken somewhere now: asked before the work that only a
    /// span needs, where it is not built yet.
    #[must_use]
    pub fn has_room(&self, flags: Flags) -> bool {
        flags.sampled() && self.0.iter().any(|entry| entry.sender.capacity() > 0)
    }

    /// A place for one span of these flags, asked for before the span is built, so that a span that
    /// cannot be taken costs no allocation. `None`: nobody wants spans, the span is not sampled, or
    /// there is no room anywhere. A queue without room counts a dropped span.
    #[must_use]
    pub fn slot(&self, flags: Flags) -> Option<Slot<'_>> {
        if !flags.sampled() || !self.is_on() {
            return None;
        }
        let mut places = [const { None }; OUTLETS_MAX];
        for (place, entry) in places.iter_mut().zip(&*self.0) {
            *place = entry.reserve().map(|permit| (permit, entry));
        }
        places.iter().any(Option::is_some).then_some(Slot { places })
    }

    /// Leaves a span: never blocks. A span that is not sampled goes nowhere, as its trace's root
    /// decided; one that finds no room is counted as dropped.
    pub fn offer(&self, span: Span) {
        if let Some(slot) = self.slot(span.context.flags) {
            slot.put(span);
        }
    }
}

impl Entry {
    fn reserve(&self) -> Option<mpsc::Permit<'_, Queued>> {
        match self.sender.try_reserve() {
            Ok(permit) => Some(permit),
            Err(TrySendError::Full(())) => {
                self.books.metrics.dropped_full.inc();
                None
            }
            Err(TrySendError::Closed(())) => {
                self.books.metrics.dropped_shutdown.inc();
                None
            }
        }
    }

    fn fill(&self, place: mpsc::Permit<'_, Queued>, span: Arc<Span>) {
        let books = &self.books;
        let weight = u32::try_from(span.links.len()).unwrap_or(u32::MAX).saturating_add(1);
        match books.room.try_acquire_many(weight) {
            Ok(room) => {
                room.forget();
                let held = Held { books: books.clone(), spans: 1, weight: weight as usize };
                place.send(Queued { span, held });
            }
            Err(_) => books.metrics.dropped_full.inc(),
        }
        let waiting = self.sender.max_capacity() - self.sender.capacity();
        let weight = WEIGHT_MAX.saturating_sub(self.books.room.available_permits());
        if waiting >= self.wake_at || weight >= WAKE_WEIGHT {
            self.wake.notify_one();
        }
    }
}

/// A place in each queue that had one. Not to be held across a wait: it is room that others lack.
#[derive(Debug)]
#[must_use = "an unused place was reserved for nothing"]
pub struct Slot<'a> {
    places: [Option<(mpsc::Permit<'a, Queued>, &'a Entry)>; OUTLETS_MAX],
}

impl Slot<'_> {
    /// Fills the places; a queue that has no room for all the links counts a dropped span.
    pub fn put(self, span: Span) {
        // Shared, not copied: a span of a thousand links is a megabyte.
        let span = Arc::new(span);
        for (place, entry) in self.places.into_iter().flatten() {
            entry.fill(place, Arc::clone(&span));
        }
    }
}

#[derive(Debug)]
struct Queued {
    span: Arc<Span>,
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
            if batch.push(Arc::unwrap_or_clone(span), limits.span_bytes_max) {
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

    /// Waits until something was offered; may return once too often.
    pub async fn ready(&self) {
        self.batch_ready().await;
    }

    /// Takes what waits, up to `spans_max`, for somebody in this process.
    pub fn taken(&mut self, spans_max: usize) -> Vec<Arc<Span>> {
        let mut spans = Vec::new();
        while spans.len() < spans_max {
            let Some(Queued { span, mut held }) = self.next() else { break };
            held.delivered(1, 0);
            spans.push(span);
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use crate::domain::trace::{Kind, Link, Status, TraceContext, TraceState};
    use prometheus::Opts;

    fn span(links: usize) -> Span {
        let text = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
        let context = TraceContext::parse(text).unwrap();
        let link = Link { context, tracestate: TraceState::default(), attributes: Vec::new() };
        Span {
            name: "send orders".into(),
            kind: Kind::Producer,
            context,
            tracestate: TraceState::default(),
            parent: None,
            start: Wall::from_ms(1),
            end: Wall::from_ms(2),
            attributes: Vec::new(),
            links: vec![link; links],
            status: Status::Unset,
        }
    }

    /// A queue, its counted drops, and what it holds.
    fn remembering() -> (SpanSink, Queue, Metrics) {
        let labels = ["queue", "reason"];
        let dropped = prometheus::IntCounterVec::new(Opts::new("d", "d"), &labels).unwrap();
        let metrics = Metrics::remembered(&dropped).unwrap();
        let (sink, queue) = queue(metrics.clone(), 1);
        (sink, queue, metrics)
    }

    #[test]
    fn what_one_queue_cannot_take_the_others_do() {
        let (first, mut own, own_metrics) = remembering();
        let (second, mut hub, hub_metrics) = remembering();
        let both = SpanSink::off().and(&first).and(&second);
        assert!(both.is_on() && !SpanSink::off().and(&SpanSink::off()).is_on());
        first.offer(span(WEIGHT_MAX - 1));
        both.offer(span(0));
        assert_eq!((own_metrics.dropped_full.get(), hub_metrics.dropped_full.get()), (1, 0));
        assert_eq!((own.taken(9).len(), hub.taken(9).len()), (1, 1));
        both.offer(span(3));
        let (own, hub) = (own.taken(9), hub.taken(9));
        assert!(Arc::ptr_eq(&own[0], &hub[0]), "one span for both");
    }

    #[tokio::test]
    async fn many_links_wake_the_exporter_as_many_spans_do() {
        let dropped = prometheus::IntCounterVec::new(Opts::new("d", "d"), &["queue", "reason"]);
        let (sink, queue) = queue(Metrics::remembered(&dropped.unwrap()).unwrap(), 100);
        let mut ready = looks_ready(&queue);
        sink.offer(span(WAKE_WEIGHT - 2));
        assert!(!ready());
        sink.offer(span(0));
        assert!(ready());
    }

    /// Whether the exporter would go on now.
    fn looks_ready(queue: &Queue) -> impl FnMut() -> bool {
        use std::future::Future;
        let mut waiting = Box::pin(queue.batch_ready());
        move || {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            waiting.as_mut().poll(&mut cx).is_ready()
        }
    }

    #[test]
    fn a_queue_that_is_gone_counts_and_the_others_go_on() {
        let (first, own, metrics) = remembering();
        let (second, mut hub, _) = remembering();
        drop(own);
        first.and(&second).offer(span(0));
        assert_eq!((metrics.dropped_shutdown.get(), hub.taken(9).len()), (1, 1));
    }

    #[test]
    fn what_was_taken_makes_room_and_is_no_drop() {
        let (sink, mut queue, metrics) = remembering();
        for _ in 0..3 {
            sink.offer(span(WEIGHT_MAX - 1));
            assert_eq!(queue.taken(9).len(), 1);
        }
        drop(queue);
        assert_eq!((metrics.dropped_full.get(), metrics.dropped_shutdown.get()), (0, 0));
    }
}
