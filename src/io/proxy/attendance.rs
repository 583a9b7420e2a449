//! Owns who is connected: tells the engine how many connections a consumer has open, since a process
//! that dies closes them at once and one that pauses keeps them. Refuses to know requests, and to
//! wait: a full queue drops and counts.

use crate::domain::engine::Event;
use crate::domain::stream::ConsumerName;
use crate::io::clock::Clock;
use prometheus::IntCounterVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::mpsc;

/// One consumer's connections, over all its listeners.
#[derive(Debug, Clone)]
pub struct Attendance(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    consumer: ConsumerName,
    open: AtomicU32,
    engine: mpsc::Sender<Event>,
    dropped: IntCounterVec,
    clock: Clock,
}

/// The presence of one connection, by its life. The first one, from which the others are cloned, is
/// the listener's own and does not count.
#[derive(Debug)]
pub struct Visitor {
    shared: Arc<Shared>,
    counts: bool,
}

impl Attendance {
    /// Nobody is here yet.
    #[must_use]
    pub fn new(
        consumer: ConsumerName,
        engine: mpsc::Sender<Event>,
        dropped: IntCounterVec,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Shared { consumer, open: AtomicU32::new(0), engine, dropped, clock }))
    }

    /// For a listener, which clones it for each connection and drops the clone at its end.
    #[must_use]
    pub fn door(&self) -> Visitor {
        Visitor { shared: Arc::clone(&self.0), counts: false }
    }
}

impl Clone for Visitor {
    fn clone(&self) -> Self {
        let before = self.shared.open.fetch_add(1, Ordering::Relaxed);
        self.shared.tell(before.saturating_add(1));
        Self { shared: Arc::clone(&self.shared), counts: true }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if self.counts {
            let before = self.shared.open.fetch_sub(1, Ordering::Relaxed);
            self.shared.tell(before.saturating_sub(1));
        }
    }
}

impl Shared {
    /// Only the first and the last matter to a verdict.
    fn tell(&self, open: u32) {
        if open > 1 {
            return;
        }
        let (consumer, at) = (self.consumer.clone(), self.clock.now());
        if self.engine.try_send(Event::Connections { consumer, open, at }).is_err() {
            self.dropped.with_label_values(&["engine", "full"]).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use prometheus::Opts;

    #[tokio::test(start_paused = true)]
    async fn the_first_and_the_last_connection_are_told() {
        let (engine, mut heard) = mpsc::channel(8);
        let dropped = IntCounterVec::new(Opts::new("dropped", "d"), &["queue", "reason"]).unwrap();
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let attendance = Attendance::new("mail".into(), engine, dropped, clock);
        let (door, other_door) = (attendance.door(), attendance.door());
        let (first, second) = (door.clone(), other_door.clone());
        drop(first);
        drop(second);
        drop((door, other_door));
        let mut told = Vec::new();
        while let Ok(Event::Connections { consumer, open, .. }) = heard.try_recv() {
            told.push((consumer.to_string(), open));
        }
        // 1 after the first came, 1 after it left while the second stays, 0 after that.
        assert_eq!(told, [1, 1, 0].map(|open| ("mail".to_owned(), open)));
    }
}
