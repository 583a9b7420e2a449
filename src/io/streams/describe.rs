//! Owns asking DescribeStreamSummary about the streams the engine wants to know, and telling it.
//! Refuses to invent: no answer, or one without a retention, tells nothing.

use crate::domain::engine::Event;
use crate::domain::snapshot::StreamDescription;
use crate::domain::stream::StreamName;
use crate::domain::time::{Moment, Wall};
use crate::io::clock::Clock;
use crate::io::credentials::fault::Fault;
use crate::io::credentials::said::Said;
use crate::io::entropy;
use crate::io::streams::limits::RecordLimits;
use crate::io::streams::schedule::Schedule;
use aws_sdk_kinesis::types::StreamDescriptionSummary;
use aws_smithy_types::error::display::DisplayErrorContext;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Questions that wait. A full queue drops the question: the engine asks again.
const QUEUE_MAX: usize = 256;

/// Where the engine's questions go in.
#[derive(Debug, Clone)]
pub struct DescribeQueue(mpsc::Sender<StreamName>);

impl DescribeQueue {
    /// Asks for `stream` to be described, at leisure, and from then on again and again. False when
    /// the question was dropped.
    #[must_use]
    pub fn ask(&self, stream: StreamName) -> bool {
        self.0.try_send(stream).is_ok()
    }
}

/// The task that describes streams.
#[derive(Debug)]
pub struct Describer {
    client: aws_sdk_kinesis::Client,
    clock: Clock,
    asked: mpsc::Receiver<StreamName>,
    events: mpsc::Sender<Event>,
    limits: RecordLimits,
    schedule: Schedule,
    said: Said,
}

impl Describer {
    /// Describes each stream asked about once every `refresh`, and tells `events` and `limits`.
    #[must_use]
    pub fn new(
        client: aws_sdk_kinesis::Client,
        clock: Clock,
        events: mpsc::Sender<Event>,
        limits: RecordLimits,
        refresh: Duration,
    ) -> (DescribeQueue, Self) {
        let (questions, asked) = mpsc::channel(QUEUE_MAX);
        let (schedule, said) = (Schedule::new(refresh), Said::default());
        (DescribeQueue(questions), Self { client, clock, asked, events, limits, schedule, said })
    }

    /// Works until `stop`, or until nobody can ask or listen any more.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        loop {
            let next = self.schedule.next();
            let at = next.as_ref().map_or(Duration::MAX, |(_, at)| *at);
            tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(stream) => self.take(stream),
                    None => return,
                },
                () = self.clock.sleep_until(at), if next.is_some() => {
                    let Some((stream, _)) = next else { continue };
                    if self.describe(stream).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, stream: StreamName) {
        let now = self.clock.now();
        if !self.schedule.ask(stream, now.mono) && self.said.may_say("too_many", now) {
            tracing::warn!(
                "too many streams to describe all of them; retention of some is unknown"
            );
        }
    }

    /// Err when nobody listens any more.
    async fn describe(&mut self, stream: StreamName) -> Result<(), mpsc::error::SendError<Event>> {
        self.schedule.begin(self.clock.now().mono);
        let call = self.client.describe_stream_summary().stream_name(stream.as_str());
        let answer = call.send().await;
        let (now, chance) = (self.clock.now(), entropy::chance());
        let fault = match answer {
            Ok(answer) => {
                let summary = answer.stream_description_summary();
                if let Some(description) = summary.and_then(|summary| describe(summary, now)) {
                    self.schedule.described(&stream, now.mono, chance);
                    self.limits.learn(&stream, description.record_bytes_max);
                    // A slow engine slows the describing, and nobody else.
                    return self.events.send(Event::StreamDescribed { stream, description }).await;
                }
                self.log(&stream, Fault::Broken, &"the answer has no retention", now);
                Fault::Broken
            }
            Err(error) => {
                let fault = Fault::of(&error);
                self.log(&stream, fault, &DisplayErrorContext(&error), now);
                fault
            }
        };
        self.schedule.failed(&stream, fault, now.mono, chance);
        if fault == Fault::NotFound {
            return self.events.send(Event::StreamMissing { stream }).await;
        }
        Ok(())
    }

    fn log(
        &mut self,
        stream: &StreamName,
        fault: Fault,
        error: &dyn std::fmt::Display,
        at: Moment,
    ) {
        if self.said.may_say(fault.as_str(), at) {
            tracing::warn!(%stream, cause = fault.as_str(), %error, "stream not described; its retention stays unknown");
        }
    }
}

/// `None` for an answer that cannot be: the SDK fills what is missing with zero.
fn describe(summary: &StreamDescriptionSummary, at: Moment) -> Option<StreamDescription> {
    let hours = u64::try_from(summary.retention_period_hours()).ok().filter(|hours| *hours > 0)?;
    let mode = summary.stream_mode_details().map_or("UNKNOWN", |it| it.stream_mode().as_str());
    let record_kib_max = summary.max_record_size_in_kib();
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
        "RetentionPeriodHours":48,"StreamCreationTimestamp":1.7e9,"EnhancedMonitoring":[],
        "OpenShardCount":3,"StreamModeDetails":{"StreamMode":"ON_DEMAND"},
        "MaxRecordSizeInKiB":2048}}"#;

    struct Run {
        events: Vec<Event>,
        calls: Vec<Duration>,
    }

    /// Asks about `streams`, answers each call by `answer(stream, how many calls before)`, and
    /// looks at what happened within `seconds`.
    async fn run(
        streams: &[&str],
        seconds: u64,
        answer: impl Fn(&str, usize) -> (u16, String) + Send + Sync + 'static,
    ) -> Run {
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (log, reader) = (Arc::clone(&calls), clock.clone());
        let settings = fake::settings(move |request| {
            let body: serde_json::Value =
                serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let mut calls = log.lock().unwrap();
            calls.push(reader.now().mono);
            let (status, text) = answer(body["StreamName"].as_str().unwrap(), calls.len() - 1);
            (status, text.into_bytes())
        })
        .await;
        let (events, mut heard) = mpsc::channel(100);
        let refresh = Duration::from_secs(300);
        let (queue, describer) = Describer::new(
            settings.kinesis(None),
            clock.clone(),
            events,
            RecordLimits::default(),
            refresh,
        );
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

    #[tokio::test(start_paused = true)]
    async fn says_what_the_stream_is_and_again_every_refresh() {
        let run = run(&["orders", "orders"], 500, |_, _| (200, ORDERS.to_owned())).await;
        assert_eq!(run.calls.len(), 2, "{:?}", run.calls);
        let Some(Event::StreamDescribed { stream, description }) = run.events.first() else {
            panic!("{:?}", run.events)
        };
        assert_eq!(stream.as_str(), "orders");
        assert_eq!(description.retention, Duration::from_secs(48 * 3_600));
        assert_eq!(description.open_shards, 3);
        assert_eq!(
            (description.mode.as_str(), description.status.as_str()),
            ("ON_DEMAND", "ACTIVE")
        );
        assert_eq!(description.record_bytes_max, Some(2 << 20));
        assert_eq!(description.created_at, Some(Wall::from_ms(1_700_000_000_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_a_second() {
        let run = run(&["a", "b", "c"], 60, |_, _| (200, ORDERS.to_owned())).await;
        assert_eq!(run.calls, [0, 1, 2].map(Duration::from_secs));
        assert_eq!(run.events.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn denied_stays_unknown_and_is_asked_ever_more_rarely() {
        let run = run(&["orders"], 600, |_, _| error("AccessDeniedException")).await;
        assert!(run.events.is_empty());
        assert!((4..=7).contains(&run.calls.len()), "{:?}", run.calls);
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_waits_and_then_succeeds() {
        let run = run(&["orders"], 60, |_, before| match before {
            0 | 1 => error("LimitExceededException"),
            _ => (200, ORDERS.to_owned()),
        })
        .await;
        assert_eq!((run.calls.len(), run.events.len()), (3, 1), "{:?}", run.calls);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_stream_is_forgotten() {
        let run = run(&["gone"], 3_600, |_, _| error("ResourceNotFoundException")).await;
        assert_eq!(run.calls.len(), 1);
        assert_eq!(run.events, [Event::StreamMissing { stream: "gone".into() }]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_retention_is_not_a_retention_of_zero() {
        let empty = r#"{"StreamDescriptionSummary":{"StreamName":"orders"}}"#;
        let run = run(&["orders"], 10, |_, _| (200, empty.to_owned())).await;
        assert!(run.events.is_empty());
    }
}
