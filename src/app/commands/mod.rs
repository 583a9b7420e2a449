//! Owns the command line: arguments in, an exit code out (0 done, 1 fault, 64 bad configuration or
//! arguments). The only part that writes to standard output. Refuses to do the work itself.

mod check;
mod envelope;
mod examples;
mod injector;
mod lifecycle;
mod manual;
mod online;
mod plan;
mod progress;
mod rules;
mod service;

use crate::app::config::{Flags, duration};
use crate::domain::trace::{TraceContext, TraceState};
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

/// Bad configuration or arguments: `EX_USAGE` of sysexits.
const USAGE: u8 = 64;

/// Where the build came from; `unknown` for a build that was not told.
pub const REVISION: &str = match option_env!("KINESCOPE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{} (revision {REVISION})", env!("CARGO_PKG_VERSION")));

/// The observability and tracing sidecar for AWS Kinesis Data Streams.
#[derive(Debug, Parser)]
#[command(name = "kinescope", version = VERSION.as_str(), after_help = examples::PROGRAM)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service.
    #[command(after_help = examples::RUN)]
    Run(Service),
    /// Shows everything in one process, with nothing to install.
    #[cfg(feature = "demo")]
    #[command(after_help = examples::DEMO)]
    Demo(Demo),
    /// Validates the configuration and its rules; prints every fault, or what is in force.
    Check(check::Options),
    /// The alert rules in force: for a person, for another engine, or over a recording.
    Rules(rules::Wanted),
    /// Adds trace context to the envelope on standard input, by the proxy's rules; its verdict goes
    /// to standard error.
    #[command(after_help = examples::INJECT)]
    Inject(Context),
    /// Shows, as JSON, the contexts, kind and event type of the envelope on standard input, and what
    /// the proxy would do to it.
    #[command(after_help = examples::EXTRACT)]
    Extract,
    /// Serves the admission webhook that adds the sidecar to annotated pods.
    Injector(injector::Options),
    /// Says how many shards traffic needs, and what it costs a month in each capacity mode.
    Plan(plan::Options),
    /// Waits until the service in this pod is ready; says now and then for what.
    #[command(after_help = examples::WAIT)]
    Wait {
        /// How long.
        #[arg(long, default_value = "60s", value_parser = read_duration)]
        timeout: Duration,
        #[command(flatten)]
        admin: Admin,
    },
    /// Asks once whether the service in this pod is ready.
    #[command(after_help = examples::PROBE)]
    Probe(Admin),
    /// Lets the service in this pod drain and end.
    #[command(after_help = examples::QUIT)]
    Quit(Admin),
    /// Prints completions, such as for: source <(kinescope completions bash).
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Whose.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, such as for: kinescope man plan | man -l -.
    #[command(after_help = examples::MAN)]
    Man {
        /// Of one command; without it: of the program.
        command: Option<String>,
    },
}

/// Where a configuration comes from.
#[derive(Debug, Args)]
struct Service {
    /// The configuration file; without it: defaults and KINESCOPE_ variables.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// In place of `role`: sidecar, hub or all.
    #[arg(long)]
    role: Option<String>,
    /// In place of `proxy.listen`; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
}

impl Service {
    fn flags(&self) -> Flags {
        Flags { role: self.role.clone(), listen: self.listen.clone() }
    }
}

#[cfg(feature = "demo")]
#[derive(Debug, Args)]
struct Demo {
    /// Ends by itself after this long, with a summary; exit 1 if an expected event did not happen.
    /// What there is no time for is left out, and named.
    #[arg(long = "for", value_name = "DURATION", value_parser = read_duration)]
    run_for: Option<Duration>,
    /// Plain lines, without colours.
    #[arg(long)]
    headless: bool,
    /// This incident alone, or several with commas between them; without it the whole story.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    scenario: Vec<crate::app::demo::Scenario>,
}

/// The context that `inject` adds.
#[derive(Debug, Args)]
struct Context {
    /// Added as it is; without it: a new trace.
    #[arg(long, value_parser = read_traceparent)]
    traceparent: Option<TraceContext>,
    /// Goes with it.
    #[arg(long, requires = "traceparent", value_parser = read_tracestate)]
    tracestate: Option<TraceState>,
}

/// Where the service's admin listener is.
#[derive(Debug, Args)]
struct Admin {
    /// Default: where KINESCOPE_ADMIN__LISTEN says, else port 9590 of this machine.
    #[arg(long = "admin", value_name = "ADDRESS")]
    address: Option<SocketAddr>,
}

fn read_duration(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "should be a duration such as 500ms, 60s, 5m, 4h or 1d".to_owned())
}

fn read_traceparent(text: &str) -> Result<TraceContext, String> {
    let example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    TraceContext::parse(text.as_bytes()).ok_or_else(|| format!("should look like {example}"))
}

fn read_tracestate(text: &str) -> Result<TraceState, String> {
    let state = TraceState::parse(text);
    state.as_str().is_some().then(|| state.clone()).ok_or_else(|| "should look like a=1,b=2".into())
}

/// Does what the arguments say. The first argument is the program's name.
#[must_use]
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    environment: BTreeMap<String, String>,
) -> ExitCode {
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command.carry_out(environment),
        Err(error) => {
            // A reader that has gone away is no reason to fail.
            let _gone = error.print();
            if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

impl Command {
    fn carry_out(self, environment: BTreeMap<String, String>) -> ExitCode {
        match self {
            Self::Run(service) => service::run(&service, environment),
            #[cfg(feature = "demo")]
            Self::Demo(demo) => service::demo(demo, &environment),
            Self::Check(options) => check::check(&options, &environment),
            Self::Rules(wanted) => rules::rules(&wanted, &environment),
            Self::Inject(context) => envelope::inject(&context),
            Self::Extract => envelope::extract(),
            Self::Injector(options) => injector::injector(options, &environment),
            Self::Plan(options) => plan::plan(&options),
            Self::Wait { timeout, admin } => lifecycle::wait(&admin, &environment, timeout),
            Self::Probe(admin) => lifecycle::probe(&admin, &environment),
            Self::Quit(admin) => lifecycle::quit(&admin, &environment),
            Self::Completions { shell } => manual::completions(shell),
            Self::Man { command } => manual::man(command.as_deref()),
        }
    }
}

/// The environment as text. What is no UTF-8 keeps its name and becomes a faulty value, so that it
/// is reported where it matters.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// Writes a line to standard output. A reader that has gone away is no reason to fail.
fn say(line: impl std::fmt::Display) {
    let _gone = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error, for a person who typed the command.
fn complain(line: impl std::fmt::Display) {
    let _gone = writeln!(std::io::stderr(), "kinescope: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// The words of each example of a help: a line ends where a shell would end it.
    fn examples(help: &str) -> Vec<Vec<OsString>> {
        let joined = help.replace("\\\n", " ");
        let lines = joined.lines().filter_map(|line| line.strip_prefix("  "));
        let calls = lines.filter_map(|line| {
            let call = line.get(line.find("kinescope ")?..)?;
            let end = call.find(['|', '<', '>', '#']).unwrap_or(call.len());
            call.get(..end)
        });
        let words = |call: &str| call.split_whitespace().map(OsString::from).collect();
        calls.map(words).collect()
    }

    #[test]
    fn every_command_has_examples_and_each_is_one() {
        let program = Arguments::command();
        let commands = program.get_subcommands().filter(|command| command.get_name() != "help");
        for command in commands.chain([&program]) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let calls = examples(&help);
            assert!(!calls.is_empty(), "{} has no example", command.get_name());
            for call in calls {
                let parsed = Arguments::try_parse_from(&call);
                assert!(parsed.is_ok(), "{call:?}: {}", parsed.unwrap_err());
            }
        }
    }
}
