//! Owns one receiver's waiting notices. Refuses to grow, to block and to reorder.

use crate::domain::alert::Notice;
use crate::io::notify::metrics::{DropReason, ReceiverMetrics};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Most notices that wait for one receiver: each alert of a full board once, some 2 MiB that all
/// receivers share. When it is full the oldest that is not being tried is dropped and counted: the
/// newest say how things stand.
pub(super) const QUEUE_MAX: usize = 1_000;

/// A queue with many who offer and one who delivers.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Notify,
    metrics: ReceiverMetrics,
}

#[derive(Debug, Default)]
struct State {
    notices: VecDeque<Arc<Notice>>,
    /// The front is being tried: it stays where it is, so that nothing overtakes it.
    front_in_work: bool,
    closed: bool,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub(super) fn new(metrics: ReceiverMetrics) -> Self {
        Self { state: Mutex::default(), arrived: Notify::new(), metrics }
    }

    /// Puts a notice last; when the queue is full, the oldest makes room.
    pub(super) fn offer(&self, notice: Arc<Notice>) {
        let mut state = self.lock();
        if state.closed {
            self.metrics.drop(DropReason::Shutdown, 1);
            return;
        }
        if state.notices.len() >= QUEUE_MAX {
            let oldest = usize::from(state.front_in_work);
            state.notices.remove(oldest);
            self.metrics.drop(DropReason::Full, 1);
        }
        state.notices.push_back(notice);
        drop(state);
        self.arrived.notify_one();
    }

    /// Waits for a notice and takes it into work; it stays the first until [`Queue::finish_front`].
    /// `None` once `stop` is cancelled and nothing waits.
    pub(super) async fn front(&self, stop: &CancellationToken) -> Option<Arc<Notice>> {
        loop {
            if let Some(front) = self.take_up_front() {
                return Some(front);
            }
            tokio::select! {
                () = self.arrived.notified() => {}
                () = stop.cancelled() => return self.take_up_front(),
            }
        }
    }

    /// Forgets the notice in work: it was delivered or given up.
    pub(super) fn finish_front(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.front_in_work) {
            state.notices.pop_front();
        }
    }

    /// Takes no more notices, drops those that wait, and says how many those were. One that was cut
    /// off in the middle of an attempt counts as dropped, although it may have arrived.
    pub(super) fn close(&self) -> usize {
        let mut state = self.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.notices).len();
        self.metrics.drop(DropReason::Shutdown, left as u64);
        left
    }

    fn take_up_front(&self) -> Option<Arc<Notice>> {
        let mut state = self.lock();
        let front = state.notices.front().cloned()?;
        state.front_in_work = true;
        Some(front)
    }

    /// No code that holds the lock can panic half-way through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
