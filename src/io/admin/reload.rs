//! Owns asking whoever owns the configuration to read it again. Refuses to know what it holds, and
//! to wait for long.

use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// A file is read in milliseconds; a disk that takes longer must not hold up who asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What reading the configuration again came to: `Err` is every fault, as text, and nothing is
/// changed.
pub type Reloaded = Result<Differences, String>;

/// What differs from the configuration in force, as keys such as `proxy.streams`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Differences {
    /// Is in force now.
    pub changed: Vec<&'static str>,
    /// Will be in force after a restart.
    pub needs_restart: Vec<&'static str>,
}

/// Asks the task that owns the configuration. Cheap to clone.
///
/// Whoever makes the channel bounds it; a full one means that many reloads are yet to come.
#[derive(Debug, Clone)]
pub struct ReloadSource(pub mpsc::Sender<oneshot::Sender<Reloaded>>);

impl ReloadSource {
    /// Reads the configuration again; `None` when that took over five seconds, and may still
    /// happen.
    pub async fn now(&self) -> Option<Reloaded> {
        let (ask, answer) = oneshot::channel();
        timeout(ANSWER_WITHIN, async {
            self.0.send(ask).await.ok()?;
            answer.await.ok()
        })
        .await
        .ok()
        .flatten()
    }

    /// Has the configuration read again without waiting for it, as a signal does. Where the queue
    /// is full, those who wait in it are served later than now, and so is this.
    pub fn soon(&self) {
        let (ask, _nobody_waits) = oneshot::channel();
        let _full = self.0.try_send(ask);
    }
}
