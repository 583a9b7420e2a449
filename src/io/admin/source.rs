//! Owns asking the engine's task for a snapshot. Refuses to wait long: an engine that does not
//! answer in time is said to be silent, and nobody queues up behind it for ever.

use crate::domain::snapshot::Snapshot;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long the engine may take; scrapers give up after ten seconds, people after fewer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Asks the task that owns the engine for a snapshot. Cheap to clone.
///
/// Whoever makes the channel bounds it; a full one counts as silence, after the same second.
#[derive(Debug, Clone)]
pub struct SnapshotSource(pub mpsc::Sender<oneshot::Sender<Snapshot>>);

impl SnapshotSource {
    /// The snapshot of this moment; `None` when the engine is gone or took over a second.
    pub async fn now(&self) -> Option<Snapshot> {
        let (ask, answer) = oneshot::channel();
        timeout(ANSWER_WITHIN, async {
            self.0.send(ask).await.ok()?;
            answer.await.ok()
        })
        .await
        .ok()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_ends_after_a_second() {
        let (questions, mut asked) = mpsc::channel(1);
        let source = SnapshotSource(questions);
        assert_eq!(source.now().await, None, "nobody answers");
        assert_eq!(source.now().await, None, "and the queue is full");
        asked.close();
        assert_eq!(source.now().await, None, "the engine is gone");
    }

    #[tokio::test]
    async fn an_engine_that_answers_is_heard() {
        let (questions, mut asked) = mpsc::channel::<oneshot::Sender<Snapshot>>(1);
        let source = SnapshotSource(questions);
        let answering = async { asked.recv().await.map(|ask| ask.send(Snapshot::default())) };
        let (told, _) = tokio::join!(source.now(), answering);
        assert_eq!(told, Some(Snapshot::default()));
    }
}
