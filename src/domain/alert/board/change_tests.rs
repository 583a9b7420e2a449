//! Owns the tests of what becomes of alerts when rules change under them, as stories of one alert:
//! `mail` is 75 s behind from second 0 on, which fires after a minute, and the rules change at 100.

use super::*;
use crate::domain::alert::builtin::builtin;
use crate::domain::alert::group::Grouping;
use crate::domain::alert::{AlertState, Reading, Severity, Signal, When};
use std::time::Duration;

fn at(second: u64) -> Moment {
    Moment { wall: Wall::from_ms(1_700_000_000_000), mono: Duration::ZERO }
        .plus(Duration::from_secs(second))
}

fn lag() -> Rule {
    builtin().remove(0)
}

fn above(threshold: f64, clear: f64) -> Rule {
    let lag = lag();
    Rule { when: When { threshold, clear, ..lag.when }, ..lag }
}

/// What is heard where `rules` and `policy` are in force from second 100 on.
fn live(rules: Vec<Rule>, policy: Policy) -> Vec<String> {
    let mut board = Board::new(vec![lag()], Labels::new(), Policy::default());
    let (stream, consumer) = ("orders".to_owned(), "mail".to_owned());
    let mut reading = Reading::of(Subject::Consumer { stream, consumer });
    reading.set(Signal::DeliveryLag, Some(75.0));
    let mut heard = Vec::new();
    let mut rules = Some(rules);
    for second in 0..=1_000 {
        if let Some(rules) = rules.take_if(|_| second == 100) {
            board.change(rules, policy.clone(), at(second));
        }
        let notices = board.step(std::slice::from_ref(&reading), at(second));
        for alert in notices.into_iter().flat_map(|notice| notice.alerts) {
            let is = match alert.state {
                AlertState::Firing => "firing",
                AlertState::Resolved => "resolved",
                AlertState::Pending => "pending",
            };
            let severity = &alert.labels["severity"];
            let because = alert.annotations.get("resolved_because").map_or("", String::as_str);
            heard.push(format!("{second} {is} {severity} {because}").trim_end().to_owned());
        }
    }
    heard
}

fn check(rules: Vec<Rule>, expected: &[&str]) {
    let heard = live(rules, Policy::default());
    let changed = |line: &str| line.replace("CHANGED", "the configuration has changed");
    let all = [&["60 firing warning"][..], expected].concat();
    assert_eq!(heard, all.iter().map(|line| changed(line)).collect::<Vec<_>>());
}

#[test]
fn what_stays_by_name_goes_on() {
    check(vec![lag()], &[]);
    // Elsewhere in the list, with other words, a longer patience for its end.
    let more = Rule { keep_firing: Duration::from_secs(300), ..lag() };
    let mut rules = builtin();
    rules.rotate_left(1);
    rules.retain(|rule| rule.name != lag().name);
    check(rules.into_iter().chain([more]).collect(), &[]);
    check(vec![above(70.0, 30.0)], &[]);
    check(vec![Rule { hold: Duration::from_secs(90), ..lag() }], &[]);
}

#[test]
fn what_is_gone_is_taken_back_with_the_reason() {
    let name = "KinesisConsumerLagHigh";
    let told = format!("100 resolved warning CHANGED: there is no rule {name} any more");
    check(Vec::new(), &[&told]);
    let told = format!("100 resolved warning CHANGED: the rule {name} is switched off");
    check(vec![Rule { enabled: false, ..lag() }], &[&told]);
    let told = format!("the rule {name} does not look at this any more");
    let told = format!("100 resolved warning CHANGED: {told}");
    check(vec![Rule { stream: "bills*".to_owned(), ..lag() }], &[&told]);
    let when = When { signal: Signal::LagVelocity, ..lag().when };
    check(vec![Rule { when, ..lag() }], &[&told]);
}

#[test]
fn what_would_not_fire_any_more_ends_as_changed() {
    let told = "100 resolved warning CHANGED: delivery lag is 75 s, and the rule fires above 80 s \
                for 60 s";
    check(vec![above(80.0, 70.0)], &[told]);
    check(vec![above(80.0, 80.0)], &[told]);
    let longer = Rule { hold: Duration::from_secs(600), ..lag() };
    let told = "100 resolved warning CHANGED: it must last 10 min now to fire";
    check(vec![longer], &[told, "600 firing warning"]);
}

#[test]
fn another_severity_is_another_alert() {
    let told = "100 resolved warning CHANGED: it goes on under other labels";
    let critical = Rule { severity: Severity::Critical, ..lag() };
    check(vec![critical], &[told, "100 firing critical"]);
}

#[test]
fn another_grouping_keeps_what_was_told() {
    let by = vec!["stream".to_owned()];
    let grouping = Grouping { by, repeat: Duration::from_secs(600), ..Grouping::default() };
    let heard = live(vec![lag()], Policy { grouping, ..Policy::default() });
    assert_eq!(heard, ["60 firing warning", "660 firing warning"]);
}
