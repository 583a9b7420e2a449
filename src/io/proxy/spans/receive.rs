//! Owns the receive spans of a read that returned records. Refuses to be the child of a record:
//! what a record carries is a link, however it is flagged and however old it is.

use super::super::disclosed::{Disclosed, Told};
use super::links::{Links, Record};
use super::{Call, Delivery, Ending, called, count, head, split, stream_name, times};
use crate::domain::envelope::Facts;
use crate::domain::fleet::attribute;
use crate::domain::time::Wall;
use crate::domain::trace::{Kind, Link, Span, SpanId, Status, TraceContext, TraceState, Value};
use crate::wire::kinesis::read::ReadRecord;
use std::collections::HashSet;

/// The receive spans of a read: one, `own`, or several where more than `links_max` links need it;
/// none for an empty poll.
pub(in crate::io::proxy) fn receive(
    call: &Call<'_>,
    of: &Delivery<'_>,
    (context, tracestate): (TraceContext, TraceState),
    (records, disclosed): (&[ReadRecord], &Disclosed),
    ending: &Ending,
    (links_max, fresh): (usize, impl FnMut() -> SpanId),
) -> Vec<Span> {
    if records.is_empty() {
        return Vec::new();
    }
    let Delivery { stream, shard, is_queue, parent } = *of;
    let (start, end) = times(call.started, call.ended);
    let (name, mut attributes) = head("receive", stream);
    attributes.extend(stream_name(stream.filter(|_| !is_queue)));
    attributes.extend(is_queue.then_some((attribute::QUEUE, Value::Bool(true))));
    attributes.extend(called(call, ending));
    attributes.push(("messaging.batch.message_count", count(records.len())));
    let shard = shard.map(|shard| shard.to_string().into());
    attributes.extend(shard.map(|shard| ("messaging.destination.partition.id", shard)));
    attributes.push(("messaging.consumer.group.name", call.consumer.to_string().into()));
    let whole = Span {
        name,
        kind: Kind::Client,
        context,
        tracestate,
        parent: parent.map(|parent| parent.context.span_id),
        start,
        end,
        attributes,
        links: Vec::new(),
        status: Status::Unset,
    };
    split(whole, links(call, of, records, disclosed), links_max, fresh)
}

fn links(
    call: &Call<'_>,
    of: &Delivery<'_>,
    records: &[ReadRecord],
    disclosed: &Disclosed,
) -> Vec<Link> {
    let mut links = Links::default();
    for record in records {
        // An arrival after the delivery is two clocks that disagree, which says nothing.
        let arrival = record.arrival.filter(|arrival| *arrival <= call.ended.wall);
        let place = Record {
            id: record.sequence.as_ref().map(|sequence| sequence.as_str()),
            shard: of.shard.map(|shard| shard.as_str()),
            error: None,
            in_stream: arrival.map(|arrival| call.ended.wall.since(arrival)),
            end_to_end: None,
        };
        tell(&mut links, record, (place, call.ended.wall), disclosed);
    }
    links.finish()
}

/// One record's contexts. Most records are one event; of an aggregate or a batch of lines, what its
/// events tell alike of one context is told once.
fn tell<'a>(
    links: &mut Links<'a>,
    record: &'a ReadRecord,
    (place, delivered): (Record<'a>, Wall),
    disclosed: &Disclosed,
) {
    let of_event = |facts: &Facts| {
        let end_to_end = facts.made.and_then(|made| made.until(record.arrival, delivered));
        (Record { end_to_end, ..place }, disclosed.of_event(facts))
    };
    if let ([context], [] | [_]) = (&*record.contexts, &*record.events) {
        let event = record.events.iter().find(|event| event.context.0 == context.0);
        let (place, told) =
            event.map_or_else(|| (place, Told::default()), |event| of_event(&event.facts));
        return links.record(context, place, told);
    }
    let (mut known, mut named) = (HashSet::new(), HashSet::new());
    for event in &record.events {
        let (place, told) = of_event(&event.facts);
        named.insert(event.context.0);
        if known.insert((event.context.0, told.clone())) {
            links.record(&event.context, place, told);
        } else {
            links.took(&event.context, place.end_to_end, told);
        }
    }
    for context in record.contexts.iter().filter(|context| !named.contains(&context.0)) {
        links.record(context, place, Told::default());
    }
}
