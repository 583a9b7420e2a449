//! Owns the task that sends the messaging metrics. Refuses to keep what could not be sent: metrics
//! are cumulative, so the next export says it all again.

use super::answer::Delivered;
use super::config::Config;
use super::messaging::OtlpMetrics;
use super::sender::Sender;
use super::sender::Signal;
use super::transport::BuildError;
use crate::io::clock::Clock;
use crate::io::quiet::Quiet;
use crate::wire::otlp::metrics::request;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long the last report may take once the process was told to end.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Sends metrics to one collector.
#[derive(Debug)]
pub struct Reporter {
    sender: Sender,
    resource: Vec<(String, String)>,
    interval: Duration,
    clock: Clock,
    quiet: Quiet,
}

impl Reporter {
    /// Connects when it is first used, so a collector that is down is no error.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn new(config: &Config, clock: Clock) -> Result<Self, BuildError> {
        Ok(Self {
            sender: Sender::new(config, Signal::Metrics, clock.clone())?,
            resource: config.resource.clone(),
            interval: config.schedule_delay,
            clock,
            quiet: Quiet::default(),
        })
    }

    async fn send(&self, metrics: &OtlpMetrics) {
        let now = self.clock.now();
        let counted = metrics.read(now.wall);
        if counted.is_empty() {
            return;
        }
        let message = request(&self.resource, counted);
        let endpoint = self.sender.endpoint();
        match self.sender.deliver(message.into()).await {
            Ok(Delivered { rejected: 0, message: None }) => {}
            Ok(Delivered { rejected, message }) => {
                if let Some(silenced) = self.quiet.may_say("partial success", now) {
                    let message = message.unwrap_or_default();
                    tracing::warn!(%endpoint, rejected, message, silenced, "the collector refused metrics, or warns");
                }
            }
            Err(failure) => {
                if let Some(silenced) = self.quiet.may_say("failure", now) {
                    let cause = failure.cause;
                    tracing::warn!(%endpoint, cause, silenced, "metrics cannot be delivered");
                }
            }
        }
    }
}

/// Sends what `metrics` counted at every interval until `stop`, then once more for three seconds at
/// most.
pub async fn report(metrics: OtlpMetrics, reporter: Reporter, stop: CancellationToken) {
    let clock = reporter.clock.clone();
    let mut next_at = clock.now().mono;
    loop {
        // From one due time to the next, so that a slow collector does not stretch the interval;
        // times that were missed are not made up for.
        next_at = next_at.saturating_add(reporter.interval).max(clock.now().mono);
        let wait = clock.sleep_until(next_at);
        if stop.run_until_cancelled(wait).await.is_none() {
            break;
        }
        if stop.run_until_cancelled(reporter.send(&metrics)).await.is_none() {
            break;
        }
    }
    tokio::select! {
        () = reporter.send(&metrics) => {}
        () = clock.sleep_until(clock.now().mono.saturating_add(FLUSH_MAX)) => {
            tracing::warn!("the last metrics could not be delivered in time");
        }
    }
}
