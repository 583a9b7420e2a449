//! Owns asking the engine's task for a snapshot, and the fleet's for traces and sagas. Refuses to
//! wait long: who does not answer in time is said to be silent, and nobody queues up behind it for
//! ever.

use crate::domain::fleet::Query;
use crate::domain::saga::SagaState;
use crate::domain::snapshot::{Detail, Snapshot};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long the engine may take; scrapers give up after ten seconds, people after fewer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How long the fleet may take: it may be at work on a large request, for which it has a thread.
const STORIES_WITHIN: Duration = Duration::from_secs(5);

/// What the fleet is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// `/api/v1/traces`.
    Traces(Query),
    /// `/api/v1/sagas`: in which state, and how many.
    Sagas((Option<SagaState>, usize)),
    /// The part of the status page that spans tell, as HTML.
    Page,
}

/// A question, and where the answer's JSON or HTML goes.
pub type Asked = (Question, oneshot::Sender<Vec<u8>>);

/// Asks the task that owns what spans told. Cheap to clone; bounded as [`SnapshotSource`] is.
#[derive(Debug, Clone)]
pub struct FleetSource(pub mpsc::Sender<Asked>);

impl FleetSource {
    /// The answer's JSON or HTML; `None` when the task is gone or took over five seconds.
    pub async fn ask(&self, question: Question) -> Option<Vec<u8>> {
        let (ask, answer) = oneshot::channel();
        timeout(STORIES_WITHIN, async {
            self.0.send((question, ask)).await.ok()?;
            answer.await.ok()
        })
        .await
        .ok()
        .flatten()
    }
}

/// How much of a snapshot is asked for, and where it goes.
pub type SnapshotAsk = (Detail, oneshot::Sender<Snapshot>);

/// Asks the task that owns the engine for a snapshot. Cheap to clone.
///
/// Whoever makes the channel bounds it; a full one counts as silence, after the same second.
#[derive(Debug, Clone)]
pub struct SnapshotSource(pub mpsc::Sender<SnapshotAsk>);

impl SnapshotSource {
    /// The snapshot of this moment; `None` when the engine is gone or took over a second.
    pub async fn now(&self) -> Option<Snapshot> {
        self.ask(Detail::Words).await
    }

    /// As [`SnapshotSource::now`], so much of it.
    pub async fn ask(&self, detail: Detail) -> Option<Snapshot> {
        let (ask, answer) = oneshot::channel();
        timeout(ANSWER_WITHIN, async {
            self.0.send((detail, ask)).await.ok()?;
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

    #[tokio::test(start_paused = true)]
    async fn a_fleet_that_is_silent_is_waited_for_five_seconds() {
        let (questions, _asked) = mpsc::channel(1);
        let source = FleetSource(questions);
        let answer = source.ask(Question::Sagas((None, 1)));
        let waited = timeout(STORIES_WITHIN * 2, answer).await;
        assert_eq!(waited, Ok(None));
    }

    #[tokio::test]
    async fn an_engine_that_answers_is_heard() {
        let (questions, mut asked) = mpsc::channel::<SnapshotAsk>(1);
        let source = SnapshotSource(questions);
        let answering =
            async { asked.recv().await.map(|(_, ask)| ask.send(Snapshot::default()).is_ok()) };
        let (told, _) = tokio::join!(source.now(), answering);
        assert_eq!(told, Some(Snapshot::default()));
    }
}
