//! Owns a story for each rule that needs more than reads: other readers, leases, connections, puts,
//! parents, failures, retention, checkpoints.

use super::*;
use crate::domain::stream::ShardId;
use std::sync::LazyLock;

static TUNING: LazyLock<Tuning> = LazyLock::new(Tuning::default);

fn at(second: u64) -> Moment {
    let mono = Duration::from_secs(second);
    Moment { wall: Wall::from_ms(1_700_000_000_000).plus(mono), mono }
}

fn read(second: u64, behind_ms: Option<u64>, records: u32) -> ReadObservation {
    let sequence = (records > 0).then(|| SequenceNumber::from((second + 1).to_string().as_str()));
    ReadObservation {
        called_at: at(second),
        at: at(second),
        behind: behind_ms.map(Duration::from_millis),
        records,
        oldest_sequence: sequence.clone(),
        newest_sequence: sequence,
        newest_arrival: None,
        shard_ended: false,
    }
}

/// One read a second up to second 19, so far behind, with a record in each.
fn reader(behind_ms: u64) -> Window {
    let mut window = Window::new(&read(0, Some(behind_ms), 1), &TUNING);
    (1..20).for_each(|second| window.observe(&read(second, Some(behind_ms), 1), &TUNING));
    window
}

fn alone(window: &Window) -> Circumstances<'static> {
    Circumstances {
        view: View::Pod,
        consumer_called_at: window.called_at(),
        consumer_calls_since: Duration::ZERO,
        retention: Some(Duration::from_secs(86_400)),
        presence: None,
        has_unfinished_parent: false,
        taker_is_seen: false,
        tuning: &TUNING,
    }
}

#[track_caller]
fn check(window: &Window, around: Circumstances<'_>, second: u64, rule: Rule, reason: &str) {
    let told = assess(window, around, Duration::from_secs(second));
    assert_eq!((told.rule, told.reason.as_str()), (rule, reason));
    assert_eq!(told.status, rule.status());
    assert!(told.evidence.iter().any(|(name, _)| *name == "silence_seconds"));
}

fn rule(window: &Window, around: Circumstances<'_>, second: u64) -> Rule {
    judge(window, around, Duration::from_secs(second)).rule
}

#[test]
fn another_reader_has_it_by_its_sidecar() {
    let mut window = reader(0);
    window.see_elsewhere(at(10));
    assert_eq!(rule(&window, alone(&window), 25), Rule::GrowsUnread);
    window.see_elsewhere(at(22));
    let reason = "not read for 6.0 s; another reader has had the shard for 3.0 s";
    check(&window, alone(&window), 25, Rule::HeldElsewhere, reason);
    // In a fleet all reads are one reader's.
    let fleet = Circumstances { view: View::Fleet, ..alone(&window) };
    assert_eq!(rule(&window, fleet, 60), Rule::Silent);
    window.observe(&read(26, Some(0), 1), &TUNING);
    assert_eq!(rule(&window, alone(&window), 26), Rule::NearTheTip);
}

fn lease(second: u64, owner: &str, counter: u64) -> Lease {
    Lease { at: at(second), owner: Some(owner.into()), counter, checkpoint: Checkpoint::Latest }
}

#[test]
fn another_reader_has_it_by_its_lease() {
    let mut window = reader(0);
    window.see_lease(&lease(15, "a", 1));
    window.see_lease(&lease(20, "b", 2));
    assert_eq!(rule(&window, alone(&window), 25), Rule::HeldElsewhere);
    // Who reads on has it, whoever holds the lease by name.
    (20..30).for_each(|second| window.observe(&read(second, Some(0), 1), &TUNING));
    assert_eq!(rule(&window, alone(&window), 36), Rule::GrowsUnread);
}

/// How the shard looks to a hub.
fn fleet(window: &Window) -> Circumstances<'static> {
    Circumstances { view: View::Fleet, ..alone(window) }
}

/// Last read in second 19, held by `a` until second 20, from 25 on by `b`, renewed up to `until`.
fn taken_over(until: u64) -> Window {
    let mut window = reader(0);
    [15, 20].into_iter().for_each(|second| window.see_lease(&lease(second, "a", second)));
    let turns = (25..=until).step_by(5);
    turns.for_each(|second| window.see_lease(&lease(second, "b", second)));
    window
}

#[test]
fn a_shard_of_a_fleet_is_read_past_its_sidecars_by_who_took_it() {
    let window = taken_over(60);
    assert_eq!(rule(&taken_over(30), fleet(&window), 30), Rule::GrowsUnread);
    let reason = "no sidecar saw it read for 41.0 s; its lease is renewed by a worker that took it \
                  35.0 s ago and is not seen to read";
    check(&window, fleet(&window), 60, Rule::HeldElsewhere, reason);
    let told = assess(&window, fleet(&window), Duration::from_secs(60));
    assert_eq!((told.lag, told.velocity), (None, None), "what is not seen has no lag");
    // A sidecar sees that worker read other shards: it would see it read this one.
    let seen = Circumstances { taker_is_seen: true, ..fleet(&window) };
    assert_eq!(rule(&window, seen, 60), Rule::Silent);
    // At once where no connection is left.
    let mut presence = Presence::default();
    presence.see(1, Duration::ZERO);
    presence.see(0, Duration::from_secs(20));
    let gone = Circumstances { presence: Some(&presence), ..fleet(&window) };
    assert_eq!(rule(&taken_over(25), gone, 27), Rule::HeldElsewhere);
    assert_eq!(rule(&reader(0), gone, 27), Rule::Disconnected);
    // The lease dies, or the table is not read any more.
    let mut dead = taken_over(60);
    [65, 70, 75].into_iter().for_each(|second| dead.see_lease(&lease(second, "b", 60)));
    assert_eq!(rule(&dead, fleet(&dead), 75), Rule::LeaseExpired);
    assert_eq!(rule(&window, fleet(&window), 80), Rule::Silent);
}

#[test]
fn who_took_a_shard_of_a_fleet_and_was_seen_to_read_it_has_stopped() {
    let mut window = taken_over(25);
    // Between two looks at the table: it may be either worker's read.
    let mut either = reader(0);
    either.see_lease(&lease(15, "a", 1));
    either.see_lease(&lease(25, "b", 2));
    (30..=60).step_by(5).for_each(|second| either.see_lease(&lease(second, "b", second)));
    assert_eq!(rule(&either, fleet(&either), 60), Rule::Silent);
    (26..36).for_each(|second| window.observe(&read(second, Some(0), 1), &TUNING));
    (40..=80).step_by(5).for_each(|second| window.see_lease(&lease(second, "b", second)));
    assert_eq!(rule(&window, fleet(&window), 80), Rule::Silent);
}

#[test]
fn a_checkpoint_beyond_all_deliveries_is_somebody_elses() {
    let checkpointed = |window: &mut Window, record: &str| {
        (20..=60).step_by(5).for_each(|second| window.see_lease(&done(second, record)));
        rule(window, fleet(window), 60)
    };
    // Up to record 20 was delivered.
    assert_eq!(checkpointed(&mut reader(0), "20"), Rule::Silent);
    let mut window = reader(0);
    assert_eq!(checkpointed(&mut window, "21"), Rule::HeldElsewhere);
    window.see_lease(&done(62, "25"));
    let reason = "no sidecar saw it read for 46.0 s; its lease is renewed, and its checkpoint, moved \
                  3.0 s ago, is beyond all that was seen";
    check(&window, fleet(&window), 65, Rule::HeldElsewhere, reason);
    // Records wait, and the work does not go on: it is no reader.
    let wait = |window: &mut Window, record: &str| {
        window.see_tip(&Tip { as_of: at(70), newest: Some(at(69)), complete: false });
        (65..=400).step_by(5).for_each(|second| window.see_lease(&done(second, record)));
        rule(window, fleet(window), 400)
    };
    assert_eq!(wait(&mut window.clone(), "25"), Rule::Silent);
    window.see_lease(&done(200, "30"));
    assert_eq!(wait(&mut window, "30"), Rule::HeldElsewhere);
    // Who went back has checkpointed what it was given before.
    let mut back = reader(0);
    let mut again = read(20, Some(0), 1);
    again.oldest_sequence = Some("5".into());
    again.newest_sequence = Some("5".into());
    again.behind = Some(Duration::from_secs(15));
    back.observe(&again, &TUNING);
    assert_eq!(checkpointed(&mut back, "20"), Rule::Silent);
}

#[test]
fn a_lease_that_is_not_renewed_is_a_dead_reader() {
    let mut window = reader(0);
    [15, 20].into_iter().for_each(|second| window.see_lease(&lease(second, "a", second)));
    window.see_lease(&lease(30, "a", 20));
    assert_eq!(rule(&window, alone(&window), 31), Rule::GrowsUnread);
    window.see_lease(&lease(35, "a", 20));
    let reason = "not read for 17.0 s, and its lease not renewed for 16.0 s";
    check(&window, alone(&window), 36, Rule::LeaseExpired, reason);
    // A table that is not read says nothing.
    assert_eq!(rule(&window, alone(&window), 51), Rule::GrowsUnread);
    window.see_lease(&lease(51, "a", 21));
    assert_eq!(rule(&window, alone(&window), 51), Rule::GrowsUnread);
}

#[test]
fn a_shard_known_by_its_lease_only() {
    let mut window = Window::unread(at(0));
    window.see_lease(&lease(0, "a", 1));
    let reason =
        "known by its lease, or from before the stream was created anew; not read for 10.0 s";
    check(&window, alone(&window), 10, Rule::NotRead, reason);
    window.see_lease(&lease(20, "a", 1));
    assert_eq!(rule(&window, alone(&window), 20), Rule::LeaseExpired);
    window.observe(&read(21, Some(0), 1), &TUNING);
    assert_eq!(rule(&window, alone(&window), 21), Rule::NearTheTip);
}

#[test]
fn closed_connections_are_a_dead_reader() {
    let window = reader(0);
    let mut presence = Presence::default();
    presence.see(1, Duration::ZERO);
    presence.see(0, Duration::from_secs(20));
    let around = Circumstances { presence: Some(&presence), ..alone(&window) };
    assert_eq!(rule(&window, around, 24), Rule::NearTheTip);
    let reason = "not read for 6.0 s, and all its connections closed for 5.0 s";
    check(&window, around, 25, Rule::Disconnected, reason);
    let mut reopened = presence.clone();
    reopened.see(1, Duration::from_secs(26));
    let around = Circumstances { presence: Some(&reopened), ..alone(&window) };
    assert_eq!(rule(&window, around, 27), Rule::GrowsUnread);
}

#[test]
fn silent_at_the_tip_by_what_is_put() {
    let tip = |as_of, newest, complete| Tip { as_of: at(as_of), newest, complete };
    let mut window = reader(0);
    // Seen in part: nothing is known.
    window.see_tip(&tip(50, None, false));
    assert_eq!(rule(&window, alone(&window), 60), Rule::Silent);
    window.see_tip(&tip(55, Some(at(18)), true));
    let reason = "not read for 41.0 s, but nothing has arrived since it was at the tip";
    check(&window, alone(&window), 60, Rule::NothingUnread, reason);
    assert_eq!(rule(&window, alone(&window), 71), Rule::Silent);
    // A record waits: its age is the lag.
    window.see_tip(&tip(72, Some(at(70)), true));
    window.see_tip(&tip(74, Some(at(74)), true));
    let told = assess(&window, alone(&window), Duration::from_secs(75));
    let lag = Lag { value: Duration::from_secs(5), inferred: true };
    assert_eq!((told.rule, told.lag), (Rule::Silent, Some(lag)));
}

#[test]
fn silent_at_an_idle_tip_has_a_lag_that_nobody_knows() {
    let mut window = Window::new(&read(0, Some(0), 1), &TUNING);
    (1..100).for_each(|second| window.observe(&read(second, Some(0), 0), &TUNING));
    let told = assess(&window, alone(&window), Duration::from_secs(110));
    assert_eq!((told.rule, told.lag, told.velocity), (Rule::NothingArrives, None, None));
    assert_eq!(rule(&window, alone(&window), 132), Rule::Silent);
    // After one read not even that is known.
    let window = Window::new(&read(0, Some(0), 0), &TUNING);
    let reason = "was at the tip 20.0 s ago; nothing tells what has come since";
    check(&window, alone(&window), 20, Rule::LagUnknown, reason);
}

#[test]
fn a_child_waits_for_its_parent() {
    let window = reader(20_000);
    let child = Circumstances {
        has_unfinished_parent: true,
        consumer_called_at: Duration::from_secs(120),
        ..alone(&window)
    };
    let reason = "not read for 101.0 s: waits until the shard's parent is read to its end";
    check(&window, child, 120, Rule::WaitsForParent, reason);
    check(&window, Circumstances { view: View::Fleet, ..child }, 120, Rule::WaitsForParent, reason);
    // Nobody reads the parent either.
    assert_eq!(rule(&window, child, 160), Rule::Silent);
}

#[test]
fn an_unread_shard_of_a_fleet_is_stopped_though_others_are_read() {
    let window = reader(0);
    let around = Circumstances { consumer_called_at: Duration::from_secs(60), ..alone(&window) };
    assert_eq!(rule(&window, around, 60), Rule::LeftForOthers);
    let fleet = Circumstances { view: View::Fleet, ..around };
    assert_eq!(rule(&window, fleet, 60), Rule::Silent);
    // Who has just woken up reads one shard before the other.
    let woken = Circumstances { consumer_calls_since: Duration::from_secs(59), ..around };
    assert_eq!(rule(&window, woken, 60), Rule::GrowsUnread);
}

#[test]
fn calls_that_fail_are_no_silence_and_no_progress() {
    let story = |kind, expected: &str| {
        let mut window = reader(0);
        (20..30).for_each(|second| window.fail(&ReadFailure { at: at(second), kind }));
        assert_eq!(rule(&window, alone(&window), 27), Rule::Grows);
        check(&window, alone(&window), 29, Rule::ReadsFail, expected);
        window.observe(&read(30, Some(1_000), 1), &TUNING);
        assert_eq!(rule(&window, alone(&window), 30), Rule::NearTheTip);
    };
    let told = "each of 10 calls over 9.0 s failed, the last one ";
    story(FailureKind::Throttled, &format!("{told}by throttling"));
    story(FailureKind::IteratorExpired, &format!("{told}since its iterator had expired"));
    story(FailureKind::Other, &format!("{told}with an error"));
}

#[test]
fn a_reader_whose_every_call_fails_is_stalled_from_the_first() {
    let mut window = Window::unread(at(0));
    let failure = |second| ReadFailure { at: at(second), kind: FailureKind::Other };
    (0..10).for_each(|second| window.fail(&failure(second)));
    assert_eq!(rule(&window, alone(&window), 9), Rule::ReadsFail);
}

#[test]
fn the_oldest_record_is_a_start_and_no_loss() {
    let day = 86_400_000;
    let mut window = Window::new(&read(0, Some(day), 100), &TUNING);
    let first = judge(&window, alone(&window), Duration::ZERO);
    assert_eq!((first.rule, first.is_settled()), (Rule::FirstReads, false));
    (1..10).for_each(|second| {
        window.observe(&read(second, Some(day - 5_000 * second), 100), &TUNING);
    });
    let told = assess(&window, alone(&window), Duration::from_secs(9));
    assert_eq!((told.rule, told.velocity, told.data_loss), (Rule::Behind, Some(-5.0), None));
    // One that doesn't get away from there loses what it doesn't read.
    let mut slow = Window::new(&read(0, Some(day), 1), &TUNING);
    (1..10).for_each(|second| slow.observe(&read(second, Some(day - 500), 1), &TUNING));
    let reason = "lag of 24.0 h has reached the stream's retention of 24.0 h and does not shrink";
    check(&slow, alone(&slow), 9, Rule::AtTheLimit, reason);
}

#[test]
fn retention_is_the_one_in_force() {
    let window = reader(7_200_000);
    let keeps = |hours: u64| Circumstances {
        retention: Some(Duration::from_secs(hours * 3_600)),
        ..alone(&window)
    };
    assert_eq!(rule(&window, keeps(24), 19), Rule::Behind);
    assert_eq!(rule(&window, keeps(2), 19), Rule::AtTheLimit);
    assert_eq!(rule(&window, keeps(1), 19), Rule::AtTheLimit);
    assert_eq!(rule(&window, keeps(0), 19), Rule::Behind);
    assert_eq!(rule(&window, keeps(1), 25), Rule::GrowsUnread);
    let reason = "not read for 41.0 s, and its lag of 2.0 h (inferred) is over the stream's \
                  retention of 60.0 min";
    check(&window, keeps(1), 60, Rule::ExpiredUnread, reason);
}

#[test]
fn answers_that_tell_no_lag_any_more() {
    let mut window = reader(1_000);
    (20..24).for_each(|second| window.observe(&read(second, None, 1), &TUNING));
    assert_eq!(rule(&window, alone(&window), 24), Rule::NearTheTip);
    (24..30).for_each(|second| window.observe(&read(second, None, 1), &TUNING));
    let told = assess(&window, alone(&window), Duration::from_secs(30));
    assert_eq!((told.rule, told.lag, told.velocity), (Rule::LagUnknown, None, None));
    assert_eq!(told.reason, "no MillisBehindLatest in the newest of 30 answers");
}

#[test]
fn a_slow_poller_is_near_the_tip_between_its_polls() {
    let mut window = Window::new(&read(0, Some(12_000), 1), &TUNING);
    (1..6).for_each(|i| window.observe(&read(10 * i, Some(12_000), 1), &TUNING));
    assert_eq!(rule(&window, alone(&window), 57), Rule::NearTheTip);
    assert_eq!(rule(&window, alone(&window), 59), Rule::Behind);
}

#[test]
fn what_waited_did_not_just_arrive() {
    // A new reader drains an hour's backlog of a shard to which nothing comes any more.
    let mut window = Window::new(&read(5_000, Some(3_600_000), 100), &TUNING);
    window.observe(&read(5_001, Some(0), 100), &TUNING);
    assert_eq!(rule(&window, alone(&window), 5_001), Rule::NothingArrives);
    window.observe(&read(5_002, Some(0), 1), &TUNING);
    assert_eq!(rule(&window, alone(&window), 5_002), Rule::NearTheTip);
}

/// A lease whose work is done up to this record.
fn done(second: u64, record: &str) -> Lease {
    Lease { checkpoint: Checkpoint::At(record.into()), ..lease(second, "a", second) }
}

#[test]
fn a_checkpoint_is_as_old_as_what_was_delivered_then() {
    let shard = ShardId::from("shardId-000000000006");
    let clock = SequenceClock::default();
    let of = Sequences { shard: &shard, created: None, clock: &clock, quiet_since: None };
    let lag = |window: &Window, second| {
        checkpoint_lag(window, of, &TUNING, at(second))
            .map(|lag| (lag.value.as_secs(), lag.method.as_str()))
    };
    let mut window = Window::new(&read(0, Some(2_000), 1), &TUNING);
    assert_eq!(lag(&window, 0), None);
    window.see_lease(&done(0, "1"));
    for second in 1..40 {
        window.observe(&read(second, Some(2_000), 1), &TUNING);
    }
    // All that was delivered is done: the two lags are one.
    window.see_lease(&done(39, "40"));
    assert_eq!(lag(&window, 39), Some((2, "observed")));
    // Up to record 22, of second 21, which was 2 s old then; marks are two seconds apart.
    window.see_lease(&done(40, "22"));
    assert_eq!(lag(&window, 40), Some((21, "observed")));
    window.see_lease(&Lease { checkpoint: Checkpoint::TrimHorizon, ..done(41, "") });
    assert_eq!(lag(&window, 41), None);
}

#[test]
fn a_checkpoint_that_no_delivery_shows_is_as_old_as_its_number() {
    let shard = ShardId::from("shardId-000000000006");
    let number = "49590338271490256608559692538361571095921575989136588898";
    let now = Moment { wall: Wall::from_ms(1_545_084_710_000), mono: Duration::from_secs(1) };
    let mut window = Window::unread(now);
    window.see_lease(&Lease { at: now, ..done(0, number) });
    let told = |clock: &SequenceClock| {
        let of = Sequences { shard: &shard, created: None, clock, quiet_since: None };
        checkpoint_lag(&window, of, &TUNING, now)
    };
    let value = Duration::from_secs(60);
    let expected = CheckpointLag { value, method: Method::SequenceClock };
    assert_eq!(told(&SequenceClock::default()), Some(expected));
    let mut off = SequenceClock::default();
    for second in 0..3 {
        let told = Wall::from_ms(1_545_080_000_000);
        off.calibrate(&number.into(), &shard, told, Duration::from_secs(10 * second));
    }
    assert_eq!((off.is_usable(), told(&off)), (Some(false), None));
}

#[test]
fn an_idle_shard_is_not_behind() {
    let shard = ShardId::from("shardId-000000000006");
    let clock = SequenceClock::default();
    let arrived = 1_545_084_650;
    let number = "49590338271490256608559692538361571095921575989136588898";
    let moment = |second: u64| Moment {
        wall: Wall::from_ms((arrived + second) * 1_000),
        mono: Duration::from_secs(second),
    };
    let leased = || {
        let mut window = Window::unread(moment(10));
        window.see_lease(&Lease { at: moment(10), ..done(0, number) });
        window
    };
    let lag = |window: &Window, quiet_since: Option<u64>, second| {
        let quiet_since = quiet_since.map(|at| Wall::from_ms((arrived + at) * 1_000));
        let of = Sequences { shard: &shard, created: None, clock: &clock, quiet_since };
        checkpoint_lag(window, of, &TUNING, moment(second)).map(|lag| lag.value.as_secs())
    };
    // CloudWatch saw no later record, or one: it may be unread.
    assert_eq!(lag(&leased(), None, 900), Some(900));
    assert_eq!(lag(&leased(), Some(50), 900), None);
    assert_eq!(lag(&leased(), Some(90), 900), Some(900));
    // Every put is seen, and the last one is the one that is done; or there was another.
    let put = |complete, newest, as_of| {
        let mut window = leased();
        window.see_tip(&Tip { as_of: moment(as_of), newest: Some(moment(newest)), complete });
        lag(&window, None, 900)
    };
    assert_eq!(put(true, 1, 899), Some(0));
    assert_eq!(put(true, 5, 899), Some(900));
    assert_eq!(put(false, 1, 899), Some(900));
    assert_eq!(put(true, 1, 800), Some(900), "what is known of the tip is too old");
}

#[test]
fn a_silent_reader_whose_work_is_done_has_no_checkpoint_lag_that_is_known() {
    let shard = ShardId::from("shardId-000000000006");
    let clock = SequenceClock::default();
    let of = Sequences { shard: &shard, created: None, clock: &clock, quiet_since: None };
    let mut window = Window::new(&read(0, Some(0), 1), &TUNING);
    window.see_lease(&done(0, "1"));
    for second in 1..200 {
        window.observe(&read(second, Some(0), 0), &TUNING);
    }
    let lag =
        |second| checkpoint_lag(&window, of, &TUNING, at(second)).map(|it| it.value.as_secs());
    assert_eq!((lag(199), lag(230)), (Some(0), None));
}
