//! Owns the building of the rooms in order; to be written.

use crate::app::config::Config;
use std::collections::BTreeMap;

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Runs the service until it is told to end.
///
/// # Errors
/// A room that cannot be built, or a vital task that ended.
pub async fn run(_config: Config, _environment: BTreeMap<String, String>) -> Result<(), Error> {
    Ok(())
}
