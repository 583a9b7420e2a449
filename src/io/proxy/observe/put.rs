//! Owns what the observer makes of a put: counts, the memory of failed records, the send span.

use super::super::disclosed::Told;
use super::super::exchange::{Exchange, Originals, PutFacts};
use super::super::metrics::Metrics;
use super::super::spans;
use super::shards::Record;
use super::{Observer, UNKNOWN, ending};
use crate::io::entropy;
use crate::wire::kinesis::outcome::{self, End, PutOutcome};
use crate::wire::kinesis::put::{self, record_bytes};
use prometheus::IntCounter;
use std::sync::Arc;

/// Streams whose counters are kept at hand; those of more are looked up at each put.
const STREAMS_MAX: usize = 1_000;

/// What puts to one stream count, once found: to look a series up, its labels are hashed.
#[derive(Debug)]
pub(super) struct PutCounters {
    label: Arc<str>,
    injected_bytes: IntCounter,
    verdicts: Vec<(&'static str, IntCounter)>,
}

impl PutCounters {
    fn of(stream: &str, metrics: &Metrics) -> Self {
        let label = metrics.capped(stream);
        let injected_bytes = metrics.injected_bytes.with_label_values(&[label]);
        Self { label: label.into(), injected_bytes, verdicts: Vec::new() }
    }

    fn count(&mut self, put: &PutFacts, metrics: &Metrics) -> Arc<str> {
        let Self { label, injected_bytes, verdicts } = self;
        for run in put.verdicts.chunk_by(|one, next| one == next) {
            let Some(verdict) = run.first() else { continue };
            let known = verdicts.iter().position(|(known, _)| known == verdict);
            let known = known.unwrap_or_else(|| {
                let counter = metrics.records.with_label_values(&[&**label, "put", verdict]);
                verdicts.push((verdict, counter));
                verdicts.len() - 1
            });
            if let Some((_, counter)) = verdicts.get(known) {
                counter.inc_by(run.len() as u64);
            }
        }
        injected_bytes.inc_by(u64::try_from(put.injected_bytes).unwrap_or(u64::MAX));
        Arc::clone(label)
    }
}

impl Observer {
    pub(super) fn put(&mut self, exchange: &Exchange, put: &PutFacts) {
        let label = self.count(put);
        let (ending, body) = ending(exchange);
        let slot = self.shared.spans.slot(put.context.flags);
        let (shards, shared, metrics) = (&mut self.shards, &self.shared, &self.metrics);
        let added_each = put.added_each();
        let mut ended = |record: usize, end: End<'_>| {
            if let Some(stream) = &put.stream {
                let weight = put.weight(&shared.keys, record, added_each);
                let placed = || shared.ranges.shard(stream, put.hash_key(record)?);
                let record = Record { weight, placed: &placed };
                shards.take((stream, &label), record, end, (exchange.started, metrics));
            }
        };
        let stored = match (&ending.error, body) {
            // Where each record was stored, only the span tells one by one.
            (None, Some((form, body))) => outcome::put_told(form, body, slot.is_some(), &mut ended),
            (Some(code), Some((form, body))) => {
                let message = outcome::error_message(form, body);
                let message = message.as_deref();
                let records = 0..put.verdicts.len();
                records.for_each(|record| ended(record, End::Failed { code, message }));
                None
            }
            (_, None) => None,
        };
        let fail = |code: &str, records: usize| {
            let code = self.metrics.capped(code);
            self.metrics.put_failures.with_label_values(&[&*label, code]).inc_by(records as u64);
        };
        if let Some(error) = &ending.error {
            fail(error, put.verdicts.len());
        }
        let outcome = stored.unwrap_or_default();
        self.meter_put(exchange, put, &ending, &outcome);
        outcome.failed.iter().for_each(|(_, code)| fail(code, 1));
        if let Some(originals) = &put.originals {
            self.remember_failed(exchange, put, originals, &outcome);
        }
        if let Some(slot) = slot {
            let links_max = self.shared.deciding.links_max(spans::LINKS_MAX);
            let (came_of_it, fresh) = ((&ending, &outcome), entropy::span_id);
            let told = |record| self.told(put, record);
            let carried = (&*put.own, &told as &dyn Fn(usize) -> Told);
            let mut made =
                spans::spans_of_put(exchange, put, carried, came_of_it, links_max, fresh)
                    .into_iter();
            if let Some(first) = made.next() {
                slot.put(first);
            }
            made.for_each(|span| self.shared.spans.offer(span));
        }
    }

    /// What may be told of a record's event.
    fn told(&self, put: &PutFacts, record: usize) -> Told {
        let disclosed = &self.shared.disclosed;
        match (&put.event, &put.originals) {
            (Some(event), _) => disclosed.of_event(event),
            (None, Some(Originals { body, put, .. })) => {
                disclosed.of_event(&put::facts(body, put, record))
            }
            (None, None) => Told::default(),
        }
    }

    /// Counts verdicts and bytes, and announces the stream; gives its label.
    fn count(&mut self, put: &PutFacts) -> Arc<str> {
        let Some(stream) = &put.stream else {
            return PutCounters::of(UNKNOWN, &self.metrics).count(put, &self.metrics);
        };
        if let Some(counters) = self.puts.get_mut(stream) {
            return counters.count(put, &self.metrics);
        }
        self.announce(stream);
        let mut counters = PutCounters::of(stream.as_str(), &self.metrics);
        let label = counters.count(put, &self.metrics);
        if self.puts.len() < STREAMS_MAX {
            self.puts.insert(stream.clone(), counters);
        }
        label
    }

    /// A record that failed inside a 200 comes again in another call: then it keeps its context.
    fn remember_failed(
        &self,
        exchange: &Exchange,
        put: &PutFacts,
        originals: &Originals,
        outcome: &PutOutcome,
    ) {
        for (record, _) in &outcome.failed {
            let injected = put.verdicts.get(*record) == Some(&"injected");
            let bytes = record_bytes(&originals.body, &originals.put, *record);
            if let Some(bytes) = bytes.filter(|_| injected) {
                let own = put.own.iter().find(|it| it.record == *record);
                let context = own.map_or(&put.carried, |own| &own.context);
                self.shared.refused.note(bytes, context.clone(), exchange.ended);
            }
        }
    }
}
