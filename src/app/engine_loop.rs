//! Owns the one task that owns the engine: feeds events in, carries effects out, answers who asks
//! for a snapshot. Refuses to wait for anybody else's queue.

use crate::domain::alert::saved::Saved;
use crate::domain::engine::{Effect, Engine, Event, VerdictChange};
use crate::domain::lag::{Status, evidence_text};
use crate::domain::observation::{Pods, Word};
use crate::domain::stream::StreamName;
use crate::io::admin::SnapshotAsk;
use crate::io::clock::Clock;
use crate::io::notify::Notifier;
use crate::io::otlp::Observations;
use crate::io::streams::DescribeQueue;
use crate::wire::notify::board;
use prometheus::{IntCounter, IntGauge};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Alerts change once a second at most, when the engine judges.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How much of its time a pending alert may lose by a restart: a write is a flush of the disk.
const WRITE_EVERY: Duration = Duration::from_secs(15);
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
    pub asks: mpsc::Receiver<SnapshotAsk>,
    /// Streams that the control plane is to be asked about.
    pub describe: DescribeQueue,
    /// Those for whom its queue had no room; each stream is in it once, so that
    /// `limits.streams_max` and the lists of their shards bound it.
    pub unasked: Vec<StreamName>,
    /// Who is told.
    pub notifier: Notifier,
    /// Where a sidecar notes for the hub what happened.
    pub observations: Option<Observations>,
    /// What the hub merges, where this is one.
    pub fleet: Option<Merging>,
    /// Whether alerts are told: a hub that stands by is silent.
    pub working: watch::Receiver<bool>,
    /// What of the alerts is on its way to the disk.
    pub kept: Kept,
}

/// What of the alerts is on its way to the disk, and when it was last looked at and written.
#[derive(Debug, Default)]
pub struct Kept {
    gist: Saved,
    looked_at: Duration,
    written_at: Duration,
}

/// What a hub merges with what it sees itself.
#[derive(Debug)]
pub struct Merging {
    /// What sidecars told, as it arrives.
    pub words: mpsc::Receiver<Word>,
    /// What is known of their pods.
    pub pods: Pods,
    /// `kinescope_hub_pods`: how many they are.
    pub known: IntGauge,
    /// `kinescope_dropped_total{queue="hub_pods",reason="full"}`.
    pub full: IntCounter,
}

impl Merging {
    /// Pends for ever where no more can come: the receiver is gone before the engine at the end.
    async fn next(&mut self) -> Word {
        match self.words.recv().await {
            Some(word) => word,
            None => std::future::pending().await,
        }
    }
}

impl EngineLoop {
    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let renew_every = self.notifier.renew_every();
        let mut renew_at = self.clock.now().mono + renew_every.unwrap_or_default();
        loop {
            let silent = self.fleet.as_ref().and_then(|fleet| fleet.pods.wake_at());
            let wake_at = self.engine.wake_at().into_iter().chain(silent).min();
            let heard = async {
                match &mut self.fleet {
                    Some(fleet) => fleet.next().await,
                    None => std::future::pending().await,
                }
            };
            let woken = async {
                match wake_at {
                    Some(mono) => self.clock.sleep_until(mono).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some((detail, ask)) = self.asks.recv() => {
                    // The one who asked may have left.
                    let _ = ask.send(self.engine.snapshot_in(detail, self.clock.now()));
                }
                () = woken => {
                    self.forget_pods();
                    self.ask_again();
                    self.handle(Event::Tick);
                }
                () = self.clock.sleep_until(renew_at), if renew_every.is_some() => {
                    self.notifier.renew(self.engine.alerts());
                    renew_at = self.clock.now().mono + renew_every.unwrap_or_default();
                }
                taken = self.events.recv_many(&mut batch, BATCH_MAX) => {
                    if taken == 0 {
                        return;
                    }
                    std::mem::take(&mut batch).into_iter().for_each(|event| self.happened(event));
                }
                word = heard => self.merge(word),
            }
        }
    }

    /// Takes in what happened in this process.
    fn happened(&mut self, event: Event) {
        if let Some(observations) = &self.observations {
            observations.note(&event);
        }
        match (event, &mut self.fleet) {
            (Event::Connections { consumer, open, at }, Some(fleet)) => {
                let merged = fleet.pods.own(consumer, open, at);
                self.handle(merged);
            }
            (event, _) => self.handle(event),
        }
    }

    /// Takes in what a sidecar told.
    fn merge(&mut self, word: Word) {
        let Some(fleet) = &mut self.fleet else { return };
        let events = fleet.pods.hear(word, self.clock.now());
        fleet.full.inc_by(fleet.pods.left_out());
        fleet.known.set(i64::try_from(fleet.pods.len()).unwrap_or(i64::MAX));
        events.into_iter().for_each(|event| self.handle(event));
    }

    fn forget_pods(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        let events = fleet.pods.tick(self.clock.now());
        fleet.known.set(i64::try_from(fleet.pods.len()).unwrap_or(i64::MAX));
        events.into_iter().for_each(|event| self.handle(event));
    }

    fn ask_again(&mut self) {
        while let Some(stream) = self.unasked.pop() {
            if !self.describe.ask(stream.clone()) {
                self.unasked.push(stream);
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        self.engine.alert(*self.working.borrow());
        let mut told = false;
        for effect in self.engine.handle(event, self.clock.now()) {
            match effect {
                // Full: it is asked about with the next tick. The engine says so once.
                Effect::Describe(stream) => {
                    if !self.describe.ask(stream.clone()) {
                        self.unasked.push(stream);
                    }
                }
                Effect::Notify(notice) => {
                    self.notifier.offer(notice);
                    told = true;
                }
                Effect::Judged(change) => log(&change),
            }
        }
        self.keep(told);
    }

    /// Has the alerts written down where they are others than before: at once with what was told of
    /// them, so that no restart tells it again or forgets that it was told.
    fn keep(&mut self, told: bool) {
        let now = self.clock.now();
        let kept = &mut self.kept;
        if !told && now.mono.saturating_sub(kept.looked_at) < LOOK_EVERY {
            return;
        }
        kept.looked_at = now.mono;
        let saved = self.engine.export(now);
        let gist = saved.gist();
        let stale = now.mono.saturating_sub(kept.written_at) >= WRITE_EVERY && saved.is_timed();
        if gist != kept.gist || stale {
            (kept.gist, kept.written_at) = (gist, now.mono);
            self.notifier.save_machine(board::write(&saved));
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
        evidence = evidence_text(&is.evidence),
        "a consumer's status changed"
    );
}
