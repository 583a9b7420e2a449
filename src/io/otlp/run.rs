//! Owns the task that empties the span queue to the collector. Refuses to hurry: while a collector
//! fails, it rests between batches and the queue drops what does not fit.

use super::answer::Failure;
use super::config::Config;
use super::exporter::Exporter;
use super::queue::Limits;
use super::queue::Queue;
use super::sender::TRIES_MAX;
use crate::io::clock::Clock;
use crate::io::entropy;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Spans and links after which a batch is closed: encoding it takes a thread that the data plane
/// shares.
const BATCH_WEIGHT_MAX: usize = 4_000;
/// How long the last flush may take once the process was told to end.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Sends what `queue` holds until `stop`, then once more for three seconds at most. Spans that are
/// left then count as dropped; so do those of a run that is itself dropped.
pub async fn run(
    queue: Queue,
    exporter: Exporter,
    config: Config,
    clock: Clock,
    stop: CancellationToken,
) {
    let end = async {
        stop.cancelled().await;
        clock.sleep_until(clock.now().mono + FLUSH_MAX).await;
    };
    let mut worker = Worker { queue, exporter, config, clock: clock.clone(), failures: 0 };
    tokio::select! {
        () = worker.work(&stop) => {}
        () = end => tracing::warn!("the last spans could not be delivered in time"),
    }
}

struct Worker {
    queue: Queue,
    exporter: Exporter,
    config: Config,
    clock: Clock,
    /// Batches given up since the last one that was delivered.
    failures: u32,
}

impl Worker {
    async fn work(&mut self, stop: &CancellationToken) {
        while self.gather(stop).await {
            self.empty(stop, self.config.batch_max).await;
        }
        self.queue.close();
        self.empty(stop, 1).await;
    }

    /// Waits for a full batch or for the first spans to grow old; false when told to stop.
    async fn gather(&self, stop: &CancellationToken) -> bool {
        let at = self.clock.now().mono.saturating_add(self.config.schedule_delay);
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = self.queue.batch_ready() => true,
            () = self.clock.sleep_until(at) => true,
        }
    }

    /// Sends one batch, and more as long as `spans_min` wait. A batch that fails ends a flush.
    async fn empty(&mut self, stop: &CancellationToken, spans_min: usize) {
        loop {
            let limits = Limits {
                spans_max: self.config.batch_max,
                weight_max: BATCH_WEIGHT_MAX,
                bytes_max: self.exporter.batch_bytes_max(),
                span_bytes_max: self.exporter.span_bytes_max(),
                window: self.exporter.window(self.clock.now().wall),
            };
            let Some((batch, held)) = self.queue.take(&limits) else { return };
            match self.exporter.export(batch, held).await {
                Ok(()) => self.recovered(),
                Err(failure) => {
                    self.rest(&failure, stop).await;
                    if stop.is_cancelled() {
                        return;
                    }
                }
            }
            if self.queue.len() < spans_min {
                return;
            }
        }
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!(endpoint = %self.exporter.endpoint(), "spans are delivered again");
        }
    }

    /// Leaves the collector alone for a while, the longer the more batches failed.
    async fn rest(&mut self, failure: &Failure, stop: &CancellationToken) {
        if self.failures == 0 {
            tracing::warn!(
                endpoint = %self.exporter.endpoint(),
                cause = failure.cause,
                "spans cannot be delivered; they are dropped and counted until they can"
            );
        }
        self.failures = self.failures.saturating_add(1);
        let failures = TRIES_MAX.saturating_add(self.failures);
        let wait = self.config.retry.delay(failures, entropy::chance());
        let wait = wait.max(failure.retry_after.unwrap_or_default());
        let at = self.clock.now().mono.saturating_add(wait);
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.clock.sleep_until(at) => {}
        }
    }
}
