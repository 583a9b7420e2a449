//! Owns a span's links: each context once for all events that tell the same of themselves, with what
//! is particular to the records that carry it. Refuses to lose a context, and to repeat one for each
//! of its records: the records of a put share one, and a link for each would tell the same relation
//! five hundred times.

use super::super::disclosed::Told;
use super::count;
use crate::domain::trace::{Attribute, Link, TraceContext, TraceState, Value};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

/// Links in the order in which their contexts were met.
#[derive(Debug, Default)]
pub(super) struct Links<'a> {
    shared: Vec<Shared<'a>>,
    places: HashMap<(TraceContext, Told), usize>,
}

/// A record, for the link to its context.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Record<'a> {
    /// `messaging.message.id`: its sequence number.
    pub id: Option<&'a str>,
    /// The shard that it is in.
    pub shard: Option<&'a str>,
    /// Why it was not stored.
    pub error: Option<&'a str>,
    /// From its arrival in the stream to its delivery.
    pub in_stream: Option<Duration>,
    /// From when its event says that it was made, to its delivery.
    pub end_to_end: Option<Duration>,
}

/// The records of one context, and of events that tell the same.
#[derive(Debug)]
struct Shared<'a> {
    context: &'a (TraceContext, TraceState),
    told: Told,
    records: usize,
    /// The ids of the first and the last record that has one.
    ids: Option<(&'a str, &'a str)>,
    /// The shard of all of them, or of none.
    shard: Option<&'a str>,
    failed: usize,
    error: Option<&'a str>,
    in_stream: Option<Duration>,
    end_to_end: Option<Duration>,
}

impl<'a> Links<'a> {
    /// A context of which no record is known.
    pub(super) fn context(&mut self, context: &'a (TraceContext, TraceState), told: Told) {
        self.shared(context, told);
    }

    /// A context that a record carries, and what may be told of its event.
    pub(super) fn record(
        &mut self,
        context: &'a (TraceContext, TraceState),
        record: Record<'a>,
        told: Told,
    ) {
        let Some(shared) = self.shared(context, told) else { return };
        let Record { id, shard, error, in_stream, end_to_end } = record;
        if let Some(id) = id {
            shared.ids = Some((shared.ids.map_or(id, |(first, _)| first), id));
        }
        shared.shard = if shared.records == 0 {
            shard
        } else {
            shared.shard.filter(|_| shared.shard == shard)
        };
        shared.failed += usize::from(error.is_some());
        shared.error = shared.error.or(error);
        shared.in_stream = shared.in_stream.max(in_stream);
        shared.end_to_end = shared.end_to_end.max(end_to_end);
        shared.records += 1;
    }

    /// Another event of a record that was told already.
    pub(super) fn took(
        &mut self,
        context: &'a (TraceContext, TraceState),
        end_to_end: Option<Duration>,
        told: Told,
    ) {
        if let Some(shared) = self.shared(context, told) {
            shared.end_to_end = shared.end_to_end.max(end_to_end);
        }
    }

    /// The links.
    pub(super) fn finish(self) -> Vec<Link> {
        self.shared.into_iter().map(Shared::link).collect()
    }

    fn shared(
        &mut self,
        context: &'a (TraceContext, TraceState),
        told: Told,
    ) -> Option<&mut Shared<'a>> {
        let place = match self.places.entry((context.0, told)) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(place) => {
                self.shared.push(Shared {
                    context,
                    told: place.key().1.clone(),
                    records: 0,
                    ids: None,
                    shard: None,
                    failed: 0,
                    error: None,
                    in_stream: None,
                    end_to_end: None,
                });
                *place.insert(self.shared.len() - 1)
            }
        };
        self.shared.get_mut(place)
    }
}

impl Shared<'_> {
    /// By the conventions what differs between messages stands on their links. Of several records
    /// a link tells their number, the first and the last, and the longest times.
    fn link(self) -> Link {
        let Self { context, told, records, ids, shard, failed, error, in_stream, end_to_end } =
            self;
        let text = |name, text: &str| Some((name, Value::from(text.to_owned())));
        let (first, last) = match ids {
            Some((first, last)) if first == last => (text("messaging.message.id", first), None),
            Some((first, last)) => {
                (text("kinescope.message.id.first", first), text("kinescope.message.id.last", last))
            }
            None => (None, None),
        };
        let ms = |name, time: Option<Duration>| {
            let ms = i64::try_from(time?.as_millis()).unwrap_or(i64::MAX);
            Some((name, Value::Int(ms)))
        };
        let of_records: [Option<Attribute>; 8] = [
            first,
            last,
            (records > 1).then(|| ("messaging.batch.message_count", count(records))),
            shard.and_then(|shard| text("messaging.destination.partition.id", shard)),
            error.and_then(|error| text("error.type", error)),
            error.map(|_| ("kinescope.records.failed", count(failed))),
            ms("kinescope.time_in_stream_ms", in_stream),
            ms("kinescope.end_to_end_ms", end_to_end),
        ];
        let told = told.attributes();
        // Tens of thousands of links may wait for a collector: none takes more room than it needs.
        let number = of_records.iter().chain(&told).flatten().count();
        let mut attributes = Vec::with_capacity(number);
        attributes.extend(of_records.into_iter().chain(told).flatten());
        let (context, tracestate) = context.clone();
        Link { context, tracestate, attributes }
    }
}
