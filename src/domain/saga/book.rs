//! Owns the runs that are remembered and the judgement on each. Refuses to let a replay begin a run
//! or break a silence: a step that is known already only adds who saw it.

use super::SagaId;
use super::SagaState;
use super::SagaStep;
use super::SagaView;
use super::StepView;
use super::words::SagaWords;
use super::words::StepKind;
use super::words::undoes;
use crate::domain::time::Moment;
use crate::domain::time::Wall;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Services that are named at one step: its producer and more readers than a stream may have at
/// full speed without fan-out.
const SERVICES_MAX: usize = 8;
/// Earlier runs of an id in which a replayed step is looked for.
const RUNS_SEARCHED: usize = 4;

/// Bounds and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SagaLimits {
    /// 10000 runs, ended ones forgotten first: at a kilobyte each 10 MiB.
    pub runs_max: usize,
    /// 64 steps a run: the first and the latest are kept.
    pub steps_max: usize,
    /// 5 min without a step, and a saga that has not ended is stuck.
    pub stuck_after: Duration,
    /// 30 s without a step, and an end counts: the last command may still fail and be undone.
    pub settled_after: Duration,
    /// A day without a step, and a run is forgotten: nothing else would end the alert of one that is
    /// stuck, and whoever was to look has looked.
    pub forget_after: Duration,
}

impl Default for SagaLimits {
    fn default() -> Self {
        Self {
            runs_max: 10_000,
            steps_max: 64,
            stuck_after: Duration::from_secs(300),
            settled_after: Duration::from_secs(30),
            forget_after: Duration::from_secs(86_400),
        }
    }
}

/// What had to go, since the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SagaForgotten {
    /// Runs that had ended.
    pub ended: u64,
    /// Runs that had not.
    pub open: u64,
    /// Steps.
    pub steps: u64,
}

/// A run that ended, or fell silent before it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The saga.
    pub saga_id: SagaId,
    /// Its first step's name.
    pub name: Arc<str>,
    /// How.
    pub state: SagaState,
    /// First step to last; `None` where it has not ended.
    pub duration: Option<Duration>,
}

type RunId = (SagaId, u64);

/// All sagas.
#[derive(Debug)]
pub struct Sagas {
    words: SagaWords,
    limits: SagaLimits,
    runs: BTreeMap<RunId, Run>,
    /// Ended ones before open ones, then by when they were heard of.
    by_worth: BTreeSet<(bool, u64, RunId)>,
    due: BTreeSet<(Duration, RunId)>,
    ticks: u64,
    forgotten: SagaForgotten,
}

#[derive(Debug, Default)]
struct Run {
    steps: Vec<StepView>,
    heard: Duration,
    due: Duration,
    tick: u64,
    cut: bool,
    /// Its end was given out by `tick`.
    told: bool,
}

impl Sagas {
    /// None yet.
    #[must_use]
    pub fn new(words: SagaWords, limits: SagaLimits) -> Self {
        Self {
            words,
            limits,
            runs: BTreeMap::new(),
            by_worth: BTreeSet::new(),
            due: BTreeSet::new(),
            ticks: 0,
            forgotten: SagaForgotten::default(),
        }
    }

    /// Takes a step in. Steps may come in any order and more than once.
    pub fn take(&mut self, step: SagaStep, now: Moment) {
        let SagaStep { saga_id, step, service, stream, at, trace } = step;
        let kind = self.words.kind(&step);
        let step = StepView { step, kind, at, stream, services: vec![service], trace };
        let id = self.run_of(saga_id, &step);
        let mut run = self.remove(&id).unwrap_or_default();
        let dropped = run.add(step, self.limits.steps_max.max(2), now.mono);
        self.forgotten.steps += dropped;
        self.insert(id, run);
        while self.runs.len() > self.limits.runs_max {
            let Some((open, _, oldest)) = self.by_worth.first().cloned() else { break };
            self.forget(&oldest, open);
        }
    }

    fn forget(&mut self, id: &RunId, open: bool) {
        self.remove(id);
        let count = if open { &mut self.forgotten.open } else { &mut self.forgotten.ended };
        *count += 1;
    }

    /// What ended or fell silent by `now`, each run's end once. Forgets what is too old.
    pub fn tick(&mut self, now: Moment) -> Vec<Ended> {
        let mut ended = Vec::new();
        while let Some((at, id)) = self.due.pop_first() {
            if at > now.mono {
                self.due.insert((at, id));
                break;
            }
            let SagaLimits { stuck_after, forget_after, .. } = self.limits;
            let Some(run) = self.runs.get_mut(&id) else { continue };
            let silent = now.mono.saturating_sub(run.heard);
            let (state, _) = run.judge(silent >= stuck_after);
            if silent >= forget_after {
                self.forget(&id, !state.has_ended());
                continue;
            }
            run.due = run.heard.saturating_add(forget_after);
            self.due.insert((run.due, id.clone()));
            if !run.told {
                run.told = state.has_ended();
                let duration = run.duration().filter(|_| state.has_ended());
                ended.push(Ended { saga_id: id.0, name: run.name(), state, duration });
            }
        }
        ended
    }

    /// When `tick` is due, in monotonic time.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Runs in that state, or all, at most `limit` of them, the latest step first.
    #[must_use]
    pub fn views(&self, state: Option<SagaState>, limit: usize, now: Moment) -> Vec<SagaView> {
        let views = self.runs.iter().map(|(id, run)| self.view(id, run, now));
        let mut views: Vec<SagaView> =
            views.filter(|view| state.is_none_or(|state| view.state == state)).collect();
        views.sort_by_cached_key(|view| {
            let last = view.steps.last().map(|step| step.at);
            (std::cmp::Reverse(last), view.saga_id.clone(), view.run)
        });
        views.truncate(limit);
        views
    }

    /// Runs by name and state: what `kinesis_sagas` shows.
    #[must_use]
    pub fn counts(&self, now: Moment) -> BTreeMap<(Arc<str>, SagaState), u64> {
        let mut counts = BTreeMap::new();
        for run in self.runs.values() {
            let (state, _) = self.judge(run, now);
            *counts.entry((run.name(), state)).or_default() += 1;
        }
        counts
    }

    /// What had to go.
    #[must_use]
    pub fn forgotten(&self) -> SagaForgotten {
        self.forgotten
    }

    /// The run that a step belongs to: one that knows it, or the last, or after an end a new one.
    fn run_of(&self, saga_id: SagaId, step: &StepView) -> RunId {
        let of_id = (saga_id.clone(), 0)..=(saga_id.clone(), u64::MAX);
        let mut runs = self.runs.range(of_id).rev().take(RUNS_SEARCHED).peekable();
        let Some((last_id, last)) = runs.peek().copied() else { return (saga_id, 1) };
        if let Some((id, _)) = runs.find(|(_, run)| run.find(step).is_some()) {
            return id.clone();
        }
        let (state, _) = last.judge(false);
        // A way back begins no saga, nor does what is told of one or a further end of it, and a step
        // from before the end is only late.
        let begins = match step.kind {
            StepKind::Forward => true,
            StepKind::End => last.steps.iter().any(|known| known.step == step.step),
            StepKind::Compensation | StepKind::Report => false,
        };
        let is_new = state.has_ended()
            && begins
            && last.steps.last().is_some_and(|latest| step.at > latest.at);
        (saga_id, last_id.1 + u64::from(is_new))
    }

    fn insert(&mut self, id: RunId, mut run: Run) {
        self.ticks += 1;
        run.tick = self.ticks;
        let ended = run.judge(false).0.has_ended();
        let wait = if ended { self.limits.settled_after } else { self.limits.stuck_after };
        run.due = run.heard.saturating_add(wait);
        self.due.insert((run.due, id.clone()));
        self.by_worth.insert((!ended, run.tick, id.clone()));
        self.runs.insert(id, run);
    }

    fn remove(&mut self, id: &RunId) -> Option<Run> {
        let run = self.runs.remove(id)?;
        let open = !run.judge(false).0.has_ended();
        self.by_worth.remove(&(open, run.tick, id.clone()));
        self.due.remove(&(run.due, id.clone()));
        Some(run)
    }

    fn judge(&self, run: &Run, now: Moment) -> (SagaState, &'static str) {
        run.judge(now.mono.saturating_sub(run.heard) >= self.limits.stuck_after)
    }

    fn view(&self, (saga_id, number): &RunId, run: &Run, now: Moment) -> SagaView {
        let (state, reason) = self.judge(run, now);
        SagaView {
            saga_id: saga_id.clone(),
            run: *number,
            name: run.name(),
            state,
            reason,
            duration: run.duration().filter(|_| state.has_ended()),
            silent: now.mono.saturating_sub(run.heard),
            steps: run.steps.clone(),
            cut: run.cut,
        }
    }
}

impl Run {
    /// Adds a step in its place by time; gives how many had to go for it.
    fn add(&mut self, step: StepView, steps_max: usize, now: Duration) -> u64 {
        let step = match self.find(&step).map(|index| self.steps.remove(index)) {
            Some(known) => merged(known, step),
            None => {
                self.heard = now;
                step
            }
        };
        let place = self.steps.partition_point(|other| key(other) < key(&step));
        self.steps.insert(place, step);
        if self.steps.len() <= steps_max {
            return 0;
        }
        // The first names the saga and the latest say how it stands.
        self.steps.remove(1);
        self.cut = true;
        1
    }

    /// The same step by its record's context, or without one by place and time.
    fn find(&self, step: &StepView) -> Option<usize> {
        self.steps.iter().position(|known| {
            known.step == step.step
                && match (&known.trace, &step.trace) {
                    (Some(a), Some(b)) => (a.trace_id, a.span_id) == (b.trace_id, b.span_id),
                    (None, None) => known.stream == step.stream && known.at == step.at,
                    (Some(_), None) | (None, Some(_)) => false,
                }
        })
    }

    fn name(&self) -> Arc<str> {
        self.steps.first().map_or_else(|| Arc::from("unknown"), |step| step.step.clone())
    }

    fn duration(&self) -> Option<Duration> {
        Some(self.steps.last()?.at.since(self.steps.first()?.at))
    }

    /// How it stands, and why. What was put is known, and not whether it was carried out: so the
    /// step before the way back is taken for the one that failed, which needs no undoing.
    fn judge(&self, silent: bool) -> (SagaState, &'static str) {
        let is_back = |step: &&StepView| step.kind == StepKind::Compensation;
        let (back, mut there): (Vec<&StepView>, Vec<&StepView>) =
            self.steps.iter().partition(is_back);
        // What is told of a step is not to be undone; a saga of nothing but events is its events.
        let is_report = |step: &&StepView| step.kind == StepKind::Report;
        if !there.iter().all(is_report) {
            there.retain(|step| !is_report(step));
        }
        if back.is_empty() {
            return if there.iter().any(|step| step.kind == StepKind::End) {
                (SagaState::Completed, "its end was seen")
            } else if silent {
                (SagaState::Stuck, "it fell silent before an end was seen")
            } else {
                (SagaState::Running, "its end was not seen yet")
            };
        }
        let undone = |step: &&StepView| back.iter().any(|back| undoes(&back.step, &step.step));
        let done = there.split_last().map_or(&[][..], |(_, done)| done);
        let all_undone = done.iter().all(undone);
        let stray = |back: &&StepView| !there.iter().any(|step| undoes(&back.step, &step.step));
        let strays = back.iter().filter(|step| stray(step)).count();
        if all_undone && strays < back.len() {
            (SagaState::Compensated, "every step before the one that failed was undone")
        } else if !silent {
            (SagaState::Compensating, "not every step was undone yet")
        } else if strays > 0 {
            (SagaState::Unknown, "it fell silent, and what its compensations undid was not seen")
        } else {
            (SagaState::Stuck, "it fell silent before every step was undone")
        }
    }
}

/// By time; equal times by what tells the steps apart, so that any order of arrival gives this one.
fn key(step: &StepView) -> (Wall, StepKind, &Arc<str>, Option<[u8; 8]>) {
    (step.at, step.kind, &step.step, step.trace.map(|trace| trace.span_id.bytes()))
}

/// Two sightings of one step: the earliest is nearest to the put.
fn merged(known: StepView, again: StepView) -> StepView {
    let services: BTreeSet<Arc<str>> = known.services.into_iter().chain(again.services).collect();
    StepView {
        at: known.at.min(again.at),
        stream: match (known.stream, again.stream) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        },
        services: services.into_iter().take(SERVICES_MAX).collect(),
        step: known.step,
        kind: known.kind,
        trace: known.trace,
    }
}
