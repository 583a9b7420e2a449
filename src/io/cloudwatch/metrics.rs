//! Owns what is told about polling itself: calls, results, cost, freshness, what was given up.
//! Refuses the polled values, which go to the engine.

use crate::domain::cloudwatch::Budget;
use crate::domain::cloudwatch::Detail;
use crate::domain::cloudwatch::Job;
use crate::domain::cloudwatch::Series;
use crate::domain::cloudwatch::budget::DOLLARS_EACH;
use crate::domain::time::Wall;
use crate::io::cloudwatch::ask::ResultStatus;
use crate::io::credentials::fault::Fault;
use crate::io::credentials::refusals::Refusals;
use prometheus::CounterVec;
use prometheus::Gauge;
use prometheus::GaugeVec;
use prometheus::IntCounterVec;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::core::Collector;
use std::time::Duration;

/// Up to so many statistics of one metric in one request are one metric, by one reading of the price.
const STATISTICS_AS_ONE: usize = 5;

/// The job of listing what there is.
pub(super) const DISCOVERY: &str = "discovery";

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    GetMetricData,
    ListMetrics,
}

impl Operation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::GetMetricData => "GetMetricData",
            Self::ListMetrics => "ListMetrics",
        }
    }

    /// The IAM action that allows it.
    const fn action(self) -> &'static str {
        match self {
            Self::GetMetricData => "cloudwatch:GetMetricData",
            Self::ListMetrics => "cloudwatch:ListMetrics",
        }
    }
}

fn add<C: Collector + Clone + 'static>(
    registry: &Registry,
    family: prometheus::Result<C>,
) -> prometheus::Result<C> {
    let family = family?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

/// The poller's own families. Series appear when there is something to tell.
#[derive(Debug, Clone)]
pub struct CloudWatchMetrics {
    requests: IntCounterVec,
    results: IntCounterVec,
    metrics_requested: IntCounterVec,
    cost_dollars: CounterVec,
    last_success: GaugeVec,
    given_up: IntGaugeVec,
    budget_dollars: Gauge,
    month_dollars: Gauge,
    delay: GaugeVec,
    refusals: Refusals,
}

impl CloudWatchMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// When one of the names is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help, labels: &[&str]| {
            add(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauges = |name, help, labels: &[&str]| {
            add(registry, GaugeVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name, help| add(registry, Gauge::with_opts(Opts::new(name, help)));
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
            cost_dollars: add(
                registry,
                CounterVec::new(
                    Opts::new(
                        "kinescope_cloudwatch_estimated_cost_dollars_total",
                        "What was asked of CloudWatch at list price, by either reading of it.",
                    ),
                    &["billing"],
                ),
            )?,
            last_success: gauges(
                "kinescope_cloudwatch_last_success_timestamp_seconds",
                "When all that a job asked of CloudWatch was last answered without any fault.",
                &["job"],
            )?,
            given_up: add(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "kinescope_cloudwatch_given_up",
                        "1 for a detail that is not asked for, so that the month's budget holds.",
                    ),
                    &["detail"],
                ),
            )?,
            budget_dollars: gauge(
                "kinescope_cloudwatch_budget_dollars",
                "This replica's part of the month's budget for CloudWatch; infinite where it has none.",
            )?,
            month_dollars: gauge(
                "kinescope_cloudwatch_month_cost_dollars",
                "What this replica asked of CloudWatch this month (UTC) at list price, by the dearer reading.",
            )?,
            delay: gauges(
                "kinescope_cloudwatch_settle_delay_seconds",
                "How old a period's end must be before a job takes it for settled, as learned.",
                &["job"],
            )?,
            refusals: Refusals::default(),
        })
    }

    /// Tells `refusals` what AWS refuses.
    #[must_use]
    pub fn telling(self, refusals: Refusals) -> Self {
        Self { refusals, ..self }
    }

    /// A page of GetMetricData was answered. A further page is a request of its own.
    pub(super) fn answered(&self, series: &[Series]) {
        self.answered_call(Operation::GetMetricData);
        let as_one = |group: &[Series]| group.len().div_ceil(STATISTICS_AS_ONE);
        let same =
            |a: &Series, b: &Series| a.metric.name() == b.metric.name() && a.subject == b.subject;
        let metrics = series.chunk_by(same).map(as_one).sum();
        for (billing, count) in [("per_statistic", series.len()), ("per_metric", metrics)] {
            self.metrics_requested.with_label_values(&[billing]).inc_by(count as u64);
            self.cost_dollars.with_label_values(&[billing]).inc_by(count as f64 * DOLLARS_EACH);
        }
    }

    /// A page of ListMetrics was answered, which has one price by any reading.
    pub(super) fn listed(&self) {
        self.answered_call(Operation::ListMetrics);
        for billing in ["per_statistic", "per_metric"] {
            self.cost_dollars.with_label_values(&[billing]).inc_by(DOLLARS_EACH);
        }
    }

    fn answered_call(&self, operation: Operation) {
        self.refusals.told(operation.action(), "", None);
        self.requests.with_label_values(&[operation.as_str(), "ok"]).inc();
    }

    /// A call failed; AWS does not bill it.
    pub(super) fn failed(&self, operation: Operation, fault: Fault) {
        self.refusals.told(operation.action(), "", Some(fault));
        self.requests.with_label_values(&[operation.as_str(), fault.as_str()]).inc();
    }

    /// A result had this status.
    pub(super) fn result(&self, status: ResultStatus) {
        self.results.with_label_values(&[status.as_str()]).inc();
    }

    /// All of a job's asks of one poll went well, which began then.
    pub(super) fn succeeded(&self, job: &str, began: Wall) {
        self.last_success.with_label_values(&[job]).set(began.as_seconds() as f64);
    }

    /// What the budget says now.
    pub(super) fn budget(&self, budget: &Budget) {
        let given_up = budget.given_up();
        for detail in Detail::ORDER {
            let gauge = self.given_up.with_label_values(&[detail.as_str()]);
            gauge.set(i64::from(given_up.contains(&detail)));
        }
        self.budget_dollars.set(budget.dollars().unwrap_or(f64::INFINITY));
        self.month_dollars.set(budget.spent_dollars());
    }

    /// How long a job's periods take to settle.
    pub(super) fn delay(&self, job: Job, delay: Duration) {
        self.delay.with_label_values(&[job.as_str()]).set(delay.as_secs_f64());
    }
}
