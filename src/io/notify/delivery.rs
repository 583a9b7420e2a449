//! Owns the telling of one receiver: in order within each group, again after what may pass, until it
//! has it, refuses it, or it is too old. Refuses to hold up the end of the process.

use crate::domain::alert::fingerprint::fingerprint;
use crate::domain::alert::{AlertState, AlertView, LET_GO, Notice};
use crate::domain::backoff::Backoff;
use crate::domain::outbox::Job;
use crate::io::clock::Clock;
use crate::io::notify::attempt::{self, Failure};
use crate::io::notify::client::HttpsClient;
use crate::io::notify::message;
use crate::io::notify::metrics::ReceiverMetrics;
use crate::io::notify::outgoing::{Outgoing, Work};
use crate::io::notify::receiver::{Kind, Receiver};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long everything may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Between attempts.
    pub(super) backoff: Backoff,
    /// From a request to its answer's head.
    pub(super) attempt_max: Duration,
    /// The longest wait that a receiver can ask for.
    pub(super) retry_after_max: Duration,
    /// From the stop of the process to its end: what is not delivered then is left.
    pub(super) last_try_max: Duration,
}

impl Timing {
    pub(super) const DEFAULT: Self = Self {
        backoff: Backoff::NOTIFY,
        // Webhook senders wait 15 to 30 s; a receiver that is slower is as good as dead.
        attempt_max: Duration::from_secs(15),
        // Longer and a receiver could talk itself out of an alert that still matters.
        retry_after_max: Duration::from_secs(10 * 60),
        // A pod has 30 s to end, for all its rooms together.
        last_try_max: Duration::from_secs(5),
    };
}

/// One receiver's task.
#[derive(Debug)]
pub struct Delivery {
    pub(super) name: String,
    /// As configured now.
    pub(super) receiver: watch::Receiver<Receiver>,
    pub(super) index: usize,
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) external_url: String,
    pub(super) client: HttpsClient,
    pub(super) clock: Clock,
    pub(super) metrics: ReceiverMetrics,
    pub(super) timing: Timing,
    /// Counts the reloads of the configuration …
    pub(super) reloads: Arc<AtomicU64>,
    /// … and the one in whose time the receiver said that it is gone, plus 1; 0 while it did not.
    pub(super) gone_since: AtomicU64,
}

/// What of a job is sent by one request.
#[derive(Debug, Clone)]
struct Load {
    job: usize,
    notice: Arc<Notice>,
}

/// What became of a job's loads so far.
#[derive(Debug, Default)]
struct Outcome {
    /// The longest wait that was asked for, if any load may go better later.
    again: Option<Duration>,
    /// Fingerprints of alerts that were refused.
    refused: Vec<u64>,
}

impl Delivery {
    /// The receiver's name, for the task that runs this.
    #[must_use]
    pub fn receiver(&self) -> &str {
        &self.name
    }

    /// Delivers until `stop` is cancelled, then tries what waits once more, for at most 5 s.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.lanes(&stop) => {}
            () = self.last_moment(&stop) => {}
        }
        let (receiver, (left, kept)) = (&self.name, self.outgoing.end(self.index));
        match (left, kept) {
            (0, _) => {}
            (_, true) => tracing::info!(receiver, left, "notices are kept for the next start"),
            (_, false) => tracing::warn!(receiver, left, "notices dropped at shutdown"),
        }
    }

    async fn last_moment(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        self.clock.sleep_until(self.clock.now().mono + self.timing.last_try_max).await;
    }

    async fn lanes(&self, stop: &CancellationToken) {
        let lane = || self.lane(stop);
        let lanes = self.receiver.borrow().kind.lanes();
        match lanes {
            1 => lane().await,
            // Each waits for answers most of the time, all on one thread.
            _ => drop(tokio::join!(lane(), lane(), lane(), lane())),
        }
    }

    async fn lane(&self, stop: &CancellationToken) {
        let max = self.receiver.borrow().kind.batch_max();
        while let Some(work) = self.outgoing.next(self.index, max, stop).await {
            match work {
                Work::Jobs(jobs) => self.deliver(jobs).await,
                Work::Renewal(alerts) => self.renew(&alerts).await,
            }
        }
    }

    async fn deliver(&self, jobs: Vec<Job>) {
        let mut outcomes: Vec<Outcome> = jobs.iter().map(|_| Outcome::default()).collect();
        let mut batches = self.batches(&jobs);
        let mut is_down = None;
        while let Some(batch) = batches.pop_front() {
            // Once it is known to be down, the rest waits with what failed.
            let sent = match is_down {
                None => self.send(&batch).await,
                Some(asked) => {
                    self.note(&batch, &mut outcomes, |outcome| outcome.again = Some(asked));
                    continue;
                }
            };
            let Err(failure) = sent else { continue };
            if failure.may_be_partial()
                && let Some(halves) = halves(&batch, self.splits_alerts())
            {
                halves.into_iter().rev().for_each(|half| batches.push_front(half));
                continue;
            }
            self.log(&jobs, &batch, &failure);
            if failure.is_retryable() {
                let asked = failure.retry_after().unwrap_or_default();
                let asked = asked.min(self.timing.retry_after_max);
                is_down = Some(asked);
                self.note(&batch, &mut outcomes, |outcome| outcome.again = Some(asked));
            } else {
                self.give_up(&batch, &mut outcomes);
            }
            if failure.is_gone() {
                self.gone_since.store(self.reloads.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
        }
        self.settle(jobs, &outcomes);
    }

    /// What is sent together. PagerDuty takes one alert at a time.
    fn batches(&self, jobs: &[Job]) -> VecDeque<Vec<Load>> {
        let all = jobs.iter().enumerate();
        let whole = all.map(|(job, told)| Load { job, notice: Arc::clone(&told.notice) });
        match &self.receiver.borrow().kind {
            Kind::PagerDuty { .. } => {
                whole.flat_map(|load| each_alert(&load)).map(|load| vec![load]).collect()
            }
            Kind::Webhook { .. }
            | Kind::Alertmanager { .. }
            | Kind::Slack { .. }
            | Kind::Teams { .. } => [whole.collect()].into(),
        }
    }

    /// Whether the alerts of a notice mean the same one by one.
    fn splits_alerts(&self) -> bool {
        matches!(self.receiver.borrow().kind, Kind::Alertmanager { .. })
    }

    async fn send(&self, batch: &[Load]) -> Result<(), Failure> {
        if self.is_gone() {
            return Err(Failure::Gone);
        }
        let receiver = self.receiver.borrow().clone();
        let all = batch.iter().map(|load| Arc::clone(&load.notice));
        let notices: Vec<Arc<Notice>> = match receiver.kind {
            Kind::Alertmanager { .. } => all.filter_map(not_let_go).collect(),
            Kind::Webhook { .. }
            | Kind::Slack { .. }
            | Kind::PagerDuty { .. }
            | Kind::Teams { .. } => all.collect(),
        };
        if notices.is_empty() {
            return Ok(());
        }
        let now = self.clock.now().wall;
        let message = message::compose(&receiver, &notices, &self.external_url, now).await?;
        let attempt_max = self.timing.attempt_max;
        attempt::post(&self.client, &receiver.kind, message, attempt_max, &self.clock).await
    }

    fn is_gone(&self) -> bool {
        self.gone_since.load(Ordering::Relaxed) == self.reloads.load(Ordering::Relaxed) + 1
    }

    fn note(&self, batch: &[Load], outcomes: &mut [Outcome], note: impl Fn(&mut Outcome)) {
        for load in batch {
            if let Some(outcome) = outcomes.get_mut(load.job) {
                note(outcome);
            }
        }
    }

    fn give_up(&self, batch: &[Load], outcomes: &mut [Outcome]) {
        for load in batch {
            let alerts = load.notice.alerts.iter().map(|alert| fingerprint(&alert.labels));
            if let Some(outcome) = outcomes.get_mut(load.job) {
                outcome.refused.extend(alerts);
            }
        }
    }

    fn settle(&self, jobs: Vec<Job>, outcomes: &[Outcome]) {
        let mut again = Vec::new();
        let mut asked = Duration::ZERO;
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            if let Some(wait) = outcome.again {
                self.metrics.retried.inc();
                asked = asked.max(wait);
                again.push(job);
            } else if outcome.refused.len() >= job.notice.alerts.len() {
                self.metrics.undeliverable.inc();
                self.outgoing.refused(self.index, &job);
            } else {
                self.metrics.delivered.inc();
                self.outgoing.delivered(self.index, &job, &outcome.refused);
            }
        }
        if !again.is_empty() {
            self.outgoing.failed(self.index, &again, &self.timing.backoff, asked);
        }
    }

    /// Tells again what fires. What fails is told a minute later, when it is due again.
    async fn renew(&self, notice: &Arc<Notice>) {
        let mut batches = VecDeque::from([vec![Load { job: 0, notice: Arc::clone(notice) }]]);
        while let Some(batch) = batches.pop_front() {
            match self.send(&batch).await {
                Ok(()) => self.metrics.renewed.inc(),
                Err(failure) => match halves(&batch, true).filter(|_| failure.may_be_partial()) {
                    Some(halves) => batches.extend(halves),
                    None => {
                        let failure = &failure as &dyn std::error::Error;
                        tracing::debug!(receiver = self.name, failure, "not renewed");
                    }
                },
            }
        }
    }

    /// The first failure is news; that it goes on is in the metrics.
    fn log(&self, jobs: &[Job], batch: &[Load], failure: &Failure) {
        let job = batch.first().and_then(|load| jobs.get(load.job));
        let (receiver, notice) = (&self.name, job.map_or(0, |job| job.notice.id));
        let is_first = job.is_none_or(|job| job.failures == 0);
        let failure_said = failure as &dyn std::error::Error;
        if !failure.is_retryable() {
            tracing::warn!(receiver, notice, failure = failure_said, "a notice can't be delivered");
        } else if is_first {
            tracing::warn!(receiver, notice, failure = failure_said, "delivery fails, it goes on");
        } else {
            tracing::debug!(receiver, notice, failure = failure_said, "delivery fails");
        }
    }
}

/// The notice without ends that this process did not see: an Alertmanager, whom others tell of the
/// same alerts, would end theirs. `None` where nothing is left of it.
fn not_let_go(notice: Arc<Notice>) -> Option<Arc<Notice>> {
    let is_let_go = |alert: &AlertView| {
        alert.state == AlertState::Resolved && alert.annotations.contains_key(LET_GO)
    };
    if !notice.alerts.iter().any(is_let_go) {
        return Some(notice);
    }
    let alerts: Vec<AlertView> =
        notice.alerts.iter().filter(|alert| !is_let_go(alert)).cloned().collect();
    (!alerts.is_empty()).then(|| Arc::new(Notice { alerts, ..Notice::clone(&notice) }))
}

/// The batch in two, by notices or, of one notice, by alerts; `None` if it is but one of these.
fn halves(batch: &[Load], by_alert: bool) -> Option<[Vec<Load>; 2]> {
    let parts: Vec<Load> = match batch {
        [one] if by_alert => each_alert(one),
        all => all.to_vec(),
    };
    if parts.len() < 2 {
        return None;
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    let joined = |half: &[Load]| if batch.len() == 1 { together(half) } else { half.to_vec() };
    Some([joined(left), joined(right)])
}

fn each_alert(load: &Load) -> Vec<Load> {
    let alone = |alert: &AlertView| {
        let notice = Notice { alerts: vec![alert.clone()], ..Notice::clone(&load.notice) };
        Load { job: load.job, notice: Arc::new(notice) }
    };
    load.notice.alerts.iter().map(alone).collect()
}

/// Parts of one notice as one.
fn together(parts: &[Load]) -> Vec<Load> {
    let Some(first) = parts.first() else { return Vec::new() };
    let alerts = parts.iter().flat_map(|part| part.notice.alerts.iter().cloned()).collect();
    let notice = Arc::new(Notice { alerts, ..Notice::clone(&first.notice) });
    vec![Load { job: first.job, notice }]
}
