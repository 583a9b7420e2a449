//! Owns the sentences that tell a person of an alert. Refuses figures that read more exact than
//! they are: numbers are rounded, and what was reckoned is called estimated.

use crate::domain::alert::signal::{Signal, Unit};
use crate::domain::alert::{Reading, Rule, Sense, Subject};
use std::collections::BTreeMap;
use std::time::Duration;

/// The evidence key by which a reading says that its lag was reckoned, not read.
const ESTIMATED: &str = "estimated";

/// Everything known about an alert beyond its identity. Wins in this order: what the rule says,
/// what is said here, the reading's evidence. Without a reading only the rule can be told of.
pub(super) fn annotations(
    rule: &Rule,
    subject: &Subject,
    reading: Option<&Reading>,
) -> BTreeMap<String, String> {
    let signal = rule.when.signal;
    let value = reading.and_then(|reading| value(signal, reading));
    let mut all = BTreeMap::new();
    if let Some(reading) = reading {
        let rounded = |(key, text): (&String, &String)| (key.clone(), evidence(key, text));
        all.extend(reading.evidence.iter().map(rounded));
        let status = reading.status.map(|status| status.as_str().to_owned());
        all.extend(status.map(|status| ("status".to_owned(), status)));
        if !reading.reason.is_empty() {
            all.insert("reason".to_owned(), reading.reason.clone());
        }
    }
    all.insert("summary".to_owned(), summary(signal, subject, value.as_deref()));
    let description = match (reading.map(|reading| reading.reason.as_str()), all.get("shard")) {
        (Some(""), _) => None,
        (Some(reason), Some(shard)) => Some(format!("{reason} (worst shard: {shard})")),
        (Some(reason), None) => Some(reason.to_owned()),
        (None, _) => Some("no reading says what it is; the rule counts that as firing".to_owned()),
    };
    all.extend(description.map(|said| ("description".to_owned(), said)));
    all.extend(value.map(|value| ("value".to_owned(), value)));
    all.insert("threshold".to_owned(), threshold(rule));
    all.extend(rule.annotations.clone());
    all
}

fn summary(signal: Signal, subject: &Subject, value: Option<&str>) -> String {
    let stream = subject.stream().unwrap_or_default();
    let who = subject.consumer().unwrap_or_default();
    let name = subject.pairs().last().map_or("this process", |(_, value)| value).to_owned();
    let Some(value) = value else {
        let of = match subject.consumer() {
            Some(consumer) => format!("{consumer} on {stream}"),
            None => name,
        };
        return format!("{} of {of} is unknown", signal.as_str());
    };
    match signal {
        Signal::DeliveryLag => format!("{who} is {value} behind on {stream}"),
        Signal::Stopped => format!("{who} does not read {stream} any more"),
        Signal::FallingBehind => format!("{who} falls behind on {stream}"),
        Signal::Stalled => format!("{who} reads {stream} without moving forward"),
        Signal::TimeToDataLoss if value == "0 s" => format!("{who} loses records of {stream}"),
        Signal::TimeToDataLoss => format!("{who} loses records of {stream} in {value}"),
        Signal::RetentionUsed => format!("{who} is behind by {value} of what {stream} keeps"),
        Signal::LagVelocity => format!("{who} gains {value} of lag on {stream}"),
        Signal::FreshnessBurn => {
            format!("{who} burns its freshness budget on {stream} at {value} the pace that wakes")
        }
        Signal::ReadThrottles => format!("{value} reads of {stream} are throttled"),
        Signal::WriteThrottles => format!("{value} of the records put to {stream} are throttled"),
        Signal::PutFailures => format!("{value} of the records put to {stream} are not stored"),
        Signal::Bypassed => format!("{stream} has traffic that does not pass here any more"),
        Signal::WriteUtilization => format!("{name} of {stream} takes {value} of what it can"),
        Signal::SagasStuck => format!("{value} sagas of the kind {name} are stuck half-way"),
        Signal::CloudWatchSilence => format!("CloudWatch has not answered for {value}"),
        Signal::NotificationSilence => format!("receiver {name} has taken nothing for {value}"),
        Signal::Always => "alerting works from end to end".to_owned(),
    }
}

/// Why an alert that was on is off.
pub(super) fn resolved_because(rule: &Rule, reading: Option<&Reading>) -> String {
    let signal = rule.when.signal;
    let hold = match rule.keep_firing {
        Duration::ZERO => String::new(),
        keep => format!(" for {}", people_duration(keep)),
    };
    match (signal.unit(), reading.and_then(|reading| value(signal, reading))) {
        (Unit::Flag, Some(_)) => {
            let status = reading.and_then(|reading| reading.status);
            let is = status.map_or("no more", |status| status.as_str());
            match status {
                Some(_) => format!("status is {is}{hold}"),
                None => format!("{} {is}{hold}", words(signal)),
            }
        }
        (_, Some(value)) => {
            let side = match rule.when.sense {
                Sense::Above => "at or below",
                Sense::Below => "at or above",
            };
            let clear = people(rule.when.clear, signal.unit());
            format!("{} is {value}, {side} {clear}{hold}", words(signal))
        }
        (_, None) => {
            format!("no {} is known{hold}; the rule counts that as clear", signal.as_str())
        }
    }
}

/// Why an alert that is on under one condition is none under its rule's new one.
pub(super) fn ended_by_change(rule: &Rule, reading: Option<&Reading>) -> String {
    let signal = rule.when.signal;
    let value = reading.and_then(|reading| value(signal, reading)).unwrap_or_default();
    let (what, limit) = (words(signal), threshold(rule));
    format!("the configuration has changed: {what} is {value}, and the rule fires {limit}")
}

/// Why an alert that fired is pending again.
pub(super) fn must_last(rule: &Rule) -> String {
    let hold = people_duration(rule.hold);
    format!("the configuration has changed: it must last {hold} now to fire")
}

fn words(signal: Signal) -> String {
    signal.as_str().replace('_', " ")
}

/// The signal's value for a person; `None` when the reading does not tell.
fn value(signal: Signal, reading: &Reading) -> Option<String> {
    let value = reading.value(signal)?;
    let text = match (signal.unit(), reading.status) {
        (Unit::Flag, Some(status)) => status.as_str().to_owned(),
        (unit, _) => people(value, unit),
    };
    let is_reckoned = reading.evidence.get(ESTIMATED).is_some_and(|is| is != "false");
    let may = matches!(signal, Signal::DeliveryLag | Signal::RetentionUsed);
    Some(if may && is_reckoned { format!("about {text} (estimated)") } else { text })
}

fn threshold(rule: &Rule) -> String {
    let signal = rule.when.signal;
    let hold = match rule.hold {
        Duration::ZERO => String::new(),
        hold => format!(" for {}", people_duration(hold)),
    };
    let limit = people(rule.when.threshold, signal.unit());
    match (signal.unit(), rule.when.sense) {
        (Unit::Flag, _) => format!("{}{hold}", words(signal)),
        (_, Sense::Above) => format!("above {limit}{hold}"),
        (_, Sense::Below) => format!("below {limit}{hold}"),
    }
}

fn evidence(key: &str, text: &str) -> String {
    match text.parse::<f64>() {
        Ok(seconds) if key.ends_with("_seconds") => people_seconds(seconds),
        Ok(ratio) if key == "retention_used" && ratio < 0.01 => "less than 1 %".to_owned(),
        Ok(ratio) if key == "retention_used" => format!("{:.0} %", ratio * 100.0),
        Ok(_) | Err(_) => text.to_owned(),
    }
}

/// A number in its unit.
fn people(value: f64, unit: Unit) -> String {
    let short = |value: f64| {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match unit {
        Unit::Seconds if value.is_infinite() => "no threat".to_owned(),
        Unit::Seconds => people_seconds(value),
        Unit::Ratio => format!("{} %", short(value * 100.0)),
        Unit::PerSecond => format!("{} per second", short(value)),
        Unit::Velocity => format!("{} s/s", short(value)),
        Unit::Factor => format!("{} times", short(value)),
        Unit::Count => short(value),
        Unit::Flag => if value > 0.5 { "yes" } else { "no" }.to_owned(),
    }
}

/// [`people_seconds`] of a duration.
pub(super) fn people_duration(duration: Duration) -> String {
    people_seconds(duration.as_secs_f64())
}

/// At most two units: `8.3 s`, `75 s`, `12 min 5 s`, `3 h 5 min`, `2 d 4 h`.
fn people_seconds(seconds: f64) -> String {
    if seconds < 9.95 {
        let tenths = format!("{:.1}", seconds.max(0.0));
        return format!("{} s", tenths.strip_suffix(".0").unwrap_or(&tenths));
    }
    let whole = seconds.round() as u64; // saturates
    let (size, unit, small_size, small_unit) = match whole {
        0..120 => return format!("{whole} s"),
        120..7_200 => (60, "min", 1, "s"),
        7_200..172_800 => (3_600, "h", 60, "min"),
        _ => (86_400, "d", 3_600, "h"),
    };
    match whole % size / small_size {
        0 => format!("{} {unit}", whole / size),
        rest => format!("{} {unit} {rest} {small_unit}", whole / size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::builtin::builtin;
    use crate::domain::lag::Status;

    #[test]
    fn numbers_are_rounded_for_people() {
        let check = |seconds, expected| assert_eq!(people_seconds(seconds), expected);
        check(-1.0, "0 s");
        check(0.0, "0 s");
        check(8.27, "8.3 s");
        check(9.96, "10 s");
        check(75.4, "75 s");
        check(120.0, "2 min");
        check(725.0, "12 min 5 s");
        check(11_100.0, "3 h 5 min");
        check(187_200.0, "2 d 4 h");
        let check = |key, text, expected| assert_eq!(evidence(key, text), expected);
        check("retention_used", "0.41999", "42 %");
        check("retention_used", "0.0004", "less than 1 %");
        check("catch_up_seconds", "725.003", "12 min 5 s");
        check("shard", "shardId-000000000002", "shardId-000000000002");
        let check = |value, unit, expected| assert_eq!(people(value, unit), expected);
        check(0.0125, Unit::Ratio, "1.25 %");
        check(2.0, Unit::Factor, "2 times");
        check(f64::INFINITY, Unit::Seconds, "no threat");
    }

    #[test]
    fn annotations_say_what_is_known() {
        let mut rule = builtin().remove(0);
        rule.annotations.insert("team".to_owned(), "payments".to_owned());
        let (stream, consumer) = ("orders".to_owned(), "mail".to_owned());
        let mut reading = Reading::of(Subject::Consumer { stream, consumer });
        reading.set(Signal::DeliveryLag, Some(75.4));
        reading.status = Some(Status::Lagging);
        reading.reason = "behind".to_owned();
        reading.tell("shard", Some("s-1".to_owned()));
        reading.tell("estimated", Some("true".to_owned()));
        let told = annotations(&rule, &reading.subject, Some(&reading));
        let told: Vec<(&str, &str)> = told.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            told,
            [
                ("description", "behind (worst shard: s-1)"),
                ("estimated", "true"),
                ("reason", "behind"),
                ("shard", "s-1"),
                ("status", "lagging"),
                ("summary", "mail is about 75 s (estimated) behind on orders"),
                ("team", "payments"),
                ("threshold", "above 60 s for 60 s"),
                ("value", "about 75 s (estimated)"),
            ]
        );
    }

    #[test]
    fn every_rule_has_a_sentence() {
        for rule in builtin() {
            let labels = ["stream", "consumer", "shard", "saga", "receiver"];
            let labels = labels.map(|name| (name.to_owned(), format!("the-{name}"))).into();
            let signal = rule.when.signal;
            let subject = Subject::of_labels(signal.scope(), &labels).unwrap();
            let mut reading = Reading::of(subject);
            reading.set(signal, Some(rule.when.threshold));
            let told = annotations(&rule, &reading.subject, Some(&reading));
            for name in signal.scope().labels() {
                let summary = &told["summary"];
                assert!(summary.contains(&format!("the-{name}")), "{}: {summary}", rule.name);
            }
        }
    }
}
