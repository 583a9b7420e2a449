//! Owns metrics as OTLP has them, in `opentelemetry-proto`'s types: sums and histograms since a
//! start. Refuses other temporalities and kinds: cumulative is what every backend reads, and a lost
//! export loses nothing.

use super::attribute;
use super::proto_resource;
use super::scope;
use crate::domain::time::Wall;
use crate::domain::trace::Attribute;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::AggregationTemporality;
use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::metrics::v1::ScopeMetrics;
use opentelemetry_proto::tonic::metrics::v1::Sum;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::transform::common::tonic::Attributes;
use prost::Message;

/// How a metric introduces itself.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Its name by the conventions.
    pub name: &'static str,
    /// What it says.
    pub description: &'static str,
    /// Its unit in UCUM, such as `s` or `{message}`.
    pub unit: &'static str,
}

/// The time that values are of.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When counting began.
    pub start: Wall,
    /// When the values were read.
    pub now: Wall,
}

/// Observations by size.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram<const N: usize> {
    /// Observations at most as large as each bound and larger than the one before.
    pub within: [u64; N],
    /// Observations beyond the last bound.
    pub beyond: u64,
    /// The sum of all.
    pub sum: f64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { within: [0; N], beyond: 0, sum: 0.0 }
    }
}

impl<const N: usize> Histogram<N> {
    /// Counts one value.
    pub fn observe(&mut self, bounds: &[f64; N], value: f64) {
        self.sum += value;
        let bucket = self.within.iter_mut().zip(bounds).find(|(_, bound)| value <= **bound);
        *bucket.map_or(&mut self.beyond, |(count, _)| count) += 1;
    }
}

/// A monotonic sum; `None` without points.
pub fn sum(
    named: Named,
    times: Times,
    points: impl Iterator<Item = (Vec<Attribute>, u64)>,
) -> Option<Metric> {
    let point = |(attributes, count): (Vec<Attribute>, u64)| NumberDataPoint {
        attributes: pairs(attributes),
        start_time_unix_nano: times.start.as_nanos(),
        time_unix_nano: times.now.as_nanos(),
        value: Some(number_data_point::Value::AsInt(count.try_into().unwrap_or(i64::MAX))),
        ..NumberDataPoint::default()
    };
    let data_points: Vec<_> = points.map(point).collect();
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let some = !data_points.is_empty();
    let sum = Sum { data_points, aggregation_temporality, is_monotonic: true };
    some.then(|| metric(named, Data::Sum(sum)))
}

/// A histogram with these bounds; `None` without points.
pub fn histogram<const N: usize>(
    named: Named,
    times: Times,
    bounds: &[f64; N],
    points: impl Iterator<Item = (Vec<Attribute>, Histogram<N>)>,
) -> Option<Metric> {
    let point = |(attributes, histogram): (Vec<Attribute>, Histogram<N>)| {
        let Histogram { within, beyond, sum } = histogram;
        let bucket_counts: Vec<u64> = within.into_iter().chain([beyond]).collect();
        HistogramDataPoint {
            attributes: pairs(attributes),
            start_time_unix_nano: times.start.as_nanos(),
            time_unix_nano: times.now.as_nanos(),
            count: bucket_counts.iter().sum(),
            sum: Some(sum),
            bucket_counts,
            explicit_bounds: bounds.to_vec(),
            ..HistogramDataPoint::default()
        }
    };
    let data_points: Vec<_> = points.map(point).collect();
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let some = !data_points.is_empty();
    let data =
        opentelemetry_proto::tonic::metrics::v1::Histogram { data_points, aggregation_temporality };
    some.then(|| metric(named, Data::Histogram(data)))
}

/// The request of these metrics, by a process with this resource.
#[must_use]
pub fn request(resource: &[(String, String)], metrics: Vec<Metric>) -> Vec<u8> {
    let scoped =
        ScopeMetrics { scope: Some((scope(), None).into()), metrics, ..ScopeMetrics::default() };
    let of = ResourceMetrics {
        resource: Some(proto_resource(resource)),
        scope_metrics: vec![scoped],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![of] }.encode_to_vec()
}

fn metric(named: Named, data: Data) -> Metric {
    Metric {
        name: named.name.to_owned(),
        description: named.description.to_owned(),
        unit: named.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn pairs(attributes: Vec<Attribute>) -> Vec<KeyValue> {
    Attributes::from(attributes.into_iter().map(attribute)).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_within_it() {
        let check = |values: &[f64], within: [u64; 2], beyond| {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.observe(&[0.5, 1.0], *value));
            assert_eq!(histogram, Histogram { within, beyond, sum: values.iter().sum() });
        };
        check(&[], [0, 0], 0);
        check(&[0.0, 0.5, 0.6], [2, 1], 0);
        check(&[1.0, 1.5, 100.0], [0, 1], 2);
    }
}
