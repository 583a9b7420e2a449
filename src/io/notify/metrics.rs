//! Owns the counters of delivery. Refuses labels that are not configuration.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// The `queue` label in `kinescope_dropped_total`.
const QUEUE: &str = "notify";

/// Why a notice was dropped without its receiver having refused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The queue was full, and this was its oldest notice.
    Full,
    /// It could not be delivered for too long.
    Expired,
    /// The process ended first.
    Shutdown,
}

impl DropReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Expired => "expired",
            Self::Shutdown => "shutdown",
        }
    }
}

/// `kinescope_notifications_total{receiver,outcome}`.
#[derive(Debug, Clone)]
pub struct Metrics {
    notifications: IntCounterVec,
}

impl Metrics {
    /// Creates the family in `registry`.
    ///
    /// # Errors
    /// When the registry has a family of this name.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Notices to receivers by outcome: delivered, undeliverable (refused by the \
                    receiver), dropped (never delivered), retried (attempts that failed and were \
                    made again).";
        let opts = Opts::new("kinescope_notifications_total", help);
        let notifications = IntCounterVec::new(opts, &["receiver", "outcome"])?;
        registry.register(Box::new(notifications.clone()))?;
        Ok(Self { notifications })
    }
}

/// One receiver's counters, all there from the start so that the first failure is an increase.
#[derive(Debug, Clone)]
pub struct ReceiverMetrics {
    /// The receiver took it.
    pub delivered: IntCounter,
    /// An attempt failed, and another follows.
    pub retried: IntCounter,
    /// The receiver, or its URL, makes delivery impossible.
    pub undeliverable: IntCounter,
    dropped: IntCounter,
    dropped_by_reason: IntCounterVec,
}

impl ReceiverMetrics {
    /// The counters of the receiver of this name.
    #[must_use]
    pub fn new(receiver: &str, metrics: &Metrics, dropped: &IntCounterVec) -> Self {
        let outcome = |outcome| metrics.notifications.with_label_values(&[receiver, outcome]);
        Self {
            delivered: outcome("delivered"),
            retried: outcome("retried"),
            undeliverable: outcome("undeliverable"),
            dropped: outcome("dropped"),
            dropped_by_reason: dropped.clone(),
        }
    }

    /// Counts `notices` that will never be delivered.
    pub fn drop(&self, reason: DropReason, notices: u64) {
        self.dropped.inc_by(notices);
        self.dropped_by_reason.with_label_values(&[QUEUE, reason.as_str()]).inc_by(notices);
    }
}
