//! Owns `rules`: the rules in force, for a person or for another engine, and what they would have
//! told of a recording. Refuses to judge a rule: the configuration did.

use super::{Service, USAGE, complain, say};
use crate::app::config::{Config, load};
use crate::domain::alert::replay::Replay;
use crate::domain::alert::{AlertState, AlertView, Notice, Rule, Sense};
use crate::wire::{alert_rules, recording};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What is wanted of the rules.
#[derive(Debug, Args)]
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
        (None, Some(file)) => return replayed(config, file, wanted.after),
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

/// One rule, as a person reads it.
fn line(rule: &Rule) -> String {
    let when = rule.when;
    let side = match when.sense {
        Sense::Above => "above",
        Sense::Below => "below",
    };
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

fn replayed(config: Config, file: &Path, after: Duration) -> ExitCode {
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
    let told = replay.run(recording, after);
    told.iter()
        .flat_map(|notice| notice.alerts.iter().map(move |alert| (notice, alert)))
        .for_each(|(notice, alert)| say(told_line(notice, alert)));
    say(format_args!("{} notifications", told.len()));
    ExitCode::SUCCESS
}

/// `2026-11-23T10:01:00.000Z firing KinesisConsumerLagHigh{…} (first notification): …`
fn told_line(notice: &Notice, alert: &AlertView) -> String {
    let label = |name: &str| alert.labels.get(name).cloned().unwrap_or_default();
    let others = alert.labels.iter().filter(|(name, _)| *name != "alertname");
    let others: Vec<String> = others.map(|(name, value)| format!("{name}={value:?}")).collect();
    let (state, says) = match alert.state {
        AlertState::Resolved => ("resolved", "resolved_because"),
        AlertState::Firing => ("firing", "summary"),
        AlertState::Pending => ("pending", "summary"),
    };
    let says = alert.annotations.get(says).cloned().unwrap_or_default();
    format!(
        "{} {state:8} {}{{{}}} ({}): {says}",
        notice.at.wall,
        label("alertname"),
        others.join(", "),
        notice.reason.as_str()
    )
}
