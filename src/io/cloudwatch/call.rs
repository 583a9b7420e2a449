//! Owns one batch from its first page to its last: tries, pace, pages put together. Refuses to lose
//! a good page to a bad one.

use crate::domain::backoff::Backoff;
use crate::domain::cloudwatch::Answer;
use crate::domain::cloudwatch::Batch;
use crate::domain::cloudwatch::Bucket;
use crate::domain::cloudwatch::Complete;
use crate::io::clock::Clock;
use crate::io::cloudwatch::ask::Ask;
use crate::io::cloudwatch::ask::Given;
use crate::io::cloudwatch::ask::Page;
use crate::io::cloudwatch::ask::ResultStatus;
use crate::io::cloudwatch::metrics::CloudWatchMetrics;
use crate::io::cloudwatch::metrics::Operation;
use crate::io::credentials::fault::Fault;
use crate::io::entropy;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// Tries of one page before its batch is given up until the next poll, which covers its window.
const TRIES_MAX: u32 = 3;

/// Pages of one batch; a service that never ends is left.
const PAGES_MAX: usize = 20;

/// Remarks of one batch; more would say the same.
const REMARKS_MAX: usize = 8;

/// Between the tries of one page.
pub(super) const AGAIN: Backoff = Backoff {
    initial: Duration::from_millis(500),
    factor: 2.0,
    max: Duration::from_secs(20),
    jitter: 0.5,
};

/// What every call needs.
#[derive(Debug, Clone)]
pub(super) struct Desk<A> {
    pub(super) ask: A,
    pub(super) clock: Clock,
    pub(super) metrics: CloudWatchMetrics,
    pub(super) bucket: Arc<Mutex<Bucket>>,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) batch: Arc<Batch>,
    /// One for each query, in order.
    pub(super) answers: Vec<Answer>,
    /// The call's own fault, or the worst of a result's.
    pub(super) fault: Option<Fault>,
    /// For the log: a word of a closed set, and what there is to say.
    pub(super) remarks: Vec<(&'static str, String)>,
    /// Metrics asked for in pages that were answered.
    pub(super) asked: u64,
}

impl<A: Ask> Desk<A> {
    /// All pages of one batch; those before a fault are kept.
    pub(super) async fn call(self, batch: Arc<Batch>) -> Called {
        let answers = vec![Answer::default(); batch.series.len()];
        let mut called = Called { batch, answers, fault: None, remarks: Vec::new(), asked: 0 };
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = match self.page(&mut called, token.as_deref()).await {
                Ok(page) => page,
                Err(fault) => return called.broken_off(fault),
            };
            called.asked += called.batch.series.len() as u64;
            let Page { results, messages, next } = page;
            results.into_iter().for_each(|given| called.take(given, &self.metrics));
            called.say("message", messages);
            if next.is_none() || next == token {
                return called;
            }
            token = next;
        }
        called.broken_off(Fault::Broken)
    }

    /// One page, tried again while the fault may pass.
    async fn page(&self, called: &mut Called, token: Option<&str>) -> Result<Page, Fault> {
        let mut failures = 0;
        loop {
            self.wait_for_turn(called.batch.points()).await;
            let refused = match self.ask.data(&called.batch, token).await {
                Ok(page) => {
                    self.metrics.answered(&called.batch.series);
                    return Ok(page);
                }
                Err(refused) => refused,
            };
            self.metrics.failed(Operation::GetMetricData, refused.fault);
            called.remarks.push((refused.fault.as_str(), refused.text));
            failures += 1;
            if failures >= TRIES_MAX || !refused.fault.passes() {
                return Err(refused.fault);
            }
            let delay = AGAIN.delay(failures, entropy::chance());
            self.clock.sleep_until(self.clock.now().mono + delay).await;
        }
    }

    async fn wait_for_turn(&self, points: u64) {
        let now = self.clock.now().mono;
        let wait = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(points, now);
        if !wait.is_zero() {
            self.clock.sleep_until(now + wait).await;
        }
    }
}

impl Called {
    fn take(&mut self, given: Given, metrics: &CloudWatchMetrics) {
        metrics.result(given.status);
        let (complete, fault) = match given.status {
            // Emulators give no status.
            ResultStatus::Complete | ResultStatus::Other => (Complete::Yes, None),
            ResultStatus::Partial => (Complete::No, None),
            ResultStatus::InternalError => (Complete::No, Some(Fault::Broken)),
            ResultStatus::Forbidden => (Complete::Refused, Some(Fault::Refused)),
        };
        if fault.is_some() && self.remarks.len() < REMARKS_MAX {
            let what = given.index.and_then(|index| self.batch.series.get(index));
            self.remarks.push((given.status.as_str(), format!("no complete result of {what:?}")));
        }
        self.say("message", given.messages);
        let Some(answer) = given.index.and_then(|index| self.answers.get_mut(index)) else {
            return;
        };
        answer.complete = complete;
        answer.values.extend(given.values);
        self.fault = fault.or(self.fault);
    }

    /// No more pages come: what is not whole by now is not asked for again soon.
    fn broken_off(mut self, fault: Fault) -> Self {
        for answer in &mut self.answers {
            if answer.complete != Complete::Yes {
                answer.complete = Complete::Refused;
            }
        }
        Self { fault: Some(fault), ..self }
    }

    fn say(&mut self, cause: &'static str, messages: Vec<(String, String)>) {
        let texts = messages.into_iter().map(|(code, text)| (cause, format!("{code}: {text}")));
        self.remarks.extend(texts.take(REMARKS_MAX.saturating_sub(self.remarks.len())));
    }
}
