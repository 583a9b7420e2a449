//! Owns the demo: an order system on an embedded Kinesis, each service with a sidecar of its own, in
//! one process, and the script that makes it go wrong and well again. Refuses to reach beyond the
//! loopback interface or to use anybody's credentials.

mod act;
mod arrivals;
mod cbor;
mod cloudwatch;
mod hub;
mod incidents;
mod kinesis;
mod otlp;
mod pages;
mod progress;
mod scenario;
mod script;
mod serve;
mod services;
mod settings;
mod stage;
mod summary;
mod traffic;
mod webhook;
mod world;

pub use act::Outcome;
pub use scenario::Scenario;
pub use summary::Summary;

use crate::io::clock::Clock;
use progress::Progress;
use stage::Stage;
use std::io::Write;
use std::time::Duration;
use world::World;

/// What to play.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long; without it until ctrl-c, the story beginning again at its end.
    pub run_for: Option<Duration>,
    /// No colours.
    pub headless: bool,
    /// These, one after the other; none: all of them.
    pub scenes: Vec<Scenario>,
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The expected events would not fit.
    #[error("{} needs {} s or more", .scenario.as_str(), .shortest.as_secs())]
    TooShort {
        /// Which.
        scenario: Scenario,
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
            Self::TooShort { .. } => true,
            Self::World(_) | Self::Output(_) => false,
        }
    }
}

/// Plays the demo and prints it to `out`, the summary and its faults at the end.
///
/// # Errors
/// When the options make no sense, the world does not start or the output is gone. A demo that ran
/// but did not go as it had to is no error: see [`Summary::faults`].
pub async fn run(options: Options, out: &mut (dyn Write + Send)) -> Result<Summary, Error> {
    let Options { run_for, headless, scenes } = options;
    let scenes = if scenes.is_empty() { Scenario::ALL.to_vec() } else { scenes };
    // Of a story that is too long the rest is left out; without its beginning there is none.
    if let Some(first) = scenes.first().copied()
        && run_for.is_some_and(|total| total < script::shortest(first))
    {
        return Err(Error::TooShort { scenario: first, shortest: script::shortest(first) });
    }
    let clock = Clock::system();
    let mut progress = Progress::new(out, headless);
    let world = World::start(&clock).await?;
    progress.begin(&world, &scenes, run_for)?;
    let summary = Stage::new(world, clock, scenes, run_for).play(&mut progress).await?;
    progress.text(&format!("\n{summary}"))?;
    for fault in summary.faults() {
        progress.text(&format!("FAULT: {fault}"))?;
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_played_is_refused_at_once() {
        let check = async |scenes: &[Scenario], seconds, expected: &str| {
            let run_for = Some(Duration::from_secs(seconds));
            let options = Options { run_for, headless: true, scenes: scenes.to_vec() };
            let error = run(options, &mut Vec::new()).await.expect_err("refused");
            assert!(error.is_usage());
            assert_eq!(error.to_string(), expected);
        };
        check(&[], 44, "slow-consumer needs 45 s or more").await;
        check(&[Scenario::HotKey], 54, "hot-key needs 55 s or more").await;
    }
}
