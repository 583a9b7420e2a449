//! Owns the counters of the span export. `accepted` plus every drop equals what was offered.

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::Opts;
use prometheus::Registry;

/// Counters, resolved once: an offer touches one atomic and no label lookup.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// The collector took them.
    pub(super) accepted: IntCounter,
    /// The collector answered, and refused them (partial success).
    pub(super) rejected: IntCounter,
    /// No try delivered them.
    pub(super) failed: IntCounter,
    /// Dropped: no room in the queue.
    pub(super) dropped_full: IntCounter,
    /// Dropped: refused by the collector.
    pub(super) dropped_rejected: IntCounter,
    /// Dropped: the tries were used up.
    pub(super) dropped_failed: IntCounter,
    /// Dropped: larger than what the collector takes.
    pub(super) dropped_too_large: IntCounter,
    /// Dropped: older or newer than what the collector takes.
    pub(super) dropped_out_of_time: IntCounter,
    /// Dropped: offered or still queued when the export ended.
    pub(super) dropped_shutdown: IntCounter,
}

impl Metrics {
    /// Registers `kinescope_spans_exported_total{outcome}`; drops go to `dropped`, the process's
    /// `kinescope_dropped_total{queue,reason}`, under `queue="spans"`.
    ///
    /// # Errors
    /// When the registry already has the family or `dropped` has other labels.
    pub fn register(registry: &Registry, dropped: &IntCounterVec) -> prometheus::Result<Self> {
        let exported = IntCounterVec::new(
            Opts::new(
                "kinescope_spans_exported_total",
                "Spans handed to the collector, by what became of them.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(exported.clone()))?;
        Self::over(&exported, "spans", dropped)
    }

    /// The same of the spans that go to the hub: `kinescope_hub_spans_total{outcome}`, drops under
    /// `queue="hub"`.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub fn register_hub(registry: &Registry, dropped: &IntCounterVec) -> prometheus::Result<Self> {
        let sent = IntCounterVec::new(
            Opts::new(
                "kinescope_hub_spans_total",
                "Spans handed to the hub, by what became of them.",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(sent.clone()))?;
        Self::over(&sent, "hub", dropped)
    }

    /// Of the spans that this process remembers itself: drops under `queue="traces"`, those over
    /// the rate that is remembered as `reason="rate"`, and nothing else, since whoever remembers counts.
    ///
    /// # Errors
    /// When `dropped` has other labels.
    pub fn remembered(dropped: &IntCounterVec) -> prometheus::Result<Self> {
        let unseen = IntCounterVec::new(Opts::new("unseen", "Not registered."), &["outcome"])?;
        let dropped_full = dropped.get_metric_with_label_values(&["traces", "rate"])?;
        Ok(Self { dropped_full, ..Self::over(&unseen, "traces", dropped)? })
    }

    fn over(
        exported: &IntCounterVec,
        queue: &str,
        dropped: &IntCounterVec,
    ) -> prometheus::Result<Self> {
        let drop = |reason| dropped.get_metric_with_label_values(&[queue, reason]);
        Ok(Self {
            accepted: exported.get_metric_with_label_values(&["accepted"])?,
            rejected: exported.get_metric_with_label_values(&["rejected"])?,
            failed: exported.get_metric_with_label_values(&["failed"])?,
            dropped_full: drop("full")?,
            dropped_rejected: drop("rejected")?,
            dropped_failed: drop("export_failed")?,
            dropped_too_large: drop("too_large")?,
            dropped_out_of_time: drop("out_of_time")?,
            dropped_shutdown: drop("shutdown")?,
        })
    }
}
