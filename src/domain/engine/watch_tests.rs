//! Owns the tests of what the engine's alerts rest on beside verdicts: whole ways from an event to
//! a notice.

use super::*;
use crate::domain::alert::builtin::builtin;
use crate::domain::alert::figures::{CloudWatchTotals, PutTotals};
use crate::domain::lag::ReadObservation;
use crate::domain::snapshot::{StreamDescription, StreamDetails};
use crate::domain::stream::SequenceNumber;
use crate::domain::time::Wall;

const START: Wall = Wall::from_ms(1_700_000_000_000);

fn moment(second: u64) -> Moment {
    Moment { wall: START, mono: Duration::ZERO }.plus(Duration::from_secs(second))
}

fn engine() -> Engine {
    with(builtin())
}

fn with(rules: Vec<Rule>) -> Engine {
    Engine::new(EngineConfig {
        rules,
        external_labels: BTreeMap::new(),
        repeat_interval: Duration::ZERO,
        limits: EngineLimits {
            streams_max: 10,
            windows_max: 10,
            forget_after: Duration::from_secs(600),
        },
    })
}

/// `alertname` and state of everything told, with its second.
fn told(engine: &mut Engine, event: Event, second: u64) -> Vec<(u64, String, &'static str)> {
    let effects = engine.handle(event, moment(second));
    let notices = effects.into_iter().filter_map(|effect| match effect {
        Effect::Notify(notice) => Some(notice),
        Effect::Describe(_) | Effect::Judged(_) => None,
    });
    let alerts = notices.flat_map(|notice| {
        let reason = notice.reason.as_str();
        notice.alerts.into_iter().map(move |alert| (alert, reason))
    });
    alerts.map(|(alert, reason)| (second, alert.labels["alertname"].clone(), reason)).collect()
}

fn described(status: &str) -> Event {
    let description = StreamDescription {
        retention: Duration::from_secs(86_400),
        open_shards: 1,
        mode: String::new(),
        status: status.to_owned(),
        record_bytes_max: None,
        created_at: None,
        details: StreamDetails::default(),
        at: moment(0),
    };
    Event::StreamDescribed { stream: "orders".into(), description }
}

fn read(second: u64, behind_seconds: u64) -> Event {
    let at = moment(second);
    Event::Read {
        stream: "orders".into(),
        consumer: "mail".into(),
        shard: "a".into(),
        observation: ReadObservation {
            called_at: at,
            at,
            behind: Some(Duration::from_secs(behind_seconds)),
            records: 1,
            oldest_sequence: None,
            newest_sequence: Some(SequenceNumber::from(second.to_string().as_str())),
            newest_arrival: None,
            shard_ended: false,
        },
    }
}

fn counted(figures: Figures) -> Event {
    Event::Counted(Box::new(figures))
}

fn incoming(at_second: u64, records: f64) -> Event {
    Event::CloudWatch {
        stream: "orders".into(),
        metric: CloudWatchMetric::IncomingRecords,
        point: CloudWatchPoint {
            at: moment(at_second).wall,
            period: Duration::from_secs(60),
            value: records,
        },
    }
}

#[test]
fn lag_right_after_the_first_read_needs_twice_the_patience() {
    let mut engine = engine();
    let mut all = Vec::new();
    for second in 0..150 {
        all.extend(told(&mut engine, read(second, 200), second));
    }
    assert_eq!(all, [(120, "KinesisConsumerLagHigh".to_owned(), "first notification")]);
}

#[test]
fn lag_of_a_stream_that_is_being_deleted_says_nothing_new() {
    let mut engine = engine();
    engine.handle(read(0, 0), moment(0));
    engine.handle(described("DELETING"), moment(0));
    let mut all = Vec::new();
    for second in 1..300 {
        all.extend(told(&mut engine, read(second, 200), second));
    }
    assert_eq!(all, []);
    let alerts = engine.snapshot(moment(300)).alerts;
    let lag = alerts.iter().find(|it| it.labels["alertname"] == "KinesisConsumerLagHigh").unwrap();
    assert_eq!(lag.annotations["suppressed_by"], "inhibited: the stream is being deleted");
}

#[test]
fn puts_that_fail_are_told_of_after_five_minutes() {
    let mut engine = engine();
    let mut all = Vec::new();
    engine.handle(Event::StreamSeen { stream: "orders".into() }, moment(0));
    for look in 0..60 {
        let totals = PutTotals { records: look * 100, failed: look * 2 };
        let puts = [("orders".to_owned(), totals)].into();
        let event = counted(Figures { puts, ..Figures::default() });
        all.extend(told(&mut engine, event, look * 15));
    }
    assert_eq!(all, [(315, "KinesisPutFailures".to_owned(), "first notification")]);
}

#[test]
fn cloudwatch_that_is_silent_is_told_of_and_blinds_its_rules() {
    let mut engine = engine();
    let mut all = Vec::new();
    for look in 0..50_u64 {
        let cloudwatch = Some(CloudWatchTotals { asked: look, answered_at: None });
        let event = counted(Figures { cloudwatch, ..Figures::default() });
        all.extend(told(&mut engine, event, look * 15));
    }
    assert_eq!(all, [(630, "KinescopeCloudWatchFailing".to_owned(), "first notification")]);
}

#[test]
fn traffic_that_no_longer_passes_here_is_told_of() {
    let mut engine = engine();
    let mut all = Vec::new();
    engine.handle(read(0, 0), moment(0));
    for minute in 1..30 {
        let second = minute * 60;
        all.extend(told(&mut engine, incoming(second - 60, 500.0), second));
        for tick in (second..second + 60).step_by(15) {
            all.extend(told(&mut engine, Event::Tick, tick));
        }
    }
    all.retain(|(_, name, _)| name == "KinescopeBypassed");
    // The first minute that began after the read is known at 120 s.
    assert_eq!(all, [(1_020, "KinescopeBypassed".to_owned(), "first notification")]);
}

#[test]
fn what_was_told_is_taken_back_where_no_rule_is_left() {
    let mut before = engine();
    for second in 0..150 {
        before.handle(read(second, 200), moment(second));
    }
    let mut after = with(Vec::new());
    after.restore(before.export(moment(150)), moment(150));
    let expected = (151, "KinesisConsumerLagHigh".to_owned(), "all alerts resolved");
    assert_eq!(told(&mut after, Event::Tick, 151), [expected]);
    assert_eq!(told(&mut after, Event::Tick, 153), []);
}

#[test]
fn our_own_end_is_no_incident() {
    let mut engine = engine();
    for second in 0..20 {
        engine.handle(read(second, 0), moment(second));
    }
    engine.handle(Event::Draining, moment(20));
    for second in 20..400 {
        assert_eq!(told(&mut engine, Event::Tick, second), []);
    }
}

#[test]
fn budgets_burn_by_time_above_the_target() {
    let mut engine = engine();
    let mut all = Vec::new();
    for second in 0..5_000 {
        let behind = if (2_000..2_300).contains(&second) { 61 } else { 0 };
        all.extend(told(&mut engine, read(second, behind), second));
    }
    all.retain(|(_, name, _)| name == "KinesisFreshnessBudgetBurn");
    let [(fired, ..), (ended, ..)] = all.as_slice() else { panic!("{all:?}") };
    // 14.4 times a thousandth of an hour is 52 s, and two minutes more; the half hour before it
    // is over keeps six times the pace, and then five minutes.
    assert!((2_170..=2_180).contains(fired), "{fired}");
    assert!(*ended > 2_300 + 1_500, "{ended}");
}
