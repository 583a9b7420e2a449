//! Owns the tests of a report on its way through OTLP: what was written is read.

use super::*;
use crate::domain::capacity::{Puts, TopKey};
use crate::domain::observation::{FailurePoint, Place, PutPoint, ReadPoint, Report};
use crate::domain::time::Wall;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use proptest::prelude::*;
use prost::Message;
use std::time::Duration;

fn place(shard: &str) -> Place {
    Place { stream: "orders".into(), consumer: "mail".into(), shard: shard.into() }
}

fn report() -> Report {
    let at = Wall::from_ms(1_700_000_060_123);
    let full = ReadPoint {
        place: place("shardId-000000000000"),
        at,
        behind: Some(Duration::from_millis(1_234)),
        reads: 17,
        records: 200,
        interval: Some(Duration::from_millis(250)),
        oldest_sequence: Some("495903386567180598".into()),
        newest_sequence: Some("495903386567180599".into()),
        newest_arrival: Some(Wall::from_ms(1_700_000_058_456)),
        shard_ended: true,
    };
    let bare = ReadPoint {
        place: place("shardId-000000000001"),
        behind: None,
        records: 0,
        interval: None,
        oldest_sequence: None,
        newest_sequence: None,
        newest_arrival: None,
        shard_ended: false,
        ..full.clone()
    };
    let failure = |kind, calls| FailurePoint { place: place("shardId-2"), at, kind, calls };
    let put = |newest, records| PutPoint {
        stream: "orders".into(),
        shard: format!("shardId-{records}").as_str().into(),
        newest,
        puts: Puts { records, bytes: 90, throttled: 2 },
        top: (records == 1).then_some(TopKey { share: 0.625, keys: 2 }),
    };
    Report {
        service: "mail".into(),
        instance: "0123".into(),
        host: Some("mail-7".into()),
        started: Wall::from_ms(1_700_000_000_000),
        sent: Wall::from_ms(1_700_000_061_000),
        leaving: false,
        reads: vec![full, bare],
        failures: vec![
            failure(FailureKind::Throttled, 3),
            failure(FailureKind::IteratorExpired, 1),
            failure(FailureKind::Other, 2),
            failure(FailureKind::Denied, 4),
            failure(FailureKind::CredentialsRefused, 5),
            failure(FailureKind::NoCredentials, 6),
        ],
        connections: vec![("audit".into(), 0), ("mail".into(), 1)],
        puts: vec![put(Some(at), 1), put(None, 2)],
    }
}

fn heard(body: &[u8]) -> Heard {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    read(&request.resource_metrics[0])
}

#[test]
fn what_was_written_is_read() {
    let check = |report: Report| {
        let read = heard(&write(&report, "eu-west-1"));
        assert_eq!((read.report, read.invalid), (Some(report), 0));
    };
    check(report());
    check(Report { leaving: true, ..report() });
    let nothing = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (reads, failures, connections, puts) = nothing;
    let sent = report().sent;
    check(Report { reads, failures, connections, puts, started: sent, ..report() });
}

/// Any tool can read it: gauges and sums, each with a unit, sums since the start, no sequence number
/// among the attributes that make a series.
#[test]
fn it_is_plain_otlp() {
    let body = write(&report(), "eu-west-1");
    let request = ExportMetricsServiceRequest::decode(&body[..]).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    for metric in metrics {
        assert!(is_ours(&metric.name) && !metric.unit.is_empty(), "{metric:?}");
        let points = match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => &gauge.data_points,
            Data::Sum(sum) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
                &sum.data_points
            }
            Data::Histogram(_) | Data::ExponentialHistogram(_) | Data::Summary(_) => panic!(),
        };
        let keys = points.iter().flat_map(|point| &point.attributes).map(|pair| &pair.key);
        let known = [STREAM, SHARD, CONSUMER, ERROR];
        assert!(keys.into_iter().all(|key| known.contains(&key.as_str())), "{metric:?}");
    }
    assert_eq!(metrics.len(), 14);
}

#[test]
fn what_cannot_be_used_is_counted() {
    let check = |change: &dyn Fn(&mut ExportMetricsServiceRequest), invalid: bool| {
        let body = write(&report(), "eu-west-1");
        let mut request = ExportMetricsServiceRequest::decode(&body[..]).unwrap();
        change(&mut request);
        let heard = read(&request.resource_metrics[0]);
        assert_eq!(heard.report.is_none(), invalid);
        assert!(heard.invalid > 0, "{heard:?}");
    };
    check(&|request| request.resource_metrics[0].resource = None, true);
    let rename = |from: &'static str, to: &'static str| {
        move |request: &mut ExportMetricsServiceRequest| {
            let metrics = &mut request.resource_metrics[0].scope_metrics[0].metrics;
            let found = metrics.iter_mut().find(|metric| metric.name == from);
            found.unwrap().name = to.to_owned();
        }
    };
    check(&rename(UP, "kinescope.other"), true);
    check(&rename(LAG, "kinescope.of_a_newer_version"), false);
    let nan = |request: &mut ExportMetricsServiceRequest| {
        let metrics = &mut request.resource_metrics[0].scope_metrics[0].metrics;
        let lag = metrics.iter_mut().find(|metric| metric.name == LAG).unwrap();
        let Some(Data::Gauge(gauge)) = &mut lag.data else { panic!("{lag:?}") };
        gauge.data_points[0].value = Some(
            opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsDouble(f64::NAN),
        );
    };
    check(&nan, false);
}

proptest! {
    /// A good request with a byte changed is read or refused, and never a panic.
    #[test]
    fn damage_is_survived(at in 0_usize..4_000, byte in any::<u8>()) {
        let mut body = write(&report(), "eu-west-1");
        let at = at % body.len();
        body[at] = byte;
        let _ = crate::wire::otlp_receive::metrics(&body);
    }
}
