//! Owns the tests of what goes from a sidecar to a hub, each with clocks of its own.

use super::*;
use crate::domain::capacity::{Puts, TopKey, Writer};
use crate::domain::engine::Event;
use crate::domain::lag::{ReadFailure, ReadObservation, Tip};
use crate::domain::time::Moment;

const SECOND: Duration = Duration::from_secs(1);
const TOP: Option<TopKey> = Some(TopKey { share: 0.5, keys: 1 });
/// The pod's calendar is this far ahead of the hub's.
const AHEAD: Duration = Duration::from_secs(3_600);

fn at(second: u64) -> Moment {
    Moment { wall: Wall::from_ms(1_700_000_000_000 + second * 1_000), mono: SECOND * second as u32 }
}

/// The same moment by the pod's clocks, which began elsewhere.
fn pod(second: u64) -> Moment {
    Moment { wall: at(second).wall.plus(AHEAD), mono: SECOND * (second as u32 + 77) }
}

fn observed(at: Moment, behind: u64, records: u32) -> ReadObservation {
    let sequence = (records > 0).then(|| SequenceNumber::from("49"));
    ReadObservation {
        called_at: at,
        at,
        behind: Some(Duration::from_millis(behind)),
        records,
        oldest_sequence: sequence.clone(),
        newest_sequence: sequence,
        newest_arrival: (records > 0).then_some(at.wall),
        shard_ended: false,
    }
}

fn read(observation: ReadObservation) -> Event {
    let (stream, consumer, shard) = ("orders".into(), "mail".into(), "shardId-0".into());
    Event::Read { stream, consumer, shard, observation }
}

fn connections(open: u32, at: Moment) -> Event {
    Event::Connections { consumer: "mail".into(), open, at }
}

fn ledger(instance: &str) -> Ledger {
    Ledger::new("mail", instance, pod(0)).on(Some("mail-7"))
}

/// What a hub makes of a report that is sent and received in the same moment.
fn heard(pods: &mut Pods, ledger: &mut Ledger, second: u64) -> Vec<Event> {
    pods.take(ledger.report(pod(second), false), at(second))
}

#[test]
fn a_read_is_told_as_it_was_by_the_hubs_clocks() {
    let (mut ledger, mut pods) = (ledger("a"), Pods::default());
    assert_eq!(heard(&mut pods, &mut ledger, 0), []);
    ledger.note(&read(observed(pod(7), 250, 3)));
    ledger.note(&read(observed(pod(8), 0, 0)));
    let expected = ReadObservation {
        behind: Some(Duration::ZERO),
        newest_arrival: Some(pod(7).wall),
        ..observed(at(8), 0, 3)
    };
    assert_eq!(heard(&mut pods, &mut ledger, 9), [read(expected)]);
    assert_eq!(heard(&mut pods, &mut ledger, 10), [], "told once");
    assert_eq!(heard(&mut pods, &mut ledger, 30), [], "told again, and known");
    // Two seconds longer on its way than the quickest.
    ledger.note(&read(observed(pod(31), 0, 0)));
    let late = pods.take(ledger.report(pod(32), false), at(34));
    assert_eq!(late, [read(observed(at(31), 0, 0))]);
}

#[test]
fn a_hub_that_is_new_learns_the_rhythm_and_what_is_long_past() {
    let (mut ledger, mut pods) = (ledger("a"), Pods::default());
    for second in 0..9 {
        ledger.note(&read(observed(pod(second * 2), 500, 0)));
    }
    ledger.report(pod(16), false);
    // The hub began at 100.
    let began = Moment { mono: SECOND * 5, ..at(105) };
    let told = pods.take(ledger.report(pod(105), false), began);
    let lags: Vec<_> = told
        .iter()
        .map(|event| {
            let Event::Read { observation, .. } = event else { panic!("{event:?}") };
            (observation.at.mono, observation.behind)
        })
        .collect();
    // 89 s ago, of which this clock knows 5.
    let behind = Some(Duration::from_millis(84_500));
    assert_eq!(lags, [(Duration::ZERO, None), (Duration::ZERO, None), (Duration::ZERO, behind)]);
    assert_eq!(told.len(), 3);
}

#[test]
fn connections_are_the_services_and_a_pod_takes_its_own_along() {
    let (mut one, mut two, mut pods) = (ledger("1"), ledger("2"), Pods::default());
    one.note(&connections(1, pod(0)));
    two.note(&connections(1, pod(0)));
    assert_eq!(heard(&mut pods, &mut one, 1), [connections(1, at(1))]);
    assert_eq!(heard(&mut pods, &mut two, 1), [], "there was one before");
    assert_eq!(pods.take(one.report(pod(2), true), at(2)), [], "the other is there");
    two.note(&connections(0, pod(3)));
    assert_eq!(heard(&mut pods, &mut two, 3), [connections(0, at(3))]);
    assert_eq!(pods.len(), 1);
    assert_eq!(pods.own("mail".into(), 1, at(4)), connections(1, at(4)));
}

#[test]
fn a_pod_that_falls_silent_is_forgotten() {
    let (mut ledger, mut pods) = (ledger("1"), Pods::default());
    ledger.note(&connections(1, pod(0)));
    heard(&mut pods, &mut ledger, 5);
    assert_eq!(pods.tick(at(35)), []);
    assert_eq!(pods.wake_at(), Some(SECOND * 35 + Duration::from_millis(1)));
    assert_eq!(pods.tick(at(36)), [connections(0, at(36))]);
    assert!(pods.is_empty() && pods.wake_at().is_none());
}

#[test]
fn a_pod_that_hung_up_is_forgotten_sooner_unless_it_calls_again() {
    let (mut ledger, mut pods) = (ledger("1"), Pods::default());
    ledger.note(&connections(1, pod(0)));
    let hung_up = || Word::HungUp("1".into());
    heard(&mut pods, &mut ledger, 5);
    assert_eq!(pods.hear(hung_up(), at(6)), []);
    assert_eq!(pods.hear(Word::Report(ledger.report(pod(8), false)), at(8)), []);
    assert_eq!(pods.tick(at(20)), [], "it called again");
    pods.hear(hung_up(), at(20));
    assert_eq!(pods.tick(at(21)), [connections(0, at(20))], "as of when it hung up");
    assert_eq!(pods.hear(hung_up(), at(21)), [], "nobody is known by that name");
}

#[test]
fn failures_puts_and_tips_are_told() {
    let (mut ledger, mut pods) = (ledger("1"), Pods::default());
    heard(&mut pods, &mut ledger, 0);
    let place = || ("orders".into(), "mail".into(), "shardId-0".into());
    let failed = |at| {
        let (stream, consumer, shard) = place();
        let failure = ReadFailure { at, kind: FailureKind::Throttled };
        Event::ReadFailed { stream, consumer, shard, failure }
    };
    let put = |records, at| {
        let (stream, _, shard): (_, ConsumerName, _) = place();
        let puts = Puts { records, bytes: records * 100, throttled: 1 };
        Event::PutsSeen { stream, shard, puts, top: TOP, by: None, at }
    };
    let tip = |at: Moment, newest| {
        let tip = Tip { as_of: at, newest: Some(newest), complete: false };
        Event::TipSeen { stream: "orders".into(), shard: "shardId-0".into(), tip }
    };
    ledger.note(&failed(pod(1)));
    ledger.note(&put(2, pod(1)));
    ledger.note(&put(3, pod(2)));
    ledger.note(&tip(pod(2), pod(2)));
    // What a read of another pod may have delivered is not called unread.
    let unsure = Moment { wall: at(2).wall.minus(SECOND / 2), mono: SECOND * 3 / 2 };
    let all = Puts { records: 5, bytes: 500, throttled: 2 };
    let stored = Event::PutsSeen {
        stream: "orders".into(),
        shard: "shardId-0".into(),
        puts: all,
        top: TOP,
        by: Some(Writer { service: "mail".into(), pod: "mail-7".into() }),
        at: at(3),
    };
    assert_eq!(heard(&mut pods, &mut ledger, 3), [failed(at(1)), tip(at(3), unsure), stored]);
    assert_eq!(heard(&mut pods, &mut ledger, 20), [], "told again, and known");
    // A hub that does not know the pod can't tell when the total came together.
    let told = heard(&mut Pods::default(), &mut ledger, 40);
    assert!(!told.iter().any(|event| matches!(event, Event::PutsSeen { .. })), "{told:?}");
}

#[test]
fn what_is_due_and_when() {
    let mut ledger = ledger("1");
    assert_eq!(ledger.due(), Duration::ZERO);
    ledger.report(pod(0), false);
    assert_eq!(ledger.due(), pod(3).mono, "a heartbeat");
    assert!(ledger.note(&read(observed(pod(1), 0, 0))), "first news");
    assert!(!ledger.note(&read(observed(pod(1), 0, 0))), "no first news");
    assert_eq!(ledger.due(), pod(1).mono, "a second after the last");
    assert_eq!(ledger.report(pod(1), false).reads.len(), 1);
    assert!(ledger.report(pod(5), false).is_empty(), "nothing new");
    assert_eq!(ledger.report(pod(11), false).reads.len(), 1, "told long ago");
    assert!(ledger.report(pod(3_700), true).is_empty(), "long over");
}

#[test]
fn what_finds_no_room_is_counted() {
    let (mut ledger, mut pods) = (ledger("1"), Pods::default());
    for shard in 0..5_000 {
        let shard = ShardId::from(shard.to_string().as_str());
        let puts = Puts { records: 1, bytes: 1, throttled: 0 };
        let (stream, top, by) = ("orders".into(), None, None);
        ledger.note(&Event::PutsSeen { stream, shard, puts, top, by, at: pod(0) });
    }
    assert_eq!((ledger.left_out(), ledger.left_out()), (904, 0));
    for nth in 0..17 {
        let mut report = ledger.report(pod(1), false);
        report.instance = nth.to_string().as_str().into();
        report.puts = (0..4_096)
            .map(|shard| PutPoint {
                stream: "orders".into(),
                shard: shard.to_string().as_str().into(),
                newest: None,
                puts: Puts::default(),
                top: None,
            })
            .collect();
        pods.take(report, at(1));
    }
    assert_eq!(pods.left_out(), 4_096, "sixteen pods' worth");
}
