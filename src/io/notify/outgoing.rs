//! Owns the outbox as its tasks share it: who offers, who writes, who delivers, and who is woken by
//! whom. Refuses to block anybody and to wait for a disk.

use crate::domain::alert::{AlertView, Notice};
use crate::domain::backoff::Backoff;
use crate::domain::outbox::{Change, Fate, Job, Outbox};
use crate::domain::time::Wall;
use crate::io::clock::Clock;
use crate::io::entropy;
use crate::io::notify::metrics::{DropReason, ReceiverMetrics};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What is shared; one lock, held for microseconds.
#[derive(Debug)]
pub(super) struct Outgoing {
    state: Mutex<State>,
    lines: Vec<Line>,
    /// Something is to be written.
    changed: Notify,
    durable: AtomicBool,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    outbox: Outbox,
    /// The state of the alerts, to be written together with what they said …
    machine: Option<Arc<[u8]>>,
    /// … and as it last was, for a new file.
    newest_machine: Option<Arc<[u8]>>,
    /// What fires, for each receiver that must be told of it again and again; the newest alone.
    renewals: Vec<Option<Arc<Notice>>>,
    closed: bool,
}

/// One receiver's part.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) metrics: ReceiverMetrics,
    /// Whether it must be told again of what fires.
    pub(super) renews: bool,
    ready: Notify,
}

impl Line {
    pub(super) fn new(name: String, metrics: ReceiverMetrics, renews: bool) -> Self {
        Self { name, metrics, renews, ready: Notify::new() }
    }
}

/// What a delivery has to do.
#[derive(Debug)]
pub(super) enum Work {
    Jobs(Vec<Job>),
    Renewal(Arc<Notice>),
}

/// What the keeper has to write.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) changes: Vec<Change>,
    pub(super) machine: Option<Arc<[u8]>>,
    pub(super) version: u64,
}

impl Outgoing {
    pub(super) fn new(outbox: Outbox, lines: Vec<Line>, durable: bool, clock: Clock) -> Self {
        let renewals = lines.iter().map(|_| None).collect();
        let (machine, newest_machine) = (None, None);
        let state = State { outbox, machine, newest_machine, renewals, closed: false };
        let (state, durable) = (Mutex::new(state), AtomicBool::new(durable));
        Self { state, lines, changed: Notify::new(), durable, clock }
    }

    pub(super) fn offer(&self, notice: &Arc<Notice>) {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.closed && !self.durable.load(Ordering::Relaxed) {
            self.lines.iter().for_each(|line| line.metrics.drop(DropReason::Shutdown, 1));
            return;
        }
        let fates = state.outbox.offer(notice, now);
        drop(state);
        self.count(&fates);
        self.changed.notify_one();
    }

    pub(super) fn save_machine(&self, bytes: Vec<u8>) {
        let bytes: Arc<[u8]> = bytes.into();
        let mut state = self.lock();
        state.newest_machine = Some(Arc::clone(&bytes));
        state.machine = Some(bytes);
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn renew(
        &self,
        alerts: Vec<AlertView>,
        notice: impl FnOnce(Vec<AlertView>) -> Notice,
    ) {
        let notice = Arc::new(notice(alerts));
        let mut state = self.lock();
        for (slot, line) in state.renewals.iter_mut().zip(&self.lines) {
            if line.renews {
                *slot = Some(Arc::clone(&notice));
                line.ready.notify_one();
            }
        }
    }

    /// Waits until something is to be written; `None` once `stop` is cancelled and nothing is.
    pub(super) async fn changes(&self, stop: &CancellationToken) -> Option<Writing> {
        loop {
            if let Some(writing) = self.take_changes() {
                return Some(writing);
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = stop.cancelled() => return self.take_changes(),
            }
        }
    }

    fn take_changes(&self) -> Option<Writing> {
        let mut state = self.lock();
        if state.outbox.changes() == 0 && state.machine.is_none() {
            return None;
        }
        let (changes, version) = state.outbox.take_changes();
        Some(Writing { changes, machine: state.machine.take(), version })
    }

    /// What a new file must hold.
    pub(super) fn whole(&self) -> Writing {
        let mut state = self.lock();
        state.machine = None;
        let (changes, version) = state.outbox.take_whole();
        Writing { changes, machine: state.newest_machine.clone(), version }
    }

    pub(super) fn committed(&self, version: u64, durable: bool) {
        self.durable.store(durable, Ordering::Relaxed);
        self.lock().outbox.committed(version);
        self.lines.iter().for_each(|line| line.ready.notify_waiters());
    }

    /// Whether notices are delivered although the disk does not have them yet.
    pub(super) fn go_ahead(&self, ahead: bool) {
        self.lock().outbox.go_ahead(ahead);
        self.lines.iter().for_each(|line| line.ready.notify_waiters());
    }

    /// Waits for what there is to do for a receiver, at most `max` notices; `None` once `stop` is
    /// cancelled and everything was tried once since.
    pub(super) async fn next(
        &self,
        receiver: usize,
        max: usize,
        stop: &CancellationToken,
    ) -> Option<Work> {
        let line = self.lines.get(receiver)?;
        loop {
            let mut ready = std::pin::pin!(line.ready.notified());
            // Before looking, so that what comes meanwhile wakes it.
            ready.as_mut().enable();
            let last = stop.is_cancelled();
            let (work, wake_at) = self.look(receiver, max, last);
            if work.is_some() {
                return work;
            }
            if last && self.lock().outbox.is_exhausted(receiver) {
                return None;
            }
            let woken = async {
                match wake_at {
                    Some(mono) => self.clock.sleep_until(mono).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ready => {}
                () = woken => {}
                () = stop.cancelled(), if !last => {}
            }
        }
    }

    fn look(&self, receiver: usize, max: usize, last: bool) -> (Option<Work>, Option<Duration>) {
        let now = self.clock.now();
        let mut state = self.lock();
        let next = state.outbox.next(receiver, now, max, last);
        let is_idle = state.outbox.waiting(receiver).0 == 0;
        let renewal = state.renewals.get_mut(receiver).filter(|_| is_idle && !last);
        let renewal = renewal.and_then(Option::take).map(Work::Renewal);
        let changed = state.outbox.changes() > 0;
        drop(state);
        self.count(&next.fates);
        if changed {
            self.changed.notify_one();
        }
        let jobs = (!next.jobs.is_empty()).then_some(Work::Jobs(next.jobs));
        (jobs.or(renewal), next.wake_at)
    }

    pub(super) fn delivered(&self, receiver: usize, job: &Job, refused: &[u64]) {
        self.lock().outbox.delivered(receiver, job, refused);
        self.settle(receiver, &[]);
    }

    pub(super) fn refused(&self, receiver: usize, job: &Job) {
        let fates = self.lock().outbox.refused(receiver, job, self.clock.now());
        self.settle(receiver, &fates);
    }

    pub(super) fn failed(&self, receiver: usize, jobs: &[Job], backoff: &Backoff, asked: Duration) {
        let (now, chance) = (self.clock.now(), entropy::chance());
        let fates = self.lock().outbox.failed(receiver, jobs, now, (backoff, chance), asked);
        self.settle(receiver, &fates);
    }

    fn settle(&self, receiver: usize, fates: &[(usize, Fate)]) {
        self.count(fates);
        self.changed.notify_one();
        if let Some(line) = self.lines.get(receiver) {
            line.ready.notify_waiters();
        }
    }

    /// The end of one receiver's delivery: how many were not delivered, and whether they are kept.
    pub(super) fn end(&self, receiver: usize) -> (usize, bool) {
        let mut state = self.lock();
        state.closed = true;
        if self.durable.load(Ordering::Relaxed) {
            return (state.outbox.waiting(receiver).0, true);
        }
        let left = state.outbox.clear(receiver);
        drop(state);
        if let Some(line) = self.lines.get(receiver) {
            line.metrics.drop(DropReason::Shutdown, left as u64);
        }
        (left, false)
    }

    /// Each receiver: how many notices wait, and since when the oldest does.
    pub(super) fn waiting(&self) -> Vec<(String, usize, Option<Wall>)> {
        let state = self.lock();
        let lines = self.lines.iter().enumerate();
        lines
            .map(|(index, line)| {
                let (waiting, oldest) = state.outbox.waiting(index);
                (line.name.clone(), waiting, oldest)
            })
            .collect()
    }

    fn count(&self, fates: &[(usize, Fate)]) {
        for (receiver, fate) in fates {
            if let Some(line) = self.lines.get(*receiver) {
                line.metrics.count(*fate);
            }
        }
    }

    /// No code that holds the lock can panic half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
