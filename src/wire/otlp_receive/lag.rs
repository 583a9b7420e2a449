//! Owns KCL's own metric of its lag as a value. Refuses to make a present lag of it: KCL sends a
//! histogram of all lags that it saw, by default since it began, and only two of them show what
//! lies between.

use super::Fault;
use super::service;
use super::sift;
use super::text;
use crate::domain::observation::Report;
use crate::domain::stream::ShardId;
use crate::domain::stream::StreamName;
use crate::domain::time::Wall;
use crate::wire::observations;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// KCL's `MillisBehindLatest` under its name in OpenTelemetry.
const KCL_LAG: &str = "aws.kinesis.client.consumer.lag.duration";

/// What a KCL worker says of its lag in one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct LagPoint {
    /// `service.name` of its resource.
    pub service: Arc<str>,
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard: ShardId,
    /// KCL's worker, one of the application's processes.
    pub worker: Option<Arc<str>>,
    /// When it was said.
    pub at: Wall,
    /// Since when it was counted.
    pub since: Wall,
    /// Reads.
    pub reads: u64,
    /// The sum of what they were behind; their mean is this by `reads`.
    pub behind_sum: Duration,
    /// The most that one of them was behind, where it was sent.
    pub behind_max: Option<Duration>,
    /// Counted since the worker began, and not since the last point.
    pub cumulative: bool,
}

impl LagPoint {
    /// The mean lag of the reads after `earlier`, or of all of them where there is none, it counts
    /// from another beginning, or points do not add up. `None` without reads.
    #[must_use]
    pub fn mean_after(&self, earlier: Option<&Self>) -> Option<Duration> {
        let continued = |earlier: &&Self| self.cumulative && earlier.since == self.since;
        let (reads, sum) = earlier
            .filter(continued)
            .map_or((0, Duration::ZERO), |earlier| (earlier.reads, earlier.behind_sum));
        let reads = u32::try_from(self.reads.checked_sub(reads)?).ok()?;
        self.behind_sum.checked_sub(sum)?.checked_div(reads)
    }
}

/// What a request held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReceivedMetrics {
    /// KCL's lag.
    pub lags: Vec<LagPoint>,
    /// What sidecars saw.
    pub reports: Vec<Report>,
    /// Points in the reports.
    pub reported: u64,
    /// Points of other metrics: well-formed, not ours.
    pub foreign: u64,
    /// Points of KCL's lag that lack a stream or a shard, or have no histogram in time, and of
    /// sidecars that lack their names.
    pub invalid: u64,
}

/// Reads an `ExportMetricsServiceRequest`.
///
/// # Errors
/// When it is malformed or would take too much memory.
pub fn metrics(body: &[u8]) -> Result<ReceivedMetrics, Fault> {
    sift::sift(body, &sift::METRICS)?;
    let request = ExportMetricsServiceRequest::decode(body).map_err(|_| Fault::Malformed)?;
    let mut received = ReceivedMetrics::default();
    for resource in &request.resource_metrics {
        let service = service(resource.resource.as_ref());
        let heard = observations::read(resource);
        received.reports.extend(heard.report);
        received.reported += heard.accepted;
        received.invalid += heard.invalid;
        let metrics = resource.scope_metrics.iter().flat_map(|scope| &scope.metrics);
        for metric in metrics.filter(|metric| !observations::is_ours(&metric.name)) {
            match (&metric.data, unit(metric)) {
                (Some(Data::Histogram(histogram)), Some(unit)) => {
                    let cumulative = match histogram.aggregation_temporality() {
                        AggregationTemporality::Cumulative => Some(true),
                        AggregationTemporality::Delta => Some(false),
                        AggregationTemporality::Unspecified => None,
                    };
                    for point in &histogram.data_points {
                        match cumulative.and_then(|known| lag(&service, point, unit, known)) {
                            Some(lag) => received.lags.push(lag),
                            None => received.invalid += 1,
                        }
                    }
                }
                (_, Some(_)) => received.invalid += points(metric),
                (_, None) => received.foreign += points(metric),
            }
        }
    }
    Ok(received)
}

/// Seconds in the metric's unit, if it is KCL's lag.
fn unit(metric: &Metric) -> Option<f64> {
    match (metric.name.as_str(), metric.unit.as_str()) {
        (KCL_LAG, "ms" | "") => Some(0.001),
        (KCL_LAG, "s") => Some(1.0),
        _ => None,
    }
}

fn lag(
    service: &Arc<str>,
    point: &HistogramDataPoint,
    unit: f64,
    cumulative: bool,
) -> Option<LagPoint> {
    let said = |name| text(&point.attributes, name);
    let time = |value: f64| Duration::try_from_secs_f64(value * unit).ok();
    Some(LagPoint {
        service: service.clone(),
        stream: said("aws.kinesis.stream_name")?.into(),
        shard: said("aws.kinesis.shard.id")?.into(),
        worker: said("aws.kinesis.consumer.name").map(Arc::from),
        at: Wall::from_nanos(point.time_unix_nano),
        since: Wall::from_nanos(point.start_time_unix_nano),
        reads: point.count,
        behind_sum: time(point.sum?)?,
        behind_max: match point.max {
            Some(max) => Some(time(max)?),
            None => None,
        },
        cumulative,
    })
}

fn points(metric: &Metric) -> u64 {
    let count = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    };
    count as u64
}
