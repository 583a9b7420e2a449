//! Owns the telling of remembered traces as stories. Refuses to say a time that two clocks
//! contradict, and to tell a consequence twice: a trace is told within the one that caused it.

use super::story::Delivery;
use super::story::Hop;
use super::story::Missing;
use super::story::Processing;
use super::story::Query;
use super::story::Sending;
use super::story::Story;
use super::story::TimeInStream;
use super::traces::Part;
use super::traces::Read;
use super::traces::Sent;
use super::traces::Trace;
use super::traces::Traces;
use super::traces::Work;
use super::traces::took;
use super::words::InStream;
use crate::domain::time::Wall;
use crate::domain::trace::SpanId;
use crate::domain::trace::TraceId;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Most steps of one story: what a person can read, and more.
const HOPS_MAX: usize = 1_000;

impl Traces {
    /// The stories that are asked for, the newest first.
    pub(super) fn stories(&self, query: &Query) -> Vec<Story> {
        let sorted: BTreeMap<TraceId, Sorted<'_>> =
            self.traces.iter().map(|(id, trace)| (*id, Sorted::new(trace))).collect();
        // The oldest first: what a trace caused is then told before its own turn.
        let began = |trace: &Trace| trace.sends.values().map(|sent| sent.first.0).min();
        let mut roots: Vec<(bool, Option<Wall>, TraceId)> = sorted
            .iter()
            .map(|(id, Sorted { trace, .. })| (began(trace).is_none(), began(trace), *id))
            .collect();
        roots.sort_unstable();
        let mut told = BTreeSet::new();
        let mut stories = Vec::new();
        for (_, _, id) in roots {
            let Some(root) = sorted.get(&id) else { continue };
            if root.parts.iter().any(|part| !told.contains(&(id, *part))) {
                let story = story(&sorted, id, root, &mut told);
                stories.extend(Some(story).filter(|story| query.takes(story)));
            }
        }
        let newest = |story: &Story| {
            let first_read = story.hops.iter().filter_map(|hop| Some(hop.delivery?.first_at)).min();
            (story.began.or(first_read), story.trace_id)
        };
        stories.sort_by_key(|story| std::cmp::Reverse(newest(story)));
        stories.truncate(query.limit);
        stories
    }
}

fn story<'a>(
    sorted: &BTreeMap<TraceId, Sorted<'a>>,
    id: TraceId,
    root: &Sorted<'a>,
    told: &mut BTreeSet<(TraceId, &'a Part)>,
) -> Story {
    let (mut hops, mut further): (Vec<Hop>, Vec<TraceId>) = (Vec::new(), Vec::new());
    let (mut cut, mut ended, mut last_heard) = (false, None, root.trace.heard);
    let mut seen = BTreeSet::new();
    let mut next: VecDeque<_> = root.parts.iter().map(|part| (id, *part)).collect();
    while let Some((at, part)) = next.pop_front() {
        let Some(trace) = sorted.get(&at) else { continue };
        if !seen.insert((at, part)) {
            continue;
        }
        if hops.len() >= HOPS_MAX {
            cut = true;
            break;
        }
        told.insert((at, part));
        if at != id && !further.contains(&at) {
            further.push(at);
        }
        cut |= trace.trace.left_out > 0;
        last_heard = last_heard.max(trace.trace.heard);
        ended = ended.max(trace.tell(at, part, &mut hops));
        // What went on below the record itself is its consequence, too.
        for (caused, span_id) in trace.caused(part).into_iter().chain([(at, part.0)]) {
            let children = sorted.get(&caused).and_then(|trace| trace.children.get(&span_id));
            next.extend(children.into_iter().flatten().map(|part| (caused, *part)));
        }
    }
    hops.sort_by_cached_key(order);
    let began = hops.iter().filter_map(|hop| Some(hop.producer.as_ref()?.began)).min();
    // Where a record's put was not seen, it may have begun before all others.
    let known = hops.iter().all(|hop| hop.producer.is_some());
    let took = began.filter(|_| known).zip(ended).and_then(|(began, ended)| took(began, ended));
    Story { trace_id: id, further, began, took, missing: missing(&hops), hops, cut, last_heard }
}

type Order = (Option<Wall>, Option<Wall>, TraceId, SpanId, Option<String>, Option<Arc<str>>);

/// By time, then by names, so that equal times have an order too. What has no put stands first.
fn order(hop: &Hop) -> Order {
    let stream = hop.stream.as_ref().map(ToString::to_string);
    let began = hop.producer.as_ref().map(|sending| sending.began);
    let read = hop.delivery.map(|delivery| delivery.first_at);
    (began, read, hop.trace_id, hop.span_id, stream, hop.consumer.clone())
}

fn missing(hops: &[Hop]) -> Vec<Missing> {
    let unread = |hop: &Hop| {
        let all_failed = hop.producer.as_ref().is_some_and(|sending| {
            sending.error.is_some()
                && (sending.failed == 0 || sending.records == Some(sending.failed))
        });
        hop.consumer.is_none() && !all_failed
    };
    let producer = hops.iter().any(|hop| hop.producer.is_none()).then_some(Missing::Producer);
    let consumer = hops.iter().any(unread).then_some(Missing::Consumer);
    producer.into_iter().chain(consumer).collect()
}

/// A trace, sorted for the telling.
struct Sorted<'a> {
    trace: &'a Trace,
    /// Contexts and streams that something is known of.
    parts: BTreeSet<&'a Part>,
    /// Who read a part. Work that was reported without its stream belongs to the one stream that
    /// its service read the context from; what a queue handed out, to the one that it was put to.
    readers: BTreeMap<&'a Part, BTreeMap<&'a Arc<str>, Vec<&'a Read>>>,
    /// Parts whose put was a child of this span.
    children: BTreeMap<SpanId, Vec<&'a Part>>,
}

impl<'a> Sorted<'a> {
    fn new(trace: &'a Trace) -> Self {
        let mut homes: BTreeMap<(SpanId, &Arc<str>), Vec<&Part>> = BTreeMap::new();
        for (part, service) in trace.reads.keys().filter(|(part, _)| part.1.is_some()) {
            homes.entry((part.0, service)).or_default().push(part);
        }
        let mut readers: BTreeMap<_, BTreeMap<_, Vec<_>>> = BTreeMap::new();
        for ((part, service), read) in &trace.reads {
            let homes = homes.get(&(part.0, service)).map_or(&[][..], Vec::as_slice);
            let part = match (&part.1, homes) {
                (None, [home]) => *home,
                (None, []) => only_put(trace, part.0).unwrap_or(part),
                (None | Some(_), _) => part,
            };
            readers.entry(part).or_default().entry(service).or_default().push(read);
        }
        let mut children: BTreeMap<SpanId, Vec<&Part>> = BTreeMap::new();
        for (part, sent) in &trace.sends {
            for parent in &sent.parents {
                children.entry(*parent).or_default().push(part);
            }
        }
        let parts = trace.sends.keys().chain(readers.keys().copied()).collect();
        Self { trace, parts, readers, children }
    }

    fn caused(&self, part: &Part) -> BTreeSet<(TraceId, SpanId)> {
        let services = self.readers.get(part).into_iter().flat_map(BTreeMap::values);
        services.flatten().flat_map(|read| &read.caused).copied().collect()
    }

    /// Tells a part, one step for each service that read it; gives when the last of them ended.
    fn tell(&self, trace_id: TraceId, part: &Part, hops: &mut Vec<Hop>) -> Option<Wall> {
        let sent = self.trace.sends.get(part);
        let step = |consumer: Option<&Arc<str>>, reads: &[&Read]| {
            let work = reads.iter().filter_map(|read| read.work).reduce(Work::and);
            let event_types = reads.iter().flat_map(|read| &read.event_types);
            let event_types = event_types.chain(sent.into_iter().flat_map(|s| &s.event_types));
            let event_types: BTreeSet<Arc<str>> = event_types.cloned().collect();
            let shards: BTreeSet<_> = reads.iter().flat_map(|read| &read.shards).cloned().collect();
            let delivered: Vec<_> = reads.iter().flat_map(|read| read.records.values()).collect();
            let firsts = || delivered.iter().map(|delivered| delivered.first);
            let ended = firsts().map(|(at, _)| at).max().max(work.map(|work: Work| work.ended));
            let hop = Hop {
                trace_id,
                span_id: part.0,
                producer: sent.map(sending),
                stream: part.1.clone(),
                shards: shards.into_iter().collect(),
                event_types: event_types.into_iter().collect(),
                time_in_stream: time_in_stream(sent, firsts()),
                consumer: consumer.cloned(),
                delivery: firsts().map(|(at, _)| at).min().map(|first_at| Delivery {
                    first_at,
                    records: sum(delivered.iter().map(|it| it.records)),
                    deliveries: sum(delivered.iter().map(|it| it.records.saturating_mul(it.times))),
                }),
                processing: work.map(|work| {
                    let Work { spans, longest, errors, inferred, ended: _ } = work;
                    Processing { spans, longest, errors, inferred }
                }),
            };
            (hop, ended)
        };
        let mut ended = sent.map(|sent| sent.last.0);
        let mut push = |(hop, end): (Hop, Option<Wall>)| {
            ended = ended.max(end);
            hops.push(hop);
        };
        match self.readers.get(part) {
            None => push(step(None, &[])),
            Some(services) => {
                services.iter().for_each(|(service, reads)| push(step(Some(*service), reads)))
            }
        }
        ended
    }
}

/// The part of the one stream that records with this context were put to.
fn only_put(trace: &Trace, span_id: SpanId) -> Option<&Part> {
    let mut parts = trace.sends.range((span_id, None)..).map(|(part, _)| part);
    let first = parts.next().filter(|part| part.0 == span_id)?;
    parts.next().is_none_or(|next| next.0 != span_id).then_some(first)
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

fn sending(sent: &Sent) -> Sending {
    let (ended, records, failed, error) = sent.last.clone();
    let (began, service) = sent.first.clone();
    let took = took(began, ended);
    Sending { service, began, took, records, failed, error, calls: sent.calls }
}

/// What the links tell; where none does, what lies between the end of the put and the delivery.
fn time_in_stream(
    sent: Option<&Sent>,
    firsts: impl Iterator<Item = (Wall, InStream)>,
) -> Option<TimeInStream> {
    let (mut told, mut reckoned): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    for (at, in_stream) in firsts {
        match in_stream {
            InStream::Told(time) => told.push(time),
            InStream::Absurd => {}
            // A fast reader may have the record before the put's answer has left us.
            InStream::Untold => reckoned
                .extend(sent.filter(|sent| at >= sent.first.0).map(|sent| at.since(sent.last.0))),
        }
    }
    let inferred = told.is_empty();
    let times = if inferred { reckoned } else { told };
    Some(TimeInStream { longest: times.into_iter().max()?, inferred })
}
