//! Owns the writing of what changed in the outbox: all that came since the last commit in one
//! transaction. Refuses to be waited for: it wakes who waits.

use crate::io::notify::outgoing::{Outgoing, Writing};
use crate::io::outbox::Store;
use prometheus::IntGauge;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

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
        while let Some(Writing { changes, machine, version }) = self.outgoing.changes(&stop).await {
            self.store.commit(changes, machine).await;
            let is_durable = self.store.is_durable();
            self.durable.set(i64::from(is_durable));
            self.outgoing.committed(version, is_durable);
        }
    }
}
