//! Owns the families of what CloudWatch said beside the five metrics of a stream: its details, shards,
//! enhanced fan-out consumers, Lambda, Firehose, Flink. Refuses to mix levels: each has families of
//! its own, so that a sum over one counts nothing twice.

use super::catalog::{self, Family};
use super::{Sheet, is_fresh};
use crate::domain::cloudwatch::{Metric, Subject};
use crate::domain::snapshot::{CloudWatchPoint, SubjectView};
use crate::domain::time::Wall;

/// Writes the series that are fresh, the first `series_max` of them; those beyond are counted.
pub(super) fn write(sheet: &mut Sheet<'_>, views: &[SubjectView], series_max: usize, now: Wall) {
    let mut room = series_max;
    for view in views {
        for (metric, point) in view.points.iter().filter(|(_, point)| is_fresh(*point, now)) {
            let Some(value) = read(*metric, *point) else { continue };
            let family = family(*metric);
            let Some(rest) = room.checked_sub(1) else {
                *sheet.left_out.entry(family.name).or_default() += 1;
                continue;
            };
            room = rest;
            labelled(&view.subject, *metric, |labels| sheet.gauge(family, labels, Some(value)));
        }
    }
}

fn read(metric: Metric, point: CloudWatchPoint) -> Option<f64> {
    metric.reading().read(point.value, point.period.as_secs_f64())
}

fn labelled(subject: &Subject, metric: Metric, write: impl FnOnce(&[(&str, &str)])) {
    match subject {
        Subject::Stream(stream) => write(&[("stream", stream.as_str())]),
        Subject::Shard(stream, shard) => {
            write(&[("stream", stream.as_str()), ("shard", shard.as_str())]);
        }
        Subject::FanOut(stream, consumer) => {
            write(&[("stream", stream.as_str()), ("consumer", consumer.as_str())]);
        }
        Subject::Function(name) => write(&[("function", name)]),
        Subject::Mapping(id) => write(&[("mapping", id)]),
        Subject::Firehose(name) => match metric.destination() {
            Some(to) => write(&[("delivery_stream", name), ("destination", to)]),
            None => write(&[("delivery_stream", name)]),
        },
        Subject::Flink(name, rest) => {
            let source: Vec<&str> = rest.iter().map(|(_, value)| &**value).collect();
            write(&[("application", name), ("source", &source.join("/"))]);
        }
    }
}

const fn family(metric: Metric) -> Family {
    match metric {
        Metric::IncomingRecords => catalog::CLOUDWATCH_INCOMING_RECORDS,
        Metric::IncomingBytes => catalog::CLOUDWATCH_INCOMING_BYTES,
        Metric::IteratorAge => catalog::CLOUDWATCH_ITERATOR_AGE,
        Metric::WriteThrottles => catalog::CLOUDWATCH_WRITE_THROTTLES,
        Metric::ReadThrottles => catalog::CLOUDWATCH_READ_THROTTLES,
        Metric::PutFailed => catalog::PUT_FAILED,
        Metric::PutThrottled => catalog::PUT_THROTTLED,
        Metric::PutSucceeded => catalog::PUT_SUCCEEDED,
        Metric::PutTried => catalog::PUT_TRIED,
        Metric::PutBatchSuccess => catalog::PUT_BATCH_SUCCESS,
        Metric::PutBatchLatency => catalog::PUT_BATCH_LATENCY,
        Metric::PutBatchLatencyMax => catalog::PUT_BATCH_LATENCY_MAX,
        Metric::PutSuccess => catalog::PUT_SUCCESS,
        Metric::PutLatency => catalog::PUT_LATENCY,
        Metric::PutLatencyMax => catalog::PUT_LATENCY_MAX,
        Metric::GetBytes => catalog::GET_BYTES,
        Metric::GetRecords => catalog::GET_RECORDS,
        Metric::GetSuccess => catalog::GET_SUCCESS,
        Metric::GetLatency => catalog::GET_LATENCY,
        Metric::GetLatencyMax => catalog::GET_LATENCY_MAX,
        Metric::ShardIteratorAge => catalog::SHARD_ITERATOR_AGE,
        Metric::ShardIncomingRecords => catalog::SHARD_INCOMING_RECORDS,
        Metric::ShardIncomingBytes => catalog::SHARD_INCOMING_BYTES,
        Metric::ShardOutgoingRecords => catalog::SHARD_OUTGOING_RECORDS,
        Metric::ShardOutgoingBytes => catalog::SHARD_OUTGOING_BYTES,
        Metric::ShardWriteThrottles => catalog::SHARD_WRITE_THROTTLES,
        Metric::ShardReadThrottles => catalog::SHARD_READ_THROTTLES,
        Metric::FanOutBehind => catalog::FAN_OUT_BEHIND,
        Metric::FanOutRecords => catalog::FAN_OUT_RECORDS,
        Metric::FanOutBytes => catalog::FAN_OUT_BYTES,
        Metric::FanOutSuccess => catalog::FAN_OUT_SUCCESS,
        Metric::FanOutSubscribed => catalog::FAN_OUT_SUBSCRIBED,
        Metric::FanOutRefused => catalog::FAN_OUT_REFUSED,
        Metric::LambdaIteratorAge => catalog::LAMBDA_ITERATOR_AGE,
        Metric::MappingPolled => catalog::MAPPING_POLLED,
        Metric::MappingFiltered => catalog::MAPPING_FILTERED,
        Metric::MappingInvoked => catalog::MAPPING_INVOKED,
        Metric::MappingFailed => catalog::MAPPING_FAILED,
        Metric::MappingDropped => catalog::MAPPING_DROPPED,
        Metric::MappingHandedOn => catalog::MAPPING_HANDED_ON,
        Metric::FirehoseBehind => catalog::FIREHOSE_BEHIND,
        Metric::FirehoseRecords => catalog::FIREHOSE_RECORDS,
        Metric::FirehoseBytes => catalog::FIREHOSE_BYTES,
        Metric::FirehoseThrottled => catalog::FIREHOSE_THROTTLED,
        Metric::FirehoseS3
        | Metric::FirehoseIceberg
        | Metric::FirehoseSplunk
        | Metric::FirehoseOpenSearch
        | Metric::FirehoseHttp => catalog::FIREHOSE_FRESHNESS,
        Metric::FlinkBehind => catalog::FLINK_BEHIND,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::domain::cloudwatch::{Kind, Metric, Subject};
    use crate::domain::snapshot::{CloudWatchPoint, SubjectView};
    use crate::domain::time::Wall;
    use crate::wire::exposition::{Scope, families, text};
    use crate::wire::status::sample;
    use std::time::Duration;

    fn subject(kind: Kind) -> Subject {
        match kind {
            Kind::Stream => Subject::Stream("orders".into()),
            Kind::Shard => Subject::Shard("orders".into(), "shardId-7".into()),
            Kind::FanOut => Subject::FanOut("orders".into(), "mail".into()),
            Kind::Function => Subject::Function("bill".into()),
            Kind::Mapping => Subject::Mapping("a-b".into()),
            Kind::Firehose => Subject::Firehose("lake".into()),
            Kind::Flink => {
                let rest = [("Id", "orders"), ("Flow", "Input")];
                Subject::Flink("sums".into(), rest.map(|(n, v)| (n.into(), v.into())).into())
            }
        }
    }

    /// One value of every metric that is a detail, of the minute before the last.
    pub(in crate::wire::exposition) fn details(now: Wall, value: f64) -> Vec<SubjectView> {
        let period = Duration::from_secs(60);
        let point = CloudWatchPoint { at: now.minus(period * 2), period, value };
        let details = Metric::ALL.iter().filter(|metric| metric.basic().is_none());
        let view = |metric: &Metric| SubjectView {
            subject: subject(metric.kind()),
            points: vec![(*metric, point)],
        };
        details.map(view).collect()
    }

    /// The exposition of one value of every metric, a minute old and `aged` seconds more, and how
    /// many of its series did not fit.
    fn exposed(value: f64, aged: u64, series_max: usize) -> (String, u64) {
        let mut snapshot = sample::snapshot();
        snapshot.cloudwatch = details(snapshot.now.wall, value);
        snapshot.now = snapshot.now.plus(Duration::from_secs(aged));
        let mut exposed = families(&snapshot, &Scope { series_max, ..sample::scope() });
        let left_out = exposed.left_out.iter().filter(|(name, _)| name.contains("_cloudwatch_"));
        let left_out = left_out.map(|(_, count)| count).sum();
        (text(&mut exposed.families), left_out)
    }

    #[test]
    fn every_level_has_families_of_its_own() {
        let (text, left_out) = exposed(120.0, 0, 20_000);
        assert_eq!(left_out, 0);
        for line in [
            r#"kinesis_cloudwatch_put_failed_records_per_second{stream="orders",region="eu-west-1"} 2"#,
            r#"kinesis_cloudwatch_put_batch_latency_maximum_seconds{stream="orders",region="eu-west-1"} 0.12"#,
            r#"kinesis_cloudwatch_shard_iterator_age_seconds{stream="orders",shard="shardId-7",region="eu-west-1"} 0.12"#,
            r#"kinesis_cloudwatch_fan_out_behind_seconds{stream="orders",consumer="mail",region="eu-west-1"} 0.12"#,
            r#"kinesis_cloudwatch_lambda_iterator_age_seconds{function="bill",region="eu-west-1"} 0.12"#,
            r#"kinesis_cloudwatch_lambda_mapping_dropped_events_per_second{mapping="a-b",region="eu-west-1"} 2"#,
            r#"kinesis_cloudwatch_firehose_freshness_seconds{delivery_stream="lake",destination="s3",region="eu-west-1"} 120"#,
            r#"kinesis_cloudwatch_flink_behind_seconds{application="sums",source="orders/Input",region="eu-west-1"} 0.12"#,
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn what_was_not_reported_is_not_shown_and_what_is_old_no_more() {
        assert!(!exposed(-1.0, 0, 20_000).0.contains("flink_behind_seconds{"));
        assert!(exposed(1.0, 500, 20_000).0.contains("flink_behind_seconds{"));
        assert!(!exposed(1.0, 800, 20_000).0.contains("flink_behind_seconds{"));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let details = Metric::ALL.len() as u64 - 5;
        assert_eq!(exposed(1.0, 0, 10).1, details - 10);
    }
}
