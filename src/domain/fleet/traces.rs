//! Owns the bounded memory of what spans tell of each trace: puts by the context that they gave
//! their records, deliveries and work by the context that they link to. Refuses to keep spans:
//! what is the same in any order of arrival is kept, so that late ones find their place.

use super::words::Batch;
use super::words::InStream;
use super::words::Operation;
use super::words::Reading;
use super::words::attribute;
use super::words::batch;
use super::words::ends;
use super::words::in_stream;
use super::words::text;
use crate::domain::stream::ShardId;
use crate::domain::stream::StreamName;
use crate::domain::time::Moment;
use crate::domain::time::Wall;
use crate::domain::trace::Attribute;
use crate::domain::trace::Kind;
use crate::domain::trace::Span;
use crate::domain::trace::SpanId;
use crate::domain::trace::TraceContext;
use crate::domain::trace::TraceId;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Records of one context in one stream; `None` where a span did not name it.
pub(super) type Part = (SpanId, Option<StreamName>);

/// What is remembered of all traces, the least lately heard of forgotten first.
#[derive(Debug)]
pub(super) struct Traces {
    traces_max: usize,
    entries_max: usize,
    per_trace_max: usize,
    pub(super) traces: BTreeMap<TraceId, Trace>,
    by_age: BTreeSet<(u64, TraceId)>,
    ticks: u64,
    /// The sum of all traces' entries.
    pub(super) entries: usize,
    /// Traces that had to go.
    pub(super) forgotten: u64,
    /// Entries for which their trace had no room.
    pub(super) left_out: u64,
}

/// One trace.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) heard: Wall,
    tick: u64,
    entries: usize,
    entries_max: usize,
    pub(super) left_out: u64,
    pub(super) sends: BTreeMap<Part, Sent>,
    pub(super) reads: BTreeMap<(Part, Arc<str>), Read>,
}

/// Puts of one context into one stream.
#[derive(Debug)]
pub(super) struct Sent {
    /// The earliest one's beginning and service.
    pub(super) first: (Wall, Arc<str>),
    /// The latest one's end, and what it came to.
    pub(super) last: (Wall, Option<u64>, u64, Option<Arc<str>>),
    pub(super) calls: u32,
    pub(super) parents: BTreeSet<SpanId>,
    pub(super) event_types: BTreeSet<Arc<str>>,
}

/// Deliveries of records of one part to one service, and the work on them.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) shards: BTreeSet<ShardId>,
    pub(super) records: BTreeMap<Batch, Delivered>,
    pub(super) event_types: BTreeSet<Arc<str>>,
    pub(super) work: Option<Work>,
    /// Spans of this work, whose children are its consequences.
    pub(super) caused: BTreeSet<(TraceId, SpanId)>,
}

/// Deliveries of the records of one link.
#[derive(Debug)]
pub(super) struct Delivered {
    /// The first one, and how long the record had lain in the stream by then.
    pub(super) first: (Wall, InStream),
    pub(super) times: u64,
    pub(super) records: u64,
}

/// Work on records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) spans: u64,
    pub(super) longest: Option<Duration>,
    pub(super) errors: u64,
    pub(super) inferred: bool,
    pub(super) ended: Wall,
}

impl Traces {
    pub(super) fn new(traces_max: usize, entries_max: usize, per_trace_max: usize) -> Self {
        Self {
            traces_max,
            entries_max,
            per_trace_max,
            traces: BTreeMap::new(),
            by_age: BTreeSet::new(),
            ticks: 0,
            entries: 0,
            forgotten: 0,
            left_out: 0,
        }
    }

    /// Takes a span in.
    pub(super) fn take(&mut self, service: &Arc<str>, span: &Span, reading: &Reading, now: Moment) {
        match reading.operation {
            Operation::Create | Operation::Send => self.sent(service, span, reading, now),
            Operation::Receive | Operation::Process => self.read(service, span, reading, now),
        }
    }

    fn sent(&mut self, service: &Arc<str>, span: &Span, reading: &Reading, now: Moment) {
        // The context of a CLIENT is in no record, only those that it links to are; and of several
        // spans of one call only the first one's is.
        let own = (span.kind != Kind::Client && !reading.goes_on).then_some(span.context);
        let carried: BTreeSet<(TraceId, SpanId)> =
            own.iter().chain(span.links.iter().map(|link| &link.context)).map(identity).collect();
        for (trace_id, span_id) in carried {
            let part = (span_id, reading.stream.clone());
            self.with(trace_id, now, |trace| trace.sent(part, service, span, reading));
        }
        for link in &span.links {
            let (trace_id, span_id) = identity(&link.context);
            let part = (span_id, reading.stream.clone());
            if let Some(event_type) = text(&link.attributes, attribute::EVENT_TYPE) {
                self.with(trace_id, now, |trace| trace.sent_type(&part, event_type));
            }
        }
    }

    fn read(&mut self, service: &Arc<str>, span: &Span, reading: &Reading, now: Moment) {
        // The conventions let work on a single record have the record's context as its parent.
        let parent = span.parent.filter(|_| span.links.is_empty());
        let parent = parent.filter(|_| reading.operation == Operation::Process);
        let alone = parent.map(|span_id| TraceContext { span_id, ..span.context });
        let alone = alone.iter().map(|context| (context, span.attributes.as_slice()));
        let linked = span.links.iter().map(|link| (&link.context, link.attributes.as_slice()));
        let contexts = || span.links.iter().map(|link| identity(&link.context));
        let one = contexts().next();
        let single = contexts().all(|context| Some(context) == one) && !reading.goes_on;
        let mut seen = BTreeSet::new();
        for (context, attributes) in linked.chain(alone) {
            let (trace_id, span_id) = identity(context);
            let stream = reading.stream.clone().filter(|_| !reading.is_queue);
            let key = ((span_id, stream), service.clone());
            // Several events of one record have a link each; it was delivered once.
            let records = ends(attributes);
            let again = records.is_some_and(|records| !seen.insert((trace_id, span_id, records)));
            let link = Told { attributes, single, again };
            self.with(trace_id, now, |trace| trace.read(key, span, reading, link));
        }
    }

    fn with(&mut self, id: TraceId, now: Moment, note: impl FnOnce(&mut Trace)) {
        self.ticks += 1;
        let before = self.traces.get(&id).map_or(0, |trace| trace.entries);
        let new = || Trace { entries: 1, entries_max: self.per_trace_max, ..Trace::default() };
        let trace = self.traces.entry(id).or_insert_with(new);
        self.by_age.remove(&(trace.tick, id));
        self.by_age.insert((self.ticks, id));
        let left_out = trace.left_out;
        (trace.tick, trace.heard) = (self.ticks, trace.heard.max(now.wall));
        note(trace);
        self.entries += trace.entries - before;
        self.left_out += trace.left_out - left_out;
        while self.traces.len() > self.traces_max || self.entries > self.entries_max {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.entries -= self.traces.remove(&oldest).map_or(0, |trace| trace.entries);
            self.forgotten += 1;
        }
    }
}

fn identity(context: &TraceContext) -> (TraceId, SpanId) {
    (context.trace_id, context.span_id)
}

impl Trace {
    fn sent(&mut self, part: Part, service: &Arc<str>, span: &Span, reading: &Reading) {
        if !self.sends.contains_key(&part) && !self.has_room() {
            return;
        }
        let first = (span.start, service.clone());
        let last = (span.end, reading.records, reading.failed, reading.error.clone());
        let sent = self.sends.entry(part).or_insert_with(|| Sent {
            first: first.clone(),
            last: last.clone(),
            calls: 0,
            parents: BTreeSet::new(),
            event_types: BTreeSet::new(),
        });
        sent.calls = sent.calls.saturating_add(u32::from(reading.operation != Operation::Create));
        if first < sent.first {
            sent.first = first;
        }
        sent.last = last.max(std::mem::take(&mut sent.last));
        let mut room = Room { entries: &mut self.entries, entries_max: self.entries_max };
        self.left_out += room.insert(&mut sent.parents, span.parent)
            + room.insert(&mut sent.event_types, reading.event_type.clone());
    }

    fn sent_type(&mut self, part: &Part, event_type: &str) {
        let Some(sent) = self.sends.get_mut(part) else { return };
        let mut room = Room { entries: &mut self.entries, entries_max: self.entries_max };
        self.left_out += room.insert(&mut sent.event_types, Some(Arc::from(event_type)));
    }

    fn read(&mut self, key: (Part, Arc<str>), span: &Span, reading: &Reading, told: Told<'_>) {
        let Told { attributes: link, single, again } = told;
        if !self.reads.contains_key(&key) && !self.has_room() {
            return;
        }
        let read = self.reads.entry(key).or_default();
        let mut room = Room { entries: &mut self.entries, entries_max: self.entries_max };
        let shard = text(link, attribute::SHARD).map(ShardId::from);
        let event_type = text(link, attribute::EVENT_TYPE).map(Arc::from);
        self.left_out += room.insert(&mut read.shards, shard.or_else(|| reading.shard.clone()))
            + room.insert(&mut read.event_types, event_type.or_else(|| reading.event_type.clone()));
        let works = reading.operation == Operation::Process;
        if single || works {
            let own = identity(&span.context);
            self.left_out += room.insert(&mut read.caused, Some(own));
        }
        if works {
            let work = Work::of(span, reading);
            read.work = Some(read.work.map_or(work, |earlier| earlier.and(work)));
            return;
        }
        if again {
            return;
        }
        let delivery = (span.end, in_stream(link));
        let (batch, records) = batch(link);
        match read.records.get_mut(&batch) {
            Some(delivered) => {
                delivered.first = delivered.first.min(delivery);
                delivered.times = delivered.times.saturating_add(1);
                delivered.records = delivered.records.max(records);
            }
            None if room.take() => {
                read.records.insert(batch, Delivered { first: delivery, times: 1, records });
            }
            None => self.left_out += 1,
        }
    }

    fn has_room(&mut self) -> bool {
        let room = Room { entries: &mut self.entries, entries_max: self.entries_max }.take();
        self.left_out += u64::from(!room);
        room
    }
}

impl Work {
    fn of(span: &Span, reading: &Reading) -> Self {
        Self {
            spans: 1,
            longest: took(span.start, span.end),
            errors: u64::from(reading.error.is_some()),
            inferred: reading.inferred,
            ended: span.end,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            spans: self.spans.saturating_add(other.spans),
            longest: self.longest.max(other.longest),
            errors: self.errors.saturating_add(other.errors),
            inferred: self.inferred || other.inferred,
            ended: self.ended.max(other.ended),
        }
    }
}

/// From one to the other; `None` where the clock was set back between them.
pub(super) fn took(began: Wall, ended: Wall) -> Option<Duration> {
    (ended >= began).then(|| ended.since(began))
}

/// What a link says of a context.
struct Told<'a> {
    attributes: &'a [Attribute],
    /// It is all that the call read, which caused what is below its span.
    single: bool,
    /// An earlier link of the same span spoke of the same records.
    again: bool,
}

/// What a trace may still remember.
struct Room<'a> {
    entries: &'a mut usize,
    entries_max: usize,
}

impl Room<'_> {
    fn take(&mut self) -> bool {
        let room = *self.entries < self.entries_max;
        *self.entries += usize::from(room);
        room
    }

    /// Adds to a set; gives how many had no room.
    fn insert<T: Ord>(&mut self, set: &mut BTreeSet<T>, item: Option<T>) -> u64 {
        let Some(item) = item.filter(|item| !set.contains(item)) else { return 0 };
        if self.take() {
            set.insert(item);
            return 0;
        }
        1
    }
}
