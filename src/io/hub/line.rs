//! Owns one connection's memory: which sidecar told over it, so that its end can be told. Refuses to
//! know what was told.

use super::receive::Desk;
use std::sync::{Arc, Mutex, PoisonError};

/// A connection of the receiver. The first one, from which the others are cloned, is the listener's
/// own.
#[derive(Debug)]
pub(super) struct Line {
    desk: Arc<Desk>,
    told: ToldBy,
}

/// Which sidecar told over a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct ToldBy(Arc<Mutex<Option<Arc<str>>>>);

impl ToldBy {
    /// This one did.
    pub(super) fn set(&self, instance: &Arc<str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(instance));
    }

    fn take(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Line {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk, told: ToldBy::default() }
    }

    pub(super) fn told(&self) -> ToldBy {
        self.told.clone()
    }
}

impl Clone for Line {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.desk))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(instance) = self.told.take() {
            self.desk.hung_up(instance);
        }
    }
}
