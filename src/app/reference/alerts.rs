//! Owns the page on alerts: the built-in rules as they are in force without configuration, the signals,
//! and how well each rule can be said in another engine. Refuses to repeat a threshold.

use super::{cell, fresh, head};
use crate::domain::alert::builtin::builtin;
use crate::domain::alert::freshness::Objective;
use crate::domain::alert::signal::{Signal, Source, Unit};
use crate::domain::alert::{Missing, Rule, Sense};
use crate::wire::alert_rules::{Fit, cloudwatch, prometheus};
use std::path::Path;
use std::time::Duration;

const INTRODUCTION: &str = "\
The rules that are in force without configuration. A rule of the same name under `alerts.rules`
changes what it says and leaves the rest; a new name is a new rule: see
[configuration](configuration.md#alerts). `kinescope rules` shows what is in force,
`kinescope rules --replay FILE` what it would have told of a recording. Beside the labels below an
alert has `alertname`, `severity`, `region` and the external labels; never the pod.
";

/// What each signal is: the comment at its declaration.
fn meaning(signal: Signal) -> String {
    let source = include_str!("../../domain/alert/signal.rs");
    let (before, _) = source.split_once(&format!("    {signal:?},\n")).unwrap();
    let mut lines: Vec<&str> =
        before.lines().rev().map_while(|line| line.trim_start().strip_prefix("/// ")).collect();
    lines.reverse();
    assert!(!lines.is_empty(), "{signal:?} has no comment");
    lines.join(" ")
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds",
        Unit::Ratio => "0 to 1",
        Unit::Flag => "0 or 1",
        Unit::PerSecond => "per second",
        Unit::Velocity => "seconds per second",
        Unit::Factor => "times",
        Unit::Count => "number",
    }
}

const fn source(source: Source) -> &'static str {
    match source {
        Source::Wire => "the wire",
        Source::CloudWatch => "CloudWatch",
    }
}

/// A figure in its signal's unit.
fn figure(value: f64, of: Unit) -> String {
    match of {
        Unit::Seconds => format!("{value} s"),
        Unit::Ratio => format!("{} %", (value * 1_000.0).round() / 10.0),
        Unit::PerSecond => format!("{value}/s"),
        Unit::Velocity => format!("{value} s/s"),
        Unit::Factor | Unit::Count | Unit::Flag => value.to_string(),
    }
}

fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 60 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// When a rule fires and when it clears, in words.
fn condition(rule: &Rule) -> String {
    let (when, of) = (rule.when, rule.when.signal.unit());
    let (side, back) = match when.sense {
        Sense::Above => ("over", "at or below"),
        Sense::Below => ("under", "at or above"),
    };
    let (name, fires, clears) =
        (when.signal.as_str(), figure(when.threshold, of), figure(when.clear, of));
    let lasts = |duration: Duration| {
        if duration.is_zero() { String::new() } else { format!(" for {}", span(duration)) }
    };
    if of == Unit::Flag {
        return format!(
            "`{name}` is 1{}; clears at 0{}",
            lasts(rule.hold),
            lasts(rule.keep_firing)
        );
    }
    format!(
        "`{name}` {side} {fires}{}; clears {back} {clears}{}",
        lasts(rule.hold),
        lasts(rule.keep_firing)
    )
}

fn fit(fit: Option<Fit>) -> String {
    match fit {
        Some(Fit::Exact) => "exactly".to_owned(),
        Some(Fit::Nearly(why)) => format!("nearly: {why}"),
        Some(Fit::Not(why)) => format!("no: {why}"),
        None => panic!("an engine says nothing of a rule"),
    }
}

fn page() -> String {
    let rules = builtin();
    let engines = [prometheus(&rules, &Objective::default(), "").fits, cloudwatch(&rules, "").fits];
    let mut page = head("Alerts", INTRODUCTION);
    page.push_str("\n## Rules\n\n| rule | severity | fires when | without a value | about | off |\n|---|---|---|---|---|---|\n");
    for rule in &rules {
        let missing = match rule.missing {
            Missing::Keep => "stays as it was",
            Missing::Fire => "fires",
            Missing::Clear => "clears",
        };
        let scope = rule.when.signal.scope();
        let labels = scope.labels().join(", ");
        page.push_str(&format!(
            "| [`{0}`](../../alerts/runbooks/{0}.md) | {1} | {2} | {missing} | {3} | {4} |\n",
            rule.name,
            rule.severity.as_str(),
            cell(&condition(rule)),
            if labels.is_empty() { scope.words() } else { &labels },
            if rule.enabled { "" } else { "by default" },
        ));
    }
    page.push_str("\n## In other engines\n\nWhat `kinescope rules --format prometheus` and `--format cloudwatch` write, and how well each rule\ncan be said there. The files are in [alerts/](../../alerts/README.md); what no rule can say there is\nin their first lines.\n\n| rule | Prometheus | CloudWatch |\n|---|---|---|\n");
    for rule in &rules {
        let [prometheus, cloudwatch] = engines
            .each_ref()
            .map(|fits| fit(fits.iter().find(|(name, _)| *name == rule.name).map(|(_, fit)| *fit)));
        page.push_str(&format!(
            "| `{}` | {} | {} |\n",
            rule.name,
            cell(&prometheus),
            cell(&cloudwatch)
        ));
    }
    page.push_str("\n## Signals\n\nWhat `when.signal` may name.\n\n| signal | unit | of | known from | meaning |\n|---|---|---|---|---|\n");
    for signal in Signal::ALL {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            signal.as_str(),
            unit(signal.unit()),
            signal.scope().words(),
            source(signal.source()),
            cell(&meaning(signal)),
        ));
    }
    page
}

#[test]
fn reference_of_the_alerts_is_fresh() {
    fresh("alerts.md", &page());
}

#[test]
fn every_rule_has_its_runbook() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/runbooks");
    for rule in builtin() {
        assert!(folder.join(format!("{}.md", rule.name)).is_file(), "{}", rule.name);
    }
}
