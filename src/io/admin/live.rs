//! Owns the live page: one task that draws the page once a second while anybody watches, sends each
//! watcher what changed, and takes the samples of which curves are made. Refuses to draw for nobody,
//! to wait for a slow watcher, and to let watchers take the places of scrapes.

use crate::domain::snapshot::{Detail, Snapshot};
use crate::io::admin::page;
use crate::io::admin::routes::Desk;
use crate::wire::status::events::{HELLO, SAME, SILENT, message};
use crate::wire::status::history::SAMPLE_EVERY;
use crate::wire::status::page::{Parts, parts};
use bytes::Bytes;
use http_body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Of the listener's 64 connections: three quarters stay for scrapes, probes and pages.
const WATCHERS_MAX: usize = 16;
/// Messages that wait for one watcher. A full queue leaves the newest out; the next one brings all
/// that changed since.
const MESSAGES_MAX: usize = 2;
/// From the end of one drawing to the next.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// What spans tell is a larger question, and changes slowly.
const FLEET_EVERY: Duration = Duration::from_secs(3);
/// Ends by itself before the listener cuts the connection, so that the browser sees an end and no
/// fault, and comes back.
const WATCH_FOR: Duration = Duration::from_secs(100);

/// Where a watcher takes a seat.
#[derive(Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    arrivals: mpsc::Sender<mpsc::Sender<Bytes>>,
}

/// What one watcher is sent.
#[derive(Debug)]
pub(super) struct Watched {
    messages: mpsc::Receiver<Bytes>,
    _seat: OwnedSemaphorePermit,
}

/// The seats, and who comes to them.
pub(super) fn seats() -> (Seats, mpsc::Receiver<mpsc::Sender<Bytes>>) {
    // Whoever has a seat finds room here, unless seats change hands faster than the task looks.
    let (arrivals, arrived) = mpsc::channel(WATCHERS_MAX);
    (Seats { free: Arc::new(Semaphore::new(WATCHERS_MAX)), arrivals }, arrived)
}

impl Seats {
    /// A seat; `None` when all are taken.
    pub(super) fn take(&self) -> Option<Watched> {
        let seat = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let (sender, messages) = mpsc::channel(MESSAGES_MAX);
        sender.try_send(Bytes::from_static(HELLO.as_bytes())).ok()?;
        self.arrivals.try_send(sender).ok()?;
        Some(Watched { messages, _seat: seat })
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.messages.poll_recv(context).map(|message| Some(Ok(Frame::data(message?))))
    }
}

struct Watcher {
    to: mpsc::Sender<Bytes>,
    until: Duration,
    /// Which drawing it has.
    has: Option<u64>,
}

/// The task.
pub(super) struct Live {
    desk: Arc<Desk>,
    arrived: mpsc::Receiver<mpsc::Sender<Bytes>>,
    watchers: Vec<Watcher>,
    drawn: Option<Arc<Parts>>,
    number: u64,
    fleet: Option<(Arc<str>, Duration)>,
}

impl Live {
    pub(super) fn new(desk: Arc<Desk>, arrived: mpsc::Receiver<mpsc::Sender<Bytes>>) -> Self {
        Self { desk, arrived, watchers: Vec::new(), drawn: None, number: 0, fleet: None }
    }

    /// Works until `stop`; then every watcher's stream ends.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let working = async {
            let clock = self.desk.admin.clock.clone();
            let (mut sample_at, mut draw_at) = (Duration::ZERO, Duration::ZERO);
            loop {
                let nobody = self.watchers.is_empty();
                let due = if nobody { sample_at } else { sample_at.min(draw_at) };
                tokio::select! {
                    Some(to) = self.arrived.recv() => {
                        let until = clock.now().mono.saturating_add(WATCH_FOR);
                        self.watchers.push(Watcher { to, until, has: None });
                    }
                    () = clock.sleep_until(due) => {
                        let is_due = sample_at <= clock.now().mono;
                        self.turn(is_due).await;
                        let now = clock.now().mono;
                        draw_at = now.saturating_add(DRAW_EVERY);
                        if is_due {
                            sample_at = now.saturating_add(SAMPLE_EVERY);
                        }
                    }
                }
            }
        };
        stop.run_until_cancelled(working).await;
    }

    async fn turn(&mut self, sample: bool) {
        let now = self.desk.admin.clock.now().mono;
        self.watchers.retain(|watcher| !watcher.to.is_closed() && watcher.until > now);
        let watched = !self.watchers.is_empty();
        if !watched && !sample {
            return;
        }
        if watched {
            self.ask_fleet(now).await;
        }
        let desk = Arc::clone(&self.desk);
        let Ok(_permit) = desk.builds.acquire().await else { return };
        let detail = if watched { Detail::Words } else { Detail::Figures };
        let Some(snapshot) = desk.admin.snapshots.ask(detail).await else {
            self.send_all(SILENT);
            return;
        };
        let fleet = self.fleet.as_ref().map(|(html, _)| Arc::clone(html));
        let at = Arc::clone(&desk);
        // As in `routes`, the snapshot ends on this thread.
        let work = move || (draw(&at, &snapshot, fleet.as_deref(), sample, watched), snapshot);
        // A panic is our own bug; it is logged by the runtime's hook, and the next turn tries again.
        if let Ok((Some(parts), _snapshot)) = tokio::task::spawn_blocking(work).await {
            self.send(parts);
        }
    }

    async fn ask_fleet(&mut self, now: Duration) {
        let is_fresh = |at: Duration| now.saturating_sub(at) < FLEET_EVERY;
        if self.fleet.as_ref().is_some_and(|(_, at)| is_fresh(*at)) {
            return;
        }
        // Where the fleet is busy, what it said before stays; it says of when it is.
        if let Some(html) = page::fleet(&self.desk).await {
            self.fleet = Some((html.into(), now));
        }
    }

    fn send(&mut self, parts: Parts) {
        let before = self.drawn.take();
        let changed = before.as_ref().map(|before| message(&parts, Some(before)));
        let changed: Option<Bytes> =
            changed.map(|text| text.map_or(Bytes::from_static(SAME.as_bytes()), Bytes::from));
        let (had, mut whole) = (self.number, None::<Bytes>);
        self.number += 1;
        for watcher in &mut self.watchers {
            let text = match &changed {
                Some(changed) if watcher.has == Some(had) => changed.clone(),
                Some(_) | None => whole
                    .get_or_insert_with(|| message(&parts, None).unwrap_or_default().into())
                    .clone(),
            };
            if watcher.to.try_send(text).is_ok() {
                watcher.has = Some(self.number);
            }
        }
        self.drawn = Some(Arc::new(parts));
    }

    fn send_all(&self, text: &'static str) {
        for watcher in &self.watchers {
            // Full: it is slow, and hears of the next.
            let _full = watcher.to.try_send(Bytes::from_static(text.as_bytes()));
        }
    }
}

/// Takes a sample where one is due, draws where anybody watches.
fn draw(
    desk: &Desk,
    snapshot: &Snapshot,
    fleet: Option<&str>,
    sample: bool,
    watched: bool,
) -> Option<Parts> {
    if sample {
        page::sample(desk, snapshot);
    }
    let drawn = watched.then(|| page::with_sight(desk, snapshot, fleet, parts))?;
    drawn.inspect_err(|error| tracing::error!(%error, "the live page could not be drawn")).ok()
}
