//! Owns what is remembered of the lease of a shard that a window is of: who held it when, when it
//! was renewed, how far its work had come. Refuses to judge: `assess` does.

use super::checkpoint::Marks;
use super::{Lease, Tuning};
use std::time::Duration;

/// The lease of the shard, as its table had it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeenLease {
    pub(super) lease: Lease,
    /// When the counter was last seen at another value.
    pub(super) moved_at: Duration,
    /// When another owner was first seen, while that may still mean that the shard is gone …
    pub(super) owner_changed_at: Option<Duration>,
    /// … and when the table last said otherwise: what was read until then was not read by it.
    pub(super) owner_before_at: Duration,
    /// When the checkpoint was last seen at another place.
    pub(super) checkpoint_moved_at: Duration,
    /// What was delivered since the lease is known.
    pub(super) marks: Marks,
}

impl SeenLease {
    pub(super) fn new(lease: &Lease) -> Self {
        let at = lease.at.mono;
        Self {
            lease: lease.clone(),
            moved_at: at,
            owner_changed_at: None,
            owner_before_at: at,
            checkpoint_moved_at: at,
            marks: Marks::default(),
        }
    }

    /// Whether it was not renewed for as long as it lives; `None` where the table was not read of
    /// late.
    pub(super) fn is_expired(&self, now: Duration, tuning: &Tuning) -> Option<bool> {
        let read_at = self.lease.at.mono;
        let is_fresh = now.saturating_sub(read_at) <= tuning.lease_life;
        is_fresh.then(|| read_at.saturating_sub(self.moved_at) >= tuning.lease_life)
    }

    /// Takes in what the table says now.
    pub(super) fn see(&mut self, lease: &Lease) {
        let at = lease.at.mono;
        if at < self.lease.at.mono {
            return;
        }
        if lease.counter != self.lease.counter || lease.owner != self.lease.owner {
            self.moved_at = at;
        }
        if lease.owner != self.lease.owner {
            // Nobody's: whoever held it has not lost it to another.
            self.owner_changed_at = lease.owner.is_some().then_some(at);
            self.owner_before_at = self.lease.at.mono;
        }
        if lease.checkpoint != self.lease.checkpoint {
            self.checkpoint_moved_at = at;
        }
        self.lease = lease.clone();
    }
}
