//! Owns a joined trace as a story: who put, which stream and shard, how long it lay there, who read
//! and what became of it. Refuses to fill gaps: what was not seen is `None`, and `missing` says so.

use crate::domain::stream::ShardId;
use crate::domain::stream::StreamName;
use crate::domain::time::Wall;
use crate::domain::trace::SpanId;
use crate::domain::trace::TraceId;
use std::sync::Arc;
use std::time::Duration;

/// One joined trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The trace that it began in.
    pub trace_id: TraceId,
    /// Further traces that work on its records caused, in order.
    pub further: Vec<TraceId>,
    /// When the first put began; `None` where no put was seen.
    pub began: Option<Wall>,
    /// From there to the last first delivery or the end of its processing. Replays do not count.
    /// `None` where the beginning is unknown or the clocks disagree.
    pub took: Option<Duration>,
    /// Its steps, the earliest first.
    pub hops: Vec<Hop>,
    /// What was not seen; empty for a whole story.
    pub missing: Vec<Missing>,
    /// Some of it was left out for want of room.
    pub cut: bool,
    /// When the last of it was heard of.
    pub last_heard: Wall,
}

/// What a partial story lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// A record was delivered that nobody was seen to put.
    Producer,
    /// A record was put that nobody was seen to read, yet or ever.
    Consumer,
}

impl Missing {
    /// As it is told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// Records of one context on their way through one stream to one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Hop {
    /// The trace of the records' context.
    pub trace_id: TraceId,
    /// The span of the records' context.
    pub span_id: SpanId,
    /// Who put them.
    pub producer: Option<Sending>,
    /// The stream.
    pub stream: Option<StreamName>,
    /// The shards that they were delivered from.
    pub shards: Vec<ShardId>,
    /// Their event types, where those may be told.
    pub event_types: Vec<Arc<str>>,
    /// How long they lay in the stream.
    pub time_in_stream: Option<TimeInStream>,
    /// Who read them.
    pub consumer: Option<Arc<str>>,
    /// How they were delivered; `None` where only the work on them was told of.
    pub delivery: Option<Delivery>,
    /// What the work on them came to.
    pub processing: Option<Processing>,
}

/// A put.
#[derive(Debug, Clone, PartialEq)]
pub struct Sending {
    /// The service.
    pub service: Arc<str>,
    /// When it began.
    pub began: Wall,
    /// Until its answer; `None` where the clock was set back.
    pub took: Option<Duration>,
    /// Records in the call.
    pub records: Option<u64>,
    /// Those that Kinesis refused.
    pub failed: u64,
    /// What went wrong.
    pub error: Option<Arc<str>>,
    /// Calls that carried this context into this stream.
    pub calls: u32,
}

/// Arrival to first delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeInStream {
    /// Of the slowest record.
    pub longest: Duration,
    /// Reckoned from the end of the put instead of the arrival.
    pub inferred: bool,
}

/// Deliveries to one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The first of them.
    pub first_at: Wall,
    /// Records, as far as links tell them apart: one link stands for all records of its context in
    /// a read, and a replay in other batches counts anew.
    pub records: u64,
    /// Deliveries of those; more than records where some were read again.
    pub deliveries: u64,
}

/// Work on records, by spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processing {
    /// Spans of it.
    pub spans: u64,
    /// The longest; `None` where the clock was set back.
    pub longest: Option<Duration>,
    /// Those that failed.
    pub errors: u64,
    /// Reckoned between two reads instead of reported.
    pub inferred: bool,
}

/// Which stories are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Of this trace.
    pub trace_id: Option<TraceId>,
    /// With a record of this event type.
    pub event_type: Option<String>,
    /// Through this stream.
    pub stream: Option<StreamName>,
    /// That took longer, in whole or in one part of it.
    pub slower_than: Option<Duration>,
    /// At most so many, the newest first.
    pub limit: usize,
}

impl Query {
    /// Whether the story is asked for.
    #[must_use]
    pub fn takes(&self, story: &Story) -> bool {
        let Self { trace_id, event_type, stream, slower_than, limit: _ } = self;
        let any = |matches: &dyn Fn(&Hop) -> bool| story.hops.iter().any(matches);
        trace_id.is_none_or(|id| story.trace_id == id || story.further.contains(&id))
            && event_type.as_ref().is_none_or(|wanted| {
                any(&|hop| hop.event_types.iter().any(|found| **found == **wanted))
            })
            && stream.as_ref().is_none_or(|stream| any(&|hop| hop.stream.as_ref() == Some(stream)))
            && slower_than.is_none_or(|least| story.slowest() > Some(least))
    }
}

impl Story {
    /// The longest time that it tells of: the whole, or where that is unknown, its longest part.
    #[must_use]
    pub fn slowest(&self) -> Option<Duration> {
        let parts = self.hops.iter().flat_map(|hop| {
            let put = hop.producer.as_ref().and_then(|sending| sending.took);
            let lay = hop.time_in_stream.map(|time| time.longest);
            [put, lay, hop.processing.and_then(|work| work.longest)]
        });
        parts.chain([self.took]).max().flatten()
    }
}
