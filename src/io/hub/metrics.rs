//! Owns the counters of what arrives by OTLP.

use crate::wire::otlp_receive::Signal;
use http::StatusCode;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::Opts;
use prometheus::Registry;

/// Counters of the receiver.
#[derive(Debug, Clone)]
pub struct Metrics {
    received: IntCounterVec,
    dropped_full: IntCounter,
    refused: IntCounter,
}

impl Metrics {
    /// Registers `kinescope_otlp_received_total{signal,outcome}`, in spans and points; requests
    /// that were refused go to `dropped`, the process's `kinescope_dropped_total{queue,reason}`,
    /// under `queue="otlp_receive"`: `full` (503, the exporter repeats it) or `refused`.
    ///
    /// # Errors
    /// When the registry already has the family or `dropped` has other labels.
    pub fn register(registry: &Registry, dropped: &IntCounterVec) -> prometheus::Result<Self> {
        let received = IntCounterVec::new(
            Opts::new(
                "kinescope_otlp_received_total",
                "Spans and points that arrived by OTLP: accepted, foreign (not about Kinesis), invalid.",
            ),
            &["signal", "outcome"],
        )?;
        registry.register(Box::new(received.clone()))?;
        let drop = |reason| dropped.get_metric_with_label_values(&["otlp_receive", reason]);
        Ok(Self { received, dropped_full: drop("full")?, refused: drop("refused")? })
    }

    pub(super) fn received(&self, signal: Signal, accepted: u64, foreign: u64, invalid: u64) {
        for (outcome, count) in [("accepted", accepted), ("foreign", foreign), ("invalid", invalid)]
        {
            self.received.with_label_values(&[signal.as_str(), outcome]).inc_by(count);
        }
    }

    pub(super) fn refused(&self, code: StatusCode) {
        let full = code == StatusCode::SERVICE_UNAVAILABLE;
        if full { &self.dropped_full } else { &self.refused }.inc();
    }
}
