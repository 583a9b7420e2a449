//! Owns the tests of plans for streams that are there: whose figures are taken, what is pointed out.

use super::*;
use crate::domain::snapshot::{AccountSettings, FanOutConsumer, StreamDetails};
use crate::domain::time::{Moment, Wall};

fn rates(records: f64, bytes: f64) -> Rates {
    Rates { records, bytes, throttled: 0.0 }
}

fn load(average: Rates, peak: Rates) -> StreamLoad {
    StreamLoad {
        stream: "orders".into(),
        shards: Vec::new(),
        skew: None,
        heaviest: Vec::new(),
        usage: Some(Usage { over: Duration::from_secs(600), average, peak }),
        writers: 2,
    }
}

fn description(open_shards: u32, mode: &str) -> StreamDescription {
    StreamDescription {
        retention: Duration::from_secs(24 * 3_600),
        open_shards,
        mode: mode.to_owned(),
        status: "ACTIVE".to_owned(),
        record_bytes_max: None,
        created_at: None,
        details: StreamDetails { encrypted: Some(false), ..StreamDetails::default() },
        at: Moment::default(),
    }
}

fn snapshot(loads: Vec<StreamLoad>, description: Option<StreamDescription>) -> Snapshot {
    let view = StreamView {
        stream: "orders".into(),
        description,
        cloudwatch: CloudWatchView::default(),
        sequence_clock_usable: None,
    };
    Snapshot { loads, streams: vec![view], ..Snapshot::default() }
}

fn one(snapshot: &Snapshot, whole: bool) -> Measured {
    let (mut plans, left_out) = measured(snapshot, whole, &Prices::us_east_1(), 10);
    assert_eq!((plans.len(), left_out), (1, 0));
    plans.remove(0)
}

fn names(measured: &Measured) -> Vec<&str> {
    measured.plan.advice.iter().map(|advice| advice.name).collect()
}

#[test]
fn the_peak_asks_for_shards_and_is_held_against_those_that_are_open() {
    let loads = vec![load(rates(500.0, 250_000.0), rates(2_500.0, 1_000_000.0))];
    let seen = one(&snapshot(loads, Some(description(2, "PROVISIONED"))), true);
    assert_eq!((seen.source, seen.over), (Source::Wire, Duration::from_secs(600)));
    assert_eq!((seen.plan.shards.needed, seen.open_shards, seen.used), (3, Some(2), Some(1.25)));
    assert_eq!((seen.plan.traffic.record_bytes, seen.plan.traffic.producers), (500, 2));
    assert_eq!(names(&seen)[..2], ["encryption_off", "too_few_shards"]);
    assert!(names(&seen).contains(&"default_retention"), "{:?}", names(&seen));
}

#[test]
fn a_pod_says_nothing_of_how_many_shards_are_open() {
    let calm = || snapshot(vec![load(rates(5.0, 500.0), rates(5.0, 500.0))], None);
    let mut snapshot = calm();
    snapshot.streams[0].description = Some(description(8, "PROVISIONED"));
    assert!(names(&one(&snapshot, true)).contains(&"more_shards_than_needed"));
    assert!(!names(&one(&snapshot, false)).contains(&"more_shards_than_needed"));
    snapshot.streams[0].description = Some(description(8, "ON_DEMAND"));
    assert!(!names(&one(&snapshot, true)).contains(&"more_shards_than_needed"), "nobody's choice");
    let unknown = one(&calm(), true);
    assert_eq!((unknown.used, unknown.open_shards), (None, None));
    assert!(unknown.assumed.iter().any(|it| it.contains("was not described")));
}

#[test]
fn cloudwatch_is_asked_where_it_counts_more() {
    let point = |value| {
        let period = Duration::from_secs(60);
        Some(CloudWatchPoint { at: Wall::default(), period, value })
    };
    let check = |loads: Vec<StreamLoad>, records: f64, source: Source, rate: f64| {
        let mut snapshot = snapshot(loads, None);
        snapshot.streams[0].cloudwatch.incoming_records = point(records);
        snapshot.streams[0].cloudwatch.incoming_bytes = point(records * 100.0);
        let seen = one(&snapshot, true);
        assert_eq!((seen.source, seen.plan.traffic.records_per_second), (source, rate));
    };
    let wire = || vec![load(rates(10.0, 1_000.0), rates(20.0, 2_000.0))];
    check(Vec::new(), 600.0, Source::CloudWatch, 10.0);
    check(wire(), 600.0, Source::Wire, 10.0);
    check(wire(), 6_000.0, Source::CloudWatch, 100.0);
}

#[test]
fn without_traffic_there_is_no_plan() {
    let check = |loads| {
        let (plans, _) = measured(&snapshot(loads, None), true, &Prices::us_east_1(), 10);
        assert_eq!(plans, []);
    };
    check(Vec::new());
    check(vec![load(rates(0.0, 0.0), rates(0.0, 0.0))]);
    check(vec![load(rates(1.0, f64::NAN), rates(1.0, f64::NAN))]);
    check(vec![load(rates(f64::INFINITY, 1.0), rates(1.0, 1.0))]);
    let loads = vec![load(rates(1.0, 1.0), rates(1.0, 1.0))];
    let (plans, left_out) = measured(&snapshot(loads, None), true, &Prices::us_east_1(), 0);
    assert_eq!((plans.len(), left_out), (0, 1), "over the bound it is counted");
}

#[test]
fn fan_out_and_the_accounts_commitment_are_planned_with() {
    let mut described = description(1, "ON_DEMAND");
    let mail = FanOutConsumer {
        name: "mail".to_owned(),
        arn: "arn:1".to_owned(),
        status: "ACTIVE".to_owned(),
        created_at: None,
    };
    described.details.consumers = Some(vec![mail]);
    let loads = vec![load(rates(100.0, 100_000.0), rates(100.0, 100_000.0))];
    let mut snapshot = snapshot(loads, Some(described));
    snapshot.account = Some(AccountSettings {
        commitment: Some(Commitment::Enabled),
        started_at: None,
        earliest_end_at: None,
        at: Moment::default(),
    });
    let seen = one(&snapshot, true);
    assert_eq!((seen.plan.traffic.fan_out_consumers, seen.plan.traffic.consumers), (1, 0));
    let impossible = seen.plan.choices.iter().filter(|choice| choice.impossible.is_some());
    let modes: Vec<_> = impossible.map(|choice| choice.mode).collect();
    assert_eq!(modes, [super::super::Mode::OnDemand]);
}
