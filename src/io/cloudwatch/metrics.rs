//! Owns what is told about polling itself: calls, results, cost, freshness. Refuses the polled
//! values, which go to the engine.

use crate::io::cloudwatch::plan::ResultStatus;
use crate::io::credentials::fault::Fault;
use prometheus::CounterVec;
use prometheus::GaugeVec;
use prometheus::IntCounterVec;
use prometheus::Opts;
use prometheus::Registry;

const OPERATION: &str = "GetMetricData";
const JOB: &str = "streams";

/// What AWS asks for one metric.
const DOLLARS_PER_METRIC: f64 = 0.01 / 1_000.0;

/// The two readings of AWS's price list: each statistic is a metric, or up to five statistics of a
/// metric in one request are one.
const BILLINGS: [&str; 2] = ["per_statistic", "per_metric"];

/// The poller's own families. Series appear when there is something to tell.
#[derive(Debug, Clone)]
pub struct CloudWatchMetrics {
    requests: IntCounterVec,
    results: IntCounterVec,
    metrics_requested: IntCounterVec,
    cost_dollars: CounterVec,
    last_success_seconds: GaugeVec,
}

impl CloudWatchMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            prometheus::Result::Ok(family)
        };
        let cost_dollars = CounterVec::new(
            Opts::new(
                "kinescope_cloudwatch_estimated_cost_dollars_total",
                "What the metrics asked of CloudWatch cost at list price, by either reading of it.",
            ),
            &["billing"],
        )?;
        registry.register(Box::new(cost_dollars.clone()))?;
        let last_success_seconds = GaugeVec::new(
            Opts::new(
                "kinescope_cloudwatch_last_success_timestamp_seconds",
                "When a poll of CloudWatch was last answered without any fault.",
            ),
            &["job"],
        )?;
        registry.register(Box::new(last_success_seconds.clone()))?;
        Ok(Self {
            requests: counter(
                "kinescope_cloudwatch_requests_total",
                "Calls to CloudWatch, by what became of them.",
                &["operation", "outcome"],
            )?,
            results: counter(
                "kinescope_cloudwatch_results_total",
                "Results in CloudWatch's answers, by the status it gave them.",
                &["status"],
            )?,
            metrics_requested: counter(
                "kinescope_cloudwatch_metrics_requested_total",
                "Metrics asked of CloudWatch in answered calls, by either reading of its price list.",
                &["billing"],
            )?,
            cost_dollars,
            last_success_seconds,
        })
    }

    /// A call was answered. `queries` have one statistic each, and no two are of the same metric,
    /// so that both billings agree; a further page is a request of its own.
    pub fn answered(&self, queries: usize) {
        self.requests.with_label_values(&[OPERATION, "ok"]).inc();
        let queries = u32::try_from(queries).unwrap_or(u32::MAX);
        for billing in BILLINGS {
            self.metrics_requested.with_label_values(&[billing]).inc_by(queries.into());
            let cost = f64::from(queries) * DOLLARS_PER_METRIC;
            self.cost_dollars.with_label_values(&[billing]).inc_by(cost);
        }
    }

    /// A call failed; AWS does not bill it.
    pub fn failed(&self, fault: Fault) {
        self.requests.with_label_values(&[OPERATION, fault.as_str()]).inc();
    }

    /// A result had this status.
    pub fn result(&self, status: ResultStatus) {
        self.results.with_label_values(&[status.as_str()]).inc();
    }

    /// A whole poll went well at this time, in seconds since the epoch.
    #[expect(clippy::cast_precision_loss, reason = "a clock's seconds fit a double until 2^53")]
    pub fn succeeded(&self, at_seconds: u64) {
        self.last_success_seconds.with_label_values(&[JOB]).set(at_seconds as f64);
    }
}
