//! Owns a report as an OTLP request. Refuses to write what is not known: it has no point.

use super::{CONNECTIONS, CONSUMER, ERROR, FAILURES, HEAVY_KEYS, HOST, INSTANCE, KINDS, LAG};
use super::{NEWEST_ARRIVAL, TOP_SHARE};
use super::{NEWEST_PUT, NEWEST_SEQUENCE, OLDEST_SEQUENCE, POLL_INTERVAL, PUT_BYTES, PUT_RECORDS};
use super::{PUT_THROTTLED, READS, RECORDS, REGION, SERVICE, SHARD, SHARD_ENDED, STREAM, UP};
use crate::domain::observation::{FailurePoint, Place, PutPoint, ReadPoint, Report};
use crate::domain::time::Wall;
use crate::wire::otlp::metrics::request;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Exemplar, Gauge};
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, Sum, exemplar};
use std::collections::BTreeMap;

/// The kinds of our metrics.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Sum,
}

/// Kind and unit.
type Shape = Option<(Kind, &'static str)>;

/// Points by metric, in a stable order.
#[derive(Default)]
struct Sheet {
    started: u64,
    metrics: BTreeMap<&'static str, (Shape, Vec<NumberDataPoint>)>,
}

impl Sheet {
    fn add(
        &mut self,
        (name, kind, unit): (&'static str, Kind, &'static str),
        attributes: Vec<KeyValue>,
        at: Wall,
        value: Value,
    ) -> &mut NumberDataPoint {
        let start = if kind == Kind::Sum { self.started } else { 0 };
        let (known, points) = self.metrics.entry(name).or_default();
        *known = Some((kind, unit));
        points.push_mut(NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: at.as_nanos(),
            value: Some(value),
            ..NumberDataPoint::default()
        })
    }

    fn metrics(self) -> Vec<Metric> {
        let metric = |(name, (kind, data_points)): (&str, (Shape, Vec<NumberDataPoint>))| {
            let (kind, unit) = kind?;
            let data = match kind {
                Kind::Gauge => Data::Gauge(Gauge { data_points }),
                Kind::Sum => Data::Sum(Sum {
                    data_points,
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: true,
                }),
            };
            let (name, unit) = (name.to_owned(), unit.to_owned());
            Some(Metric { name, unit, data: Some(data), ..Metric::default() })
        };
        self.metrics.into_iter().filter_map(metric).collect()
    }
}

/// The body of a report.
#[must_use]
pub fn write(report: &Report, region: &str) -> Vec<u8> {
    let mut sheet = Sheet { started: report.started.as_nanos(), ..Sheet::default() };
    let up = Value::AsInt(i64::from(!report.leaving));
    sheet.add((UP, Kind::Gauge, "1"), Vec::new(), report.sent, up);
    for (consumer, open) in &report.connections {
        let open = Value::AsInt((*open).into());
        let of = vec![pair(CONSUMER, consumer.as_str())];
        sheet.add((CONNECTIONS, Kind::Gauge, "{connection}"), of, report.sent, open);
    }
    report.reads.iter().for_each(|point| read(&mut sheet, point));
    report.failures.iter().for_each(|point| failure(&mut sheet, point));
    report.puts.iter().for_each(|point| put(&mut sheet, point, report.sent));
    let named = [(SERVICE, &*report.service), (INSTANCE, &*report.instance), (REGION, region)];
    let host = report.host.as_deref().map(|host| (HOST, host));
    let resource = named.into_iter().chain(host);
    let resource: Vec<(String, String)> =
        resource.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    request(&resource, sheet.metrics())
}

fn read(sheet: &mut Sheet, point: &ReadPoint) {
    let of = || place(&point.place);
    let reads = sheet.add((READS, Kind::Sum, "{read}"), of(), point.at, int(point.reads));
    let texts =
        [(OLDEST_SEQUENCE, &point.oldest_sequence), (NEWEST_SEQUENCE, &point.newest_sequence)];
    let texts =
        texts.into_iter().filter_map(|(name, text)| Some(pair(name, text.as_ref()?.as_str())));
    let ended = point.shard_ended.then(|| any(SHARD_ENDED, Any::BoolValue(true)));
    let filtered_attributes: Vec<KeyValue> = texts.chain(ended).collect();
    if !filtered_attributes.is_empty() {
        reads.exemplars.push(Exemplar {
            filtered_attributes,
            time_unix_nano: point.at.as_nanos(),
            value: Some(exemplar::Value::AsInt(1)),
            ..Exemplar::default()
        });
    }
    sheet.add((RECORDS, Kind::Sum, "{record}"), of(), point.at, int(point.records));
    let arrival = point.newest_arrival.map(seconds);
    let seconds = [
        (LAG, point.behind.map(|lag| lag.as_secs_f64())),
        (POLL_INTERVAL, point.interval.map(|interval| interval.as_secs_f64())),
        (NEWEST_ARRIVAL, arrival),
    ];
    for (name, value) in seconds {
        if let Some(value) = value {
            sheet.add((name, Kind::Gauge, "s"), of(), point.at, Value::AsDouble(value));
        }
    }
}

fn failure(sheet: &mut Sheet, point: &FailurePoint) {
    let kind = KINDS.iter().find(|(kind, _)| *kind == point.kind).map_or("", |(_, name)| name);
    let mut of = place(&point.place);
    of.push(pair(ERROR, kind));
    sheet.add((FAILURES, Kind::Sum, "{call}"), of, point.at, int(point.calls));
}

fn put(sheet: &mut Sheet, point: &PutPoint, sent: Wall) {
    let of = || vec![pair(STREAM, point.stream.as_str()), pair(SHARD, point.shard.as_str())];
    let puts = &point.puts;
    for (name, unit, total) in [
        (PUT_RECORDS, "{record}", puts.records),
        (PUT_BYTES, "By", puts.bytes),
        (PUT_THROTTLED, "{record}", puts.throttled),
    ] {
        sheet.add((name, Kind::Sum, unit), of(), sent, int(total));
    }
    if let Some(top) = point.top {
        let share = Value::AsDouble(top.share);
        sheet.add((TOP_SHARE, Kind::Gauge, "1"), of(), sent, share);
        sheet.add((HEAVY_KEYS, Kind::Gauge, "{key}"), of(), sent, int(top.keys.into()));
    }
    if let Some(newest) = point.newest {
        let newest = Value::AsDouble(seconds(newest));
        sheet.add((NEWEST_PUT, Kind::Gauge, "s"), of(), sent, newest);
    }
}

/// Seconds since 1970. A double holds those of our time to a quarter of a microsecond.
fn seconds(at: Wall) -> f64 {
    (at.as_nanos() / 1_000) as f64 / 1e6
}

fn place(place: &Place) -> Vec<KeyValue> {
    vec![
        pair(STREAM, place.stream.as_str()),
        pair(CONSUMER, place.consumer.as_str()),
        pair(SHARD, place.shard.as_str()),
    ]
}

fn int(total: u64) -> Value {
    Value::AsInt(i64::try_from(total).unwrap_or(i64::MAX))
}

fn pair(name: &str, text: &str) -> KeyValue {
    any(name, Any::StringValue(text.to_owned()))
}

fn any(name: &str, value: Any) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}
