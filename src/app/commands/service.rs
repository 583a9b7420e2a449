//! Owns `run`, `demo` and `check`: configuration, log, runtime, then the work itself, which is
//! `app::wiring`'s and `app::demo`'s.

use super::{Service, USAGE, complain, online, say};
use crate::app::config::{Config, load, summary};
use crate::app::reload::Load;
use crate::app::{exporting, logging, wiring};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Most threads for files and name look-ups, which are few; Tokio's default is 512.
const BLOCKING_MAX: usize = 16;

/// How long a look-up that cannot be interrupted may hold up the end of the process.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// Runs the service.
pub(super) fn run(service: &Service, environment: BTreeMap<String, String>) -> ExitCode {
    let config = match prepare(service, &environment) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(error) = logging::init(&environment, "info") {
        complain(error);
        return ExitCode::from(USAGE);
    }
    for (name, value) in summary(&config) {
        tracing::info!(name, value, "configuration in force");
    }
    for warning in &config.warnings {
        tracing::warn!(warning, "configuration may not be what was meant");
    }
    let (file, flags, variables) = (service.config.clone(), service.flags(), environment.clone());
    let again = Load::new(move || load(file.as_deref(), &variables, &flags));
    let outcome = on_runtime(wiring::run(config, again, environment));
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

/// Validates the configuration; `online` also tries what it names.
pub(super) fn check(
    service: &Service,
    environment: &BTreeMap<String, String>,
    online: bool,
) -> ExitCode {
    let config = match prepare(service, environment) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let export = match exporting::check(&config, environment) {
        Ok(warnings) => warnings,
        Err(fault) => {
            complain(fault);
            return ExitCode::from(USAGE);
        }
    };
    say("OK");
    for (name, value) in summary(&config) {
        say(format_args!("  {name:15} {value}"));
    }
    for warning in config.warnings.iter().chain(&export) {
        say(format_args!("warning: {warning}"));
    }
    if !online {
        return ExitCode::SUCCESS;
    }
    match on_runtime(online::run(&config, environment, &mut std::io::stdout())) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            complain(format_args!("{failures} of the checks failed"));
            ExitCode::FAILURE
        }
        Err(error) => failed(&error),
    }
}

/// Runs the demo.
#[cfg(feature = "demo")]
pub(super) fn demo(demo: super::Demo, environment: &BTreeMap<String, String>) -> ExitCode {
    // The demo's own progress is what a person looks at.
    if let Err(error) = logging::init(environment, "warn") {
        complain(error);
        return ExitCode::from(USAGE);
    }
    let super::Demo { run_for, headless, scenario } = demo;
    // Colours in a file are noise.
    let headless = headless || !std::io::stdout().is_terminal();
    let options = crate::app::demo::Options { run_for, headless, scenes: scenario };
    match on_runtime(crate::app::demo::run(options, &mut std::io::stdout())) {
        Ok(Ok(summary)) if summary.passed() => ExitCode::SUCCESS,
        Ok(Ok(_)) => ExitCode::FAILURE,
        Ok(Err(error)) if error.is_usage() => {
            complain(error);
            ExitCode::from(USAGE)
        }
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn prepare(service: &Service, environment: &BTreeMap<String, String>) -> Result<Config, ExitCode> {
    load(service.config.as_deref(), environment, &service.flags()).map_err(|faults| {
        complain(faults);
        ExitCode::from(USAGE)
    })
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    complain(logging::chain(error));
    ExitCode::FAILURE
}

/// Runs the work on a runtime of its own, to the end.
pub(super) fn on_runtime<F: Future>(work: F) -> std::io::Result<F::Output> {
    let runtime = runtime()?;
    let output = runtime.block_on(work);
    runtime.shutdown_timeout(SHUTDOWN);
    Ok(output)
}

/// One thread: it carries tens of thousands of puts a second, and a request that never changes
/// threads costs a third less of the CPU that it shares with the application. What would hold it
/// up for milliseconds (large bodies, pages, name look-ups) goes to the blocking pool.
fn runtime() -> std::io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.max_blocking_threads(BLOCKING_MAX).enable_io().enable_time().build()
}
