//! Owns what one sidecar or, in a hub, all of them saw, merged by service: traces joined by id and
//! link into stories, and the map of services and streams. Refuses to grow without bound: what is
//! forgotten is counted.

mod services;
mod story;
mod tell;
mod traces;
mod words;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

pub use services::{Direction, Edge};
pub use story::{Delivery, Hop, Missing, Processing, Query, Sending, Story, TimeInStream};
pub use words::{Operation, SYSTEM, attribute};

use crate::domain::saga::{SagaId, SagaStep};
use crate::domain::time::Moment;
use crate::domain::trace::{Attribute, Span, SpanId, TraceContext, TraceId};
use services::Services;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use traces::Traces;

/// Bounds on what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetLimits {
    /// 1000 joined traces: what a person looks through, and an hour of a busy system's slow ones.
    pub traces_max: usize,
    /// 65536 puts, records and spans of work in all traces; at some 200 bytes each 13 MiB.
    pub entries_max: usize,
    /// 4096 of those in one trace, so that one which never ends does not push all others out.
    pub entries_per_trace_max: usize,
    /// 16384 span ids by which a span that comes twice is known: exporters repeat within seconds.
    pub recent_spans_max: usize,
    /// 4096 lines of the map: 100 services that each write and read 20 streams.
    pub edges_max: usize,
}

impl Default for FleetLimits {
    fn default() -> Self {
        Self {
            traces_max: 1_000,
            entries_max: 65_536,
            entries_per_trace_max: 4_096,
            recent_spans_max: 16_384,
            edges_max: 4_096,
        }
    }
}

/// What is remembered.
#[derive(Debug)]
pub struct Fleet {
    traces: Traces,
    services: Services,
    recent: BTreeSet<(TraceId, SpanId)>,
    recent_order: VecDeque<(TraceId, SpanId)>,
    recent_max: usize,
}

/// What became of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It has its place.
    Joined,
    /// It came before.
    Duplicate,
    /// It is not about a Kinesis stream.
    Foreign,
}

/// What had to go, since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Whole traces.
    pub traces: u64,
    /// Puts, records and work for which their trace had no room.
    pub entries: u64,
    /// Lines of the map.
    pub edges: u64,
}

/// How much is remembered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Traces.
    pub traces: usize,
    /// Puts, records and work in them.
    pub entries: usize,
}

impl Fleet {
    /// A fleet of which nothing is known.
    #[must_use]
    pub fn new(limits: FleetLimits) -> Self {
        Self {
            traces: Traces::new(
                limits.traces_max,
                limits.entries_max,
                limits.entries_per_trace_max,
            ),
            services: Services::new(limits.edges_max),
            recent: BTreeSet::new(),
            recent_order: VecDeque::new(),
            recent_max: limits.recent_spans_max,
        }
    }

    /// Takes in a span of `service`. Spans may come in any order, late and more than once; `now` is
    /// when it was heard of.
    pub fn take(&mut self, service: &Arc<str>, span: &Span, now: Moment) -> Taken {
        let Some(reading) = words::read(span) else { return Taken::Foreign };
        let id = (span.context.trace_id, span.context.span_id);
        if !self.recent.insert(id) {
            return Taken::Duplicate;
        }
        self.recent_order.push_back(id);
        if self.recent_order.len() > self.recent_max
            && let Some(oldest) = self.recent_order.pop_front()
        {
            self.recent.remove(&oldest);
        }
        self.services.take(service, &reading, span.end);
        self.traces.take(service, span, &reading, now);
        Taken::Joined
    }

    /// The stories that are asked for, the newest first. Takes milliseconds when much is
    /// remembered: not for the thread that carries the application's traffic.
    #[must_use]
    pub fn stories(&self, query: &Query) -> Vec<Story> {
        self.traces.stories(query)
    }

    /// Which service writes which stream and which reads it.
    #[must_use]
    pub fn services(&self) -> Vec<Edge> {
        self.services.edges()
    }

    /// What had to go.
    #[must_use]
    pub fn forgotten(&self) -> Forgotten {
        Forgotten {
            traces: self.traces.forgotten,
            entries: self.traces.left_out,
            edges: self.services.forgotten,
        }
    }

    /// How much is remembered.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { traces: self.traces.traces.len(), entries: self.traces.entries }
    }
}

/// The saga steps that a span tells of: those of the records that it links to, or its own.
#[must_use]
pub fn saga_steps(service: &Arc<str>, span: &Span) -> Vec<SagaStep> {
    let Some(reading) = words::read(span) else { return Vec::new() };
    // What the work on a record says of itself is true of the record, which its link names.
    let record = match reading.operation {
        Operation::Process => span
            .links
            .first()
            .map(|link| link.context)
            .or_else(|| span.parent.map(|span_id| TraceContext { span_id, ..span.context })),
        Operation::Create | Operation::Send | Operation::Receive => Some(span.context),
    };
    let own = (record, span.attributes.as_slice());
    let links = span.links.iter().map(|link| (Some(link.context), link.attributes.as_slice()));
    let step = |(trace, said): (Option<TraceContext>, &[Attribute])| {
        let at = match (reading.operation, words::in_stream(said)) {
            (Operation::Receive, words::InStream::Told(time)) => span.end.minus(time),
            (Operation::Receive, _) => span.end,
            (Operation::Create | Operation::Send | Operation::Process, _) => span.start,
        };
        Some(SagaStep {
            saga_id: SagaId::told(words::text(said, attribute::SAGA_ID)?)?,
            step: Arc::from(words::text(said, attribute::EVENT_TYPE)?),
            service: service.clone(),
            stream: reading.stream.clone(),
            at,
            trace,
        })
    };
    std::iter::once(own).chain(links).filter_map(step).collect()
}
