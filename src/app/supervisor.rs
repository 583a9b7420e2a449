//! Owns every task's name, its owner and its end: stages in start order, drained in reverse under
//! one deadline, and a report of who was late. Refuses to know what a task does.

use crate::io::clock::Clock;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// What the end of a task means while nobody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The process ends with it.
    Vital,
    /// Its end is logged; its panic is counted too.
    Helpful,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It returned.
    Returned,
    /// It panicked: our own bug.
    Panicked,
}

/// A vital task that ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its stage.
    pub stage: &'static str,
    /// Its name.
    pub task: &'static str,
    /// How.
    pub how: Ending,
}

/// How a drain went: names as `stage/task`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Tasks that had not ended in their time; they were aborted.
    pub late: Vec<String>,
    /// Tasks that panicked, in the drain or before it.
    pub panicked: Vec<String>,
}

impl Report {
    /// Whether everyone ended politely and in time.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.late.is_empty() && self.panicked.is_empty()
    }
}

/// Tasks that start and end together.
#[derive(Debug)]
pub struct Stage {
    name: &'static str,
    tasks: JoinSet<()>,
    known: HashMap<Id, (&'static str, Policy)>,
    token: CancellationToken,
}

impl Stage {
    /// Ends when the stage is to drain. Tasks clone it and return soon after.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task of this stage. It must return soon after the stage's token is cancelled.
    pub fn spawn<F>(&mut self, task: &'static str, policy: Policy, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.tasks.spawn(future).id();
        self.known.insert(id, (task, policy));
    }

    /// The next task that has ended, with its policy; pending while all run, `None` when none is.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<Option<(Ended, Policy)>> {
        let joined = match self.tasks.poll_join_next_with_id(context) {
            Poll::Ready(Some(joined)) => joined,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        let (id, how) = match joined {
            Ok((id, ())) => (id, Ending::Returned),
            Err(error) => (error.id(), ending(&error)),
        };
        let (task, policy) = self.known.remove(&id).unwrap_or(("unnamed", Policy::Helpful));
        Poll::Ready(Some((Ended { stage: self.name, task, how }, policy)))
    }
}

/// Aborting is ours and happens only in a drain, after the late were named.
fn ending(error: &JoinError) -> Ending {
    if error.is_panic() { Ending::Panicked } else { Ending::Returned }
}

/// All stages of a process, in start order.
#[derive(Debug, Default)]
pub struct Supervisor {
    stages: Vec<Stage>,
    panicked: Vec<String>,
}

impl Supervisor {
    /// Adds the next stage; it drains before all that were added earlier.
    pub fn stage(&mut self, name: &'static str) -> &mut Stage {
        let token = CancellationToken::new();
        let stage = Stage { name, tasks: JoinSet::new(), known: HashMap::new(), token };
        self.stages.push_mut(stage)
    }

    /// Waits until a vital task ends, which none should. Helpful ones are noted on the way.
    /// Cancel-safe; pending for ever while no vital task ends.
    pub async fn watch(&mut self) -> Ended {
        poll_fn(|context| {
            for stage in &mut self.stages {
                while let Poll::Ready(Some((ended, policy))) = stage.poll_ended(context) {
                    note(&mut self.panicked, ended);
                    match policy {
                        Policy::Vital => return Poll::Ready(ended),
                        Policy::Helpful => tracing::warn!(
                            stage = ended.stage,
                            task = ended.task,
                            how = ?ended.how,
                            "task ended by itself"
                        ),
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Cancels and awaits one stage after the other, the last started first, all within `grace`.
    /// A stage may use what is left but a tenth of the grace for each stage behind it, so that a
    /// deaf front leaves the exporters time to flush.
    pub async fn drain(mut self, grace: Duration, clock: &Clock) -> Report {
        let deadline = clock.now().mono.saturating_add(grace);
        let mut late = Vec::new();
        while let Some(mut stage) = self.stages.pop() {
            let behind = u32::try_from(self.stages.len()).unwrap_or(u32::MAX);
            let kept = (grace / 10).saturating_mul(behind).min(grace / 2);
            stage.token.cancel();
            loop {
                let ended = tokio::select! {
                    biased;
                    ended = poll_fn(|context| stage.poll_ended(context)) => ended,
                    () = clock.sleep_until(deadline.saturating_sub(kept)) => break,
                };
                let Some((ended, _policy)) = ended else { break };
                note(&mut self.panicked, ended);
            }
            let mut names: Vec<_> =
                stage.known.values().map(|(task, _)| format!("{}/{task}", stage.name)).collect();
            names.sort();
            late.append(&mut names);
            // Dropping the set aborts them. What they hold of their own is theirs to bound.
        }
        Report { late, panicked: self.panicked }
    }

    /// How many tasks have panicked.
    #[must_use]
    pub fn panics(&self) -> usize {
        self.panicked.len()
    }
}

/// Panics are rare and each is a bug of ours, so their names are kept.
fn note(panicked: &mut Vec<String>, ended: Ended) {
    match ended.how {
        Ending::Returned => {}
        Ending::Panicked => {
            tracing::error!(stage = ended.stage, task = ended.task, "task panicked");
            panicked.push(format!("{}/{}", ended.stage, ended.task));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use std::sync::{Arc, Mutex};

    const GRACE: Duration = Duration::from_secs(10);

    /// Starts a task that ends with its stage and says so.
    fn polite(stage: &mut Stage, name: &'static str, said: &Arc<Mutex<Vec<&'static str>>>) {
        let (token, said) = (stage.token(), Arc::clone(said));
        stage.spawn(name, Policy::Vital, async move {
            token.cancelled().await;
            said.lock().unwrap().push(name);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_goes_front_to_back_and_names_the_late() {
        let clock = Clock::simulated(Wall::default());
        let said = Arc::default();
        let mut supervisor = Supervisor::default();
        polite(supervisor.stage("admin"), "page", &said);
        polite(supervisor.stage("export"), "spans", &said);
        let proxy = supervisor.stage("proxy");
        polite(proxy, "listener", &said);
        proxy.spawn("deaf", Policy::Helpful, std::future::pending());
        let token = proxy.token();
        proxy.spawn("clumsy", Policy::Vital, async move {
            token.cancelled().await;
            panic!("on purpose");
        });
        let report = supervisor.drain(GRACE, &clock).await;
        assert_eq!(report.late, ["proxy/deaf"]);
        assert_eq!(report.panicked, ["proxy/clumsy"]);
        assert_eq!(*said.lock().unwrap(), ["listener", "spans", "page"]);
        assert_eq!(clock.now().mono, GRACE / 10 * 8, "two stages behind kept a tenth each");
    }

    #[tokio::test(start_paused = true)]
    async fn a_polite_drain_takes_no_time_and_the_whole_never_more_than_the_grace() {
        let clock = Clock::simulated(Wall::default());
        let mut supervisor = Supervisor::default();
        polite(supervisor.stage("admin"), "page", &Arc::default());
        assert!(supervisor.drain(GRACE, &clock).await.is_clean());
        assert_eq!(clock.now().mono, Duration::ZERO);
        let mut supervisor = Supervisor::default();
        for stage in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            supervisor.stage(stage).spawn("deaf", Policy::Vital, std::future::pending());
        }
        assert_eq!(supervisor.drain(GRACE, &clock).await.late.len(), 8);
        assert_eq!(clock.now().mono, GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_vital_end_is_an_end() {
        let clock = Clock::simulated(Wall::default());
        let mut supervisor = Supervisor::default();
        let stage = supervisor.stage("export");
        stage.spawn("clumsy", Policy::Helpful, async { panic!("on purpose") });
        let waiting = clock.clone();
        stage.spawn("engine", Policy::Vital, async move { waiting.sleep_until(GRACE).await });
        let ended = supervisor.watch().await;
        assert_eq!(ended, Ended { stage: "export", task: "engine", how: Ending::Returned });
        assert_eq!((clock.now().mono, supervisor.panics()), (GRACE, 1));
        assert_eq!(supervisor.drain(GRACE, &clock).await.panicked, ["export/clumsy"]);
    }
}
