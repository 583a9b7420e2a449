//! Owns what the observer makes of reads: whose iterator it is, how old the records are, the
//! receive spans, the event for the engine.

use super::super::exchange::Exchange;
use super::super::inferring::{Batch, Reading};
use super::super::iterators::shard_of_sequence;
use super::super::metrics::{END_TO_END, RECORD_AGE};

use super::super::spans::{self, Delivery};
use super::{Observer, UNKNOWN, ending};
use crate::domain::engine::Event;
use crate::domain::lag::{FailureKind, ReadFailure, ReadObservation};
use crate::domain::stream::{SequenceNumber, ShardId, StreamName};
use crate::domain::time::Moment;
use crate::domain::trace::{Parent, Span, TraceContext, TraceState};
use crate::io::entropy;
use crate::wire::kinesis::queue::{self, QueueRecord};
use crate::wire::kinesis::read::{self, ReadRecord, RecordsAnswer};
use std::time::Duration;

/// The shard of a queue's lag: a queue has none.
const QUEUE: &str = "queue";

impl Observer {
    pub(super) fn iterator(&mut self, exchange: &Exchange, stream: StreamName, shard: ShardId) {
        self.announce(&stream);
        let (ending, body) = ending(exchange);
        // A reader that may not even begin makes no other call by which it would be seen.
        if let Some(error) = &ending.error
            && failure_kind(error).is_of_credentials()
        {
            return self.read_failed(exchange, stream, shard, error);
        }
        let Some((form, body)) = body.filter(|_| ending.error.is_none()) else { return };
        if let Some(iterator) = read::iterator_answer(form, body) {
            if let Some(inferring) = &mut self.inferring {
                let consumer = &exchange.consumer;
                let reading = Reading { consumer, stream: &stream, shard: &shard };
                inferring.begun(reading, &iterator, exchange.ended);
            }
            self.shared.iterators.begin(&iterator, stream, shard, exchange.ended);
        }
    }

    pub(super) fn read(
        &mut self,
        exchange: &Exchange,
        asked: Asked<'_>,
        named: Option<StreamName>,
    ) {
        let Asked { iterator, parent, prefetches: _ } = asked;
        let place = self.shared.iterators.place(iterator);
        let delivered = self.shared.iterators.called(iterator);
        let (ending, body) = ending(exchange);
        let answer = body
            .filter(|_| ending.error.is_none())
            .and_then(|(form, body)| read::records_answer(form, body));
        let (stream, shard) = match place {
            Some(place) => (Some(place.stream), place.shard),
            None => (named, answer.as_ref().and_then(placed).unwrap_or_else(|| UNKNOWN.into())),
        };
        let records = answer.as_ref().map_or(0, |answer| answer.records.len());
        self.meter_read(exchange, stream.as_ref(), records, &ending);
        let label = self.label(stream.as_ref());
        if let Some(delivered) = delivered {
            let pause = exchange.started.since(delivered).as_secs_f64();
            let labels = [label.as_str(), exchange.consumer.as_str()];
            self.metrics.poll_interval.with_label_values(&labels).observe(pause);
        }
        let shard_known = Some(&shard).filter(|shard| shard.as_str() != UNKNOWN);
        let reading = match (&stream, shard_known) {
            (Some(stream), Some(shard)) => {
                Some(Reading { consumer: &exchange.consumer, stream, shard })
            }
            (_, _) => None,
        };
        if let Some(reading) = reading {
            self.infer(reading, exchange, asked);
        }
        let Some(answer) = answer else {
            if let (Some(reading), Some(inferring), None) =
                (reading, &mut self.inferring, &ending.error)
            {
                inferring.unread(reading, exchange.ended);
            }
            if let (Some(stream), Some(error)) = (stream, &ending.error) {
                self.read_failed(exchange, stream, shard, error);
            }
            return;
        };
        if let Some(next) = &answer.next {
            self.shared.iterators.follow(iterator, next, exchange.ended);
            self.relearn(iterator, next, stream.as_ref(), &shard, exchange.ended);
        }
        let call = spans::Call::of(exchange);
        self.count_delivered(&call, &answer.records, &label);
        let of = Delivery { stream: stream.as_ref(), shard: shard_known, is_queue: false, parent };
        let received = self.receive_spans(&call, &of, &answer.records, &ending);
        if let (Some(reading), Some(inferring)) = (reading, &mut self.inferring) {
            let batch = batch(&received, parent.is_some(), answer.records.len(), exchange.ended);
            let iterators = (iterator, answer.next.as_deref());
            inferring.delivered(reading, iterators, batch, exchange.ended);
        }
        received.into_iter().for_each(|span| self.shared.spans.offer(span));
        if let Some(stream) = stream {
            self.announce(&stream);
            let observation = observation(exchange, &answer);
            let consumer = exchange.consumer.clone();
            self.tell(Event::Read { stream, consumer, shard, observation });
        }
    }

    /// A reader whose calls fail lives, and does not get on.
    fn read_failed(&self, exchange: &Exchange, stream: StreamName, shard: ShardId, error: &str) {
        let failure = ReadFailure { at: exchange.ended, kind: failure_kind(error) };
        let consumer = exchange.consumer.clone();
        self.tell(Event::ReadFailed { stream, consumer, shard, failure });
    }

    /// After a restart without its memory a chain of iterators is found again by what a call and
    /// its records say.
    fn relearn(
        &self,
        iterator: &str,
        next: &str,
        stream: Option<&StreamName>,
        shard: &ShardId,
        now: Moment,
    ) {
        let known = self.shared.iterators.place(iterator).is_some();
        if let (false, Some(stream), true) = (known, stream, shard.as_str() != UNKNOWN) {
            self.shared.iterators.begin(next, stream.clone(), shard.clone(), now);
        }
    }

    /// A queue's consumer: its lag is the age of the oldest record that it was given.
    pub(super) fn queue(
        &mut self,
        exchange: &Exchange,
        queue: &StreamName,
        parent: Option<&Parent>,
    ) {
        let (ending, body) = ending(exchange);
        let Some((form, body)) = body.filter(|_| ending.error.is_none()) else { return };
        let Some(answer) = queue::receive_answer(form, body) else { return };
        let label = self.label(Some(queue));
        self.metrics
            .redelivered
            .with_label_values(&[label.as_str(), exchange.consumer.as_str()])
            .inc_by(answer.redelivered() as u64);
        let behind = answer.oldest_age(exchange.ended.wall);
        let records: Vec<ReadRecord> = answer.records.into_iter().map(identified).collect();
        let call = spans::Call::of(exchange);
        self.count_delivered(&call, &records, &label);
        let of = Delivery { stream: Some(queue), shard: None, is_queue: true, parent };
        self.meter_queue(&call, queue, records.len());
        self.export_receive(&call, &of, &records, &ending);
        let newest = records.last();
        let observation = ReadObservation {
            called_at: exchange.started,
            at: exchange.ended,
            // A long poll that came back empty found nothing that waits.
            behind: if records.is_empty() { Some(std::time::Duration::ZERO) } else { behind },
            records: u32::try_from(records.len()).unwrap_or(u32::MAX),
            oldest_sequence: None, // an id has no order
            newest_sequence: newest.and_then(|record| record.sequence.clone()),
            newest_arrival: newest.and_then(|record| record.arrival),
            shard_ended: false,
        };
        let (stream, consumer, shard) = (queue.clone(), exchange.consumer.clone(), QUEUE.into());
        self.tell(Event::Read { stream, consumer, shard, observation });
    }

    fn label(&self, stream: Option<&StreamName>) -> String {
        self.metrics.capped(stream.map_or(UNKNOWN, StreamName::as_str)).to_owned()
    }

    pub(super) fn count_delivered(
        &self,
        call: &spans::Call<'_>,
        records: &[ReadRecord],
        stream: &str,
    ) {
        let (labels, delivered) = ((stream, call.consumer.as_str()), call.ended.wall);
        let metrics = &self.metrics;
        let ages = metrics.record_age.with_label_values(&[stream, labels.1]);
        let (mut oldest, mut slowest) = (Longest::default(), Longest::default());
        for record in records {
            metrics.records.with_label_values(&[stream, "get", record.verdict]).inc();
            if let Some(arrival) = record.arrival {
                let age = delivered.since(arrival);
                ages.observe(age.as_secs_f64());
                oldest.take(age, record.contexts.first());
            }
            for event in &record.events {
                let made = event.facts.made;
                let Some(took) = made.and_then(|made| made.until(record.arrival, delivered)) else {
                    continue;
                };
                let times = metrics.end_to_end.with_label_values(&[stream, labels.1]);
                times.observe(took.as_secs_f64());
                slowest.take(took, Some(&event.context));
            }
        }
        // Of each read the one that waited longest: whoever follows a bucket looks for that.
        for (family, of) in [(RECORD_AGE, oldest), (END_TO_END, slowest)] {
            if let Some((took, context)) = of.0 {
                metrics.exemplify(family, labels, (took.as_secs_f64(), *context), delivered);
            }
        }
    }

    pub(super) fn export_receive(
        &self,
        call: &spans::Call<'_>,
        of: &Delivery<'_>,
        records: &[ReadRecord],
        ending: &spans::Ending,
    ) {
        let received = self.receive_spans(call, of, records, ending);
        received.into_iter().for_each(|span| self.shared.spans.offer(span));
    }

    /// The receive spans of a read that returned records and is recorded.
    fn receive_spans(
        &self,
        call: &spans::Call<'_>,
        of: &Delivery<'_>,
        records: &[ReadRecord],
        ending: &spans::Ending,
    ) -> Vec<Span> {
        if records.is_empty() || !self.shared.spans.is_on() {
            return Vec::new();
        }
        let own = self.shared.deciding.child(of.parent, 1, call.ended);
        if !own.0.flags.sampled() {
            return Vec::new();
        }
        let links_max = self.shared.deciding.links_max(spans::LINKS_MAX);
        let records = (records, &self.shared.disclosed);
        spans::receive(call, of, own, records, ending, (links_max, entropy::span_id))
    }

    /// The reader called again: what it did since it got its last batch, if that can be inferred.
    fn infer(&mut self, reading: Reading<'_>, exchange: &Exchange, asked: Asked<'_>) {
        let Some(inferring) = &mut self.inferring else { return };
        let Asked { iterator, prefetches, parent: _ } = asked;
        let until = exchange.started;
        let Some(batch) = inferring.called(reading, iterator, prefetches, until) else { return };
        let deciding = &self.shared.deciding;
        let own = deciding.below(&batch.receive, batch.asked, until);
        if own.0.flags.sampled() {
            let links_max = deciding.links_max(spans::LINKS_MAX);
            let made =
                spans::inferred_process(batch, reading, own, until, (links_max, entropy::span_id));
            made.into_iter().for_each(|span| self.shared.spans.offer(span));
        }
    }
}

/// The longest of several times, and the trace that it belongs to, where that is recorded.
#[derive(Default)]
struct Longest<'a>(Option<(Duration, &'a TraceContext)>);

impl<'a> Longest<'a> {
    fn take(&mut self, took: Duration, of: Option<&'a (TraceContext, TraceState)>) {
        let Some((context, _)) = of.filter(|(context, _)| context.flags.sampled()) else { return };
        if self.0.is_none_or(|(longest, _)| longest < took) {
            self.0 = Some((took, context));
        }
    }
}

/// What a GetRecords call asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub iterator: &'a str,
    /// The application's own span.
    pub parent: Option<&'a Parent>,
    /// Its library works on one batch while it asks for the next.
    pub prefetches: bool,
}

/// What an error says of the reader: Kinesis' type of it, or the reason of our own fault.
fn failure_kind(error: &str) -> FailureKind {
    match error {
        "ProvisionedThroughputExceededException" | "LimitExceededException" => {
            FailureKind::Throttled
        }
        "ExpiredIteratorException" => FailureKind::IteratorExpired,
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => FailureKind::Denied,
        "ExpiredTokenException"
        | "ExpiredToken"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => FailureKind::CredentialsRefused,
        "no_credentials" => FailureKind::NoCredentials,
        _ => FailureKind::Other,
    }
}

/// What was delivered, as its receive spans tell it; `None` where nothing was or nobody tells.
fn batch(received: &[Span], asked: bool, records: usize, delivered: Moment) -> Option<Batch> {
    let first = received.first()?;
    let links = received.iter().flat_map(|span| &span.links).cloned().collect();
    let receive = (first.context, first.tracestate.clone());
    Some(Batch { delivered, receive, asked, records, links })
}

/// A queue's record has no sequence number: its id is what tells it apart.
fn identified(queued: QueueRecord) -> ReadRecord {
    let sequence = queued.id.as_deref().map(SequenceNumber::from);
    ReadRecord { sequence, ..queued.record }
}

/// The shard that the sequence numbers of a batch show.
fn placed(answer: &RecordsAnswer) -> Option<ShardId> {
    shard_of_sequence(answer.records.last()?.sequence.as_ref()?.as_str())
}

fn observation(exchange: &Exchange, answer: &RecordsAnswer) -> ReadObservation {
    let newest = answer.records.last();
    ReadObservation {
        called_at: exchange.started,
        at: exchange.ended,
        behind: answer.behind,
        records: u32::try_from(answer.records.len()).unwrap_or(u32::MAX),
        oldest_sequence: answer.records.first().and_then(|record| record.sequence.clone()),
        newest_sequence: newest.and_then(|record| record.sequence.clone()),
        newest_arrival: newest.and_then(|record| record.arrival),
        shard_ended: answer.next.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::kinesis::fault::Fault;

    #[test]
    fn refusals_are_told_apart() {
        let check = |error, expected| assert_eq!(failure_kind(error), expected, "{error}");
        check("ProvisionedThroughputExceededException", FailureKind::Throttled);
        check("ExpiredIteratorException", FailureKind::IteratorExpired);
        check("AccessDeniedException", FailureKind::Denied);
        check("ExpiredTokenException", FailureKind::CredentialsRefused);
        check("UnrecognizedClientException", FailureKind::CredentialsRefused);
        check("InvalidSignatureException", FailureKind::CredentialsRefused);
        check(Fault::NoCredentials.reason(), FailureKind::NoCredentials);
        check("ResourceNotFoundException", FailureKind::Other);
        check("503", FailureKind::Other);
    }
}
