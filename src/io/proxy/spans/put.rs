//! Owns the spans of a put: `send`, and with `traces.create_spans` a `create` for each record.
//! Refuses a create span where a single put has none by the conventions, or where the record kept
//! a context of its own.

use super::super::disclosed::Told;
use super::super::exchange::{Exchange, PutFacts};
use super::links::{Links, Record};
use super::{Call, Ending, called, count, head, split, stream_name, times};
use crate::domain::trace::{
    Attribute, Kind, Span, SpanId, Status, TraceContext, TraceState, Value,
};
use crate::wire::kinesis::operation::Operation;
use crate::wire::kinesis::outcome::PutOutcome;

/// The context that a record of a put went out with, where it is not that of the send span.
#[derive(Debug, Clone)]
pub(in crate::io::proxy) struct Carried {
    /// The record's place in the put.
    pub record: usize,
    /// The context in it.
    pub context: (TraceContext, TraceState),
    /// It is that of the record's create span, which we made; else the producer's own, or that of
    /// an earlier try.
    pub created: bool,
}

/// What became of one record.
#[derive(Debug, Clone, Copy)]
enum Fate<'a> {
    Stored {
        shard: &'a str,
        sequence: &'a str,
    },
    Failed(&'a str),
    /// The answer was cut, or not understood.
    Unknown,
}

/// All spans of a put: a create span for each record that has one, then the send span, or several
/// where more than `links_max` links need it. `carried` are the records whose context is not the
/// send span's, in order; none is `created` in a put of a single record. `told` is what may be told
/// of each record's event.
pub(in crate::io::proxy) fn spans_of_put(
    exchange: &Exchange,
    put: &PutFacts,
    (carried, told): (&[Carried], &dyn Fn(usize) -> Told),
    (ending, outcome): (&Ending, &PutOutcome),
    links_max: usize,
    fresh: impl FnMut() -> SpanId,
) -> Vec<Span> {
    let fates = fates(put, ending, outcome);
    let fate = |record: usize| fates.get(record).copied().unwrap_or(Fate::Unknown);
    let created = carried.iter().filter(|it| it.created);
    let mut spans: Vec<Span> =
        created.map(|it| create(exchange, put, it, fate(it.record), told)).collect();
    let mut whole = send_without_links(exchange, put, carried, ending, outcome);
    let mut links = Links::default();
    let single = if put.verdicts.len() == 1 { told(0) } else { Told::default() };
    link(&mut links, put, (carried, told), &fates, &single);
    let links = links.finish();
    // A saga's step is known by the context that its record carries: another's stands on a link.
    let saga_id = single.saga_id.clone().filter(|_| links.is_empty());
    whole.attributes.extend(Told { saga_id, ..single }.attributes().into_iter().flatten());
    spans.extend(split(whole, links, links_max, fresh));
    spans
}

/// The create span of one record. It lasts until the record's outcome is known, since it tells it.
fn create(
    exchange: &Exchange,
    put: &PutFacts,
    Carried { record, context: (context, state), created: _ }: &Carried,
    fate: Fate<'_>,
    told: &dyn Fn(usize) -> Told,
) -> Span {
    let (start, end) = times(exchange.started, exchange.ended);
    let (name, mut attributes) = head("create", put.stream.as_ref());
    attributes.extend(stream_name(put.stream.as_ref()));
    attributes.extend(told(*record).attributes().into_iter().flatten());
    let mut status = Status::Unset;
    match fate {
        Fate::Stored { shard, sequence } => attributes.extend(stored(shard, sequence)),
        Fate::Failed(error) => {
            attributes.push(("error.type", error.to_owned().into()));
            status = Status::Error(format!("Kinesis answered {error}"));
        }
        Fate::Unknown => {}
    }
    Span {
        name,
        kind: Kind::Producer,
        context: *context,
        tracestate: state.clone(),
        parent: put.parent,
        start,
        end,
        attributes,
        links: Vec::new(),
        status,
    }
}

fn send_without_links(
    exchange: &Exchange,
    put: &PutFacts,
    carried: &[Carried],
    ending: &Ending,
    outcome: &PutOutcome,
) -> Span {
    let (start, end) = times(exchange.started, exchange.ended);
    let (name, mut attributes) = head("send", put.stream.as_ref());
    attributes.extend(stream_name(put.stream.as_ref()));
    attributes.extend(called(&Call::of(exchange), ending));
    // The conventions of HTTP: a resend is one that the same call caused, the first is none.
    let resends = put.attempt.map_or(0, |attempt| attempt.saturating_sub(1));
    if resends > 0 {
        attributes.push(("http.request.resend_count", Value::Int(resends.into())));
    }
    if let Some(resent) = exchange.resent {
        attributes.push(("kinescope.resent", resent.as_str().into()));
    }
    attributes.extend(what(exchange.operation, put, outcome));
    let partly = outcome.failed.first().map(|(_, code)| code).filter(|_| ending.error.is_none());
    if let Some(code) = partly {
        attributes.push(("error.type", code.clone().into()));
        attributes.push(("kinescope.records.failed", count(outcome.failed.len())));
    }
    let status = match (&ending.error, partly) {
        (Some(error), _) => Status::Error(format!("Kinesis answered {error}")),
        (None, Some(code)) => {
            let failed = outcome.failed.len();
            let all = failed + outcome.stored.len();
            Status::Error(format!("Kinesis answered {code} for {failed} of {all} records"))
        }
        (None, None) => Status::Unset,
    };
    Span {
        name,
        kind: if carries_own(put, carried) { Kind::Producer } else { Kind::Client },
        context: put.context,
        tracestate: put.state.clone(),
        parent: put.parent,
        start,
        end,
        attributes,
        links: Vec::new(),
        status,
    }
}

/// A send whose own context is in a record made the message: PRODUCER. One whose records all carry
/// others (their create spans', the producer's, an earlier try's) is the call alone: CLIENT.
fn carries_own(put: &PutFacts, carried: &[Carried]) -> bool {
    let injected = put.verdicts.iter().enumerate().filter(|(_, verdict)| **verdict == "injected");
    let mut records = injected.map(|(record, _)| record);
    put.carried.0 == put.context
        && records.any(|record| !carried.iter().any(|it| it.record == record))
}

/// How many records, or which one, and where they are. What all share stands on the span.
fn what(operation: Operation, put: &PutFacts, outcome: &PutOutcome) -> Vec<Attribute> {
    let first = outcome.stored.first();
    if operation != Operation::PutRecords {
        return first.map(|(shard, sequence)| stored(shard, sequence)).unwrap_or_default();
    }
    let answered = outcome.stored.len() + outcome.failed.len();
    let mut attributes = Vec::with_capacity(2);
    // A body that was not understood has one verdict for all its records.
    let understood = put.stream.is_some() || put.verdicts.len() != 1;
    if answered > 0 || understood {
        let records = if answered > 0 { answered } else { put.verdicts.len() };
        attributes.push(("messaging.batch.message_count", count(records)));
    }
    if let Some((shard, _)) = first.filter(|_| outcome.failed.is_empty())
        && outcome.stored.iter().all(|(it, _)| it == shard)
    {
        attributes.push(("messaging.destination.partition.id", shard.clone().into()));
    }
    attributes
}

fn stored(shard: &str, sequence: &str) -> Vec<Attribute> {
    vec![
        ("messaging.destination.partition.id", shard.to_owned().into()),
        ("messaging.message.id", sequence.to_owned().into()),
    ]
}

/// Links to what records carry in the send span's place, and to contexts of which only that is
/// known that they were seen.
fn link<'a>(
    links: &mut Links<'a>,
    put: &'a PutFacts,
    (carried, told): (&'a [Carried], &dyn Fn(usize) -> Told),
    fates: &[Fate<'a>],
    single: &Told,
) {
    for Carried { record, context, created } in carried {
        let place = match fates.get(*record).copied().unwrap_or(Fate::Unknown) {
            Fate::Stored { shard, sequence } => {
                Record { id: Some(sequence), shard: Some(shard), ..Record::default() }
            }
            Fate::Failed(error) => Record { error: Some(error), ..Record::default() },
            Fate::Unknown => Record::default(),
        };
        // A create span tells it itself.
        links.record(context, place, if *created { Told::default() } else { told(*record) });
    }
    // The first try's is in the record, unless that kept one of its own.
    let single = if carried.is_empty() { single.clone() } else { Told::default() };
    put.first_try().into_iter().for_each(|context| links.context(context, single.clone()));
}

/// Each record's fate, in order: Kinesis' answer has one for each place of the request.
fn fates<'a>(put: &PutFacts, ending: &'a Ending, outcome: &'a PutOutcome) -> Vec<Fate<'a>> {
    let mut stored = outcome.stored.iter();
    let mut failed = outcome.failed.iter().peekable();
    let fate = |record| {
        if let Some(error) = &ending.error {
            return Fate::Failed(error);
        }
        match failed.next_if(|(place, _)| *place == record) {
            Some((_, code)) => Fate::Failed(code),
            None => stored
                .next()
                .map_or(Fate::Unknown, |(shard, sequence)| Fate::Stored { shard, sequence }),
        }
    };
    (0..put.verdicts.len()).map(fate).collect()
}
