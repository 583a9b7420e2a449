//! Owns recent traces, the map of services and sagas as JSON; `query` has the questions that are
//! asked of them. Refuses to tell more than the fleet does: record data is in none of it.
//!
//! `GET /api/v1/traces?trace_id=&event_type=&stream=&slower_than_ms=&limit=` answers [`json`],
//! `GET /api/v1/sagas?state=&limit=` answers [`sagas_json`]; the newest comes first, times are
//! RFC 3339, durations seconds, unknown is null.

mod query;

pub use query::LIMIT_DEFAULT;
pub use query::LIMIT_MAX;
pub use query::QueryFault;
pub use query::query;
pub use query::saga_query;

use super::Role;
use super::encode;
use crate::domain::fleet::Delivery;
use crate::domain::fleet::Edge;
use crate::domain::fleet::Fleet;
use crate::domain::fleet::Hop;
use crate::domain::fleet::Processing;
use crate::domain::fleet::Query;
use crate::domain::fleet::Sending;
use crate::domain::fleet::Story;
use crate::domain::fleet::TimeInStream;
use crate::domain::saga::SagaState;
use crate::domain::saga::SagaView;
use crate::domain::saga::Sagas;
use crate::domain::saga::StepView;
use crate::domain::stream::ShardId;
use crate::domain::stream::StreamName;
use crate::domain::time::Moment;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// Most steps of all stories, or of all sagas, in one answer: some 8 MiB. The answer says how many
/// did not fit.
const STEPS_MAX: usize = 20_000;

/// For whom an answer speaks.
pub(super) const fn speaks_for(role: Role) -> &'static str {
    match role {
        Role::Sidecar => {
            "This is what the spans of this sidecar and of its applications tell; what other pods \
             did is not in it."
        }
        Role::Hub => "This is what the spans tell that sidecars and applications sent to this hub.",
        Role::All => {
            "This is what the spans of this process tell, and those that others sent to it."
        }
    }
}

/// How many of `items` fit into one answer, and how many do not: the first always does.
fn fitting<T>(items: &[T], steps: impl Fn(&T) -> usize) -> (&[T], usize) {
    let mut room = STEPS_MAX;
    let fits = |item: &T| {
        let fits = steps(item) <= room || room == STEPS_MAX;
        room = room.saturating_sub(steps(item));
        fits
    };
    let count = items.iter().map(fits).take_while(|fits| *fits).count();
    let (told, left) = items.split_at_checked(count).unwrap_or((items, &[]));
    (told, left.len())
}

/// The body of `/api/v1/traces`: the stories that are asked for, and the map of services. Takes
/// milliseconds when much is remembered.
#[must_use]
pub fn json(fleet: &Fleet, query: &Query, role: Role, now: Moment) -> Vec<u8> {
    let (held, forgotten, services) = (fleet.held(), fleet.forgotten(), fleet.services());
    let stories = fleet.stories(query);
    let (told, left_out) = fitting(&stories, |story| story.hops.len());
    encode(&TracesDoc {
        as_of: now.wall.to_string(),
        speaks_for: speaks_for(role),
        left_out,
        remembered: RememberedDoc { traces: held.traces, entries: held.entries },
        forgotten: ForgottenDoc {
            traces: forgotten.traces,
            entries: forgotten.entries,
            services: forgotten.edges,
        },
        traces: told.iter().map(StoryDoc::from).collect(),
        services: services.iter().map(EdgeDoc::from).collect(),
    })
}

/// The body of `/api/v1/sagas`.
#[must_use]
pub fn sagas_json(
    sagas: &Sagas,
    (state, limit): (Option<SagaState>, usize),
    role: Role,
    now: Moment,
) -> Vec<u8> {
    let forgotten = sagas.forgotten();
    let views = sagas.views(state, limit, now);
    let (told, left_out) = fitting(&views, |view| view.steps.len());
    encode(&SagasDoc {
        as_of: now.wall.to_string(),
        speaks_for: speaks_for(role),
        left_out,
        forgotten: SagasForgottenDoc {
            ended: forgotten.ended,
            open: forgotten.open,
            steps: forgotten.steps,
        },
        sagas: told.iter().map(SagaDoc::from).collect(),
    })
}

#[derive(Serialize)]
struct TracesDoc<'a> {
    as_of: String,
    speaks_for: &'static str,
    left_out: usize,
    remembered: RememberedDoc,
    forgotten: ForgottenDoc,
    traces: Vec<StoryDoc<'a>>,
    services: Vec<EdgeDoc<'a>>,
}

#[derive(Serialize)]
struct RememberedDoc {
    traces: usize,
    entries: usize,
}

#[derive(Serialize)]
struct ForgottenDoc {
    traces: u64,
    entries: u64,
    services: u64,
}

#[derive(Serialize)]
struct StoryDoc<'a> {
    trace_id: String,
    further_trace_ids: Vec<String>,
    began: Option<String>,
    duration_seconds: Option<f64>,
    missing: Vec<&'static str>,
    cut: bool,
    last_heard: String,
    hops: Vec<HopDoc<'a>>,
}

impl<'a> From<&'a Story> for StoryDoc<'a> {
    fn from(story: &'a Story) -> Self {
        Self {
            trace_id: story.trace_id.to_string(),
            further_trace_ids: story.further.iter().map(ToString::to_string).collect(),
            began: story.began.map(|at| at.to_string()),
            duration_seconds: seconds(story.took),
            missing: story.missing.iter().map(|missing| missing.as_str()).collect(),
            cut: story.cut,
            last_heard: story.last_heard.to_string(),
            hops: story.hops.iter().map(HopDoc::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct HopDoc<'a> {
    trace_id: String,
    span_id: String,
    producer: Option<SendingDoc<'a>>,
    stream: Option<&'a str>,
    shards: Vec<&'a str>,
    event_types: Vec<&'a str>,
    time_in_stream: Option<TimeInStreamDoc>,
    consumer: Option<&'a str>,
    delivery: Option<DeliveryDoc>,
    processing: Option<ProcessingDoc>,
}

impl<'a> From<&'a Hop> for HopDoc<'a> {
    fn from(hop: &'a Hop) -> Self {
        Self {
            trace_id: hop.trace_id.to_string(),
            span_id: hop.span_id.to_string(),
            producer: hop.producer.as_ref().map(SendingDoc::from),
            stream: hop.stream.as_ref().map(StreamName::as_str),
            shards: hop.shards.iter().map(ShardId::as_str).collect(),
            event_types: texts(&hop.event_types),
            time_in_stream: hop.time_in_stream.map(TimeInStreamDoc::from),
            consumer: hop.consumer.as_deref(),
            delivery: hop.delivery.map(DeliveryDoc::from),
            processing: hop.processing.map(ProcessingDoc::from),
        }
    }
}

#[derive(Serialize)]
struct SendingDoc<'a> {
    service: &'a str,
    began: String,
    duration_seconds: Option<f64>,
    calls: u32,
    records: Option<u64>,
    failed_records: u64,
    error: Option<&'a str>,
}

impl<'a> From<&'a Sending> for SendingDoc<'a> {
    fn from(sending: &'a Sending) -> Self {
        Self {
            service: &sending.service,
            began: sending.began.to_string(),
            duration_seconds: seconds(sending.took),
            calls: sending.calls,
            records: sending.records,
            failed_records: sending.failed,
            error: sending.error.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct TimeInStreamDoc {
    max_seconds: f64,
    inferred: bool,
}

impl From<TimeInStream> for TimeInStreamDoc {
    fn from(TimeInStream { longest, inferred }: TimeInStream) -> Self {
        Self { max_seconds: longest.as_secs_f64(), inferred }
    }
}

#[derive(Serialize)]
struct DeliveryDoc {
    first_at: String,
    records: u64,
    deliveries: u64,
}

impl From<Delivery> for DeliveryDoc {
    fn from(Delivery { first_at, records, deliveries }: Delivery) -> Self {
        Self { first_at: first_at.to_string(), records, deliveries }
    }
}

#[derive(Serialize)]
struct ProcessingDoc {
    spans: u64,
    max_seconds: Option<f64>,
    errors: u64,
    inferred: bool,
}

impl From<Processing> for ProcessingDoc {
    fn from(Processing { spans, longest, errors, inferred }: Processing) -> Self {
        Self { spans, max_seconds: seconds(longest), errors, inferred }
    }
}

#[derive(Serialize)]
struct EdgeDoc<'a> {
    service: &'a str,
    direction: &'static str,
    stream: &'a str,
    calls: u64,
    failed_calls: u64,
    records: u64,
    last_seen: String,
}

impl<'a> From<&'a Edge> for EdgeDoc<'a> {
    fn from(edge: &'a Edge) -> Self {
        Self {
            service: &edge.service,
            direction: edge.direction.as_str(),
            stream: edge.stream.as_str(),
            calls: edge.calls,
            failed_calls: edge.failed_calls,
            records: edge.records,
            last_seen: edge.last_seen.to_string(),
        }
    }
}

#[derive(Serialize)]
struct SagasDoc<'a> {
    as_of: String,
    speaks_for: &'static str,
    left_out: usize,
    forgotten: SagasForgottenDoc,
    sagas: Vec<SagaDoc<'a>>,
}

#[derive(Serialize)]
struct SagasForgottenDoc {
    ended: u64,
    open: u64,
    steps: u64,
}

#[derive(Serialize)]
struct SagaDoc<'a> {
    saga_id: &'a str,
    run: u64,
    saga: &'a str,
    state: &'static str,
    reason: &'static str,
    duration_seconds: Option<f64>,
    silent_seconds: f64,
    cut: bool,
    steps: Vec<StepDoc<'a>>,
}

impl<'a> From<&'a SagaView> for SagaDoc<'a> {
    fn from(view: &'a SagaView) -> Self {
        Self {
            saga_id: view.saga_id.as_str(),
            run: view.run,
            saga: &view.name,
            state: view.state.as_str(),
            reason: view.reason,
            duration_seconds: seconds(view.duration),
            silent_seconds: view.silent.as_secs_f64(),
            cut: view.cut,
            steps: view.steps.iter().map(StepDoc::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct StepDoc<'a> {
    step: &'a str,
    kind: &'static str,
    at: String,
    stream: Option<&'a str>,
    services: Vec<&'a str>,
    trace_id: Option<String>,
    span_id: Option<String>,
}

impl<'a> From<&'a StepView> for StepDoc<'a> {
    fn from(step: &'a StepView) -> Self {
        Self {
            step: &step.step,
            kind: step.kind.as_str(),
            at: step.at.to_string(),
            stream: step.stream.as_ref().map(StreamName::as_str),
            services: texts(&step.services),
            trace_id: step.trace.map(|trace| trace.trace_id.to_string()),
            span_id: step.trace.map(|trace| trace.span_id.to_string()),
        }
    }
}

fn texts(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}

#[cfg(test)]
pub(super) mod tests;
