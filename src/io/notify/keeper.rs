//! Owns the writing of what changed in the outbox: all that came since the last commit in one
//! transaction. Refuses to be waited for: it wakes who waits.

use crate::io::notify::outgoing::{Outgoing, Writing};
use crate::io::outbox::Store;
use prometheus::IntGauge;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long alerts wait for a disk. Being told late is worse than being told twice after a kill.
const GO_AHEAD_AFTER: Duration = Duration::from_millis(500);

/// The one writer of the store.
#[derive(Debug)]
pub struct Keeper {
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) store: Store,
    pub(super) durable: IntGauge,
}

impl Keeper {
    /// Writes until `stop`, then what is left. It must outlive the deliveries.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(writing) = self.outgoing.changes(&stop).await {
            let version = writing.version;
            self.write(writing).await;
            let is_durable = self.store.is_durable();
            self.durable.set(i64::from(is_durable));
            self.outgoing.committed(version, is_durable);
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
}
