//! Owns the counters of delivery and what is told of the queues. Refuses labels that are not
//! configuration.

use crate::domain::outbox::Fate;
use crate::io::clock::Clock;
use crate::io::notify::outgoing::Outgoing;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::sync::Arc;

/// The `queue` label in `kinescope_dropped_total`.
const QUEUE: &str = "notify";

/// Why a notice was dropped without its receiver having refused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The queue was full, and this was its oldest notice.
    Full,
    /// It could not be delivered for too long.
    Expired,
    /// The process ended first, and there is no disk to keep it on.
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

/// `kinescope_notifications_total{receiver,outcome}`, and whether alerts outlive the process.
#[derive(Debug, Clone)]
pub struct Metrics {
    notifications: IntCounterVec,
    /// 1 while what is not delivered is on disk.
    pub durable: IntGauge,
}

impl Metrics {
    /// Creates the families in `registry`.
    ///
    /// # Errors
    /// When the registry has a family of such a name.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Notices to receivers by outcome: delivered, undeliverable (refused by the \
                    receiver), dropped (never delivered), retried (attempts that failed and were \
                    made again), collapsed (a newer one said all of it), fallback (handed over to \
                    the fallback), renewed (an Alertmanager was told again of what fires).";
        let notifications = IntCounterVec::new(
            Opts::new("kinescope_notifications_total", help),
            &["receiver", "outcome"],
        )?;
        registry.register(Box::new(notifications.clone()))?;
        let durable = IntGauge::new(
            "kinescope_alert_store_durable",
            "Whether alerts and undelivered notices are kept on disk and outlive a kill: 1 or 0.",
        )?;
        registry.register(Box::new(durable.clone()))?;
        Ok(Self { notifications, durable })
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
    /// A newer notice took its place.
    pub collapsed: IntCounter,
    /// Its fallback has it.
    pub fallback: IntCounter,
    /// An Alertmanager was told again.
    pub renewed: IntCounter,
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
            collapsed: outcome("collapsed"),
            fallback: outcome("fallback"),
            renewed: outcome("renewed"),
            dropped: outcome("dropped"),
            dropped_by_reason: dropped.clone(),
        }
    }

    /// Counts what became of a notice.
    pub fn count(&self, fate: Fate) {
        match fate {
            Fate::Collapsed => self.collapsed.inc(),
            Fate::HandedOver => self.fallback.inc(),
            Fate::Full => self.drop(DropReason::Full, 1),
            Fate::Expired => self.drop(DropReason::Expired, 1),
        }
    }

    /// Counts `notices` that will never be delivered.
    pub fn drop(&self, reason: DropReason, notices: u64) {
        self.dropped.inc_by(notices);
        self.dropped_by_reason.with_label_values(&[QUEUE, reason.as_str()]).inc_by(notices);
    }
}

/// The queues as they are when somebody scrapes.
pub(super) struct QueueGauges {
    outgoing: Arc<Outgoing>,
    clock: Clock,
    length: IntGaugeVec,
    age: GaugeVec,
}

impl QueueGauges {
    pub(super) fn register(
        registry: &Registry,
        outgoing: Arc<Outgoing>,
        clock: Clock,
    ) -> prometheus::Result<()> {
        let length = IntGaugeVec::new(
            Opts::new(
                "kinescope_notification_queue_length",
                "Notices that wait for the receiver to take them.",
            ),
            &["receiver"],
        )?;
        let age = GaugeVec::new(
            Opts::new(
                "kinescope_notification_oldest_seconds",
                "How long the oldest notice has been waiting for the receiver; absent while none does.",
            ),
            &["receiver"],
        )?;
        registry.register(Box::new(Self { outgoing, clock, length, age }))
    }
}

impl Collector for QueueGauges {
    fn desc(&self) -> Vec<&Desc> {
        [self.length.desc(), self.age.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = self.clock.now().wall;
        self.age.reset();
        for (receiver, waiting, oldest) in self.outgoing.waiting() {
            let length = i64::try_from(waiting).unwrap_or(i64::MAX);
            self.length.with_label_values(&[&receiver]).set(length);
            if let Some(oldest) = oldest {
                self.age.with_label_values(&[&receiver]).set(now.since(oldest).as_secs_f64());
            }
        }
        [self.length.collect(), self.age.collect()].concat()
    }
}
