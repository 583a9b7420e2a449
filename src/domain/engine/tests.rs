//! Owns the engine's tests: whole stories of events, told second by second.

use super::*;
use crate::domain::lag::{Checkpoint, Rule};
use crate::domain::snapshot::StreamDetails;
use crate::domain::stream::SequenceNumber;
use crate::domain::time::Wall;
use proptest::prelude::*;

const FORGET_AFTER: Duration = Duration::from_secs(600);

fn engine(streams_max: usize, windows_max: usize) -> Engine {
    Engine::new(config(streams_max, windows_max))
}

fn config(streams_max: usize, windows_max: usize) -> EngineConfig {
    EngineConfig {
        rules: Vec::new(),
        external_labels: BTreeMap::new(),
        repeat_interval: Duration::from_secs(3_600),
        limits: EngineLimits { streams_max, windows_max, forget_after: FORGET_AFTER },
    }
}

fn moment(second: u64) -> Moment {
    Moment::default().plus(Duration::from_secs(second))
}

fn read(shard: &str, second: u64) -> Event {
    let at = moment(second);
    Event::Read {
        stream: "orders".into(),
        consumer: "mail".into(),
        shard: shard.into(),
        observation: ReadObservation {
            called_at: at,
            at,
            behind: Some(Duration::ZERO),
            records: 1,
            oldest_sequence: None,
            newest_sequence: Some(SequenceNumber::from(second.to_string().as_str())),
            newest_arrival: None,
            shard_ended: false,
        },
    }
}

fn end(shard: &str, second: u64) -> Event {
    let mut event = read(shard, second);
    if let Event::Read { observation, .. } = &mut event {
        observation.shard_ended = true;
    }
    event
}

/// Shard and status of the only consumer, by shard.
fn statuses(engine: &Engine, second: u64) -> Vec<(String, Status)> {
    let views = engine.snapshot(moment(second)).consumers;
    let shards = views.iter().flat_map(|view| &view.shards);
    shards.map(|view| (view.shard.to_string(), view.assessment.status)).collect()
}

fn worst(engine: &Engine, second: u64) -> Option<Status> {
    let views = engine.snapshot(moment(second)).consumers;
    views.first().map(|view| view.worst.status)
}

#[test]
fn a_stopped_consumer_ages_and_is_never_forgotten() {
    let mut engine = engine(10, 10);
    for second in 0..20 {
        engine.handle(read("a", second), moment(second));
    }
    assert_eq!(worst(&engine, 20), Some(Status::Ok));
    assert_eq!(worst(&engine, 30), Some(Status::FallingBehind));
    assert_eq!(worst(&engine, 52), Some(Status::Stopped));
    let later = 19 + 10 * FORGET_AFTER.as_secs();
    engine.handle(Event::Tick, moment(later));
    assert_eq!(worst(&engine, later), Some(Status::Stopped));
}

#[test]
fn a_lost_shard_is_released_and_later_forgotten() {
    let mut engine = engine(10, 10);
    for second in 0..700 {
        engine.handle(read("a", second), moment(second));
        if second < 20 {
            engine.handle(read("b", second), moment(second));
        }
        if second == 60 {
            let expected = [("a".to_owned(), Status::Ok), ("b".to_owned(), Status::Released)];
            assert_eq!(statuses(&engine, 60), expected);
            // The consumer as a whole is well: it reads on elsewhere.
            assert_eq!(worst(&engine, 60), Some(Status::Ok));
        }
    }
    assert_eq!(statuses(&engine, 700), [("a".to_owned(), Status::Ok)]);
}

#[test]
fn an_ended_parent_retires_at_once() {
    let mut engine = engine(10, 10);
    engine.handle(read("parent", 0), moment(0));
    engine.handle(read("other", 0), moment(0));
    engine.handle(end("parent", 1), moment(1));
    assert_eq!(statuses(&engine, 1), [("other".to_owned(), Status::Ok)]);
    engine.handle(read("child", 2), moment(2));
    engine.handle(end("other", 3), moment(3));
    engine.handle(end("never-seen", 3), moment(3));
    assert_eq!(statuses(&engine, 3), [("child".to_owned(), Status::Ok)]);
    engine.handle(end("child", 4), moment(4));
    assert_eq!(worst(&engine, 400), None);
    assert_eq!(engine.wake_at(), None);
}

#[test]
fn the_end_of_a_shard_does_not_make_a_released_one_stopped() {
    let mut engine = engine(10, 10);
    for second in 0..60 {
        engine.handle(read("a", second), moment(second));
        if second < 20 {
            engine.handle(read("b", second), moment(second));
        }
    }
    engine.handle(end("a", 60), moment(60));
    assert_eq!(statuses(&engine, 500), [("b".to_owned(), Status::Released)]);
}

/// What is done about an event besides lines for the log.
fn done(engine: &mut Engine, event: Event, second: u64) -> Vec<Effect> {
    let mut effects = engine.handle(event, moment(second));
    effects.retain(|effect| !matches!(effect, Effect::Judged(_)));
    effects
}

#[test]
fn a_new_stream_is_described_once() {
    let mut engine = engine(2, 10);
    let describe = |name: &str| vec![Effect::Describe(name.into())];
    assert_eq!(done(&mut engine, read("a", 0), 0), describe("orders"));
    assert_eq!(done(&mut engine, read("a", 1), 1), []);
    let seen = |name: &str| Event::StreamSeen { stream: name.into() };
    assert_eq!(done(&mut engine, seen("orders"), 1), []);
    assert_eq!(done(&mut engine, seen("bills"), 1), describe("bills"));
    assert_eq!(done(&mut engine, seen("too-many"), 1), []);
    let names: Vec<_> = engine.snapshot(moment(1)).streams.into_iter().map(|v| v.stream).collect();
    assert_eq!(names, ["bills".into(), "orders".into()]);
}

#[test]
fn a_new_verdict_is_told_once_with_its_rule() {
    let mut engine = engine(10, 10);
    let mut changes = Vec::new();
    for second in 0..60 {
        let event = if second < 20 { read("a", second) } else { Event::Tick };
        for effect in engine.handle(event, moment(second)) {
            if let Effect::Judged(change) = effect {
                changes.push((second, change.was, change.is.rule));
            }
        }
    }
    let expected = [
        (0, None, Rule::NearTheTip),
        (25, Some(Status::Ok), Rule::GrowsUnread),
        (52, Some(Status::FallingBehind), Rule::Silent),
    ];
    assert_eq!(changes, expected);
}

fn description(created_ms: u64, hours: u64) -> Event {
    Event::StreamDescribed {
        stream: "orders".into(),
        description: StreamDescription {
            retention: Duration::from_secs(hours * 3_600),
            open_shards: 1,
            mode: String::new(),
            status: String::new(),
            record_bytes_max: None,
            created_at: Some(Wall::from_ms(created_ms)),
            details: StreamDetails::default(),
            at: moment(0),
        },
    }
}

#[test]
fn a_stream_created_anew_is_another_one() {
    let mut engine = engine(10, 10);
    engine.handle(description(1_000, 24), moment(0));
    (0..20).for_each(|second| drop(engine.handle(read("a", second), moment(second))));
    engine.handle(description(1_000, 48), moment(20));
    assert_eq!(worst(&engine, 20), Some(Status::Ok));
    engine.handle(description(2_000, 24), moment(20));
    assert_eq!(worst(&engine, 20), Some(Status::Unknown));
    // Its numbers begin anew: nobody went back.
    engine.handle(read("a", 0), moment(20));
    let mut again = read("a", 21);
    if let Event::Read { observation, .. } = &mut again {
        observation.newest_sequence = Some("1".into());
        observation.behind = Some(Duration::from_secs(60));
    }
    engine.handle(again, moment(21));
    assert_eq!(worst(&engine, 21), Some(Status::Lagging));
}

#[test]
fn children_wait_and_trimmed_shards_go() {
    let mut engine = engine(10, 10);
    let named = |shard: &str| format!("shardId-{shard}");
    let listed = |shards: &[(&str, &[&str])]| Event::ShardsListed {
        stream: "orders".into(),
        shards: shards
            .iter()
            .map(|(shard, parents)| ShardInfo {
                shard: named(shard).as_str().into(),
                parents: parents.iter().map(|it| named(it).as_str().into()).collect(),
            })
            .collect(),
    };
    for second in 0..100 {
        engine.handle(read(&named("p"), second), moment(second));
        if second < 20 {
            engine.handle(read(&named("c"), second), moment(second));
        }
    }
    assert_eq!(worst(&engine, 99), Some(Status::Ok));
    assert_eq!(statuses(&engine, 99)[0].1, Status::Released);
    engine.handle(listed(&[("p", &[]), ("c", &["p"])]), moment(99));
    assert_eq!(statuses(&engine, 99)[0], (named("c"), Status::Lagging));
    engine.handle(end(&named("p"), 100), moment(100));
    engine.handle(read(&named("c"), 101), moment(101));
    assert_eq!(statuses(&engine, 101), [(named("c"), Status::Ok)]);
    engine.handle(listed(&[("d", &["c"])]), moment(102));
    assert_eq!(worst(&engine, 102), Some(Status::Ok), "it was read, so the list is older");
    engine.handle(listed(&[("d", &["c"])]), moment(111));
    assert_eq!(worst(&engine, 111), None);
}

#[test]
fn a_shard_on_no_list_asks_for_a_new_one_once() {
    let mut engine = engine(10, 10);
    let named = |shard: &str| ShardId::from(format!("shardId-{shard}").as_str());
    let listed = |shards: &[&str]| Event::ShardsListed {
        stream: "orders".into(),
        shards: shards
            .iter()
            .map(|it| ShardInfo { shard: named(it), parents: Vec::new() })
            .collect(),
    };
    let asks = |engine: &mut Engine, shard: &str, second| {
        done(engine, read(named(shard).as_str(), second), second).len()
    };
    assert_eq!(asks(&mut engine, "a", 0), 1, "a new stream");
    assert_eq!(asks(&mut engine, "b", 1), 0, "without a list none is missing");
    engine.handle(listed(&["a", "b"]), moment(2));
    assert_eq!((asks(&mut engine, "b", 3), asks(&mut engine, "c", 4)), (0, 1));
    assert_eq!(asks(&mut engine, "c", 5), 0);
    engine.handle(listed(&["a", "b", "c"]), moment(6));
    assert_eq!(asks(&mut engine, "c", 7), 0);
    assert_eq!(done(&mut engine, read("queue", 8), 8), []);
}

#[test]
fn a_deleted_stream_is_unknown_and_one_that_was_never_described_is_left() {
    let mut engine = engine(10, 10);
    let gone = || Event::StreamGone { stream: "orders".into() };
    engine.handle(read("a", 0), moment(0));
    engine.handle(gone(), moment(1));
    assert_eq!(worst(&engine, 1), Some(Status::Ok), "another account's, perhaps");
    engine.handle(description(1_000, 24), moment(2));
    engine.handle(gone(), moment(3));
    let snapshot = engine.snapshot(moment(3));
    assert!(snapshot.consumers.is_empty());
    assert!(snapshot.streams.iter().all(|view| view.description.is_none()));
}

#[test]
fn a_hub_learns_of_shards_by_their_leases_and_a_sidecar_does_not() {
    let lease = |second: u64, counter, checkpoint| Event::LeaseSeen {
        stream: "orders".into(),
        consumer: "mail".into(),
        shard: "a".into(),
        lease: Lease { at: moment(second), owner: Some("w".into()), counter, checkpoint },
    };
    let check = |view, expected: &[(u64, Option<Status>)]| {
        let mut engine = Engine::judging(config(10, 10), Judging { view, ..Judging::default() });
        for (second, status) in expected {
            engine.handle(lease(*second, 1, Checkpoint::Latest), moment(*second));
            assert_eq!(worst(&engine, *second), *status, "{view:?}");
        }
        engine.handle(lease(21, 2, Checkpoint::ShardEnd), moment(21));
        assert_eq!(worst(&engine, 21), None);
    };
    check(View::Pod, &[(0, None), (20, None)]);
    check(View::Fleet, &[(0, Some(Status::Unknown)), (20, Some(Status::Stopped))]);
}

/// What a hub says at the end of two minutes of shards `a` and `b`, read for twenty seconds by
/// worker `v`, after which `w` takes `b` and is read no more; `a` is read on, and its lease is this
/// worker's.
fn handed_over(owner_of_a: &str) -> Vec<(String, Status)> {
    let judging = Judging { view: View::Fleet, ..Judging::default() };
    let mut engine = Engine::judging(config(10, 10), judging);
    for second in 0..120 {
        engine.handle(read("a", second), moment(second));
        if second < 20 {
            engine.handle(read("b", second), moment(second));
        }
        let owners = [("a", if second < 25 { "v" } else { owner_of_a })];
        let of_b = [("b", if second < 25 { "v" } else { "w" })];
        for (shard, owner) in owners.into_iter().chain(of_b).filter(|_| second % 5 == 0) {
            let (at, owner) = (moment(second), Some(owner.into()));
            let lease = Lease { at, owner, counter: second, checkpoint: Checkpoint::Latest };
            let (stream, consumer) = ("orders".into(), "mail".into());
            let event = Event::LeaseSeen { stream, consumer, shard: shard.into(), lease };
            engine.handle(event, at);
        }
    }
    statuses(&engine, 119)
}

#[test]
fn a_hub_says_released_of_a_shard_that_is_read_past_the_sidecars() {
    let check = |owner_of_a, status| {
        let expected = [("a".to_owned(), Status::Ok), ("b".to_owned(), status)];
        assert_eq!(handed_over(owner_of_a), expected, "{owner_of_a}");
    };
    check("v", Status::Released);
    // The worker that took it is behind a sidecar: there its other shard is read.
    check("w", Status::Stopped);
}

#[test]
fn what_is_over_a_bound_is_counted() {
    let mut engine = engine(1, 2);
    for shard in ["a", "b", "c", "c"] {
        engine.handle(read(shard, 0), moment(0));
    }
    engine.handle(Event::StreamSeen { stream: "bills".into() }, moment(0));
    let snapshot = engine.snapshot(moment(0));
    assert_eq!((snapshot.left_out.stream_events, snapshot.left_out.reads), (1, 2));
    let shards: Vec<_> = statuses(&engine, 0).into_iter().map(|(shard, _)| shard).collect();
    assert_eq!(shards, ["a", "b"]);
}

#[test]
fn a_read_wakes_the_engine_every_second() {
    let mut engine = engine(10, 10);
    assert_eq!(engine.wake_at(), None);
    engine.handle(read("a", 7), moment(7));
    assert_eq!(engine.wake_at(), Some(Duration::from_secs(8)));
    engine.handle(Event::Tick, moment(7));
    assert_eq!(engine.wake_at(), Some(Duration::from_secs(8)));
    engine.handle(Event::Tick, moment(9));
    assert_eq!(engine.wake_at(), Some(Duration::from_secs(10)));
}

#[test]
fn an_older_cloudwatch_point_does_not_replace_a_newer_one() {
    let mut engine = engine(10, 10);
    for (at_ms, value) in [(2_000, 2.0), (1_000, 1.0), (2_000, 2.5)] {
        let point =
            CloudWatchPoint { at: Wall::from_ms(at_ms), period: Duration::from_secs(60), value };
        let metric = CloudWatchMetric::IteratorAge;
        engine.handle(Event::CloudWatch { stream: "orders".into(), metric, point }, moment(0));
    }
    let views = engine.snapshot(moment(0)).streams;
    let age = views.first().and_then(|view| view.cloudwatch.iterator_age);
    assert_eq!(age.map(|point| point.value), Some(2.5));
}

#[test]
fn a_reading_takes_its_lag_from_the_shard_furthest_behind() {
    let mut engine = engine(10, 10);
    let behind = |shard: &str, second: u64, lag: u64, sequence: &str| {
        let mut event = read(shard, second);
        if let Event::Read { observation, .. } = &mut event {
            observation.behind = Some(Duration::from_secs(lag));
            observation.newest_sequence = Some(sequence.into());
        }
        event
    };
    for second in 0..20 {
        engine.handle(behind("a", second, 10, "1"), moment(second));
        engine.handle(behind("b", second, 500, &second.to_string()), moment(second));
    }
    let judged = engine.memory.judged(moment(19).mono);
    let judged = judged.first().unwrap();
    let mut reading = reading::of(judged, None);
    assert!(reading.reason.is_empty() && reading.evidence.is_empty());
    reading::word(&mut reading, judged);
    let lag = reading.value(crate::domain::alert::Signal::DeliveryLag);
    assert_eq!((reading.status, lag), (Some(Status::Stalled), Some(500.0)));
    let evidence: Vec<(&str, &str)> =
        reading.evidence.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(reading.reason, "lag of 10.0 s, and no newer record in 19 reads over 19.0 s");
    assert_eq!(
        evidence,
        [
            (
                "evidence",
                "reads 20, silence 0.0 s, poll interval 1.0 s, stop after 32.0 s, lag 10.0 s, lag \
                 allowed 5.0 s, velocity 0, velocity error 0, recordless 19.0 s, held reads 19, \
                 held 19.0 s"
            ),
            ("lag", "8.3 min"),
            ("lag_shard", "b"),
            ("rule", "13 holds_still"),
            ("shard", "a"),
            ("velocity", "+0.00 s/s"),
            ("worst_shards", "b 8.3 min, a 10.0 s"),
        ]
    );
}

fn any_event() -> impl Strategy<Value = (Event, u64)> {
    let (name, shard) = ("[a-d]", "[a-c]");
    (0..5_u32, name, shard, 0..100_000_u64, 0..3_u32, any::<bool>(), 0..5_000_u64).prop_map(
        |(kind, name, shard, behind_ms, records, shard_ended, wait_ms)| {
            let stream = StreamName::from(name.as_str());
            let event = match kind {
                0 => Event::StreamSeen { stream },
                1 => Event::Tick,
                2.. => {
                    let mut event = read(&shard, 0);
                    if let Event::Read { observation, stream: of, .. } = &mut event {
                        *of = stream;
                        observation.behind = Some(Duration::from_millis(behind_ms));
                        observation.records = records;
                        observation.shard_ended = shard_ended && kind == 4;
                    }
                    event
                }
            };
            (event, wait_ms)
        },
    )
}

/// Every effect and every snapshot of a log of events, each with the wait before it.
fn replay(log: &[(Event, u64)]) -> Vec<(Vec<Effect>, Snapshot, Option<Duration>)> {
    let mut engine = engine(3, 5);
    let mut now = Moment::default();
    let steps = log.iter().map(|(event, wait_ms)| {
        now = now.plus(Duration::from_millis(*wait_ms));
        let mut event = event.clone();
        if let Event::Read { observation, .. } = &mut event {
            (observation.called_at, observation.at) = (now, now);
        }
        let effects = engine.handle(event, now);
        (effects, engine.snapshot(now), engine.wake_at())
    });
    steps.collect()
}

proptest! {
    #[test]
    fn a_log_replayed_tells_the_same(log in prop::collection::vec(any_event(), 0..80)) {
        let told = replay(&log);
        prop_assert_eq!(&told, &replay(&log));
        for (_, snapshot, wake_at) in told {
            let windows: usize = snapshot.consumers.iter().map(|view| view.shards.len()).sum();
            prop_assert!(snapshot.streams.len() <= 3 && windows <= 5);
            prop_assert!(snapshot.consumers.is_empty() || wake_at.is_some());
        }
    }
}
