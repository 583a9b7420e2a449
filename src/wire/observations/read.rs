//! Owns the way back: the metrics of one resource as a report. Refuses a resource that says neither
//! who it is nor when it was sent, and leaves out points that lack their names or are no numbers.

use super::{CONNECTIONS, CONSUMER, ERROR, FAILURES, HEAVY_KEYS, HOST, INSTANCE, KINDS, LAG};
use super::{NEWEST_ARRIVAL, TOP_SHARE};
use super::{NEWEST_PUT, NEWEST_SEQUENCE, OLDEST_SEQUENCE, POLL_INTERVAL, PUT_BYTES, PUT_RECORDS};
use super::{PUT_THROTTLED, READS, RECORDS, SHARD, SHARD_ENDED, STREAM, UP, is_ours};
use crate::domain::capacity::{Puts, TopKey};
use crate::domain::lag::FailureKind;
use crate::domain::observation::{FailurePoint, Place, PutPoint, ReadPoint, Report};
use crate::domain::stream::{ConsumerName, SequenceNumber, ShardId, StreamName};
use crate::domain::time::Wall;
use crate::wire::otlp_receive::{service, text};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, ResourceMetrics};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// No name of the domain name system is longer.
const HOST_BYTES_MAX: usize = 253;

/// What a resource's metrics held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Heard {
    /// The report, if it is one.
    pub report: Option<Report>,
    /// Points of ours that were read.
    pub accepted: u64,
    /// Points under our names that cannot be used.
    pub invalid: u64,
}

/// The parts of a report while they come together.
#[derive(Default)]
struct Parts {
    up: Option<(Wall, Wall, bool)>,
    reads: BTreeMap<Place, ReadPoint>,
    failures: Vec<FailurePoint>,
    connections: Vec<(ConsumerName, u32)>,
    puts: BTreeMap<(StreamName, ShardId), PutPoint>,
    started: Wall,
}

/// Reads the points under our names; others are left to others.
#[must_use]
pub fn read(resource: &ResourceMetrics) -> Heard {
    let (mut parts, mut heard) = (Parts::default(), Heard::default());
    for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
        if !is_ours(&metric.name) {
            continue;
        }
        let points = match &metric.data {
            Some(Data::Gauge(gauge)) => &gauge.data_points[..],
            Some(Data::Sum(sum)) => &sum.data_points[..],
            Some(Data::Histogram(_) | Data::ExponentialHistogram(_) | Data::Summary(_)) | None => {
                heard.invalid += 1;
                continue;
            }
        };
        for point in points {
            let taken = parts.take(&metric.name, point).is_some();
            *(if taken { &mut heard.accepted } else { &mut heard.invalid }) += 1;
        }
    }
    let of = resource.resource.as_ref();
    let instance = of.and_then(|of| text(&of.attributes, INSTANCE)).map(Arc::from);
    let host = of.and_then(|of| text(&of.attributes, HOST));
    let host = host.filter(|name| name.len() <= HOST_BYTES_MAX).map(Arc::from);
    if let (Some(instance), Some((started, sent, leaving))) = (instance, parts.up) {
        // A place of which only the lag is told was not read.
        let reads = parts.reads.into_values().filter(|point| point.reads > 0);
        heard.report = Some(Report {
            service: service(of),
            instance,
            host,
            started: if parts.started == Wall::default() { started } else { parts.started },
            sent,
            leaving,
            reads: reads.collect(),
            failures: parts.failures,
            connections: parts.connections,
            puts: parts.puts.into_values().collect(),
        });
    } else {
        heard.invalid += std::mem::take(&mut heard.accepted);
    }
    heard
}

impl Parts {
    fn take(&mut self, name: &str, point: &NumberDataPoint) -> Option<()> {
        let at = Wall::from_nanos(point.time_unix_nano);
        let started = Wall::from_nanos(point.start_time_unix_nano);
        match name {
            UP => self.up = Some((at, at, whole(point)? == 0)),
            CONNECTIONS => {
                let open = u32::try_from(whole(point)?).unwrap_or(u32::MAX);
                self.connections.push((text(&point.attributes, CONSUMER)?.into(), open));
            }
            READS => {
                let reads = whole(point)?;
                let it = self.place(point)?;
                (it.reads, it.at) = (reads, at);
                let told = point.exemplars.first().map_or(&[][..], |it| &it.filtered_attributes);
                it.oldest_sequence = text(told, OLDEST_SEQUENCE).map(SequenceNumber::from);
                it.newest_sequence = text(told, NEWEST_SEQUENCE).map(SequenceNumber::from);
                it.shard_ended = is_true(told, SHARD_ENDED);
                self.started = started;
            }
            RECORDS => {
                let records = whole(point)?;
                self.place(point)?.records = records;
            }
            LAG => {
                let lag = seconds(point)?;
                self.place(point)?.behind = Some(lag);
            }
            POLL_INTERVAL => {
                let interval = seconds(point)?;
                self.place(point)?.interval = Some(interval);
            }
            NEWEST_ARRIVAL => {
                let arrival = calendar(point)?;
                self.place(point)?.newest_arrival = Some(arrival);
            }
            FAILURES => {
                let (place, calls) = (place(&point.attributes)?, whole(point)?);
                let said = text(&point.attributes, ERROR);
                let kind = KINDS.iter().find(|(_, name)| Some(*name) == said);
                let kind = kind.map_or(FailureKind::Other, |(kind, _)| *kind);
                self.failures.push(FailurePoint { place, at, kind, calls });
            }
            PUT_RECORDS | PUT_BYTES | PUT_THROTTLED => {
                let total = whole(point)?;
                let Puts { records, bytes, throttled } = &mut self.shard(point)?.puts;
                *(match name {
                    PUT_RECORDS => records,
                    PUT_BYTES => bytes,
                    _ => throttled,
                }) = total;
            }
            TOP_SHARE => {
                let share = number(point).filter(|share| (0.0..=1.0).contains(share))?;
                self.top(point)?.share = share;
            }
            HEAVY_KEYS => {
                let keys = u32::try_from(whole(point)?).unwrap_or(u32::MAX);
                self.top(point)?.keys = keys;
            }
            NEWEST_PUT => {
                let newest = calendar(point)?;
                self.shard(point)?.newest = Some(newest);
            }
            // Of a newer sidecar.
            _ => return None,
        }
        Some(())
    }

    fn place(&mut self, point: &NumberDataPoint) -> Option<&mut ReadPoint> {
        let place = place(&point.attributes)?;
        let new = ReadPoint {
            place: place.clone(),
            at: Wall::from_nanos(point.time_unix_nano),
            behind: None,
            reads: 0,
            records: 0,
            interval: None,
            oldest_sequence: None,
            newest_sequence: None,
            newest_arrival: None,
            shard_ended: false,
        };
        Some(self.reads.entry(place).or_insert(new))
    }

    fn shard(&mut self, point: &NumberDataPoint) -> Option<&mut PutPoint> {
        let stream = StreamName::from(text(&point.attributes, STREAM)?);
        let shard = ShardId::from(text(&point.attributes, SHARD)?);
        let (key, puts) = ((stream.clone(), shard.clone()), Puts::default());
        let new = PutPoint { stream, shard, newest: None, puts, top: None };
        Some(self.puts.entry(key).or_insert(new))
    }

    fn top(&mut self, point: &NumberDataPoint) -> Option<&mut TopKey> {
        Some(self.shard(point)?.top.get_or_insert(TopKey { share: 0.0, keys: 1 }))
    }
}

fn place(attributes: &[KeyValue]) -> Option<Place> {
    Some(Place {
        stream: text(attributes, STREAM)?.into(),
        consumer: text(attributes, CONSUMER)?.into(),
        shard: text(attributes, SHARD)?.into(),
    })
}

fn whole(point: &NumberDataPoint) -> Option<u64> {
    match point.value? {
        Value::AsInt(number) => u64::try_from(number).ok(),
        Value::AsDouble(number) => (0.0..9e15).contains(&number).then_some(number as u64),
    }
}

fn number(point: &NumberDataPoint) -> Option<f64> {
    match point.value? {
        Value::AsInt(number) => Some(number as f64),
        Value::AsDouble(number) => Some(number),
    }
}

fn seconds(point: &NumberDataPoint) -> Option<Duration> {
    // What is longer than a century is no lag.
    let seconds = number(point).filter(|seconds| (0.0..3e9).contains(seconds))?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn calendar(point: &NumberDataPoint) -> Option<Wall> {
    let seconds = number(point).filter(|seconds| (0.0..1.8e10).contains(seconds))?;
    Some(Wall::from_nanos((seconds * 1e6).round() as u64 * 1_000))
}

fn is_true(attributes: &[KeyValue], name: &str) -> bool {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    let value = found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    matches!(value, Some(Any::BoolValue(true)))
}
