//! Owns the polling of CloudWatch: timer, pages, statuses, backoff; settled points out to the
//! engine. Refuses to be driven by scrapes and to lose a good page to a bad one.

mod metrics;
mod plan;
mod words;

pub use metrics::CloudWatchMetrics;

use crate::domain::backoff::Backoff;
use crate::domain::engine::Event;
use crate::domain::stream::StreamName;
use crate::io::clock::Clock;
use crate::io::cloudwatch::plan::Answer;
use crate::io::cloudwatch::plan::Query;
use crate::io::cloudwatch::plan::ResultStatus;
use crate::io::cloudwatch::plan::Window;
use crate::io::credentials::fault::Fault;
use crate::io::credentials::said::Said;
use crate::io::entropy;
use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::types::MessageData;
use aws_sdk_cloudwatch::types::MetricDataResult;
use aws_sdk_cloudwatch::types::ScanBy;
use aws_smithy_types::error::display::DisplayErrorContext;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Tries of one page before its batch is given up until the next poll, which covers its window.
const TRIES_MAX: u32 = 3;

/// Pages of one batch; a service that never ends is left.
const PAGES_MAX: usize = 20;

/// Between the tries of one page.
const AGAIN: Backoff = Backoff {
    initial: Duration::from_millis(500),
    factor: 2.0,
    max: Duration::from_secs(20),
    jitter: 0.5,
};

/// Between polls while they fail, where that is longer than the interval.
const FAILING: Backoff = Backoff {
    initial: Duration::from_secs(60),
    factor: 2.0,
    max: Duration::from_secs(600),
    jitter: 0.2,
};

/// A poll is put off by up to this share of the interval, so that hubs drift apart.
const SPREAD: f64 = 0.1;

/// How CloudWatch is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// From one poll's start to the next's.
    pub interval: Duration,
    /// How long CloudWatch may still change a period after its end.
    pub delay: Duration,
    /// The length of one point; whole seconds, a multiple of 60 on AWS.
    pub period: Duration,
    /// Where CloudWatch is; `None` for AWS's own. Whoever makes the client uses it.
    pub endpoint: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        let (interval, delay) = (Duration::from_secs(60), Duration::from_secs(120));
        Self { interval, delay, period: Duration::from_secs(60), endpoint: None }
    }
}

/// The task that polls.
#[derive(Debug)]
pub struct Poller {
    client: aws_sdk_cloudwatch::Client,
    clock: Clock,
    config: Config,
    streams: watch::Receiver<Arc<[StreamName]>>,
    events: mpsc::Sender<Event>,
    metrics: CloudWatchMetrics,
    said: Said,
}

/// The engine has gone; there is nobody to poll for.
type Gone = mpsc::error::SendError<Event>;

impl Poller {
    /// Polls for the `streams` there are at the time, and tells `events` each newest point.
    #[must_use]
    pub fn new(
        client: aws_sdk_cloudwatch::Client,
        clock: Clock,
        config: Config,
        streams: watch::Receiver<Arc<[StreamName]>>,
        events: mpsc::Sender<Event>,
        metrics: CloudWatchMetrics,
    ) -> Self {
        Self { client, clock, config, streams, events, metrics, said: Said::default() }
    }

    /// Works until `stop`, or until nobody listens any more.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut failures = 0_u32;
        loop {
            let streams = Arc::clone(&self.streams.borrow_and_update());
            if streams.is_empty() {
                match self.streams.changed().await {
                    Ok(()) => continue,
                    Err(_) => return,
                }
            }
            let began = self.clock.now();
            let Ok(fault) = self.poll(&streams).await else { return };
            let interval = self.config.interval.mul_f64(1.0 + SPREAD * entropy::chance());
            let delay = match fault {
                Some(fault) if meets_all(fault) => {
                    failures = failures.saturating_add(1);
                    interval.max(FAILING.delay(failures, entropy::chance()))
                }
                Some(_) => interval,
                None => {
                    failures = 0;
                    self.metrics.succeeded(began.wall.as_seconds());
                    interval
                }
            };
            self.clock.sleep_until(began.mono + delay).await;
        }
    }

    /// One poll: every batch, or up to the first fault that all would meet. The last fault, if any.
    async fn poll(&mut self, streams: &[StreamName]) -> Result<Option<Fault>, Gone> {
        let window = Window::settled(self.clock.now().wall, self.config.delay, self.config.period);
        let mut last = None;
        for batch in plan::batches(streams) {
            let (answer, fault) = self.ask(window, &batch).await;
            for (Query { stream, metric }, point) in answer.points(&batch) {
                // A slow engine slows the polling, and nobody else.
                self.events.send(Event::CloudWatch { stream, metric, point }).await?;
            }
            last = fault.or(last);
            if fault.is_some_and(meets_all) {
                break;
            }
        }
        Ok(last)
    }

    /// All pages of one batch; those before a fault are kept.
    async fn ask(&mut self, window: Window, batch: &[Query]) -> (Answer, Option<Fault>) {
        let mut answer = Answer::new(window, batch);
        let (mut fault, mut token) = (None, None);
        for _ in 0..PAGES_MAX {
            let page = match self.page(window, batch, token.clone()).await {
                Ok(page) => page,
                Err(error) => return (answer, Some(error)),
            };
            for result in page.metric_data_results() {
                fault = self.take(&mut answer, result).or(fault);
            }
            self.repeat_messages(page.messages());
            let next = page.next_token.filter(|next| !next.is_empty());
            if next.is_none() || next == token {
                return (answer, fault);
            }
            token = next;
        }
        (answer, Some(Fault::Broken))
    }

    /// One query's values of one page.
    fn take(&mut self, answer: &mut Answer, result: &MetricDataResult) -> Option<Fault> {
        let status = words::status(result.status_code());
        self.metrics.result(status);
        answer.add(result.id().unwrap_or_default(), words::values(result));
        self.repeat_messages(result.messages());
        if status.is_fault() && self.said.may_say(status.as_str(), self.clock.now()) {
            let label = result.label().unwrap_or_default();
            tracing::warn!(cause = status.as_str(), label, "CloudWatch gave no complete result");
        }
        match status {
            ResultStatus::Forbidden => Some(Fault::Refused),
            ResultStatus::InternalError => Some(Fault::Broken),
            ResultStatus::Complete | ResultStatus::Partial | ResultStatus::Other => None,
        }
    }

    fn repeat_messages(&mut self, messages: &[MessageData]) {
        for message in messages {
            if self.said.may_say("message", self.clock.now()) {
                let (code, text) = (message.code(), message.value());
                tracing::warn!(code, text, "CloudWatch has something to say");
            }
        }
    }

    /// One page, tried again while the fault may pass.
    async fn page(
        &mut self,
        window: Window,
        batch: &[Query],
        token: Option<String>,
    ) -> Result<GetMetricDataOutput, Fault> {
        let mut failures = 0;
        loop {
            let call = self.client.get_metric_data().set_metric_data_queries(Some(
                batch
                    .iter()
                    .enumerate()
                    .map(|(index, it)| words::query(index, it, window))
                    .collect(),
            ));
            let call = call
                .start_time(words::date_time(window.start))
                .end_time(words::date_time(window.end))
                .scan_by(ScanBy::TimestampDescending)
                .set_next_token(token.clone());
            let error = match call.send().await {
                Ok(page) => {
                    self.metrics.answered(batch.len());
                    return Ok(page);
                }
                Err(error) => error,
            };
            let (fault, now) = (Fault::of(&error), self.clock.now());
            self.metrics.failed(fault);
            if self.said.may_say(fault.as_str(), now) {
                let error = DisplayErrorContext(&error);
                tracing::warn!(cause = fault.as_str(), %error, "CloudWatch does not answer");
            }
            failures += 1;
            if failures >= TRIES_MAX || !fault.passes() {
                return Err(fault);
            }
            self.clock.sleep_until(now.mono + AGAIN.delay(failures, entropy::chance())).await;
        }
    }
}

/// Whether every other batch would meet the fault too: asking on only makes it worse.
const fn meets_all(fault: Fault) -> bool {
    match fault {
        Fault::Throttled | Fault::Denied | Fault::Unsent => true,
        Fault::NotFound | Fault::Refused | Fault::Broken | Fault::TimedOut => false,
    }
}

#[cfg(all(test, feature = "demo"))]
mod tests;
