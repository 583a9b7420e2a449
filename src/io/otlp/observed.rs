//! Owns the way of what this sidecar saw to the hub: a ledger that holds the newest of each shard, and
//! the task that tells it. Refuses to try one report again: the next one says it all, and newer.

use super::answer::Delivered;
use super::config::Config;
use super::sender::Sender;
use super::sender::Signal;
use super::transport::BuildError;
use crate::domain::engine::Event;
use crate::domain::observation::Ledger;
use crate::io::clock::Clock;
use crate::wire::observations::write;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long the hub may take to answer a report: the next one is due after a second.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A hub that is away is asked again after so long at most.
const REST_MAX: Duration = Duration::from_secs(2);

/// Where what happened is noted for the hub. Cloning counts references. The ledger is the queue: its
/// bounds are its own, and what has no room in it is counted as dropped.
#[derive(Debug, Clone)]
pub struct Observations(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    news: Notify,
}

/// The task that tells the hub.
#[derive(Debug)]
pub struct Teller {
    observations: Observations,
    sender: Sender,
    region: String,
    clock: Clock,
    full: IntCounter,
    failed: IntCounter,
    away: bool,
}

impl Observations {
    /// Notes an event: a look-up, never a wait for the network.
    pub fn note(&self, event: &Event) {
        if self.ledger().note(event) {
            self.0.news.notify_one();
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the hub at `config.endpoint`, for the process `instance` of `service` on `host`. Drops go to
/// `dropped`, the process's `kinescope_dropped_total{queue,reason}`, under
/// `queue="hub_observations"`: `full` and `export_failed`, in facts.
///
/// # Errors
/// See [`BuildError`]; `dropped` has other labels.
pub fn observations(
    config: &Config,
    (service, instance, host, region): (&str, &str, Option<&str>, &str),
    dropped: &IntCounterVec,
    clock: &Clock,
) -> Result<(Observations, Teller), BuildError> {
    let ledger = Mutex::new(Ledger::new(service, instance, clock.now()).on(host));
    let observations = Observations(Arc::new(Shared { ledger, news: Notify::new() }));
    let drop = |reason| dropped.with_label_values(&["hub_observations", reason]);
    let teller = Teller {
        observations: observations.clone(),
        sender: Sender::new(config, Signal::Metrics, clock.clone())?,
        region: region.to_owned(),
        clock: clock.clone(),
        full: drop("full"),
        failed: drop("export_failed"),
        away: false,
    };
    Ok((observations, teller))
}

impl Teller {
    /// Tells until `stop`, and then that the pod goes away.
    pub async fn run(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.wait()).await.is_some() {
            if stop.run_until_cancelled(self.tell(false)).await.is_none() {
                break;
            }
        }
        self.tell(true).await;
    }

    /// Until the next report is due.
    async fn wait(&self) {
        let rest = if self.away { REST_MAX } else { Duration::ZERO };
        let not_before = self.clock.now().mono.saturating_add(rest);
        loop {
            let due = self.observations.ledger().due().max(not_before);
            tokio::select! {
                () = self.clock.sleep_until(due) => return,
                () = self.observations.0.news.notified() => {}
            }
        }
    }

    async fn tell(&mut self, leaving: bool) {
        let (report, left_out) = {
            let mut ledger = self.observations.ledger();
            (ledger.report(self.clock.now(), leaving), ledger.left_out())
        };
        self.full.inc_by(left_out);
        let body = write(&report, &self.region);
        match self.sender.deliver_once(body.into()).await {
            Ok(Delivered { .. }) => {
                if std::mem::take(&mut self.away) {
                    tracing::info!("the hub is told again what this sidecar sees");
                }
            }
            Err(failure) => {
                self.failed.inc_by(report.len() as u64);
                if !std::mem::replace(&mut self.away, true) {
                    let endpoint = self.sender.endpoint();
                    let cause = failure.cause;
                    tracing::warn!(%endpoint, cause, "the hub cannot be told what this sidecar sees");
                }
            }
        }
    }
}
