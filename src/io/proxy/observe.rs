//! Owns the observer: reads the copies that the data plane handed over, counts, and tells the
//! engine and the span exporter. Refuses to wait for either: their queues are bounded and a full
//! one drops and counts.

use super::exchange::{Answer, Exchange, Exchanges, Facts, PutFacts};
use super::iterators::Iterators;
use super::metrics::Metrics;
use super::spans::{self, Ending};
use crate::domain::engine::Event;
use crate::domain::lag::ReadObservation;
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::trace::{TraceContext, TraceState};
use crate::io::entropy;
use crate::io::otlp::SpanSink;
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::outcome::{self, PutOutcome};
use crate::wire::kinesis::read::{self, RecordsAnswer};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Exchanges observed before the thread is offered to others.
const BATCH_MAX: usize = 64;
/// Copied answers of one batch that are read on the data plane's thread: 0.2 ms at most.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// After the bell the observer lets more come: one waking for all that happens meanwhile, and no
/// figure that anybody reads is finer.
const GATHER: Duration = Duration::from_millis(10);
/// Streams that were announced to the engine; more are announced at each put, and its own bound
/// then counts them.
const ANNOUNCED_MAX: usize = 1_000;
/// The label of what could not be placed.
const UNKNOWN: &str = "unknown";

/// The observer.
#[derive(Debug)]
pub struct Observer {
    iterators: Iterators,
    announced: HashSet<StreamName>,
    engine: mpsc::Sender<Event>,
    spans: SpanSink,
    metrics: Metrics,
}

impl Observer {
    /// An observer that follows at most `iterators_max` iterators.
    #[must_use]
    pub fn new(
        iterators_max: usize,
        engine: mpsc::Sender<Event>,
        spans: SpanSink,
        metrics: Metrics,
    ) -> Self {
        let announced = HashSet::new();
        Self { iterators: Iterators::new(iterators_max), announced, engine, spans, metrics }
    }

    /// Observes until `stop`, then what is still queued.
    pub async fn run(mut self, mut queue: Exchanges, stop: CancellationToken) {
        let mut stopping = false;
        while !stopping {
            tokio::select! {
                biased;
                () = stop.cancelled() => stopping = true,
                () = queue.ready() => tokio::time::sleep(GATHER).await,
            }
            if stopping {
                queue.close();
            }
            queue.look();
            loop {
                let batch = queue.take(BATCH_MAX);
                if batch.is_empty() {
                    break;
                }
                let Some(observer) = self.observe_all(batch).await else { return };
                self = observer;
            }
        }
    }

    /// Large answers are read on another thread: the data plane's must not wait for it.
    async fn observe_all(mut self, batch: Vec<Exchange>) -> Option<Self> {
        let bytes: usize = batch.iter().map(|exchange| exchange.answer.bytes()).sum();
        let work = move || {
            batch.into_iter().for_each(|exchange| self.observe_one(&exchange));
            self
        };
        if bytes <= INLINE_BYTES_MAX {
            let observer = work();
            tokio::task::yield_now().await;
            return Some(observer);
        }
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// A panic of ours costs one exchange, not the observer.
    fn observe_one(&mut self, exchange: &Exchange) {
        if catch_unwind(AssertUnwindSafe(|| self.observe(exchange))).is_err() {
            self.metrics.dropped.with_label_values(&["observer", "panicked"]).inc();
        }
    }

    /// Takes one exchange in.
    fn observe(&mut self, exchange: &Exchange) {
        match &exchange.facts {
            Facts::Put(put) => self.put(exchange, put),
            Facts::Iterator { stream, shard } => {
                self.iterator(exchange, stream.clone(), shard.clone());
            }
            Facts::Read { iterator, stream, parent } => {
                self.read(exchange, iterator, stream.clone(), parent.as_ref());
            }
        }
    }

    fn put(&mut self, exchange: &Exchange, put: &PutFacts) {
        let stream = put.stream.as_ref().map_or(UNKNOWN, StreamName::as_str);
        let label = self.metrics.capped(stream).to_owned();
        for verdict in &put.verdicts {
            self.metrics.records.with_label_values(&[label.as_str(), "put", verdict]).inc();
        }
        let injected_bytes = u64::try_from(put.injected_bytes).unwrap_or(u64::MAX);
        self.metrics.injected_bytes.with_label_values(&[&label]).inc_by(injected_bytes);
        let (ending, body) = ending(&exchange.answer);
        let stored = if ending.error.is_none() {
            body.and_then(|body| outcome::put_answer(WireForm::Json, body))
        } else {
            None
        };
        let failed = self.metrics.put_failures.clone();
        let fail = |code: &str, records: usize| {
            let code = self.metrics.capped(code).to_owned();
            failed.with_label_values(&[label.as_str(), &code]).inc_by(records as u64);
        };
        if let Some(error) = &ending.error {
            fail(error, put.verdicts.len());
        }
        let outcome = stored.unwrap_or_default();
        outcome.failed.iter().for_each(|code| fail(code, 1));
        if let Some(stream) = &put.stream {
            self.announce(stream);
        }
        self.export_send(exchange, put, &ending, &outcome);
    }

    fn export_send(
        &self,
        exchange: &Exchange,
        put: &PutFacts,
        ending: &Ending,
        outcome: &PutOutcome,
    ) {
        if let Some(slot) = self.spans.slot(put.context.flags) {
            slot.put(spans::send(exchange, put, ending, outcome));
        }
    }

    fn iterator(&mut self, exchange: &Exchange, stream: StreamName, shard: ShardId) {
        self.announce(&stream);
        let (ending, body) = ending(&exchange.answer);
        if let (None, Some(iterator)) =
            (ending.error, body.and_then(|body| read::iterator_answer(WireForm::Json, body)))
        {
            self.iterators.begin(&iterator, stream, shard, exchange.ended);
        }
    }

    fn read(
        &mut self,
        exchange: &Exchange,
        iterator: &str,
        named: Option<StreamName>,
        parent: Option<&(TraceContext, TraceState)>,
    ) {
        let place = self.iterators.place(iterator);
        let delivered = place.as_ref().and_then(|place| place.delivered);
        let (stream, shard) = match place {
            Some(place) => (Some(place.stream), place.shard),
            None => (named, UNKNOWN.into()),
        };
        let label =
            self.metrics.capped(stream.as_ref().map_or(UNKNOWN, StreamName::as_str)).to_owned();
        let labels = [label.as_str(), exchange.consumer.as_str()];
        if let Some(delivered) = delivered {
            let pause = exchange.started.since(delivered).as_secs_f64();
            self.metrics.poll_interval.with_label_values(&labels).observe(pause);
        }
        let (ending, body) = ending(&exchange.answer);
        let Some(answer) = body
            .filter(|_| ending.error.is_none())
            .and_then(|body| read::records_answer(WireForm::Json, body))
        else {
            return;
        };
        if let Some(next) = &answer.next {
            self.iterators.follow(iterator, next, exchange.ended);
        }
        self.count_delivered(exchange, &answer, &label);
        if !answer.records.is_empty() && self.spans.is_on() {
            let fresh = || spans::root(entropy::trace_id(), entropy::span_id());
            let place = (stream.as_ref(), &shard);
            let made = spans::receive(exchange, place, parent, &answer.records, &ending, fresh);
            made.into_iter().for_each(|span| self.spans.offer(span));
        }
        if let Some(stream) = stream {
            self.announce(&stream);
            let event = read_event(exchange, stream, exchange.consumer.clone(), shard, &answer);
            self.tell(event);
        }
    }

    fn count_delivered(&self, exchange: &Exchange, answer: &RecordsAnswer, stream: &str) {
        let ages = self.metrics.record_age.with_label_values(&[stream, exchange.consumer.as_str()]);
        for record in &answer.records {
            self.metrics.records.with_label_values(&[stream, "get", record.verdict]).inc();
            if let Some(arrival) = record.arrival {
                ages.observe(exchange.ended.wall.since(arrival).as_secs_f64());
            }
        }
    }

    fn announce(&mut self, stream: &StreamName) {
        if self.announced.contains(stream) {
            return;
        }
        if self.announced.len() < ANNOUNCED_MAX {
            self.announced.insert(stream.clone());
        }
        self.tell(Event::StreamSeen { stream: stream.clone() });
    }

    fn tell(&self, event: Event) {
        if self.engine.try_send(event).is_err() {
            self.metrics.dropped.with_label_values(&["engine", "full"]).inc();
        }
    }
}

fn read_event(
    exchange: &Exchange,
    stream: StreamName,
    consumer: ConsumerName,
    shard: ShardId,
    answer: &RecordsAnswer,
) -> Event {
    let newest = answer.records.last();
    let observation = ReadObservation {
        called_at: exchange.started,
        at: exchange.ended,
        behind: answer.behind,
        records: u32::try_from(answer.records.len()).unwrap_or(u32::MAX),
        newest_sequence: newest.and_then(|record| record.sequence.clone()),
        newest_arrival: newest.and_then(|record| record.arrival),
        shard_ended: answer.next.is_none(),
    };
    Event::Read { stream, consumer, shard, observation }
}

/// How the call ended, and the body if it is all there.
fn ending(answer: &Answer) -> (Ending, Option<&[u8]>) {
    match answer {
        Answer::Whole { status, request_id, body, held: _ } => {
            let error = (*status >= 300).then(|| {
                outcome::error_type(WireForm::Json, body).unwrap_or_else(|| status.to_string())
            });
            let ending = Ending { error, request_id: request_id.clone(), status: Some(*status) };
            (ending, Some(body))
        }
        Answer::Cut { status } => {
            let error = (*status >= 300).then(|| status.to_string());
            (Ending { error, request_id: None, status: Some(*status) }, None)
        }
        Answer::Fault(fault) => {
            let error = Some(fault.reason().to_owned());
            (Ending { error, request_id: None, status: None }, None)
        }
    }
}
