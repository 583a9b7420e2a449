//! Owns a day of incidents in virtual time, told as scripts: what happens, and what people hear,
//! each to the second, which is one evaluation.

use crate::domain::alert::board::{Board, Policy};
use crate::domain::alert::builtin::builtin;
use crate::domain::alert::matcher::Matcher;
use crate::domain::alert::reading::of_status;
use crate::domain::alert::silence::{Mute, Silence};
use crate::domain::alert::{AlertState, Labels, Notice, Obstacle, Reading, Signal, Subject};
use crate::domain::lag::Status;
use crate::domain::time::{Moment, Wall};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::time::Duration;

/// Monday, 23 November 2026, 00:00 UTC.
const MIDNIGHT: Wall = Wall::from_ms(1_795_392_000_000);

/// Seconds since midnight of `HH:MM:SS`.
fn seconds(clock: &str) -> u64 {
    clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap())
}

fn clock(second: u64) -> String {
    format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

struct Day {
    policy: Policy,
    board: Board,
    readings: BTreeMap<String, Reading>,
    silences: Vec<Silence>,
    heard: Vec<String>,
}

impl Day {
    fn new(policy: Policy) -> Self {
        let board = Board::new(builtin(), Labels::new(), policy.clone());
        Self { policy, board, readings: BTreeMap::new(), silences: Vec::new(), heard: Vec::new() }
    }

    /// Lives through the script, whose lines begin with the time at which they happen.
    fn live(mut self, script: &str, until: &str) -> Vec<String> {
        let mut lines: Vec<&str> =
            script.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        // What belongs together stands together.
        lines.sort_by_key(|line| seconds(&line[..8]));
        let mut lines = lines.into_iter().peekable();
        for second in 0..=seconds(until) {
            let mono = Duration::from_secs(second);
            let now = Moment { wall: MIDNIGHT.plus(mono), mono };
            while let Some(line) = lines.next_if(|line| seconds(&line[..8]) <= second) {
                self.happen(line[8..].trim(), now);
            }
            let readings: Vec<Reading> = self.readings.values().cloned().collect();
            for notice in self.board.step(&readings, now) {
                self.hear(second, &notice);
            }
        }
        assert_eq!(lines.next(), None, "the script goes on");
        self.heard
    }

    fn happen(&mut self, what: &str, now: Moment) {
        let mut words = what.split_whitespace();
        match (words.next().unwrap(), words) {
            ("restart", _) => {
                let saved = self.board.export(now);
                self.board = Board::new(builtin(), Labels::new(), self.policy.clone());
                self.board.silence(self.silences.clone());
                self.board.restore(saved, now);
            }
            ("silence", mut words) => {
                let (who, until) = (words.next().unwrap(), words.next().unwrap());
                self.silences.push(Silence {
                    id: "of-a-person".to_owned(),
                    matchers: vec![Matcher::read(&format!("consumer={who}")).unwrap()],
                    starts_at: now.wall,
                    ends_at: MIDNIGHT.plus(Duration::from_secs(seconds(until))),
                    created_by: "me".to_owned(),
                    comment: String::new(),
                    updated_at: now.wall,
                    is_configured: false,
                });
                self.board.silence(self.silences.clone());
            }
            (who, words) => words.for_each(|word| self.change(who, word)),
        }
    }

    /// `mail lag=90` or `#orders throttled=0.05`: a consumer of `orders`, or a stream.
    fn change(&mut self, who: &str, word: &str) {
        let subject = match who.strip_prefix('#') {
            Some(stream) => Subject::Stream { stream: stream.to_owned() },
            None => Subject::Consumer { stream: "orders".to_owned(), consumer: who.to_owned() },
        };
        let reading = self.readings.entry(who.to_owned()).or_insert_with(|| Reading::of(subject));
        let Some((name, value)) = word.split_once('=') else {
            match word {
                "gone" => drop(self.readings.remove(who)),
                "refused" => {
                    let why = "reads fail since access was denied".to_owned();
                    reading.obstacle = Some(Obstacle::Credentials(why));
                }
                "welcome" => reading.obstacle = None,
                "blind" => {
                    reading.blind = true;
                    reading.values.clear();
                }
                status => {
                    let known = Status::ALL.into_iter().find(|it| it.as_str() == status);
                    let of = [Signal::Stopped, Signal::FallingBehind, Signal::Stalled];
                    of.iter().for_each(|signal| {
                        reading.values.remove(signal);
                    });
                    of_status(reading, known.unwrap());
                }
            }
            return;
        };
        let signal = match name {
            "lag" => Signal::DeliveryLag,
            "used" => Signal::RetentionUsed,
            "loss" => Signal::TimeToDataLoss,
            "throttled" => Signal::WriteThrottles,
            other => Signal::of_name(other).unwrap(),
        };
        reading.blind = false;
        reading.set(signal, value.parse().ok());
    }

    fn hear(&mut self, second: u64, notice: &Notice) {
        for alert in &notice.alerts {
            let state = match alert.state {
                AlertState::Firing => "firing",
                AlertState::Resolved => "resolved",
                AlertState::Pending => "pending",
            };
            let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
            let who =
                if label("consumer").is_empty() { label("stream") } else { label("consumer") };
            let flapping = alert.annotations.contains_key("flapping");
            let mark = if flapping { " (flapping)" } else { "" };
            let repeat = if notice.reason.as_str().starts_with("repeat") { " again" } else { "" };
            let name = label("alertname");
            self.heard.push(format!("{} {state}{repeat} {name} {who}{mark}", clock(second)));
        }
    }
}

fn check(policy: Policy, until: &str, script: &str, expected: &str) {
    let heard = Day::new(policy).live(script, until);
    let expected: Vec<&str> =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(heard, expected, "{script}");
}

/// Batches that run at night must not wake anybody in Berlin.
fn nightly() -> Policy {
    let mute = Mute {
        name: "nightly".to_owned(),
        matchers: vec![Matcher::read("consumer=~bat.+").unwrap()],
        days: [true; 7],
        from_minute: 22 * 60,
        to_minute: 6 * 60,
        zone: TimeZone::get("Europe/Berlin").unwrap(),
    };
    Policy { mutes: vec![mute], ..Policy::default() }
}

/// What happens on one day.
const DAY: &str = "00:00:00 mail ok lag=1 used=0.001
         00:00:00 bills ok lag=1 used=0.001
         00:00:00 batch ok lag=1

         02:00:00 mail lag=90
         02:00:59 mail lag=1

         03:00:00 mail lag=90
         03:10:00 mail lag=45
         03:20:00 mail lag=30

         03:30:00 batch stopped
         05:30:00 batch ok

         04:00:00 bills stopped
         04:01:30 bills lag=120
         04:30:00 bills ok lag=600
         04:40:00 bills lag=1

         06:00:00 silence mail 07:00:00
         06:10:00 mail lag=90
         07:05:00 silence mail 08:00:00
         07:10:00 mail lag=1

         09:00:00 mail lag=90
         09:02:00 mail lag=1
         09:05:00 mail lag=90
         09:07:00 mail lag=1
         09:10:00 mail lag=90
         09:12:00 mail lag=1
         09:20:00 mail lag=90
         09:21:00 mail lag=1

         12:00:00 mail lag=90
         12:30:00 restart
         17:00:00 mail lag=1

         18:00:00 #orders throttled=0.05
         18:10:00 #orders blind
         18:20:00 #orders throttled=0.001

         19:00:00 mail loss=3000 used=0.6
         19:30:00 mail loss=inf used=0.1

         21:00:00 bills stalled
         21:04:00 bills unknown
         21:10:00 bills ok
         22:00:00 bills lag=90
         22:10:00 bills gone";

#[test]
fn a_day_of_incidents() {
    check(
        nightly(),
        "23:59:59",
        DAY,
        // Between 02:00:00 and 02:00:59 nothing lasted a minute. At 03:10 the lag was too small to
        // fire and too large to clear. The batch was heard of when Berlin's night was over. The
        // lag of bills was explained by its having stopped, until it read again.
        "03:01:00 firing KinesisConsumerLagHigh mail
         03:22:00 resolved KinesisConsumerLagHigh mail
         04:01:00 firing KinesisConsumerStopped bills
         04:30:00 firing KinesisConsumerLagHigh bills
         04:30:00 resolved KinesisConsumerStopped bills
         04:42:00 resolved KinesisConsumerLagHigh bills
         05:00:00 firing KinesisConsumerStopped batch
         05:30:00 resolved KinesisConsumerStopped batch
         07:00:00 firing KinesisConsumerLagHigh mail
         07:12:00 resolved KinesisConsumerLagHigh mail
         09:01:00 firing KinesisConsumerLagHigh mail
         09:04:00 resolved KinesisConsumerLagHigh mail
         09:06:00 firing KinesisConsumerLagHigh mail
         09:09:00 resolved KinesisConsumerLagHigh mail
         09:11:00 firing KinesisConsumerLagHigh mail (flapping)
         09:36:00 resolved KinesisConsumerLagHigh mail (flapping)
         12:01:00 firing KinesisConsumerLagHigh mail
         16:01:00 firing again KinesisConsumerLagHigh mail
         17:02:00 resolved KinesisConsumerLagHigh mail
         18:05:00 firing KinesisWriteThrottled orders
         18:25:00 resolved KinesisWriteThrottled orders
         19:01:00 firing KinesisDataLossImminent mail
         19:15:00 firing KinesisConsumerLagCritical mail
         19:35:00 resolved KinesisConsumerLagCritical mail
         19:35:00 resolved KinesisDataLossImminent mail
         21:02:00 firing KinesisConsumerStalled bills
         21:11:00 resolved KinesisConsumerStalled bills
         22:01:00 firing KinesisConsumerLagHigh bills
         22:25:00 resolved KinesisConsumerLagHigh bills",
    );
}

#[test]
fn what_was_pending_kept_or_silent_goes_on_after_a_restart() {
    check(
        Policy::default(),
        "00:20:00",
        "00:00:00 mail ok lag=90
         00:00:40 restart
         00:05:00 mail lag=1
         00:06:00 restart
         00:10:00 silence mail 00:15:00
         00:10:00 mail stopped
         00:12:00 restart",
        // Twenty seconds of the minute were seen before the restart; the second of the restart
        // itself was not. Silent is silent, after a restart too.
        "00:01:01 firing KinesisConsumerLagHigh mail
         00:07:01 resolved KinesisConsumerLagHigh mail
         00:15:00 firing KinesisConsumerStopped mail",
    );
}

#[test]
fn credentials_that_fail_are_told_once_and_lag_is_not() {
    check(
        Policy::default(),
        "01:10:00",
        "00:00:00 mail ok lag=1 used=0.01
         00:00:00 bills ok lag=90
         00:10:00 mail stalled refused
         00:11:00 mail lag=70
         00:20:00 mail used=0.6
         00:40:00 mail loss=3000
         00:50:00 mail lagging welcome
         00:55:00 mail lag=1 used=0.01 loss=inf",
        // That the reads fail is told, and that records will be lost; the lag that comes of it is
        // told once they go on, if it is still there. Another consumer's lag is its own.
        "00:01:00 firing KinesisConsumerLagHigh bills
         00:12:00 firing KinesisConsumerStalled mail
         00:41:00 firing KinesisDataLossImminent mail
         00:50:00 firing KinesisConsumerLagCritical mail
         00:51:00 resolved KinesisConsumerStalled mail
         01:00:00 resolved KinesisConsumerLagCritical mail
         01:00:00 resolved KinesisDataLossImminent mail",
    );
}

#[test]
fn what_was_on_ends_only_when_all_had_time_to_tell_a_new_process() {
    check(
        Policy::default(),
        "00:30:00",
        // After the first restart a shard that is read is heard of before the one that is not.
        "00:00:00 mail stopped
         00:05:00 restart
         00:05:01 mail ok
         00:05:08 mail stopped
         00:10:00 mail ok
         00:20:00 mail stopped
         00:25:00 restart
         00:25:00 mail ok",
        "00:01:00 firing KinesisConsumerStopped mail
         00:10:00 resolved KinesisConsumerStopped mail
         00:21:00 firing KinesisConsumerStopped mail
         00:25:12 resolved KinesisConsumerStopped mail",
    );
}

#[test]
fn a_storm_is_held_back_and_nothing_is_cleared() {
    let mut script = String::new();
    for n in 0..7 {
        script.push_str(&format!("00:00:00 c{n} ok lag=90\n"));
    }
    script.push_str("00:05:00 c0 lag=1\n00:05:00 c1 lag=1\n");
    let policy = Policy { storm_limit: 3, ..Policy::default() };
    check(
        policy,
        "00:10:00",
        &script,
        "00:01:00 firing KinesisConsumerLagHigh c0
         00:01:00 firing KinesisConsumerLagHigh c1
         00:01:00 firing KinesisConsumerLagHigh c2
         00:07:00 resolved KinesisConsumerLagHigh c0
         00:07:00 resolved KinesisConsumerLagHigh c1
         00:07:00 firing KinesisConsumerLagHigh c3
         00:07:00 firing KinesisConsumerLagHigh c4",
    );
}

#[test]
fn a_group_is_told_together() {
    let mut policy = Policy::default();
    policy.grouping.by = vec!["alertname".to_owned()];
    policy.grouping.wait = Duration::from_secs(30);
    check(
        policy,
        "00:20:00",
        "00:00:00 a ok lag=90
         00:00:20 b ok lag=90
         00:02:00 c ok lag=90
         00:08:00 b lag=1
         00:14:00 a lag=1
         00:14:00 c lag=1",
        // b waits with a; c comes within the interval of five minutes and is told at its end,
        // with those that are on still; so is the end of b. The last word waits for nothing.
        "00:01:30 firing KinesisConsumerLagHigh a
         00:01:30 firing KinesisConsumerLagHigh b
         00:06:30 firing KinesisConsumerLagHigh a
         00:06:30 firing KinesisConsumerLagHigh b
         00:06:30 firing KinesisConsumerLagHigh c
         00:11:30 firing KinesisConsumerLagHigh a
         00:11:30 resolved KinesisConsumerLagHigh b
         00:11:30 firing KinesisConsumerLagHigh c
         00:16:00 resolved KinesisConsumerLagHigh a
         00:16:00 resolved KinesisConsumerLagHigh c",
    );
}

#[test]
fn what_ends_while_its_group_waits_is_not_told() {
    let mut policy = Policy::default();
    policy.grouping.wait = Duration::from_secs(300);
    let script = "00:00:00 a ok lag=90\n00:01:30 a lag=1";
    check(policy.clone(), "00:10:00", script, "");
    // It is in the history all the same.
    let mut day = Day::new(policy);
    day.change("a", "lag=90");
    for second in 0..=300 {
        let mono = Duration::from_secs(second);
        let readings: Vec<Reading> = day.readings.values().cloned().collect();
        day.board.step(&readings, Moment { wall: MIDNIGHT.plus(mono), mono });
        if second == 90 {
            day.change("a", "lag=1");
        }
    }
    assert_eq!(day.board.alerts()[0].state, AlertState::Resolved);
}

#[test]
fn what_is_pending_again_is_still_said_to_be_over() {
    let mut policy = Policy::default();
    policy.grouping.by = vec!["alertname".to_owned()];
    check(
        policy,
        "00:07:00",
        "00:00:00 a ok lag=90
         00:00:00 b ok lag=90
         00:01:30 b lag=1
         00:05:30 b lag=90",
        // The end of b waits for the interval, at whose end b is bad again but not for long.
        "00:01:00 firing KinesisConsumerLagHigh a
         00:01:00 firing KinesisConsumerLagHigh b
         00:06:00 firing KinesisConsumerLagHigh a
         00:06:00 resolved KinesisConsumerLagHigh b",
    );
}

#[test]
fn an_end_that_was_not_told_yet_outlives_a_restart() {
    let at = |second: u64| {
        let mono = Duration::from_secs(second);
        Moment { wall: MIDNIGHT.plus(mono), mono }
    };
    let mut policy = Policy::default();
    policy.grouping.by = vec!["alertname".to_owned()];
    let mut day = Day::new(policy);
    let mut heard = Vec::new();
    for second in 0..=380 {
        match second {
            0 => ["a", "b"].into_iter().for_each(|who| day.change(who, "lag=90")),
            90 => day.change("b", "lag=1"),
            330 => day.change("b", "lag=90"),
            340 => day.happen("restart", at(second)),
            _ => {}
        }
        let readings: Vec<Reading> = day.readings.values().cloned().collect();
        let told = day.board.step(&readings, at(second));
        let alerts = told.into_iter().flat_map(|notice| notice.alerts);
        heard.extend(alerts.filter(|alert| alert.labels["consumer"] == "b"));
    }
    let heard: Vec<_> = heard.iter().map(|alert| (alert.state, alert.starts_at)).collect();
    let fired = at(60).wall;
    assert_eq!(heard, [(AlertState::Firing, fired), (AlertState::Resolved, fired)]);
}

#[test]
fn a_rule_that_is_gone_takes_its_alerts_back() {
    let at = |second| Moment::default().plus(Duration::from_secs(second));
    let mut day = Day::new(Policy::default());
    day.change("mail", "lag=90");
    let readings: Vec<Reading> = day.readings.values().cloned().collect();
    for second in (0..=60).step_by(10) {
        day.board.step(&readings, at(second));
    }
    let saved = day.board.export(at(61));
    let mut board = Board::new(Vec::new(), Labels::new(), Policy::default());
    board.restore(saved, at(0));
    let told = board.step(&[], at(1));
    assert_eq!((told.len(), told[0].alerts[0].state, told[0].id), (1, AlertState::Resolved, 2));
    let because = &told[0].alerts[0].annotations["resolved_because"];
    assert!(because.starts_with("the configuration has changed"), "{because}");
    assert!(told[0].alerts[0].annotations.contains_key("summary"));
}
