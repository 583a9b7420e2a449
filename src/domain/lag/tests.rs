//! Owns the stories of one reader and one shard: timelines in, verdicts out.

use super::*;
use crate::domain::stream::SequenceNumber;
use proptest::prelude::*;
use std::sync::LazyLock;

/// A read at a second: `MillisBehindLatest` if it was there, records, newest sequence number.
type Read = (u64, Option<u64>, u32, u64);

static TUNING: LazyLock<Tuning> = LazyLock::new(Tuning::default);

const RETENTION: Duration = Duration::from_secs(86_400);

fn observation((second, behind_ms, records, sequence): Read) -> ReadObservation {
    let at = Moment { wall: Wall::default(), mono: Duration::from_secs(second) };
    ReadObservation {
        called_at: at,
        at,
        behind: behind_ms.map(Duration::from_millis),
        records,
        oldest_sequence: None,
        newest_sequence: (records > 0).then(|| SequenceNumber::from(sequence.to_string().as_str())),
        newest_arrival: None,
        shard_ended: false,
    }
}

fn window(timeline: &[Read]) -> Window {
    let mut reads = timeline.iter().copied().map(observation);
    let mut window = Window::new(&reads.next().unwrap(), &TUNING);
    reads.for_each(|read| window.observe(&read, &TUNING));
    window
}

/// The verdict at a second on a consumer that reads this shard only.
fn judge(timeline: &[Read], second: u64) -> Assessment {
    let window = window(timeline);
    judge_in(&window, around(&window), second)
}

/// A consumer that reads this shard only.
fn around(window: &Window) -> Circumstances<'static> {
    Circumstances {
        view: View::Pod,
        consumer_called_at: window.called_at(),
        consumer_calls_since: Duration::ZERO,
        retention: Some(RETENTION),
        presence: None,
        has_unfinished_parent: false,
        taker_is_seen: false,
        tuning: &TUNING,
    }
}

fn judge_in(window: &Window, around: Circumstances<'_>, second: u64) -> Assessment {
    let told = assess(window, around, Duration::from_secs(second));
    assert_eq!(told.status, told.rule.status());
    told
}

#[track_caller]
fn check(timeline: &[Read], second: u64, status: Status, lag_ms: Option<u64>, reason: &str) {
    let verdict = judge(timeline, second);
    let lag = verdict.lag.map(|lag| lag.value);
    assert_eq!((verdict.status, lag), (status, lag_ms.map(Duration::from_millis)));
    assert_eq!(verdict.reason, reason);
}

/// One read a second from `from`, whose lag changes by `step_ms` a second.
fn steady(from: u64, count: u64, lag_ms: u64, step_ms: i64, records: u32) -> Vec<Read> {
    let read = |i: u64| {
        let lag = lag_ms.saturating_add_signed(step_ms * i.cast_signed());
        (from + i, Some(lag), records, from + i)
    };
    (0..count).map(read).collect()
}

#[test]
fn near_the_tip_is_ok() {
    check(&[(0, Some(0), 1, 1)], 3, Status::Ok, Some(0), "lag of 0.0 s is within 5.0 s");
    check(&steady(0, 20, 2_000, 0, 5), 20, Status::Ok, Some(3_000), "lag of 3.0 s is within 5.0 s");
}

#[test]
fn at_the_tip_without_records_is_idle() {
    let reads = steady(0, 62, 0, 0, 0);
    check(&reads, 11, Status::Idle, Some(0), "at the tip, no record for 11.0 s");
    check(&reads[..11], 10, Status::Ok, Some(0), "lag of 0.0 s is within 5.0 s");
    // Where records came, the last of them by second 1, idleness takes a minute and a poll.
    let mut reads = steady(0, 2, 0, 0, 1);
    reads.extend(steady(2, 62, 0, 0, 0));
    check(&reads, 63, Status::Idle, Some(0), "at the tip, no record for 62.0 s");
    check(&reads[..63], 62, Status::Ok, Some(0), "lag of 0.0 s is within 5.0 s");
}

#[test]
fn no_lag_ever_is_unknown() {
    let reads = [(0, None, 1, 1), (1, None, 1, 2)];
    let reason = "no MillisBehindLatest in the newest of 2 answers";
    check(&reads, 2, Status::Unknown, None, reason);
}

#[test]
fn a_missing_lag_keeps_the_last() {
    let reads = [(0, Some(3_000), 1, 1), (1, None, 1, 2)];
    check(&reads, 2, Status::Ok, Some(4_000), "lag of 4.0 s (inferred) is within 5.0 s");
}

#[test]
fn behind_by_its_direction() {
    check(
        &[(0, Some(60_000), 5, 1), (1, Some(60_000), 5, 2)],
        1,
        Status::Lagging,
        Some(60_000),
        "lag of 60.0 s is over 5.0 s; too few reads to say whether it grows",
    );
    check(
        &steady(0, 20, 60_000, 0, 5),
        19,
        Status::Lagging,
        Some(60_000),
        "lag of 60.0 s is over 5.0 s and holds",
    );
    check(
        &steady(0, 20, 60_000, 40, 5),
        19,
        Status::Lagging,
        Some(60_760),
        "lag of 60.8 s is over 5.0 s and holds",
    );
    check(
        &steady(0, 20, 60_000, -500, 5),
        19,
        Status::Lagging,
        Some(50_500),
        "lag of 50.5 s is over 5.0 s and shrinks by 0.50 s per second",
    );
    check(
        &steady(0, 20, 60_000, 500, 5),
        19,
        Status::FallingBehind,
        Some(69_500),
        "lag of 69.5 s is over 5.0 s and grows by 0.50 s per second",
    );
}

#[test]
fn horizons_only_on_the_right_side() {
    let shrinking = judge(&steady(0, 20, 60_000, -500, 5), 19);
    assert_eq!(shrinking.catch_up, Some(Duration::from_secs(101)));
    assert_eq!(shrinking.data_loss, None);
    let growing = judge(&steady(0, 20, 60_000, 500, 5), 19);
    assert_eq!(growing.catch_up, None);
    assert_eq!(growing.data_loss, Some(Duration::from_secs_f64((86_400.0 - 69.5) / 0.5)));
    let steady = judge(&steady(0, 20, 60_000, 0, 5), 19);
    assert_eq!((steady.catch_up, steady.data_loss), (None, None));
}

#[test]
fn a_reader_that_recovered_is_not_said_to_lose_data() {
    let mut reads: Vec<Read> = (0..20).map(|i| (i, Some(i * 1_000), 5, i + 1)).collect();
    reads.extend((20..25).map(|i| (i, Some(0), 50, 50 * i)));
    let back = judge(&reads, 24);
    assert_eq!((back.status, back.velocity, back.data_loss), (Status::Ok, None, None));
}

#[test]
fn the_same_records_again_is_stalled() {
    let reads: Vec<Read> = (0..17).map(|i| (i, Some(60_000), 5, 7)).collect();
    let reason = "lag of 60.0 s, and no newer record in 8 reads over 8.0 s";
    check(&reads[..9], 8, Status::Stalled, Some(60_000), reason);
    assert_eq!(judge(&reads[..8], 7).status, Status::Lagging);
}

#[test]
fn an_answer_that_begins_where_the_last_one_did_is_no_step() {
    let reads: Vec<Read> = (0..12).map(|i| (i, Some(60_000 + 1_000 * i), 5, 10 + i)).collect();
    let begun = |at: u64| {
        let mut window = window(&reads[..1]);
        for read in &reads[1..] {
            let oldest_sequence = Some(SequenceNumber::from(format!("{}", at * read.0).as_str()));
            window.observe(&ReadObservation { oldest_sequence, ..observation(*read) }, &TUNING);
        }
        judge_in(&window, around(&window), 11).rule
    };
    assert_eq!(begun(0), Rule::HoldsStill);
    assert_eq!(begun(1), Rule::Grows);
}

#[test]
fn empty_answers_that_get_nearer_are_no_stall() {
    assert_eq!(judge(&steady(0, 40, 90_000, -1_000, 0), 39).status, Status::Lagging);
    assert_eq!(judge(&steady(0, 40, 90_000, 1_000, 0), 39).status, Status::Stalled);
}

#[test]
fn going_back_is_rewound_until_it_is_there_again() {
    let mut reads = vec![(0, Some(0), 1, 100), (1, Some(60_000), 1, 40)];
    let reason = "went back to older records 0.0 s ago and is not back where it was; lag of 60.0 s";
    check(&reads, 1, Status::Rewound, Some(60_000), reason);
    reads.push((2, Some(60_000), 1, 99));
    assert_eq!(judge(&reads, 2).status, Status::Rewound);
    reads.push((3, Some(60_000), 1, 100));
    assert_eq!(judge(&reads, 3).status, Status::Lagging);
}

#[test]
fn silence_ages_then_stops() {
    let reads = steady(0, 10, 0, 0, 1);
    check(&reads, 14, Status::Ok, Some(0), "lag of 0.0 s is within 5.0 s");
    check(
        &reads,
        15,
        Status::FallingBehind,
        Some(6_000),
        "lag of 6.0 s (inferred) is over 5.0 s and grows: not read for 6.0 s",
    );
    assert_eq!(judge(&reads, 41).status, Status::FallingBehind);
    check(
        &reads,
        42,
        Status::Stopped,
        Some(33_000),
        "not read for 33.0 s, more than the 32.0 s that this reader may pause",
    );
    assert_eq!(judge(&reads, 42).velocity, Some(1.0));
    assert_eq!(judge(&reads, 40_000).status, Status::Stopped);
}

#[test]
fn a_stop_is_measured_by_the_readers_own_cadence() {
    let stopped = |every: u64, silence: u64| {
        let reads: Vec<Read> = (0..5).map(|i| (i * every, Some(0), 1, i)).collect();
        judge(&reads, 4 * every + silence).status == Status::Stopped
    };
    let check = |every, stops_after| {
        assert!(!stopped(every, stops_after), "{every}");
        assert!(stopped(every, stops_after + 1), "{every}");
    };
    check(1, 32);
    check(10, 50);
    check(20, 80);
    check(60, 240);
    check(100, 300);
    assert!(judge(&[(0, Some(0), 1, 1)], 300).status != Status::Stopped);
    assert_eq!(judge(&[(0, Some(0), 1, 1)], 301).status, Status::Stopped);
}

#[test]
fn lag_beyond_retention_loses_data() {
    let verdict = judge(&steady(0, 20, 86_399_000, 1_000, 5), 19);
    assert_eq!(verdict.status, Status::LosingData);
    assert_eq!(verdict.retention_used, Some(1.0));
    assert_eq!(verdict.data_loss, Some(Duration::ZERO));
    let reason = "lag of 24.0 h has reached the stream's retention of 24.0 h and does not shrink";
    assert_eq!(verdict.reason, reason);
}

#[test]
fn a_shard_left_behind_is_released_and_has_no_lag_of_ours() {
    let window = window(&steady(0, 10, 0, 0, 1));
    let at = |called_at, now| {
        let consumer_called_at = Duration::from_secs(called_at);
        judge_in(&window, Circumstances { consumer_called_at, ..around(&window) }, now)
    };
    let released = at(42, 42);
    assert_eq!((released.status, released.lag), (Status::Released, None));
    assert_eq!(at(42, 4_000).status, Status::Released);
    assert_eq!(at(41, 42).status, Status::FallingBehind);
    // All fell silent together: a read of another shard a little later changes nothing.
    assert_eq!(at(20, 53).status, Status::Stopped);
}

#[test]
fn a_fast_poller_keeps_a_long_window() {
    let mut window = window(&[(0, Some(60_000), 1, 0)]);
    for i in 1..200_u64 {
        let mut read = observation((0, Some(60_000 + 100 * i), 1, i));
        read.at.mono = Duration::from_millis(200 * i);
        window.observe(&read, &TUNING);
    }
    let slope = window.slope(Duration::from_secs(40), &TUNING).unwrap();
    assert!((slope.velocity - 0.5).abs() < 0.01, "{slope:?}");
}

fn any_observation() -> impl Strategy<Value = ReadObservation> {
    let lag = prop_oneof![
        Just(Duration::ZERO),
        any::<Duration>(),
        (0..100_000_u64).prop_map(Duration::from_millis)
    ];
    let mono = prop_oneof![any::<Duration>(), (0..900_000_u64).prop_map(Duration::from_millis)];
    let sequence = prop::option::of("[0-9]{0,4}|[a-z]");
    let place = (sequence.clone(), sequence, prop::option::of(any::<u64>()));
    (mono, any::<u64>(), prop::option::of(lag), 0..3_u32, place).prop_map(
        |(mono, wall, behind, records, (oldest, sequence, arrival))| {
            let at = Moment { wall: Wall::from_nanos(wall), mono };
            let newest_sequence = sequence.as_deref().map(SequenceNumber::from);
            let newest_arrival = arrival.map(Wall::from_nanos);
            ReadObservation {
                called_at: at,
                at,
                behind,
                records,
                oldest_sequence: oldest.as_deref().map(SequenceNumber::from),
                newest_sequence,
                newest_arrival,
                shard_ended: false,
            }
        },
    )
}

fn any_window() -> impl Strategy<Value = Window> {
    prop::collection::vec(any_observation(), 1..150).prop_map(|reads| {
        let mut window = Window::new(reads.first().unwrap(), &TUNING);
        reads.iter().skip(1).for_each(|read| window.observe(read, &TUNING));
        window
    })
}

proptest! {
    #[test]
    fn any_history_gets_a_verdict_of_real_numbers(
        window in any_window(),
        consumer_called_at: Duration,
        retention: Option<Duration>,
        is_fleet: bool,
        has_unfinished_parent: bool,
        now: Duration,
    ) {
        let view = if is_fleet { View::Fleet } else { View::Pod };
        let around = Circumstances {
            view, consumer_called_at, retention, has_unfinished_parent, ..around(&window)
        };
        let verdict = assess(&window, around, now);
        prop_assert!(verdict.evidence.iter().all(|(_, figure)| figure.is_finite()));
        prop_assert!(verdict.velocity.is_none_or(f64::is_finite));
        prop_assert!(verdict.retention_used.is_none_or(|used| (0.0..=1.0).contains(&used)));
        prop_assert!(verdict.catch_up.is_none() || verdict.data_loss.is_none());
        prop_assert!(!verdict.reason.is_empty());
        prop_assert!(window.is_bounded());
    }

    #[test]
    fn a_silent_readers_lag_grows_a_second_a_second(window in any_window(), more: u32) {
        let now = window.read_at().saturating_add(Duration::from_secs(3_600 * 24));
        let lag = |at| window.lag(at, &TUNING).map(|lag| (lag.value, lag.inferred));
        let is_silent = now.saturating_sub(window.read_at()) > window.silence_allowed(&TUNING);
        if let Some((value, true)) = lag(now) && is_silent {
            let more = Duration::from_secs(more.into());
            let later = now.saturating_add(more);
            prop_assert_eq!(lag(later), Some((value.saturating_add(later - now), true)));
            prop_assert_eq!(window.slope(later, &TUNING).map(|slope| slope.velocity), Some(1.0));
        }
    }
}

#[test]
fn an_old_rewind_is_forgotten_and_does_not_colour_a_new_one() {
    let mut reads = vec![(0, Some(0), 1, 10_000)];
    reads.extend((1..700).map(|i| (i, Some(60_000), 1, i)));
    assert_eq!(judge(&reads[..600], 599).status, Status::Rewound);
    assert_eq!(judge(&reads, 699).status, Status::Lagging);
    reads.extend([(700, Some(60_000), 1, 690), (701, Some(60_000), 1, 699)]);
    assert_eq!(judge(&reads, 701).status, Status::Lagging);
}
