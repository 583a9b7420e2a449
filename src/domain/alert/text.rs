//! Owns the sentences that tell a person of an alert. Refuses figures that read more exact than
//! they are: numbers are rounded, and what was reckoned is called estimated.

use crate::domain::alert::{Reading, Rule, Signal};
use std::collections::BTreeMap;

/// The evidence key by which a reading says that its lag was reckoned, not read.
const ESTIMATED: &str = "estimated";

/// Everything known about an alert beyond its identity. Wins in this order: what the rule says,
/// what is said here, the reading's evidence. Without a reading only the rule can be told of.
pub(super) fn annotations(
    rule: &Rule,
    (stream, consumer): (&str, &str),
    reading: Option<&Reading>,
) -> BTreeMap<String, String> {
    let value = reading.and_then(|reading| value(rule.signal, reading));
    let mut all = BTreeMap::new();
    if let Some(reading) = reading {
        let rounded = |(key, text): (&String, &String)| (key.clone(), evidence(key, text));
        all.extend(reading.evidence.iter().map(rounded));
        all.insert("status".to_owned(), reading.status.as_str().to_owned());
        all.insert("reason".to_owned(), reading.reason.clone());
    }
    let summary = match (rule.signal, &value) {
        (Signal::DeliveryLag, Some(lag)) => format!("{consumer} is {lag} behind on {stream}"),
        (Signal::Stopped, Some(_)) => format!("{consumer} does not read {stream} any more"),
        (signal, None) => format!("{} of {consumer} on {stream} is unknown", signal.as_str()),
    };
    let description = match (reading, all.get("shard")) {
        (Some(reading), Some(shard)) => format!("{} (worst shard: {shard})", reading.reason),
        (Some(reading), None) => reading.reason.clone(),
        (None, _) => "no reading says what it is; the rule counts that as firing".to_owned(),
    };
    all.insert("summary".to_owned(), summary);
    all.insert("description".to_owned(), description);
    all.extend(value.map(|value| ("value".to_owned(), value)));
    all.insert("threshold".to_owned(), threshold(rule));
    all.insert("runbook_url".to_owned(), format!("alerts/runbooks/{}.md", rule.name));
    all.extend(rule.annotations.clone());
    all
}

/// Why an alert that was on is off.
pub(super) fn resolved_because(rule: &Rule, reading: Option<&Reading>) -> String {
    let hold = match rule.keep_firing.as_secs_f64() {
        0.0 => String::new(),
        seconds => format!(" for {}", people_seconds(seconds)),
    };
    match (rule.signal, reading.and_then(|reading| value(rule.signal, reading))) {
        (Signal::DeliveryLag, Some(lag)) => {
            format!("delivery lag is {lag}, at or below {}{hold}", people_seconds(rule.clear_below))
        }
        (Signal::Stopped, Some(status)) => format!("status is {status}{hold}"),
        (signal, None) => {
            format!("no {} is known{hold}; the rule counts that as clear", signal.as_str())
        }
    }
}

/// The signal's value for a person; `None` when the reading does not tell.
fn value(signal: Signal, reading: &Reading) -> Option<String> {
    let value = signal.value(reading)?;
    Some(match signal {
        Signal::DeliveryLag if reading.evidence.get(ESTIMATED).is_some_and(|is| is != "false") => {
            format!("about {} (estimated)", people_seconds(value))
        }
        Signal::DeliveryLag => people_seconds(value),
        Signal::Stopped => reading.status.as_str().to_owned(),
    })
}

fn threshold(rule: &Rule) -> String {
    let hold = people_seconds(rule.hold.as_secs_f64());
    match rule.signal {
        Signal::DeliveryLag => format!("above {} for {hold}", people_seconds(rule.above)),
        Signal::Stopped => format!("stopped for {hold}"),
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
    use crate::domain::alert::rule;
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
    }

    #[test]
    fn annotations_say_what_is_known() {
        let mut rule = rule::builtin().remove(0);
        rule.annotations.insert("team".to_owned(), "payments".to_owned());
        let reading = Reading {
            stream: "orders".to_owned(),
            consumer: "mail".to_owned(),
            lag_seconds: Some(75.4),
            status: Status::Lagging,
            reason: "behind".to_owned(),
            evidence: [("shard", "s-1"), ("estimated", "true")]
                .map(|(key, text)| (key.to_owned(), text.to_owned()))
                .into(),
        };
        let told = annotations(&rule, ("orders", "mail"), Some(&reading));
        let told: Vec<(&str, &str)> = told.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            told,
            [
                ("description", "behind (worst shard: s-1)"),
                ("estimated", "true"),
                ("reason", "behind"),
                ("runbook_url", "alerts/runbooks/KinesisConsumerLagHigh.md"),
                ("shard", "s-1"),
                ("status", "lagging"),
                ("summary", "mail is about 75 s (estimated) behind on orders"),
                ("team", "payments"),
                ("threshold", "above 60 s for 60 s"),
                ("value", "about 75 s (estimated)"),
            ]
        );
    }
}
