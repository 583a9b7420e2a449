//! Owns the emptying of one receiver's queue: in order, again after what may pass, until the
//! receiver has it, refuses it, or it is too old. Refuses to hold up the end of the process.

use crate::domain::alert::Notice;
use crate::domain::backoff::Backoff;
use crate::io::clock::Clock;
use crate::io::entropy;
use crate::io::notify::Receiver;
use crate::io::notify::attempt::{self, Failure};
use crate::io::notify::client::HttpsClient;
use crate::io::notify::metrics::{DropReason, ReceiverMetrics};
use crate::io::notify::queue::Queue;
use crate::wire::notify::webhook;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
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
    /// From the decision to tell until it is given up.
    pub(super) age_max: Duration,
    /// From the stop of the process to its end: what is not delivered then is dropped.
    pub(super) last_try_max: Duration,
}

impl Timing {
    pub(super) const DEFAULT: Self = Self {
        backoff: Backoff::NOTIFY,
        // Webhook senders wait 15 to 30 s; a receiver that is slower is as good as dead.
        attempt_max: Duration::from_secs(15),
        // Longer and a receiver could talk itself out of an alert that still matters.
        retry_after_max: Duration::from_secs(10 * 60),
        // Nobody acts on an alert of yesterday.
        age_max: Duration::from_secs(24 * 3_600),
        // A pod has 30 s to end, for all its rooms together.
        last_try_max: Duration::from_secs(5),
    };
}

/// The far end of one receiver's queue.
#[derive(Debug)]
pub struct Delivery {
    pub(super) receiver: Receiver,
    pub(super) queue: Arc<Queue>,
    pub(super) external_url: String,
    pub(super) client: HttpsClient,
    pub(super) clock: Clock,
    pub(super) metrics: ReceiverMetrics,
    pub(super) timing: Timing,
}

impl Delivery {
    /// The receiver's name, for the task that runs this.
    #[must_use]
    pub fn receiver(&self) -> &str {
        &self.receiver.name
    }

    /// Delivers until `stop` is cancelled, then tries what waits once more, for at most 5 s.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.work(&stop) => {}
            () = self.last_moment(&stop) => {}
        }
        let left = self.queue.close();
        if left > 0 {
            tracing::warn!(receiver = self.receiver.name, left, "notices dropped at shutdown");
        }
    }

    async fn last_moment(&self, stop: &CancellationToken) {
        stop.cancelled().await;
        self.sleep(self.timing.last_try_max).await;
    }

    async fn work(&self, stop: &CancellationToken) {
        while let Some(notice) = self.queue.front(stop).await {
            if !self.deliver(&notice, stop).await {
                return;
            }
            self.queue.finish_front();
        }
    }

    /// Whether the notice is done with; false if the stop came before that.
    async fn deliver(&self, notice: &Notice, stop: &CancellationToken) -> bool {
        let body = Bytes::from(webhook::body(notice, &self.receiver.name, &self.external_url));
        let mut failures = 0;
        loop {
            if self.clock.now().since(notice.at) > self.timing.age_max {
                self.metrics.drop(DropReason::Expired, 1);
                tracing::warn!(receiver = self.receiver.name, notice = notice.id, "given up");
                return true;
            }
            // Only an attempt that began after the stop is the last.
            let is_last = stop.is_cancelled();
            let (url, attempt_max) = (&self.receiver.url, self.timing.attempt_max);
            let sent =
                attempt::post(&self.client, url, body.clone(), attempt_max, &self.clock).await;
            let Err(failure) = sent else {
                self.metrics.delivered.inc();
                return true;
            };
            failures += 1;
            self.log(notice, &failure, failures);
            if !failure.is_retryable() {
                self.metrics.undeliverable.inc();
                return true;
            }
            if is_last {
                return false;
            }
            self.metrics.retried.inc();
            tokio::select! {
                () = self.sleep(self.delay(&failure, failures)) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn delay(&self, failure: &Failure, failures: u32) -> Duration {
        let asked = failure.retry_after().unwrap_or_default().min(self.timing.retry_after_max);
        self.timing.backoff.delay(failures, entropy::chance()).max(asked)
    }

    /// The first failure is news; that it goes on is in the metrics.
    fn log(&self, notice: &Notice, failure: &Failure, failures: u32) {
        let (receiver, notice) = (&self.receiver.name, notice.id);
        if !failure.is_retryable() {
            tracing::error!(receiver, notice, %failure, "notice is undeliverable");
        } else if failures == 1 {
            tracing::warn!(receiver, notice, %failure, "notice not delivered; trying again");
        } else {
            tracing::debug!(receiver, notice, %failure, failures, "notice not delivered");
        }
    }

    async fn sleep(&self, delay: Duration) {
        self.clock.sleep_until(self.clock.now().mono.saturating_add(delay)).await;
    }
}
