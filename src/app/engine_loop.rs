//! Owns the one task that owns the engine: feeds events in, carries effects out, answers who asks
//! for a snapshot. Refuses to wait for anybody else's queue.

use crate::domain::engine::{Effect, Engine, Event, VerdictChange};
use crate::domain::lag::Status;
use crate::domain::snapshot::Snapshot;
use crate::io::clock::Clock;
use crate::io::notify::Notifier;
use crate::io::streams::DescribeQueue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Events taken from the queue at once.
const BATCH_MAX: usize = 128;

/// The engine with its two queues and its two ways out.
#[derive(Debug)]
pub struct EngineLoop {
    /// The engine.
    pub engine: Engine,
    /// Both clocks.
    pub clock: Clock,
    /// What happened.
    pub events: mpsc::Receiver<Event>,
    /// Who wants to know.
    pub asks: mpsc::Receiver<oneshot::Sender<Snapshot>>,
    /// Streams that the control plane is to be asked about.
    pub describe: DescribeQueue,
    /// Who is told.
    pub notifier: Notifier,
    /// Whether alerts are told: a hub that stands by is silent.
    pub working: watch::Receiver<bool>,
}

impl EngineLoop {
    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let wake_at = self.engine.wake_at();
            let woken = async {
                match wake_at {
                    Some(mono) => self.clock.sleep_until(mono).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(ask) = self.asks.recv() => {
                    // The one who asked may have left.
                    let _ = ask.send(self.engine.snapshot(self.clock.now()));
                }
                () = woken => self.handle(Event::Tick),
                taken = self.events.recv_many(&mut batch, BATCH_MAX) => {
                    if taken == 0 {
                        return;
                    }
                    std::mem::take(&mut batch).into_iter().for_each(|event| self.handle(event));
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.engine.alert(*self.working.borrow());
        for effect in self.engine.handle(event, self.clock.now()) {
            match effect {
                // Full: the stream is described again by the refresh, or seen again.
                Effect::Describe(stream) => {
                    if !self.describe.ask(stream) {
                        tracing::debug!("too many streams wait to be described");
                    }
                }
                Effect::Notify(notice) => self.notifier.offer(notice),
                Effect::Judged(change) => log(&change),
            }
        }
    }
}

/// One line for each new verdict, with its rule and what it rests on.
fn log(change: &VerdictChange) {
    let VerdictChange { stream, consumer, shard, was, is } = change;
    tracing::info!(
        %stream,
        %consumer,
        %shard,
        was = was.map_or("", Status::as_str),
        status = is.status.as_str(),
        rule = %is.rule,
        reason = is.reason,
        evidence = ?is.evidence,
        "a consumer's status changed"
    );
}
