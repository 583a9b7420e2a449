//! Owns the demo: an order system on an embedded Kinesis, each service with a sidecar of its own, in
//! one process, and the script that makes it go wrong and well again. Refuses to reach beyond the
//! loopback interface or to use anybody's credentials.

mod arrivals;
mod cbor;
mod cloudwatch;
mod hub;
mod kinesis;
mod otlp;
mod pages;
mod progress;
mod script;
mod serve;
mod services;
mod settings;
mod stage;
mod summary;
mod traffic;
mod webhook;
mod world;

pub use summary::Summary;

use crate::io::clock::Clock;
use progress::Progress;
use script::Scenario;
use stage::Stage;
use std::io::Write;
use std::time::Duration;
use world::World;

/// What to play.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long; without it until ctrl-c, the incident coming again every two minutes.
    pub run_for: Option<Duration>,
    /// No colours.
    pub headless: bool,
    /// `slow-consumer` or `stopped-consumer`.
    pub scenario: String,
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such scenario.
    #[error("there is no scenario {named}: choose one of {}", names())]
    Scenario {
        /// What was asked for.
        named: String,
    },
    /// The expected events would not fit.
    #[error("scenario {} needs {} s or more", .scenario, .shortest.as_secs())]
    TooShort {
        /// Which.
        scenario: &'static str,
        /// How long it needs.
        shortest: Duration,
    },
    /// The world did not start.
    #[error("the demo did not start")]
    World(#[from] world::Error),
    /// Nobody reads what is written.
    #[error("the output is gone")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// Whether the arguments are at fault (exit 64) and not the machine.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Scenario { .. } | Self::TooShort { .. } => true,
            Self::World(_) | Self::Output(_) => false,
        }
    }
}

fn names() -> String {
    Scenario::ALL.map(Scenario::as_str).join(", ")
}

/// Plays the demo and prints it to `out`, the summary and its faults at the end.
///
/// # Errors
/// When the options make no sense, the world does not start or the output is gone. A demo that ran
/// but did not go as it had to is no error: see [`Summary::faults`].
pub async fn run(options: Options, out: &mut (dyn Write + Send)) -> Result<Summary, Error> {
    let scenario = Scenario::named(&options.scenario)
        .ok_or_else(|| Error::Scenario { named: options.scenario.clone() })?;
    let shortest = scenario.shortest();
    if options.run_for.is_some_and(|total| total < shortest) {
        return Err(Error::TooShort { scenario: scenario.as_str(), shortest });
    }
    let clock = Clock::system();
    let mut progress = Progress::new(out, options.headless);
    let world = World::start(&clock).await?;
    progress.begin(&world, scenario, options.run_for)?;
    let summary = Stage::new(world, clock, scenario, options.run_for).play(&mut progress).await?;
    progress.text(&format!("\n{summary}"))?;
    for fault in summary.faults() {
        progress.text(&format!("FAULT: {fault}"))?;
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(scenario: &str, seconds: u64) -> String {
        let run_for = Some(Duration::from_secs(seconds));
        let options = Options { run_for, headless: true, scenario: scenario.to_owned() };
        let error = run(options, &mut Vec::new()).await.expect_err("refused");
        assert!(error.is_usage());
        error.to_string()
    }

    #[tokio::test]
    async fn what_cannot_be_played_is_refused_at_once() {
        assert_eq!(refused("slow-consumer", 44).await, "scenario slow-consumer needs 45 s or more");
        assert_eq!(
            refused("flood", 60).await,
            "there is no scenario flood: choose one of slow-consumer, stopped-consumer"
        );
    }
}
