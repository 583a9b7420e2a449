//! Owns `run` and `demo`: configuration, log, runtime, then the work itself, which is
//! `app::wiring`'s and `app::demo`'s.

use super::{Service, USAGE, complain};
use crate::app::config::{Config, load, summary};
use crate::app::reload::Load;
use crate::app::{logging, wiring};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
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
    let headless = headless || !std::io::IsTerminal::is_terminal(&std::io::stdout());
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

/// Tells an error with its causes, and what can be done about it.
pub(super) fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    let advice = advice(error).map_or(String::new(), |advice| format!("; {advice}"));
    complain(format_args!("{}{advice}", logging::chain(error)));
    ExitCode::FAILURE
}

/// What to do about a system's refusal, where that is known.
fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let system = causes.filter_map(|error| error.downcast_ref::<io::Error>()).next()?;
    let advice = [
        (
            io::ErrorKind::AddrInUse,
            "another program has this port: end it, or choose another by proxy.listen (--listen), \
             admin.listen or otlp.receive.listen",
        ),
        (io::ErrorKind::AddrNotAvailable, "this machine does not have this address"),
        (
            io::ErrorKind::PermissionDenied,
            "the system does not allow it: ports below 1024, and other users' files, are root's",
        ),
    ];
    advice.into_iter().find(|(kind, _)| *kind == system.kind()).map(|(_, advice)| advice)
}

/// Runs the work on a runtime of its own, to the end.
pub(super) fn on_runtime<F: Future>(work: F) -> io::Result<F::Output> {
    let runtime = runtime()?;
    let output = runtime.block_on(work);
    runtime.shutdown_timeout(SHUTDOWN);
    Ok(output)
}

/// One thread: it carries tens of thousands of puts a second, and a request that never changes
/// threads costs a third less of the CPU that it shares with the application. What would hold it
/// up for milliseconds (large bodies, pages, name look-ups) goes to the blocking pool.
fn runtime() -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.max_blocking_threads(BLOCKING_MAX).enable_io().enable_time().build()
}
