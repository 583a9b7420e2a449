//! Owns `check`: what a configuration comes to and, with `--online`, what each thing that it names
//! says when it is tried; for a person as lines, for a script as one JSON object.

use super::progress::Progress;
use super::{Service, USAGE, complain, examples, online, say};
use crate::app::config::{Config, Faults, load, summary};
use crate::app::exporting;
use clap::Args;
use online::{Outcome, Table};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// What is to be checked, and how it is told.
#[derive(Debug, Args)]
#[command(after_help = examples::CHECK)]
pub(super) struct Options {
    #[command(flatten)]
    service: Service,
    /// Also tries credentials, permissions, streams, the hub, exporters and receivers, and says what
    /// injection would change; reads a few records and writes none, posts nothing to a receiver.
    /// Exit 1 if a check failed.
    #[arg(long)]
    online: bool,
    /// Prints one JSON object in place of lines.
    #[arg(long)]
    json: bool,
}

/// Validates the configuration; `--online` also tries what it names.
pub(super) fn check(options: &Options, environment: &BTreeMap<String, String>) -> ExitCode {
    let (code, found) = found(options, environment);
    if options.json {
        say(found.json(code));
    }
    code.into()
}

/// What was found, as far as the check came.
#[derive(Debug, Default)]
struct Found {
    faults: Vec<Value>,
    configuration: Vec<(String, String)>,
    warnings: Vec<String>,
    /// Of `--online`, once it was begun.
    checks: Option<Vec<Outcome>>,
}

impl Found {
    fn json(&self, code: u8) -> Value {
        let pair = |(name, value): &(String, String)| (name.clone(), value.as_str().into());
        let mut object = Map::new();
        object.insert("ok".to_owned(), (code == 0).into());
        object.insert("faults".to_owned(), self.faults.clone().into());
        let configuration = self.configuration.iter().map(pair).collect::<Map<_, _>>();
        object.insert("configuration".to_owned(), configuration.into());
        object.insert("warnings".to_owned(), self.warnings.clone().into());
        if let Some(checks) = &self.checks {
            let one = |check: &Outcome| {
                let (outcome, says) = check.verdict.words();
                json!({ "check": check.what, "outcome": outcome, "says": says })
            };
            object.insert("checks".to_owned(), checks.iter().map(one).collect());
        }
        object.into()
    }
}

/// Does the work; says lines on the way where no JSON is wanted. The exit code, and what was found.
fn found(options: &Options, environment: &BTreeMap<String, String>) -> (u8, Found) {
    let (json, service) = (options.json, &options.service);
    let mut found = Found::default();
    let config = match load(service.config.as_deref(), environment, &service.flags()) {
        Ok(config) => config,
        Err(faults) => return (USAGE, refused(json, &faults)),
    };
    let export = match exporting::check(&config, environment) {
        Ok(warnings) => warnings,
        Err(fault) => {
            if !json {
                complain(&fault);
            }
            found.faults.push(json!({ "where": "OTEL_*", "path": "otlp", "why": fault }));
            return (USAGE, found);
        }
    };
    found.configuration = summary(&config);
    found.warnings = config.warnings.iter().chain(&export).cloned().collect();
    if !json {
        say("OK");
        found
            .configuration
            .iter()
            .for_each(|(name, value)| say(format_args!("  {name:15} {value}")));
        found.warnings.iter().for_each(|warning| say(format_args!("warning: {warning}")));
    }
    if !options.online {
        return (0, found);
    }
    let (code, checks) = tried(&config, environment, json);
    found.checks = Some(checks);
    (code, found)
}

/// The faults, told.
fn refused(json: bool, faults: &Faults) -> Found {
    if !json {
        complain(faults);
    }
    let one = |fault: &crate::app::config::Fault| json!({ "where": fault.place.to_string(), "path": fault.path, "why": fault.why });
    Found { faults: faults.0.iter().map(one).collect(), ..Found::default() }
}

fn tried(
    config: &Config,
    environment: &BTreeMap<String, String>,
    json: bool,
) -> (u8, Vec<Outcome>) {
    let (mut stdout, mut nowhere) = (std::io::stdout(), std::io::sink());
    let out: &mut dyn std::io::Write = if json { &mut nowhere } else { &mut stdout };
    let table = Table::new(out, Progress::begin());
    let told = match super::service::on_runtime(online::run(config, environment, table)) {
        Ok(told) => told,
        Err(error) => {
            complain(format_args!("nothing can be tried: {error}"));
            return (1, Vec::new());
        }
    };
    let failures = told.iter().filter(|check| check.verdict.is_failed()).count();
    if failures > 0 && !json {
        complain(format_args!("{failures} of the checks failed"));
    }
    (u8::from(failures > 0), told)
}
