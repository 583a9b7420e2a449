//! Owns the reading of both clocks. Nothing else in the crate may read one.

use crate::domain::time::{Moment, Wall};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A clock: cheap to clone, shared by all rooms of a process, so that their `mono` compare.
#[derive(Debug, Clone)]
pub struct Clock {
    began: Arc<Origin>,
}

#[derive(Debug)]
struct Origin {
    mono: Instant,
    /// Set for a simulated clock: calendar time at the origin; it then advances with `mono`.
    wall: Option<Wall>,
}

impl Clock {
    /// The system's clocks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clocks")]
    pub fn system() -> Self {
        Self { began: Arc::new(Origin { mono: Instant::now(), wall: None }) }
    }

    /// Tokio's clock with a calendar that starts at `wall`: exact under `tokio::time::pause`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clocks")]
    pub fn simulated(wall: Wall) -> Self {
        Self { began: Arc::new(Origin { mono: Instant::now(), wall: Some(wall) }) }
    }

    /// Both clocks, read together.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clocks")]
    pub fn now(&self) -> Moment {
        let mono = Instant::now().saturating_duration_since(self.began.mono);
        let wall = match self.began.wall {
            Some(start) => start.plus(mono),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Wall::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
            }
        };
        Moment { wall, mono }
    }

    /// Now, by the monotonic clock alone: its calendar time goes on from `earlier`'s. For what happens
    /// within one call, where it costs half of [`Self::now`].
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one reader of the clocks")]
    pub fn after(&self, earlier: Moment) -> Moment {
        let mono = Instant::now().saturating_duration_since(self.began.mono);
        earlier.plus(mono.saturating_sub(earlier.mono))
    }

    /// Waits until the monotonic clock shows `mono`.
    pub async fn sleep_until(&self, mono: std::time::Duration) {
        tokio::time::sleep_until(self.began.mono + mono).await;
    }
}
