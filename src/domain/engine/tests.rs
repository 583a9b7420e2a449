//! Owns the engine's tests: whole stories of events, told second by second.

use super::*;
use crate::domain::lag::Status;
use crate::domain::stream::SequenceNumber;
use crate::domain::time::Wall;
use proptest::prelude::*;

const FORGET_AFTER: Duration = Duration::from_secs(600);

fn engine(streams_max: usize, windows_max: usize) -> Engine {
    Engine::new(EngineConfig {
        rules: Vec::new(),
        external_labels: BTreeMap::new(),
        repeat_interval: Duration::from_secs(3_600),
        limits: EngineLimits { streams_max, windows_max, forget_after: FORGET_AFTER },
    })
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
    assert_eq!(worst(&engine, 50), Some(Status::Stopped));
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

#[test]
fn a_new_stream_is_described_once() {
    let mut engine = engine(2, 10);
    let describe = |name: &str| vec![Effect::Describe(name.into())];
    assert_eq!(engine.handle(read("a", 0), moment(0)), describe("orders"));
    assert_eq!(engine.handle(read("a", 1), moment(1)), []);
    let seen = |name: &str| Event::StreamSeen { stream: name.into() };
    assert_eq!(engine.handle(seen("orders"), moment(1)), []);
    assert_eq!(engine.handle(seen("bills"), moment(1)), describe("bills"));
    assert_eq!(engine.handle(seen("too-many"), moment(1)), []);
    let names: Vec<_> = engine.snapshot(moment(1)).streams.into_iter().map(|v| v.stream).collect();
    assert_eq!(names, ["bills".into(), "orders".into()]);
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
    let views = engine.snapshot(moment(19)).consumers;
    let reading = views.first().map(reading::of).unwrap();
    assert_eq!((reading.status, reading.lag_seconds), (Status::Stalled, Some(500.0)));
    let evidence: Vec<(&str, &str)> =
        reading.evidence.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let reason = "lag of 10.0 s, and no newer record in 19 reads over 19.0 s";
    assert_eq!(
        evidence,
        [
            ("lag", "8.3 min"),
            ("lag_shard", "b"),
            ("reason", reason),
            ("shard", "a"),
            ("status", "stalled"),
            ("velocity", "+0.00 s/s"),
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
