//! Owns the telemetry's part of a put's way, and nothing else of it, as one call that
//! `benches/telemetry` measures: the steps of `prepare`, `forward` and `tee`, with their own
//! functions and values. Refuses to be called by the program.

use super::deciding::Deciding;
use super::exchange::{Answer, AnswerHead, Exchange, Exchanges, Facts, ObserverSink, PutFacts};
use super::retries::{self, Calls};
use crate::domain::envelope::Insertion;
use crate::domain::stream::{ConsumerName, StreamName};
use crate::domain::time::Moment;
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::operation::Operation;
use bytes::Bytes;
use http::HeaderMap;
use prometheus::IntCounterVec;
use std::hint::black_box;
use std::sync::Arc;

/// What a put's way shares with others.
#[derive(Debug)]
pub struct Measured {
    deciding: Deciding,
    calls: Arc<Calls>,
    sink: ObserverSink,
    queue: Exchanges,
    consumer: ConsumerName,
    stream: StreamName,
    server: Arc<str>,
}

impl Measured {
    /// As the wiring makes them.
    #[must_use]
    pub fn new(deciding: Deciding, dropped: IntCounterVec) -> Self {
        let (sink, queue) = ObserverSink::new(4_096, 32 << 20, dropped);
        let (consumer, stream, server) = ("mail".into(), "orders".into(), "kinesis:443".into());
        let calls = Arc::new(Calls::new(4_096));
        Self { deciding, calls, sink, queue, consumer, stream, server }
    }

    /// What telemetry does on the way of a put of so many records. Whether it is recorded.
    pub fn put(&self, headers: &HeaderMap, records: usize, answer: &Bytes, now: Moment) -> bool {
        let parent = self.deciding.parent(headers);
        let first = self.calls.first_context(headers, now);
        let carried = first.unwrap_or_else(|| self.deciding.child(parent.as_ref(), 1, now));
        let trying = self.calls.begin(headers, &carried, now);
        black_box(Insertion::new(&carried.0, &carried.1));
        let (context, state) = carried.clone();
        let facts = PutFacts {
            stream: Some(self.stream.clone()),
            context,
            state,
            carried,
            parent: parent.map(|parent| parent.context.span_id),
            verdicts: (0..records).map(|_| "injected").collect(),
            injected_bytes: 72 * records,
            attempt: retries::attempt(headers),
            trying,
            own: Vec::new(),
            each: Default::default(),
            event: None,
            placing: Default::default(),
            originals: None,
        };
        let mut exchange = Box::new(Exchange {
            operation: Operation::PutRecords,
            consumer: self.consumer.clone(),
            server: Arc::clone(&self.server),
            started: now,
            ended: now,
            facts: Facts::Put(Box::new(facts)),
            resent: None,
            answer: Answer::Fault(Fault::UpstreamReset),
        });
        let mut copy = self.sink.copy();
        copy.keep(answer, &self.sink);
        let head = AnswerHead { status: 200, form: WireForm::Json, request_id: None };
        exchange.answer = copy.answer(head, true);
        self.sink.offer(exchange);
        context.flags.sampled()
    }

    /// Empties the queue, as the observer would; how many exchanges it held.
    pub fn take(&mut self) -> usize {
        self.queue.look();
        self.queue.take(usize::MAX).count()
    }
}
