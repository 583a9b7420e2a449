//! Owns the tests of `board`: what is told, how it looks, and the laws that hold for any signal.

use super::*;
use crate::domain::alert::builtin::builtin;
use crate::domain::alert::reading::of_status;
use crate::domain::alert::{AlertState, LET_GO, Signal};
use crate::domain::lag::Status;
use crate::domain::time::Wall;
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn at(ms: u64) -> Moment {
    let mono = Duration::from_millis(ms);
    Moment { wall: Wall::from_ms(1_700_000_000_000).plus(mono), mono }
}

fn reading(consumer: &str, lag_seconds: Option<f64>, status: Status) -> Reading {
    let (stream, consumer) = ("orders".to_owned(), consumer.to_owned());
    let mut reading = Reading::of(Subject::Consumer { stream, consumer });
    of_status(&mut reading, status);
    reading.set(Signal::DeliveryLag, lag_seconds);
    reading.reason = "as seen".to_owned();
    reading.tell("shard", Some("shardId-000000000000".to_owned()));
    reading
}

fn lagging(seconds: f64) -> Vec<Reading> {
    vec![reading("mail", Some(seconds), Status::Lagging)]
}

fn board(rules: Vec<Rule>, repeat_interval: Duration) -> Board {
    let external = [("region", "eu-west-1"), ("cluster", ""), ("stream", "not this")];
    let external = external.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let grouping = Grouping { repeat: repeat_interval, ..Grouping::default() };
    Board::new(
        rules,
        external.into(),
        Policy { grouping, storm_limit: ALERTS_MAX, ..Policy::default() },
    )
}

/// Steps every 10 s from `from` to `to` seconds.
fn run(board: &mut Board, readings: &[Reading], from: u64, to: u64) -> Vec<(u64, Notice)> {
    let steps = (from..=to).step_by(10);
    steps
        .flat_map(|s| board.step(readings, at(s * 1_000)).into_iter().map(move |told| (s, told)))
        .collect()
}

#[test]
fn fires_repeats_and_resolves_with_its_evidence() {
    let mut board = board(builtin(), Duration::from_secs(100));
    let fired = run(&mut board, &lagging(75.4), 0, 250);
    let reasons: Vec<_> = fired.iter().map(|(s, told)| (*s, told.id, told.reason)).collect();
    assert_eq!(reasons, [(60, 1, NoticeReason::First), (160, 2, NoticeReason::Repeat)]);
    let first = &fired[0].1;
    assert_eq!(
        first.group_key,
        r#"{}:{alertname="KinesisConsumerLagHigh", consumer="mail", region="eu-west-1", stream="orders"}"#
    );
    let alert = &first.alerts[0];
    assert_eq!((alert.state, alert.starts_at), (AlertState::Firing, at(60_000).wall));
    let labels: Vec<_> = alert.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        labels,
        [
            ("alertname", "KinesisConsumerLagHigh"),
            ("consumer", "mail"),
            ("region", "eu-west-1"),
            ("severity", "warning"),
            ("stream", "orders"),
        ]
    );

    let resolved = run(&mut board, &lagging(3.0), 255, 400);
    let (second, told) = &resolved[resolved.len() - 1];
    assert_eq!((*second, told.reason), (375, NoticeReason::AllResolved));
    let ended = &told.alerts[0];
    assert_eq!((ended.starts_at, ended.ends_at), (at(60_000).wall, Some(at(375_000).wall)));
    let mut annotations = ended.annotations.clone();
    assert_eq!(
        annotations.remove("resolved_because").as_deref(),
        Some("delivery lag is 3 s, at or below 30 s for 2 min")
    );
    assert_eq!(annotations, alert.annotations);
}

#[test]
fn stopped_is_told_while_lag_is_unknown() {
    let mut board = board(builtin(), HOUR);
    let stopped = [reading("mail", None, Status::Stopped)];
    let told = run(&mut board, &stopped, 0, 100);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.alerts[0].labels["alertname"], "KinesisConsumerStopped");
    assert_eq!(told[0].1.alerts[0].labels["severity"], "critical");
    let told = run(&mut board, &[reading("mail", None, Status::LosingData)], 110, 200);
    assert_eq!(told, [], "losing data is no recovery");
    let told = run(&mut board, &[reading("mail", Some(1.0), Status::Ok)], 210, 220);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.alerts[0].annotations["resolved_because"], "status is ok");
}

#[test]
fn a_consumer_that_vanished_is_not_said_to_be_well() {
    let mut board = board(builtin(), HOUR);
    assert_eq!(run(&mut board, &lagging(90.0), 0, 60).len(), 1);
    assert_eq!(run(&mut board, &[], 70, 960), []);
    let alerts = board.alerts();
    assert_eq!(alerts[0].state, AlertState::Firing);
    assert_eq!(alerts[0].annotations["no_value_since"], at(70_000).wall.to_string());
    let told = run(&mut board, &[], 970, 1_000);
    assert_eq!((told.len(), told[0].0, told[0].1.reason), (1, 970, NoticeReason::AllResolved));
    let because = &told[0].1.alerts[0].annotations["resolved_because"];
    assert!(because.contains("its source is gone, which is no recovery"), "{because}");
}

#[test]
fn what_another_may_see_is_let_go_and_not_renewed() {
    let mut board = board(builtin(), HOUR).under(Policy { lets_go: true, ..Policy::default() });
    assert_eq!(run(&mut board, &lagging(90.0), 0, 60).len(), 1);
    let let_go = |board: &Board| board.alerts()[0].annotations.contains_key(LET_GO);
    assert!(!let_go(&board));
    // Its shards are read by another pod, and in the end nothing of it is known here.
    run(&mut board, &[reading("mail", None, Status::Released)], 70, 100);
    assert!(let_go(&board));
    run(&mut board, &lagging(90.0), 110, 120);
    assert!(!let_go(&board));
    let told = run(&mut board, &[], 130, 1_100);
    let [(_, ended)] = told.as_slice() else { panic!("{told:?}") };
    assert!(ended.alerts[0].annotations.contains_key(LET_GO));
    // What got better here is over for everybody.
    run(&mut board, &lagging(90.0), 1_110, 1_200);
    let told = run(&mut board, &lagging(1.0), 1_210, 1_400);
    let [(_, ended)] = told.as_slice() else { panic!("{told:?}") };
    assert!(!ended.alerts[0].annotations.contains_key(LET_GO));
}

#[test]
fn resolved_alerts_stay_visible_a_quarter_of_an_hour() {
    let rule = Rule { hold: Duration::ZERO, ..builtin().remove(0) };
    let mut board = board(vec![Rule { keep_firing: Duration::ZERO, ..rule }], HOUR);
    assert_eq!(board.step(&lagging(90.0), at(0)).len(), 1);
    assert_eq!(board.step(&lagging(1.0), at(1_000)).len(), 1);
    let expiry = at(901_000);
    assert_eq!(board.wake_at(), Some(expiry.mono));
    board.step(&lagging(1.0), at(900_999));
    assert_eq!(board.alerts()[0].state, AlertState::Resolved);
    board.step(&lagging(1.0), expiry);
    assert_eq!((board.alerts(), board.wake_at()), (vec![], None));
}

#[test]
fn alerts_are_bounded_and_what_is_on_stays_on() {
    let mut board = board(vec![builtin().remove(0)], HOUR);
    let consumers = |range: std::ops::Range<usize>, lag| -> Vec<Reading> {
        range.map(|n| reading(&format!("c{n:04}"), Some(lag), Status::Lagging)).collect()
    };
    board.step(&consumers(0..ALERTS_MAX + 7, 90.0), at(0));
    assert_eq!((board.alerts().len(), board.left_out()), (ALERTS_MAX, 7));
    for second in [20, 40, 60] {
        board.step(&consumers(0..ALERTS_MAX, 90.0), at(second * 1_000));
    }
    let mut told = 0;
    for second in (80..=200).step_by(20) {
        told += board.step(&consumers(0..5, 1.0), at(second * 1_000)).len();
    }
    assert_eq!(told, 5, "resolved");
    board.step(&consumers(ALERTS_MAX..ALERTS_MAX + 7, 90.0), at(220_000));
    assert_eq!((board.alerts().len(), board.left_out()), (ALERTS_MAX, 2));
}

/// What a signal does: for so many tenths of a second it has this value; the outer `None` is a
/// reading that is not there.
type Course = Vec<(u64, Option<Option<f64>>)>;

fn signal() -> impl Strategy<Value = Course> {
    let value = prop_oneof![
        3 => Just(Some(Some(90.0))),
        3 => Just(Some(Some(5.0))),
        1 => Just(Some(Some(45.0))),
        1 => Just(Some(None)),
        1 => Just(None),
    ];
    prop::collection::vec((1_u64..700, value), 1..12)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let missing = prop_oneof![Just(Missing::Keep), Just(Missing::Fire), Just(Missing::Clear)];
    (0_u64..450, 0_u64..450, missing).prop_map(|(hold, keep_firing, missing)| Rule {
        hold: Duration::from_millis(hold * 100),
        keep_firing: Duration::from_millis(keep_firing * 100),
        missing,
        ..builtin().remove(0)
    })
}

/// All notices of a run that steps at every change of the signal and, in between, every 100 ms or
/// only when the board asks for it.
fn notices(rule: &Rule, signal: &Course, repeat: Duration, dense: bool) -> Vec<Notice> {
    let mut board = board(vec![rule.clone()], repeat);
    let (mut told, mut now_ms) = (Vec::new(), 0);
    for (tenths, value) in signal {
        let readings: Vec<Reading> =
            value.iter().map(|lag| reading("mail", *lag, Status::Lagging)).collect();
        let end_ms = now_ms + tenths * 100;
        while now_ms < end_ms {
            told.extend(board.step(&readings, at(now_ms)));
            let wake_ms = board.wake_at().map_or(end_ms, |wake| wake.as_millis() as u64);
            assert!(wake_ms > now_ms, "a wake that is due at once would spin");
            now_ms = if dense { now_ms + 100 } else { wake_ms.min(end_ms) };
        }
    }
    told
}

proptest! {
    #[test]
    fn wake_is_never_late(rule in any_rule(), signal in signal(), repeat in 0_u64..600) {
        let repeat = Duration::from_millis(repeat * 100);
        prop_assert_eq!(
            notices(&rule, &signal, repeat, false),
            notices(&rule, &signal, repeat, true)
        );
    }

    #[test]
    fn firing_and_resolved_alternate(rule in any_rule(), signal in signal()) {
        let mut firing = false;
        for notice in notices(&rule, &signal, Duration::from_secs(10), false) {
            let expected = match notice.reason {
                NoticeReason::First => (false, true, AlertState::Firing),
                NoticeReason::Repeat => (true, true, AlertState::Firing),
                NoticeReason::AllResolved => (true, false, AlertState::Resolved),
                NoticeReason::NewAlerts | NoticeReason::SomeResolved => unreachable!("one alert"),
            };
            prop_assert_eq!((firing, expected.1, notice.alerts[0].state), expected);
            firing = expected.1;
        }
    }
}
