//! Owns the observer: reads the copies that the data plane handed over, counts, and tells the
//! engine and the span exporter. Refuses to wait for either: their queues are bounded and a full
//! one drops and counts.

use super::exchange::{Answer, Exchange, Exchanges, Facts};
mod meter;
mod put;
mod read;
mod shards;
mod subscribed;

use super::Shared;
use super::inferring::Inferring;
use super::metrics::Metrics;
use super::spans::Ending;
use super::stream::StreamPiece;
use super::subscriptions::Subscriptions;
use crate::domain::engine::Event;
use crate::domain::stream::StreamName;
use crate::io::otlp::OtlpMetrics;
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::outcome;

use put::PutCounters;
use read::Asked;
use shards::ShardPuts;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Exchanges observed before the thread is offered to others.
const BATCH_MAX: usize = 64;
/// Copied answers of one batch that are read on the data plane's thread: 0.2 ms at most.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// After the bell the observer lets more come: one waking for all that happens meanwhile, and few
/// enough that they are still in the processor's cache.
const GATHER: Duration = Duration::from_millis(2);
/// What is put to shards is told a second after the last time, also when nothing more comes.
const TELL_AFTER: Duration = Duration::from_millis(1_050);
/// Streams that were announced to the engine; more are announced at each put, and its own bound
/// then counts them.
const ANNOUNCED_MAX: usize = 1_000;
/// The label of what could not be placed.
const UNKNOWN: &str = "unknown";

/// What the data plane copied.
enum Copied {
    /// A request and its answer.
    Exchange(Box<Exchange>),
    /// A message of a subscription.
    Piece(StreamPiece),
}

impl Copied {
    fn bytes(&self) -> usize {
        match self {
            Self::Exchange(exchange) => exchange.answer.bytes(),
            Self::Piece(piece) => piece.bytes(),
        }
    }
}

/// The observer.
#[derive(Debug)]
pub struct Observer {
    shared: Shared,
    subscriptions: Subscriptions,
    /// `None` where it is not configured.
    inferring: Option<Inferring>,
    announced: HashSet<StreamName>,
    puts: HashMap<StreamName, PutCounters>,
    shards: ShardPuts,
    engine: mpsc::Sender<Event>,
    otlp: OtlpMetrics,
    metrics: Metrics,
}

impl Observer {
    /// An observer that shares with the data plane what both must know at once.
    #[must_use]
    pub fn new(
        shared: Shared,
        engine: mpsc::Sender<Event>,
        otlp: OtlpMetrics,
        metrics: Metrics,
    ) -> Self {
        let (announced, puts) = (HashSet::new(), HashMap::new());
        let (subscriptions, shards) = (Subscriptions::default(), ShardPuts::default());
        let inferring = (shared.deciding.infers() && shared.spans.is_on()).then(Inferring::default);
        Self { shared, subscriptions, inferring, announced, puts, shards, engine, otlp, metrics }
    }

    /// Observes until `stop`, then what is still queued.
    pub async fn run(
        mut self,
        mut queue: Exchanges,
        mut pieces: mpsc::Receiver<StreamPiece>,
        stop: CancellationToken,
    ) {
        let mut stopping = false;
        while !stopping {
            let mut first = None;
            tokio::select! {
                biased;
                () = stop.cancelled() => stopping = true,
                () = queue.ready() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(TELL_AFTER), if self.shards.has_news() => self.tell_shards(),
                Some(piece) = pieces.recv() => first = Some(Copied::Piece(piece)),
            }
            if stopping {
                queue.close();
                pieces.close();
            }
            queue.look();
            self.tell_shards();
            loop {
                let mut batch: Vec<Copied> = first.take().into_iter().collect();
                batch.extend(queue.take(BATCH_MAX).map(Copied::Exchange));
                let waiting = std::iter::from_fn(|| pieces.try_recv().ok());
                batch.extend(waiting.take(BATCH_MAX).map(Copied::Piece));
                if batch.is_empty() {
                    break;
                }
                let Some(observer) = self.observe_all(batch).await else { return };
                self = observer;
            }
        }
    }

    /// Large copies are read on another thread: the data plane's must not wait for it.
    async fn observe_all(mut self, batch: Vec<Copied>) -> Option<Self> {
        let bytes: usize = batch.iter().map(Copied::bytes).sum();
        let work = move || {
            batch.into_iter().for_each(|copied| self.observe_one(&copied));
            self
        };
        if bytes <= INLINE_BYTES_MAX {
            let observer = work();
            tokio::task::yield_now().await;
            return Some(observer);
        }
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// A panic of ours costs one copy, not the observer.
    fn observe_one(&mut self, copied: &Copied) {
        let work = AssertUnwindSafe(|| match copied {
            Copied::Exchange(exchange) => self.observe(exchange),
            Copied::Piece(piece) => self.subscribed(piece),
        });
        if catch_unwind(work).is_err() {
            self.metrics.dropped.with_label_values(&["observer", "panicked"]).inc();
        }
    }

    /// Takes one exchange in.
    fn observe(&mut self, exchange: &Exchange) {
        match &exchange.facts {
            Facts::Put(put) => self.put(exchange, put),
            Facts::Iterator { stream, shard } => {
                self.iterator(exchange, stream.clone(), shard.clone());
            }
            Facts::Queue { queue, parent } => self.queue(exchange, queue, parent.as_ref()),
            Facts::Read { iterator, stream, parent, prefetches } => {
                let asked = Asked { iterator, parent: parent.as_ref(), prefetches: *prefetches };
                self.read(exchange, asked, stream.clone());
            }
        }
    }

    fn announce(&mut self, stream: &StreamName) {
        if self.announced.contains(stream) {
            return;
        }
        if self.announced.len() < ANNOUNCED_MAX {
            self.announced.insert(stream.clone());
        }
        self.tell(Event::StreamSeen { stream: stream.clone() });
    }

    /// Tells the engine what was put to each shard, if that is due.
    fn tell_shards(&mut self) {
        let Self { shards, engine, metrics, shared, .. } = self;
        shards.tell(shared.clock.now(), |event| {
            if engine.try_send(event).is_err() {
                metrics.dropped.with_label_values(&["engine", "full"]).inc();
            }
        });
    }

    fn tell(&self, event: Event) {
        if self.engine.try_send(event).is_err() {
            self.metrics.dropped.with_label_values(&["engine", "full"]).inc();
        }
    }
}

/// How the call ended, and the body if it is all there.
fn ending(exchange: &Exchange) -> (Ending, Option<(WireForm, &[u8])>) {
    let ended = |error, request_id, status| Ending { error, request_id, status };
    match &exchange.answer {
        Answer::Whole { status, form, request_id, body, held: _ } => {
            let name = || outcome::error_type(*form, body).unwrap_or_else(|| status.to_string());
            let error = (*status >= 300).then(name);
            (ended(error, request_id.clone(), Some(*status)), Some((*form, body)))
        }
        Answer::Cut { status } => {
            let error = (*status >= 300).then(|| status.to_string());
            (ended(error, None, Some(*status)), None)
        }
        Answer::Fault(fault) => (ended(Some(fault.reason().to_owned()), None, None), None),
    }
}
