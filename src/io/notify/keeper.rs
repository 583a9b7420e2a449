//! Owns the writing of what changed in the outbox: all that came since the last commit in one
//! transaction, and all there is where a disk that failed takes it again. Refuses to be waited for:
//! it wakes who waits.

use crate::domain::backoff::Backoff;
use crate::io::clock::Clock;
use crate::io::entropy;
use crate::io::notify::outgoing::{Outgoing, Writing};
use crate::io::outbox::{Regained, Store};
use prometheus::IntGauge;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long alerts wait for a disk. Being told late is worse than being told twice after a kill.
const GO_AHEAD_AFTER: Duration = Duration::from_millis(500);

/// When a disk that failed is tried again: a full one is seldom emptied within seconds.
pub(super) const RETRY: Backoff = Backoff {
    initial: Duration::from_secs(5),
    factor: 2.0,
    max: Duration::from_secs(300),
    jitter: 0.2,
};

/// A disk that takes what it is given for so long has come back.
const SETTLED: Duration = Duration::from_secs(60);

/// What became of the disk.
enum Turn {
    /// A commit failed.
    Failed,
    /// It was tried again in vain.
    NotYet,
    /// It has all there is, or is not tried any more.
    Regained,
}

/// The one writer of the store.
#[derive(Debug)]
pub struct Keeper {
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) store: Store,
    pub(super) durable: IntGauge,
    pub(super) clock: Clock,
    pub(super) retry: Backoff,
}

impl Keeper {
    /// Writes until `stop`, then what is left. It must outlive the deliveries.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut failures: u32 = 0;
        let mut regained_at = None;
        loop {
            let retry_at = self.store.is_degraded().then(|| {
                let delay = self.retry.delay(failures + 1, entropy::chance());
                self.clock.now().mono.saturating_add(delay)
            });
            let Some(turn) = self.write_until(retry_at, &stop).await else { return };
            let now = self.clock.now().mono;
            match turn {
                Turn::Regained => regained_at = Some(now),
                // A disk that fails again at once has not come back.
                Turn::Failed if regained_at.is_none_or(|at| now.saturating_sub(at) > SETTLED) => {
                    failures = 0;
                }
                Turn::Failed | Turn::NotYet => failures = failures.saturating_add(1),
            }
        }
    }

    /// Writes what comes until the disk fails, or is due to be tried again, and then tries it.
    /// `None` at the end.
    async fn write_until(
        &mut self,
        retry_at: Option<Duration>,
        stop: &CancellationToken,
    ) -> Option<Turn> {
        let clock = self.clock.clone();
        let mut due = std::pin::pin!(async {
            match retry_at {
                Some(mono) => clock.sleep_until(mono).await,
                None => std::future::pending().await,
            }
        });
        loop {
            tokio::select! {
                biased;
                writing = self.outgoing.changes(stop) => {
                    let writing = writing?;
                    let version = writing.version;
                    self.write(writing).await;
                    self.settle(version);
                    if retry_at.is_none() && self.store.is_degraded() {
                        return Some(Turn::Failed);
                    }
                }
                () = &mut due => return Some(self.regain().await),
            }
        }
    }

    async fn write(&mut self, Writing { changes, machine, .. }: Writing) {
        let mut commit = std::pin::pin!(self.store.commit(changes, machine));
        if tokio::time::timeout(GO_AHEAD_AFTER, &mut commit).await.is_err() {
            tracing::warn!("the state folder is slow: alerts go out before they are on disk");
            self.outgoing.go_ahead(true);
            commit.await;
            self.outgoing.go_ahead(false);
        }
    }

    /// Tries to begin a new file with all there is. Nobody waits for a disk that was given up.
    async fn regain(&mut self) -> Turn {
        let Writing { changes, machine, version } = self.outgoing.whole();
        self.outgoing.go_ahead(true);
        let regained = self.store.regain(changes, machine).await;
        self.outgoing.go_ahead(false);
        self.settle(version);
        match regained {
            Regained::Durable => tracing::info!("alerts are kept on disk again"),
            Regained::NotYet(error) => {
                let error = &error as &dyn Error;
                tracing::debug!(error, "alerts cannot be kept on disk yet");
                return Turn::NotYet;
            }
            Regained::Foreign => tracing::warn!(
                "the state folder can be used again and holds what was known of alerts before this \
                 start: restart to take it up; until then alerts are kept in memory"
            ),
        }
        Turn::Regained
    }

    fn settle(&self, version: u64) {
        let is_durable = self.store.is_durable();
        self.durable.set(i64::from(is_durable));
        self.outgoing.committed(version, is_durable);
    }
}
