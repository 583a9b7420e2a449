//! Owns `rules`: the rules in force, for a person or for another engine, and what they would have
//! told of a recording. Refuses to judge a rule: the configuration did.

use super::progress::Progress;
use super::{Service, USAGE, complain, examples, say};
use crate::app::config::{Config, load};
use crate::domain::alert::replay::Replay;
use crate::domain::alert::{AlertState, AlertView, Notice, Rule, Sense};
use crate::wire::exposition::state_name;
use crate::wire::{alert_rules, recording};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What is wanted of the rules.
#[derive(Debug, Args)]
#[command(after_help = examples::RULES)]
pub(super) struct Wanted {
    /// The rules for another engine, on standard output.
    #[arg(long, value_enum, conflicts_with = "replay")]
    format: Option<Format>,
    /// Which notifications this recording would have caused: JSON lines of {at, stream, consumer,
    /// signals}, or OpenMetrics text with timestamps.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// How long the replay goes on after the recording's end.
    #[arg(long, default_value = "0s", requires = "replay", value_parser = super::read_duration)]
    after: Duration,
    /// Prints one JSON object: the rules, or what the replay told.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    service: Service,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A rule file for Prometheus 2.42 or later.
    Prometheus,
    /// A CloudFormation template of alarms on one stream.
    Cloudwatch,
}

/// Does what is wanted.
pub(super) fn rules(wanted: &Wanted, environment: &BTreeMap<String, String>) -> ExitCode {
    let service = &wanted.service;
    let config = match load(service.config.as_deref(), environment, &service.flags()) {
        Ok(config) => config,
        Err(faults) => {
            complain(faults);
            return ExitCode::from(USAGE);
        }
    };
    match (wanted.format, &wanted.replay) {
        (Some(format), _) => rendered(&config, format),
        (None, Some(file)) => return replayed(config, file, wanted),
        (None, None) if wanted.json => {
            let rules: Vec<Value> = config.alerts.rules.iter().map(rule_json).collect();
            say(json!({ "rules": rules }));
        }
        (None, None) => config.alerts.rules.iter().for_each(|rule| say(line(rule))),
    }
    ExitCode::SUCCESS
}

fn rendered(config: &Config, format: Format) {
    let alerting = &config.alerts.alerting;
    let (rules, runbooks) = (&config.alerts.rules, &alerting.policy.runbooks);
    let rendered = match format {
        Format::Prometheus => alert_rules::prometheus(rules, &alerting.objective, runbooks),
        Format::Cloudwatch => alert_rules::cloudwatch(rules, runbooks),
    };
    // A reader that has gone away is no reason to fail.
    let _gone = std::io::stdout().write_all(rendered.text.as_bytes());
}

const fn side(sense: Sense) -> &'static str {
    match sense {
        Sense::Above => "above",
        Sense::Below => "below",
    }
}

fn rule_json(rule: &Rule) -> Value {
    json!({
        "name": rule.name,
        "severity": rule.severity.as_str(),
        "enabled": rule.enabled,
        "stream": rule.stream,
        "consumer": rule.consumer,
        "signal": rule.when.signal.as_str(),
        "sense": side(rule.when.sense),
        "threshold": rule.when.threshold,
        "clear": rule.when.clear,
        "for_seconds": rule.hold.as_secs_f64(),
        "keep_firing_for_seconds": rule.keep_firing.as_secs_f64(),
    })
}

/// One rule, as a person reads it.
fn line(rule: &Rule) -> String {
    let when = rule.when;
    let side = side(when.sense);
    let off = if rule.enabled { "" } else { " (off)" };
    format!(
        "{:30} {:8} {} {side} {} for {} s, clear at {} for {} s{off}",
        rule.name,
        rule.severity.as_str(),
        when.signal.as_str(),
        when.threshold,
        rule.hold.as_secs(),
        when.clear,
        rule.keep_firing.as_secs()
    )
}

fn replayed(config: Config, file: &Path, wanted: &Wanted) -> ExitCode {
    let mut progress = Progress::begin();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            complain(format_args!("{} cannot be read: {error}", file.display()));
            return ExitCode::from(USAGE);
        }
    };
    let recording = match recording::readings(&text) {
        Ok(recording) => recording,
        Err(fault) => {
            complain(format_args!("{}: {fault}", file.display()));
            return ExitCode::from(USAGE);
        }
    };
    let mut external_labels = config.external_labels;
    external_labels.extend(config.region.map(|region| ("region".to_owned(), region)));
    let alerting = config.alerts.alerting;
    let replay = Replay {
        rules: config.alerts.rules,
        external_labels,
        policy: alerting.policy,
        silences: alerting.silences,
        objective: alerting.objective,
    };
    let told = replay.watched(recording, wanted.after, &mut |lived, of| {
        progress.tell(|| {
            let (lived, of) = (lived.as_secs(), of.as_secs());
            format!("replayed {lived} s of {of} s")
        });
    });
    progress.clear();
    if wanted.json {
        let notices: Vec<Value> = told.iter().map(notice_json).collect();
        say(json!({ "notifications": told.len(), "notices": notices }));
        return ExitCode::SUCCESS;
    }
    told.iter()
        .flat_map(|notice| notice.alerts.iter().map(move |alert| (notice, alert)))
        .for_each(|(notice, alert)| say(told_line(notice, alert)));
    say(format_args!("{} notifications", told.len()));
    ExitCode::SUCCESS
}

fn notice_json(notice: &Notice) -> Value {
    let alert = |alert: &AlertView| {
        json!({
            "state": state_name(alert.state),
            "labels": alert.labels,
            "annotations": alert.annotations,
        })
    };
    let alerts: Vec<Value> = notice.alerts.iter().map(alert).collect();
    json!({ "at": notice.at.wall.to_string(), "reason": notice.reason.as_str(), "alerts": alerts })
}

/// `2026-11-23T10:01:00.000Z firing KinesisConsumerLagHigh{…} (first notification): …`
fn told_line(notice: &Notice, alert: &AlertView) -> String {
    let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
    let others = alert.labels.iter().filter(|(name, _)| *name != "alertname");
    let others: Vec<String> = others.map(|(name, value)| format!("{name}={value:?}")).collect();
    let says = match alert.state {
        AlertState::Resolved => "resolved_because",
        AlertState::Firing | AlertState::Pending => "summary",
    };
    let state = state_name(alert.state);
    let says = alert.annotations.get(says).cloned().unwrap_or_default();
    format!(
        "{} {state:8} {}{{{}}} ({}): {says}",
        notice.at.wall,
        label("alertname"),
        others.join(", "),
        notice.reason.as_str()
    )
}
