//! Owns the demo; to be written.

use std::fmt;
use std::time::Duration;

/// What the demo is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Ends by itself after this long; `None`: on a signal.
    pub run_for: Option<Duration>,
    /// No progress on the terminal.
    pub headless: bool,
    /// The incident script's name.
    pub scenario: String,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct Summary {}

impl Summary {
    /// Whether every event that the scenario expects has happened.
    #[must_use]
    pub fn passed(&self) -> bool {
        true
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Why the demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Runs the demo.
///
/// # Errors
/// A part that cannot be started.
pub async fn run(_options: Options) -> Result<Summary, Error> {
    Ok(Summary::default())
}
