//! Owns the tests of what the engine's alerts rest on beside verdicts: whole ways from an event to
//! a notice.

use super::*;
use crate::domain::alert::Signal;
use crate::domain::alert::builtin::builtin;
use crate::domain::alert::figures::{CloudWatchTotals, PutTotals};
use crate::domain::alert::group::Grouping;
use crate::domain::lag::{FailureKind, ReadFailure, ReadObservation};
use crate::domain::snapshot::{StreamDescription, StreamDetails};
use crate::domain::stream::SequenceNumber;
use crate::domain::time::Wall;

const START: Wall = Wall::from_ms(1_700_000_000_000);

fn moment(second: u64) -> Moment {
    Moment { wall: START, mono: Duration::ZERO }.plus(Duration::from_secs(second))
}

fn engine() -> Engine {
    engine_of(builtin())
}

fn engine_of(rules: Vec<Rule>) -> Engine {
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

/// What is told, and what is not and why, where `mail` is refused from its hundredth second on, and
/// `bills` reads another stream 200 s behind.
fn refused(kind: FailureKind, without: &str) -> (Vec<String>, Vec<String>) {
    let burns = |rule: &Rule| rule.when.signal == Signal::FreshnessBurn;
    let rules = builtin().into_iter().filter(|rule| rule.name != without && !burns(rule));
    let mut engine = engine_of(rules.collect());
    let mut all = Vec::new();
    for second in 0..400 {
        let event = if second < 100 {
            read(second, 0)
        } else {
            let failure = ReadFailure { at: moment(second), kind };
            let (stream, consumer, shard) = ("orders".into(), "mail".into(), "a".into());
            Event::ReadFailed { stream, consumer, shard, failure }
        };
        all.extend(told(&mut engine, event, second));
        if let Event::Read { shard, observation, .. } = read(second, 200) {
            let (stream, consumer) = ("clicks".into(), "bills".into());
            let event = Event::Read { stream, consumer, shard, observation };
            all.extend(told(&mut engine, event, second));
        }
    }
    let alerts = engine.snapshot(moment(400)).alerts;
    let why = alerts.iter().filter_map(|it| {
        let why = it.annotations.get("suppressed_by")?;
        Some(format!("{} {}: {why}", it.labels["consumer"], it.labels["alertname"]))
    });
    (all.into_iter().map(|(second, name, _)| format!("{second} {name}")).collect(), why.collect())
}

#[test]
fn credentials_that_fail_silence_the_lag_that_they_cause() {
    let check = |kind, without: &str, told: &[&str], why: &[String]| {
        let found = refused(kind, without);
        assert_eq!(found.0, told, "{kind:?}");
        assert_eq!(found.1, why, "{kind:?}");
    };
    let untold = |who: &str, why: &str| format!("{who} KinesisConsumerLagHigh: inhibited: {why}");
    let refused = |who: &str, since: &str| {
        untold(who, &format!("reads fail since {since}, of which KinesisConsumerStalled tells"))
    };
    // Stalled from second 108; what is so soon after the first read does not count.
    let (bills, stalled) = ("120 KinesisConsumerLagHigh", "240 KinesisConsumerStalled");
    // The other stream's lag is of another cause.
    let denied = refused("mail", "access was denied");
    check(FailureKind::Denied, "", &[bills, stalled], &[denied]);
    // Credentials that nobody may use are refused for every stream.
    let none = "the sidecar has no credentials";
    let both = [refused("bills", none), refused("mail", none)];
    check(FailureKind::NoCredentials, "", &[stalled], &both);
    // Where nobody would tell of the cause, the lag is told.
    let mail = "220 KinesisConsumerLagHigh";
    check(FailureKind::Denied, "KinesisConsumerStalled", &[bills, mail], &[]);
    let why = "KinesisConsumerStalled is on";
    check(FailureKind::Other, "", &[bills, mail, stalled], &[untold("mail", why)]);
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
fn the_watchdog_barks_from_the_start_and_again() {
    let dogs = builtin().into_iter().filter(|rule| rule.name == "KinescopeWatchdog");
    let mut engine = engine_of(dogs.map(|rule| Rule { enabled: true, ..rule }).collect());
    let grouping = Grouping { repeat: Duration::from_secs(60), ..Grouping::default() };
    engine = engine.telling(Policy { grouping, ..Policy::default() }, Objective::default());
    let all: Vec<u64> = (0..130)
        .flat_map(|second| told(&mut engine, counted(Figures::default()), second))
        .map(|(second, _, _)| second)
        .collect();
    assert_eq!(all, [0, 60, 120]);
}

#[test]
fn what_was_told_is_taken_back_where_no_rule_is_left() {
    let mut before = engine();
    for second in 0..150 {
        before.handle(read(second, 200), moment(second));
    }
    let mut after = engine_of(Vec::new());
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
