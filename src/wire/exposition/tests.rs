//! Owns the tests of the exposition.

use super::*;
use crate::wire::status::sample;
use std::collections::BTreeSet;

fn exposition(snapshot: &Snapshot, scope: &Scope) -> String {
    text(&mut families(snapshot, scope).families)
}

#[test]
fn a_snapshot_reads_as_the_golden_text() {
    let golden = include_str!("golden.txt");
    assert_eq!(exposition(&sample::snapshot(), &sample::scope()), golden);
}

#[test]
fn missing_is_absent() {
    let mut snapshot = sample::snapshot();
    snapshot.consumers.remove(0);
    snapshot.streams.remove(0);
    snapshot.alerts.clear();
    snapshot.loads.clear();
    let present: Vec<_> = families(&snapshot, &sample::scope())
        .families
        .iter()
        .map(|family| family.name().to_owned())
        .collect();
    let known = [
        "kinescope_alerts",
        "kinescope_build_info",
        "kinesis_consumer_last_observed_timestamp_seconds",
        "kinesis_consumer_shards",
        "kinesis_consumer_status",
    ];
    assert_eq!(present, known);
}

#[test]
fn figures_that_are_no_numbers_are_absent() {
    let mut snapshot = sample::snapshot();
    snapshot.consumers[0].worst.velocity = Some(f64::NAN);
    let point = CloudWatchPoint { at: snapshot.now.wall, period: Duration::ZERO, value: 1.0 };
    snapshot.streams[0].cloudwatch.incoming_bytes = Some(point);
    let text = exposition(&snapshot, &sample::scope());
    assert!(!text.contains("velocity_ratio{") && !text.contains("incoming_bytes_per_second{"));
}

#[test]
fn an_old_cloudwatch_point_is_not_shown_as_now() {
    let mut snapshot = sample::snapshot();
    let shown = |snapshot: &Snapshot| {
        exposition(snapshot, &sample::scope()).contains("kinesis_cloudwatch_incoming_records")
    };
    assert!(shown(&snapshot));
    snapshot.now = snapshot.now.plus(CLOUDWATCH_STALE_AFTER);
    assert!(!shown(&snapshot));
}

#[test]
fn only_a_hub_exports_streams() {
    let text = exposition(&sample::snapshot(), &Scope { hub: false, ..sample::scope() });
    assert!(text.contains("kinesis_consumer_delivery_lag_seconds{"));
    assert!(!text.contains("kinesis_cloudwatch_") && !text.contains("kinesis_stream_"));
}

#[test]
fn a_sidecar_with_a_hub_leaves_verdicts_to_it() {
    let leaves = Scope { hub: false, verdicts: false, ..sample::scope() };
    let text = exposition(&sample::snapshot(), &leaves);
    assert!(text.contains("kinesis_consumer_delivery_lag_seconds{"));
    assert!(!text.contains("kinesis_consumer_status") && !text.contains("kinesis_consumer_shards"));
}

#[test]
fn the_busiest_shards_keep_their_series() {
    let exposed = families(&sample::snapshot(), &Scope { series_max: 6, ..sample::scope() });
    let family = exposed.families.iter().find(|it| it.name().contains("utilization")).unwrap();
    let [only] = family.get_metric() else { panic!("{family:?}") };
    assert_eq!(only.get_gauge().get_value(), 0.75);
    assert_eq!(exposed.left_out[family.name()], 1);
}

#[test]
fn shards_are_written_a_few_at_a_time_as_if_at_once() {
    let mut snapshot = sample::snapshot();
    let view = snapshot.consumers[0].shards[0].clone();
    let shard = |n: usize| format!("shardId-{n:012}").as_str().into();
    snapshot.consumers[0].shards =
        (0..1_000).map(|n| ShardView { shard: shard(n), ..view.clone() }).collect();
    let scope = Scope { series_max: 10_000, ..sample::scope() };
    let at_once = families(&snapshot, &scope).families;
    let mut piecewise = exposed(&snapshot, &scope);
    assert!(piecewise.wide.iter().all(|wide| wide.len() > 999));
    let written = text_with(String::new(), &mut piecewise.families.clone(), &piecewise.wide);
    assert_eq!(written, text(&mut at_once.clone()));
    assert_eq!(written.capacity(), room_for(&piecewise.families, &piecewise.wide), "it grew");
    let exemplars = openmetrics::Exemplars::default();
    assert_eq!(
        openmetrics::text_with(String::new(), &mut piecewise.families, &piecewise.wide, &exemplars),
        openmetrics::text(&mut at_once.clone(), &exemplars)
    );
}

/// A series at least of every family, as a hub exports them, or a sidecar that has none.
pub(crate) fn every_family(hub: bool) -> Vec<MetricFamily> {
    let mut snapshot = sample::snapshot();
    snapshot.streams[0].cloudwatch.read_throttles = snapshot.streams[0].cloudwatch.write_throttles;
    snapshot.consumers[0].worst.catch_up = Some(Duration::from_secs(1));
    snapshot.cloudwatch = cloudwatch::tests::details(snapshot.now.wall, 1.0);
    let mut exposed = families(&snapshot, &Scope { hub, ..sample::scope() }).families;
    exposed.push(left_out(&BTreeMap::from([("x", 1)])));
    exposed
}

#[test]
fn every_family_is_listed() {
    let every = every_family(true);
    let names: BTreeSet<_> = every.iter().map(MetricFamily::name).collect();
    assert_eq!(names, FAMILIES.iter().copied().collect());
}

#[test]
fn what_is_over_the_cap_is_counted_and_the_worst_shard_stays() {
    let check = |series_max, lags: &[&str], observed, left_out: &[(&'static str, u64)]| {
        let snapshot = Snapshot { loads: Vec::new(), ..sample::snapshot() };
        let exposed = families(&snapshot, &Scope { series_max, ..sample::scope() });
        let shards = |name: &str| -> Vec<String> {
            let family = exposed.families.iter().find(|family| family.name() == name);
            let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
            metrics.iter().map(|metric| metric.get_label()[2].value().to_owned()).collect()
        };
        assert_eq!(shards("kinesis_consumer_delivery_lag_seconds"), lags);
        let seen = shards("kinesis_consumer_last_observed_timestamp_seconds");
        assert_eq!(seen.len(), observed, "{seen:?}");
        assert_eq!(exposed.left_out, left_out.iter().copied().collect());
    };
    let (lag, observed) = (
        "kinesis_consumer_delivery_lag_seconds",
        "kinesis_consumer_last_observed_timestamp_seconds",
    );
    check(20_000, &["shardId-000000000000", "shardId-000000000001"], 3, &[]);
    check(3, &["shardId-000000000001"], 2, &[(lag, 1), (observed, 1)]);
    check(0, &[], 0, &[(lag, 2), (observed, 3)]);
}

#[test]
fn left_out_series_are_a_counter() {
    let totals = BTreeMap::from([("kinesis_consumer_delivery_lag_seconds", 7)]);
    let text = text(&mut vec![left_out(&totals), left_out(&BTreeMap::new())]);
    assert!(text.contains("# TYPE kinescope_series_left_out_total counter\n"), "{text}");
    let series = "left_out_total{family=\"kinesis_consumer_delivery_lag_seconds\"} 7\n";
    assert!(text.ends_with(series), "{text}");
}

#[test]
fn names_cannot_break_out_of_their_labels() {
    let mut snapshot = sample::snapshot();
    snapshot.consumers.truncate(1);
    snapshot.consumers[0].consumer = "a\"} 1\nevil 2".into();
    let text = exposition(&snapshot, &sample::scope());
    assert!(text.contains(r#"consumer="a\"} 1\nevil 2""#), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("evil")));
}
