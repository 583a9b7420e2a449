//! Owns a reported record as a value, its process span, and the bounded queue that it waits in.
//! Refuses to wait for whoever observes it.

use crate::domain::stream::ConsumerName;
use crate::domain::time::{Moment, Wall};
use crate::domain::trace::{Kind, Link, Span, SpanId, Status, TraceContext, TraceState};
use crate::wire::envelope_api::Report;
use prometheus::IntCounterVec;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Reports that wait. Policy: over it the newest is refused with a retryable answer and counted as
/// `processed`, `full`.
const REPORTS_MAX: usize = 1_024;
/// Reports and the links of theirs that wait: one report of a thousand lines may link a thousand
/// traces. At some 100 bytes a link this is 1 MiB. Policy: as above.
const WEIGHT_MAX: usize = 8_192;

/// A record that a consumer has processed, as it reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Processed {
    /// Who processed it.
    pub consumer: ConsumerName,
    /// What was said.
    pub report: Report,
    /// The process span, without what `privacy.fields` may add: [`super::Reports`] adds it.
    pub span: Span,
}

impl Processed {
    /// From a report that came in at `now`. The record's contexts become links, never the parent;
    /// that is the reporting request's own context, and without one `root` begins a trace.
    #[must_use]
    pub fn new(
        report: Report,
        consumer: ConsumerName,
        parent: Option<(TraceContext, TraceState)>,
        root: TraceContext,
        now: Moment,
    ) -> Self {
        let (context, tracestate, parent) = match parent {
            Some((parent, state)) => {
                let sampled = parent.flags.sampled() && root.flags.sampled();
                let context = parent.child(root.span_id, sampled);
                (context, state, Some(parent.span_id))
            }
            None => (root, TraceState::default(), None),
        };
        let start = report.started.unwrap_or_else(|| now.wall.minus(report.duration));
        let span = span(&report, &consumer, (context, tracestate, parent), start);
        Self { consumer, report, span }
    }

    /// What the reporter is told: the span's own context, and how many contexts it links.
    pub(super) fn answer(&self) -> Vec<u8> {
        let Span { context, links, .. } = &self.span;
        serde_json::json!({ "traceparent": context.to_string(), "links": links.len() })
            .to_string()
            .into_bytes()
    }
}

fn span(
    report: &Report,
    consumer: &ConsumerName,
    (context, tracestate, parent): (TraceContext, TraceState, Option<SpanId>),
    start: Wall,
) -> Span {
    let stream = report.stream.to_string();
    let mut attributes = vec![
        ("messaging.system", "aws.kinesis".into()),
        ("messaging.operation.name", "process".into()),
        ("messaging.operation.type", "process".into()),
        ("messaging.destination.name", stream.clone().into()),
        ("aws.kinesis.stream_name", stream.clone().into()),
        ("messaging.consumer.group.name", consumer.to_string().into()),
    ];
    let shard = report.shard.as_ref().map(ToString::to_string);
    attributes.extend(shard.map(|it| ("messaging.destination.partition.id", it.into())));
    let sequence = report.sequence.as_ref().map(ToString::to_string);
    attributes.extend(sequence.map(|it| ("messaging.message.id", it.into())));
    let status = match &report.failure {
        None => Status::Unset,
        Some(failure) => {
            attributes.push(("error.type", failure.kind.clone().into()));
            Status::Error(failure.message.clone().unwrap_or_else(|| failure.kind.clone()))
        }
    };
    let link = |(context, state): &(TraceContext, TraceState)| Link {
        context: *context,
        tracestate: state.clone(),
        attributes: Vec::new(),
    };
    Span {
        name: format!("process {stream}"),
        kind: Kind::Consumer,
        context,
        tracestate,
        parent,
        start,
        end: start.plus(report.duration),
        attributes,
        links: report.contexts.iter().map(link).collect(),
        status,
    }
}

/// The way to whoever observes reports. Cloning it counts references.
#[derive(Debug, Clone)]
pub struct ProcessedSink {
    sender: mpsc::Sender<(Processed, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    dropped: IntCounterVec,
}

/// The other end.
#[derive(Debug)]
pub struct ProcessedQueue(mpsc::Receiver<(Processed, OwnedSemaphorePermit)>);

/// A queue of reports; `dropped` is `kinescope_dropped_total`.
#[must_use]
pub fn processed_queue(dropped: IntCounterVec) -> (ProcessedSink, ProcessedQueue) {
    let (sender, receiver) = mpsc::channel(REPORTS_MAX);
    let room = Arc::new(Semaphore::new(WEIGHT_MAX));
    (ProcessedSink { sender, room, dropped }, ProcessedQueue(receiver))
}

impl ProcessedSink {
    /// Leaves a report, or counts that there was no room for it. Never waits.
    pub(super) fn offer(&self, processed: Processed) -> bool {
        let weight = u32::try_from(processed.report.contexts.len() + 1).unwrap_or(u32::MAX);
        let sent = match Arc::clone(&self.room).try_acquire_many_owned(weight) {
            Ok(room) => self.sender.try_send((processed, room)).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => "full",
                mpsc::error::TrySendError::Closed(_) => "stopping",
            }),
            Err(_) => Err("full"),
        };
        if let Err(reason) = sent {
            self.dropped.with_label_values(&["processed", reason]).inc();
        }
        sent.is_ok()
    }
}

impl ProcessedQueue {
    /// The next report, `None` after [`Self::close`] when all are taken.
    pub async fn next(&mut self) -> Option<Processed> {
        self.0.recv().await.map(|(processed, _room)| processed)
    }

    /// From now on reports are refused; what waits can still be taken.
    pub fn close(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::envelope_api::report;
    use prometheus::Opts;
    use std::time::Duration;

    const RECORD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const CALLER: &str = "00-cccccccccccccccccccccccccccccccc-dddddddddddddddd-00";
    const ROOT: &str = "00-11111111111111111111111111111111-2222222222222222-03";

    fn context(text: &str) -> TraceContext {
        TraceContext::parse(text.as_bytes()).unwrap()
    }

    fn processed(more: &str, parent: Option<&str>) -> Processed {
        let body = format!("{{\"stream\":\"orders\",\"durationMs\":250{more}}}");
        let parent = parent.map(|text| (context(text), TraceState::parse("a=1")));
        let now = Moment { wall: Wall::from_ms(10_000), mono: Duration::ZERO };
        Processed::new(report(body.as_bytes()).unwrap(), "mail".into(), parent, context(ROOT), now)
    }

    #[test]
    fn the_record_is_a_link_and_the_caller_the_parent() {
        let carried = format!(",\"traceparent\":\"{RECORD}\"");
        let Span { context: own, tracestate, parent, links, kind, name, .. } =
            processed(&carried, Some(CALLER)).span;
        assert_eq!((name.as_str(), kind), ("process orders", Kind::Consumer));
        assert_eq!(own.to_string(), "00-cccccccccccccccccccccccccccccccc-2222222222222222-00");
        assert_eq!((parent, tracestate.as_str()), (Some(context(CALLER).span_id), Some("a=1")));
        assert_eq!(links.iter().map(|it| it.context).collect::<Vec<_>>(), [context(RECORD)]);
        // An old record that is read again stays what it was: never a parent.
        let alone = processed(&carried, None).span;
        assert_eq!((alone.context, alone.parent), (context(ROOT), None));
        assert_eq!(alone.links.len(), 1);
        assert_eq!(processed("", None).span.links, []);
    }

    #[test]
    fn times_are_exact() {
        let check = |more: &str, start: u64, end: u64| {
            let span = processed(more, None).span;
            assert_eq!((span.start.as_ms(), span.end.as_ms()), (start, end), "{more}");
        };
        check("", 9_750, 10_000);
        check(",\"startTimeMs\":5000", 5_000, 5_250);
    }

    #[test]
    fn failures_are_said() {
        let status = |more: &str| processed(more, None).span.status;
        assert_eq!(status(",\"error\":null"), Status::Unset);
        assert_eq!(status(",\"error\":{\"type\":\"Late\"}"), Status::Error("Late".into()));
        let both = processed(",\"error\":{\"type\":\"Late\",\"message\":\"too late\"}", None).span;
        assert_eq!(both.status, Status::Error("too late".into()));
        assert!(both.attributes.contains(&("error.type", "Late".to_owned().into())));
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_counts() {
        let counter = || IntCounterVec::new(Opts::new("d", "d"), &["queue", "reason"]).unwrap();
        let dropped = counter();
        let (sink, mut queue) = processed_queue(dropped.clone());
        let full = dropped.with_label_values(&["processed", "full"]);
        let report = processed("", None);
        assert!((0..REPORTS_MAX).all(|_| sink.offer(report.clone())));
        assert!(!sink.offer(report.clone()));
        assert_eq!((full.get(), queue.next().await.as_ref()), (1, Some(&report)));
        assert!(sink.offer(report.clone()));
        queue.close();
        while queue.next().await.is_some() {}
        assert!(!sink.offer(report.clone()));
        assert_eq!(dropped.with_label_values(&["processed", "stopping"]).get(), 1);

        let (sink, mut queue) = processed_queue(dropped.clone());
        let mut wide = report;
        wide.report.contexts = vec![(context(RECORD), TraceState::default()); 1_000];
        assert!((0..8).all(|_| sink.offer(wide.clone())));
        assert!(!sink.offer(wide.clone()));
        assert!(queue.next().await.is_some() && sink.offer(wide));
    }
}
