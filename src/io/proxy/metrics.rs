//! Owns the data plane's counters and histograms. Refuses label values from outside except names
//! under a cap.

use crate::domain::time::Wall;
use crate::domain::trace::TraceContext;
use crate::io::otlp::OPERATION_SECONDS;
use crate::wire::exposition::openmetrics::{Exemplar, Exemplars};
use crate::wire::kinesis::operation::Operation;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Inside the sidecar: microseconds. One bucket a doubling, from what a splice costs to what
/// nobody should see.
const OVERHEAD_BUCKETS: &[f64] =
    &[25e-6, 50e-6, 1e-4, 2e-4, 4e-4, 8e-4, 16e-4, 32e-4, 64e-4, 0.0128, 0.05, 0.25, 1.0];
/// A record's age at delivery and a reader's pace: from a second to a day.
const AGE_BUCKETS: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0,
    86_400.0,
];
pub(super) const RECORD_AGE: &str = "kinesis_record_age_seconds";
pub(super) const END_TO_END: &str = "kinesis_event_end_to_end_seconds";
/// Names of streams and error codes that become label values; the rest are `other`.
const NAMES_MAX: usize = 1_000;

/// Everything that the data plane counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `kinescope_proxy_requests_total`
    pub requests: IntCounterVec,
    /// `kinescope_proxy_overhead_seconds`
    pub overhead: HistogramVec,
    /// `kinescope_proxy_upstream_seconds`
    pub upstream: HistogramVec,
    /// `kinescope_proxy_resends_total`
    pub resends: IntCounterVec,
    /// `kinesis_records_total`
    pub records: IntCounterVec,
    /// `kinesis_injected_bytes_total`
    pub injected_bytes: IntCounterVec,
    /// `kinesis_put_failures_total`
    pub put_failures: IntCounterVec,
    /// `kinesis_shard_put_bytes_total`
    pub shard_put_bytes: IntCounterVec,
    /// `kinesis_shard_put_records_total`
    pub shard_put_records: IntCounterVec,
    /// `kinesis_record_age_seconds`
    pub record_age: HistogramVec,
    /// `kinesis_event_end_to_end_seconds`
    pub end_to_end: HistogramVec,
    /// `kinesis_consumer_poll_interval_seconds`
    pub poll_interval: HistogramVec,
    /// `kinesis_queue_redelivered_records_total`
    pub redelivered: IntCounterVec,
    /// `kinesis_subscriptions_ended_total`
    pub subscriptions_ended: IntCounterVec,
    /// `kinescope_dropped_total`, shared by all rooms with a queue.
    pub dropped: IntCounterVec,
    exemplars: Arc<Mutex<Exemplars>>,
    names: Arc<Mutex<HashSet<String>>>,
    hot: Arc<[Hot; 3]>,
}

/// What every request of one operation counts, once found: to look a series up, its labels are
/// hashed. A series that nothing was counted in yet is not there, and not shown.
#[derive(Debug, Default)]
struct Hot {
    ok: OnceLock<IntCounter>,
    overhead: OnceLock<Histogram>,
    upstream: OnceLock<Histogram>,
}

impl Metrics {
    /// Makes and registers the families; those about Kinesis carry `region`.
    ///
    /// # Errors
    /// A family is registered already.
    #[expect(clippy::too_many_lines, reason = "one family after another, no decision")]
    pub fn register(
        registry: &Registry,
        region: &str,
        dropped: IntCounterVec,
        exemplars: Arc<Mutex<Exemplars>>,
    ) -> prometheus::Result<Self> {
        fn add<C: Collector + Clone + 'static>(
            registry: &Registry,
            made: prometheus::Result<C>,
        ) -> prometheus::Result<C> {
            let made = made?;
            registry.register(Box::new(made.clone()))?;
            Ok(made)
        }
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let mut opts = Opts::new(name, help);
            if name.starts_with("kinesis_") {
                opts = opts.const_label("region", region);
            }
            add(registry, IntCounterVec::new(opts, labels))
        };
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            let mut opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            if name.starts_with("kinesis_") {
                opts = opts.const_label("region", region);
            }
            add(registry, HistogramVec::new(opts, labels))
        };
        Ok(Self {
            requests: counter(
                "kinescope_proxy_requests_total",
                "Requests by operation and by what became of them.",
                &["operation", "outcome"],
            )?,
            overhead: histogram(
                "kinescope_proxy_overhead_seconds",
                "Time that a request spent inside this sidecar before it was sent on.",
                &["operation"],
                OVERHEAD_BUCKETS,
            )?,
            upstream: histogram(
                "kinescope_proxy_upstream_seconds",
                "Time from sending a request to the beginning of Kinesis' answer.",
                &["operation"],
                &OPERATION_SECONDS,
            )?,
            resends: counter(
                "kinescope_proxy_resends_total",
                "Requests that were sent a second time after an answer that proved nothing was stored, by why.",
                &["reason"],
            )?,
            records: counter(
                "kinesis_records_total",
                "Records seen on the wire by this sidecar, and what became of each.",
                &["stream", "direction", "verdict"],
            )?,
            injected_bytes: counter(
                "kinesis_injected_bytes_total",
                "Payload bytes that trace context added to records.",
                &["stream"],
            )?,
            put_failures: counter(
                "kinesis_put_failures_total",
                "Records that Kinesis did not store, also those inside a 200, by its error code.",
                &["stream", "error"],
            )?,
            shard_put_bytes: counter(
                "kinesis_shard_put_bytes_total",
                "Bytes that were stored in each shard, data and partition keys, as answers to this pod's puts said; shards beyond the cap are `other`.",
                &["stream", "shard"],
            )?,
            shard_put_records: counter(
                "kinesis_shard_put_records_total",
                "Records that were stored in each shard, as answers to this pod's puts said; shards beyond the cap are `other`.",
                &["stream", "shard"],
            )?,
            record_age: histogram(
                "kinesis_record_age_seconds",
                "Age of each record at its delivery, from its approximate arrival.",
                &["stream", "consumer"],
                AGE_BUCKETS,
            )?,
            end_to_end: histogram(
                "kinesis_event_end_to_end_seconds",
                "Time from when an event says that it was made, by its producer's clock, to its delivery; of events that carry a context.",
                &["stream", "consumer"],
                AGE_BUCKETS,
            )?,
            poll_interval: histogram(
                "kinesis_consumer_poll_interval_seconds",
                "Time from the delivery of a batch to the reader's next call on that iterator.",
                &["stream", "consumer"],
                AGE_BUCKETS,
            )?,
            redelivered: counter(
                "kinesis_queue_redelivered_records_total",
                "Records that a queue delivered to this pod again (ReceiveCount over 1).",
                &["stream", "consumer"],
            )?,
            subscriptions_ended: counter(
                "kinesis_subscriptions_ended_total",
                "Ends of SubscribeToShard streams of this pod, by how.",
                &["stream", "consumer", "how"],
            )?,
            dropped,
            exemplars,
            names: Arc::default(),
            hot: Arc::default(),
        })
    }

    /// Keeps the trace of an observation of [`RECORD_AGE`] or [`END_TO_END`], so that a bucket can
    /// be followed to it.
    pub(super) fn exemplify(
        &self,
        family: &'static str,
        labels: (&str, &str),
        (seconds, context): (f64, TraceContext),
        at: Wall,
    ) {
        let exemplar = Exemplar { value: seconds, context, at };
        let mut exemplars = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        exemplars.note(family, labels, AGE_BUCKETS, exemplar);
    }

    /// Counts a request and what became of it.
    pub(super) fn request(&self, operation: &str, outcome: &str) {
        self.requests.with_label_values(&[operation, outcome]).inc();
    }

    /// Counts a request that Kinesis answered with a success.
    pub(super) fn request_ok(&self, operation: Operation) {
        let counter = || self.requests.with_label_values(&[operation.as_str(), "ok"]);
        match self.hot(operation) {
            Some(hot) => hot.ok.get_or_init(counter).inc(),
            None => counter().inc(),
        }
    }

    /// Time inside the sidecar.
    pub(super) fn overhead_of(&self, operation: Operation, took: Duration) {
        let histogram = || self.overhead.with_label_values(&[operation.as_str()]);
        match self.hot(operation) {
            Some(hot) => hot.overhead.get_or_init(histogram).observe(took.as_secs_f64()),
            None => histogram().observe(took.as_secs_f64()),
        }
    }

    /// Time that Kinesis took.
    pub(super) fn upstream_of(&self, operation: Operation, took: Duration) {
        let histogram = || self.upstream.with_label_values(&[operation.as_str()]);
        match self.hot(operation) {
            Some(hot) => hot.upstream.get_or_init(histogram).observe(took.as_secs_f64()),
            None => histogram().observe(took.as_secs_f64()),
        }
    }

    fn hot(&self, operation: Operation) -> Option<&Hot> {
        let [put, puts, reads] = &*self.hot;
        match operation {
            Operation::PutRecord => Some(put),
            Operation::PutRecords => Some(puts),
            Operation::GetRecords => Some(reads),
            Operation::GetShardIterator
            | Operation::SubscribeToShard
            | Operation::ReceiveQueueRecords
            | Operation::ReceiveDeadLetterQueueRecords
            | Operation::Known(..)
            | Operation::Other => None,
        }
    }

    /// `name` while the cap allows another, then `other`.
    #[must_use]
    pub fn capped<'a>(&self, name: &'a str) -> &'a str {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains(name) {
            return name;
        }
        if names.len() >= NAMES_MAX {
            return "other";
        }
        names.insert(name.to_owned());
        name
    }
}
