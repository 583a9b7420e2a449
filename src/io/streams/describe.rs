//! Owns asking the control plane about the streams the engine wants to know, and telling it: what
//! each is, its shards, and in a hub who is registered with it. Refuses to invent: no answer, or one
//! without a retention, tells nothing, and a stream that is gone is told as gone.

use crate::domain::engine::Event;
use crate::domain::snapshot::{FanOutConsumer, StreamDescription, StreamDetails};
use crate::domain::stream::StreamName;
use crate::domain::time::{Moment, Wall};
use crate::io::clock::Clock;
use crate::io::credentials::fault::Fault;
use crate::io::entropy;
use crate::io::quiet::Quiet;
use crate::io::streams::limits::RecordLimits;
use crate::io::streams::pace::{Operation, Pacer};
use crate::io::streams::ranges::ShardRanges;
use crate::io::streams::schedule::{Job, Schedule};
use crate::io::streams::{consumers, shards};
use aws_sdk_kinesis::types::{EncryptionType, StreamDescriptionSummary};
use aws_smithy_types::error::display::DisplayErrorContext;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Questions that wait. A full queue drops the question: the engine asks again.
const QUEUE_MAX: usize = 256;

/// Nobody listens any more.
type Gone = mpsc::error::SendError<Event>;

/// Where the engine's questions go in.
#[derive(Debug, Clone)]
pub struct DescribeQueue(mpsc::Sender<StreamName>);

impl DescribeQueue {
    /// Asks for `stream` to be described, at leisure, and from then on again and again; asked once
    /// more, for its shards anew. False when the question was dropped.
    #[must_use]
    pub fn ask(&self, stream: StreamName) -> bool {
        self.0.try_send(stream).is_ok()
    }
}

/// How much is asked, and how often.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Every call waits for its turn here.
    pub pacer: Pacer,
    /// Between two looks at the same stream.
    pub refresh: Duration,
    /// Whether this is a hub: it asks who is registered for fan-out, and for a description as soon as
    /// a stream has new shards.
    pub hub: bool,
}

/// The task that describes streams.
#[derive(Debug)]
pub struct Describer {
    client: aws_sdk_kinesis::Client,
    clock: Clock,
    asked: mpsc::Receiver<StreamName>,
    events: mpsc::Sender<Event>,
    limits: RecordLimits,
    ranges: Option<ShardRanges>,
    asking: Asking,
    schedule: Schedule,
    quiet: Quiet,
}

impl Describer {
    /// Describes each stream asked about at the pace of `asking`, and tells `events`, `limits` and,
    /// where somebody looks at them, `ranges`.
    #[must_use]
    pub fn new(
        client: aws_sdk_kinesis::Client,
        clock: Clock,
        events: mpsc::Sender<Event>,
        (limits, ranges): (RecordLimits, Option<ShardRanges>),
        asking: Asking,
    ) -> (DescribeQueue, Self) {
        let (questions, asked) = mpsc::channel(QUEUE_MAX);
        let (schedule, quiet) = (Schedule::new(asking.refresh, asking.hub), Quiet::default());
        let this = Self { client, clock, asked, events, limits, ranges, asking, schedule, quiet };
        (DescribeQueue(questions), this)
    }

    /// Works until `stop`, or until nobody can ask or listen any more.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        loop {
            let next = self.schedule.next();
            let at = next.as_ref().map_or(Duration::MAX, |(_, _, at)| *at);
            tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(stream) => self.take(stream),
                    None => return,
                },
                () = self.clock.sleep_until(at), if next.is_some() => {
                    let told = match next {
                        Some((stream, Job::Describe, _)) => self.describe(stream).await,
                        Some((stream, Job::List, _)) => self.list(stream).await,
                        None => continue,
                    };
                    if told.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, stream: StreamName) {
        let now = self.clock.now();
        if !self.schedule.ask(stream, now.mono) && self.quiet.may_say("too_many", now).is_some() {
            tracing::warn!(
                "too many streams to describe all of them; retention of some is unknown"
            );
        }
    }

    async fn describe(&mut self, stream: StreamName) -> Result<(), Gone> {
        let pacer = self.asking.pacer.clone();
        pacer.turn(Operation::DescribeStreamSummary).await;
        let call = self.client.describe_stream_summary().stream_name(stream.as_str());
        let answer = call.send().await;
        let now = self.clock.now();
        let fault = match answer {
            Ok(answer) => {
                pacer.outcome(Operation::DescribeStreamSummary, stream.as_str(), None);
                let summary = answer.stream_description_summary();
                let described = summary.and_then(|it| Some((it, describe(it, now)?)));
                if let Some((summary, mut description)) = described {
                    self.schedule.done(&stream, Job::Describe, now.mono, entropy::chance());
                    self.limits.learn(&stream, description.record_bytes_max);
                    description.details.consumers = self.consumers(&stream, summary).await;
                    // A slow engine slows the describing, and nobody else.
                    return self.events.send(Event::StreamDescribed { stream, description }).await;
                }
                self.log(&stream, Fault::Broken, &"the answer has no retention", now);
                Fault::Broken
            }
            Err(error) => {
                let fault = Fault::of(&error);
                pacer.outcome(Operation::DescribeStreamSummary, stream.as_str(), Some(fault));
                self.log(&stream, fault, &DisplayErrorContext(&error), now);
                fault
            }
        };
        self.failed(stream, Job::Describe, fault, now).await
    }

    /// Who is registered; `None` where that is not asked, or not known.
    async fn consumers(
        &mut self,
        stream: &StreamName,
        summary: &StreamDescriptionSummary,
    ) -> Option<Vec<FanOutConsumer>> {
        if summary.consumer_count() == Some(0) {
            return Some(Vec::new());
        }
        let arn = summary.stream_arn();
        if !self.asking.hub || arn.is_empty() {
            return None;
        }
        let listed = consumers::list(&self.client, &self.asking.pacer, arn).await;
        if let Err(fault) = listed
            && self.quiet.may_say("consumers", self.clock.now()).is_some()
        {
            let cause = fault.as_str();
            tracing::warn!(%stream, cause, "its fan-out consumers stay unknown: ListStreamConsumers failed");
        }
        listed.ok()
    }

    async fn list(&mut self, stream: StreamName) -> Result<(), Gone> {
        let listed = shards::list(&self.client, &self.asking.pacer, &stream).await;
        let now = self.clock.now();
        match listed {
            Ok(shards::Listed { shards, ranges }) => {
                self.schedule.done(&stream, Job::List, now.mono, entropy::chance());
                if let Some(known) = &self.ranges {
                    known.learn(&stream, ranges);
                }
                self.events.send(Event::ShardsListed { stream, shards }).await
            }
            Err(shards::NoList { fault, said }) => {
                self.log(&stream, fault, &said, now);
                self.failed(stream, Job::List, fault, now).await
            }
        }
    }

    async fn failed(
        &mut self,
        stream: StreamName,
        job: Job,
        fault: Fault,
        now: Moment,
    ) -> Result<(), Gone> {
        self.schedule.failed((&stream, job), fault, now.mono, entropy::chance());
        match fault {
            Fault::NotFound => self.events.send(Event::StreamGone { stream }).await,
            Fault::Throttled
            | Fault::Denied
            | Fault::Refused
            | Fault::Broken
            | Fault::TimedOut
            | Fault::Unsent => Ok(()),
        }
    }

    fn log(
        &mut self,
        stream: &StreamName,
        fault: Fault,
        error: &dyn std::fmt::Display,
        at: Moment,
    ) {
        if self.quiet.may_say(fault.as_str(), at).is_some() {
            tracing::warn!(%stream, cause = fault.as_str(), %error, "stream not described; what it is stays unknown");
        }
    }
}

/// `None` for an answer that cannot be: the SDK fills what is missing with zero.
fn describe(summary: &StreamDescriptionSummary, at: Moment) -> Option<StreamDescription> {
    let hours = u64::try_from(summary.retention_period_hours()).ok().filter(|hours| *hours > 0)?;
    let mode = summary.stream_mode_details().map_or("UNKNOWN", |it| it.stream_mode().as_str());
    let record_kib_max = summary.max_record_size_in_kib();
    let metrics = summary.enhanced_monitoring().iter().flat_map(|it| it.shard_level_metrics());
    Some(StreamDescription {
        retention: Duration::from_secs(hours * 3_600),
        open_shards: u32::try_from(summary.open_shard_count()).ok()?,
        mode: mode.to_owned(),
        status: summary.stream_status().as_str().to_owned(),
        record_bytes_max: record_kib_max
            .and_then(|kib| u64::try_from(kib).ok())
            .map(|it| it * 1_024),
        created_at: Wall::from_seconds_f64(summary.stream_creation_timestamp().as_secs_f64())
            .filter(|created| *created > Wall::default()),
        details: StreamDetails {
            encrypted: summary.encryption_type().map(|it| *it != EncryptionType::None),
            shard_metrics: metrics.map(|metric| metric.as_str().to_owned()).collect(),
            consumers: None,
        },
        at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::credentials::fake;
    use std::sync::Arc;
    use std::sync::Mutex;

    const ORDERS: &str = r#"{"StreamDescriptionSummary":{"StreamName":"orders",
        "StreamARN":"arn:aws:kinesis:us-east-1:1:stream/orders","StreamStatus":"ACTIVE",
        "RetentionPeriodHours":48,"StreamCreationTimestamp":1.7e9,"EncryptionType":"KMS",
        "EnhancedMonitoring":[{"ShardLevelMetrics":["IteratorAgeMilliseconds"]}],"ConsumerCount":1,
        "OpenShardCount":3,"StreamModeDetails":{"StreamMode":"ON_DEMAND"},
        "MaxRecordSizeInKiB":2048}}"#;

    const SHARDS: &str = r#"{"Shards":[{"ShardId":"shardId-000000000000",
        "HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},
        "SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}"#;

    const CONSUMERS: &str = r#"{"Consumers":[{"ConsumerName":"mail","ConsumerARN":"arn:1",
        "ConsumerStatus":"ACTIVE","ConsumerCreationTimestamp":1.7e9}]}"#;

    struct Run {
        events: Vec<Event>,
        /// Operation and second of each call.
        calls: Vec<(String, u64)>,
    }

    impl Run {
        fn seconds(&self, operation: &str) -> Vec<u64> {
            self.calls.iter().filter(|(it, _)| it == operation).map(|(_, at)| *at).collect()
        }
    }

    /// Asks about `streams`, answers each DescribeStreamSummary by `answer(how many before)` and
    /// all else well, and looks at what happened within `seconds`.
    async fn run(
        streams: &[&str],
        seconds: u64,
        pacer: fn(Clock) -> Pacer,
        answer: impl Fn(usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Run {
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let calls: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
        let (log, reader) = (Arc::clone(&calls), clock.clone());
        let settings = fake::settings(move |request| {
            let target = request.headers().get("x-amz-target").unwrap();
            let operation = target.rsplit('.').next().unwrap().to_owned();
            let mut calls = log.lock().unwrap();
            let before = calls.iter().filter(|(it, _)| *it == operation).count();
            calls.push((operation.clone(), reader.now().mono.as_secs()));
            let (status, text) = match operation.as_str() {
                "DescribeStreamSummary" => answer(before),
                "ListShards" => (200, SHARDS.to_owned()),
                _ => (200, CONSUMERS.to_owned()),
            };
            (status, text.into_bytes())
        })
        .await;
        let (events, mut heard) = mpsc::channel(100);
        let refresh = Duration::from_secs(300);
        let asking = Asking { pacer: pacer(clock.clone()), refresh, hub: true };
        let limits = RecordLimits::default();
        let (queue, describer) =
            Describer::new(settings.kinesis(None), clock.clone(), events, (limits, None), asking);
        for stream in streams {
            assert!(queue.ask((*stream).into()));
        }
        let stop = CancellationToken::new();
        let end = async {
            clock.sleep_until(Duration::from_secs(seconds)).await;
            stop.cancel();
        };
        tokio::join!(describer.run(stop.clone()), end);
        let mut events = Vec::new();
        while let Ok(event) = heard.try_recv() {
            events.push(event);
        }
        let calls = calls.lock().unwrap().clone();
        Run { events, calls }
    }

    fn error(code: &str) -> (u16, String) {
        (400, format!(r#"{{"__type":"{code}","message":"no"}}"#))
    }

    fn good(_: usize) -> (u16, String) {
        (200, ORDERS.to_owned())
    }

    fn described(events: &[Event]) -> usize {
        events.iter().filter(|event| matches!(event, Event::StreamDescribed { .. })).count()
    }

    #[tokio::test(start_paused = true)]
    async fn says_what_the_stream_is_and_again_every_refresh() {
        let run = run(&["orders", "orders"], 500, Pacer::hub, good).await;
        assert_eq!(run.seconds("DescribeStreamSummary").len(), 2, "{:?}", run.calls);
        assert_eq!(run.seconds("ListShards").len(), 2, "{:?}", run.calls);
        let [
            Event::StreamDescribed { stream, description },
            Event::ShardsListed { shards, .. },
            ..,
        ] = run.events.as_slice()
        else {
            panic!("{:?}", run.events)
        };
        assert_eq!((stream.as_str(), shards.len()), ("orders", 1));
        assert_eq!(description.retention, Duration::from_secs(48 * 3_600));
        assert_eq!(description.open_shards, 3);
        assert_eq!(
            (description.mode.as_str(), description.status.as_str()),
            ("ON_DEMAND", "ACTIVE")
        );
        assert_eq!(description.record_bytes_max, Some(2 << 20));
        assert_eq!(description.created_at, Some(Wall::from_ms(1_700_000_000_000)));
        let details = &description.details;
        assert_eq!(details.encrypted, Some(true));
        assert_eq!(details.shard_metrics, ["IteratorAgeMilliseconds"]);
        let names = details.consumers.as_ref().unwrap().iter().map(|it| it.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["mail"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sidecar_calls_once_in_ten_seconds() {
        let run = run(&["a", "b", "c"], 120, Pacer::sidecar, good).await;
        let at: Vec<u64> = run.calls.iter().map(|(_, at)| *at).collect();
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{:?}", run.calls);
        assert_eq!(described(&run.events), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn denied_stays_unknown_and_is_asked_ever_more_rarely() {
        let run = run(&["orders"], 600, Pacer::hub, |_| error("AccessDeniedException")).await;
        assert_eq!(described(&run.events), 0);
        let calls = run.seconds("DescribeStreamSummary").len();
        assert!((4..=7).contains(&calls), "{:?}", run.calls);
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_waits_and_then_succeeds() {
        let run = run(&["orders"], 60, Pacer::hub, |before| match before {
            0 | 1 => error("LimitExceededException"),
            _ => (200, ORDERS.to_owned()),
        })
        .await;
        let at = run.seconds("DescribeStreamSummary");
        assert_eq!((at.len(), described(&run.events)), (3, 1), "{at:?}");
        assert!(at[1] >= 1 && at[2] - at[1] >= 2, "{at:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_stream_is_told_as_gone_and_forgotten() {
        let missing = |_| error("ResourceNotFoundException");
        let run = run(&["gone"], 7_200, Pacer::hub, missing).await;
        let gone = Event::StreamGone { stream: "gone".into() };
        assert!(run.events.contains(&gone), "{:?}", run.events);
        assert_eq!(run.seconds("DescribeStreamSummary").len(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn no_retention_is_not_a_retention_of_zero() {
        let empty = r#"{"StreamDescriptionSummary":{"StreamName":"orders"}}"#;
        let run = run(&["orders"], 10, Pacer::hub, |_| (200, empty.to_owned())).await;
        assert_eq!(described(&run.events), 0);
    }
}
