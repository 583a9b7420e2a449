//! Owns the demo's world: everything in it, started in order and stopped in order. Refuses to know
//! the script.

use super::cloudwatch;
use super::hub;
use super::hub::HubStory;
use super::kinesis;
use super::kinesis::Kinesis;
use super::otlp;
use super::otlp::Spans;
use super::pages;
use super::serve::serve;
use super::services;
use super::services::ARCHIVE;
use super::services::COMMANDS;
use super::services::Dice;
use super::services::INVENTORY_SERVICE;
use super::services::ORDERS;
use super::services::SERVICES;
use super::services::STREAMS;
use super::services::book::Book;
use super::services::book::READERS;
use super::services::book::Reader;
use super::services::consumer::Consumer;
use super::services::consumer::Duty;
use super::services::consumer::Pace;
use super::services::consumer::Tools;
use super::services::invoices::Invoices;
use super::services::invoices::Load;
use super::services::invoices::Written;
use super::services::orders::Orders;
use super::services::producer::Producer;
use super::services::saga::Payments;
use super::services::saga::Saga;
use super::settings;
use super::settings::Places;
use super::traffic::Traffic;
use super::webhook;
use super::webhook::Hook;
use crate::app::config::Config;
use crate::app::config::Faults;
use crate::app::logging::chain;
use crate::app::reload;
use crate::app::wiring;
use crate::app::wiring::Running;
use crate::domain::snapshot::Snapshot;
use crate::io::clock::Clock;
use aws_sdk_kinesis::Client;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const HUB: &str = "kinescope-hub";
const SEED: u64 = 20_261_122;
/// The longest that services may take to end: a call under way, with its retries.
const END_MAX: Duration = Duration::from_secs(10);

/// Why there is no world.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No loopback port.
    #[error("cannot listen on this machine's loopback interface")]
    Listen(#[source] std::io::Error),
    /// The embedded Kinesis did not make a stream.
    #[error("the embedded Kinesis did not make stream {stream}: {why}")]
    Stream {
        /// Which.
        stream: &'static str,
        /// What it answered.
        why: String,
    },
    /// A sidecar or the hub did not start.
    #[error("{service} did not start: {why}")]
    Start {
        /// Whose.
        service: &'static str,
        /// The wiring's reason.
        why: String,
    },
}

/// The world, running.
pub(super) struct World {
    /// The webhook receiver.
    pub hook: Arc<Hook>,
    /// The OTLP receiver.
    pub spans: Arc<Mutex<Spans>>,
    /// The services' book.
    pub book: Arc<Book>,
    /// What the incidents pull.
    pub levers: Levers,
    /// Kinesis, from inside.
    pub kinesis: Kinesis,
    /// A client that goes straight to Kinesis, as an operator's.
    pub operator: Client,
    /// The sidecars by their service, in the order of [`SERVICES`].
    pub sidecars: Vec<(&'static str, Running)>,
    /// The hub.
    pub hub: Running,
    replays: bool,
    ends: Ends,
}

/// What makes services go wrong, and well again.
pub(super) struct Levers {
    /// The e-mail service's pace.
    pub mail: watch::Sender<Pace>,
    /// That of the reader of the archive.
    pub archive: watch::Sender<Pace>,
    /// How much is invoiced.
    pub load: watch::Sender<Load>,
    /// What became of the invoices.
    pub written: watch::Sender<Written>,
    /// How it is with payments.
    pub payments: watch::Sender<Payments>,
}

/// What ends the tasks, and the tasks, in the order in which they end.
struct Ends {
    produce: CancellationToken,
    consume: CancellationToken,
    serve: CancellationToken,
    producing: JoinSet<()>,
    consuming: JoinSet<()>,
    serving: JoinSet<()>,
}

impl World {
    /// Starts everything.
    ///
    /// # Errors
    /// When a port cannot be bound or a part does not start.
    pub(super) async fn start(clock: &Clock) -> Result<Self, Error> {
        let mut ends = Ends {
            produce: CancellationToken::new(),
            consume: CancellationToken::new(),
            serve: CancellationToken::new(),
            producing: JoinSet::new(),
            consuming: JoinSet::new(),
            serving: JoinSet::new(),
        };
        let hook = Hook::new(clock.clone());
        let spans = Arc::new(Mutex::new(Spans::default()));
        let (places, kinesis) =
            listen(clock, &hook, &spans, &mut ends).await.map_err(Error::Listen)?;
        let operator = services::client(places.kinesis);
        streams(&operator).await?;
        let hub = settings::hub(SERVICES.len() as u16, places);
        let hub = run(HUB, hub, clock).await?;
        let at = hub.otlp.first().copied().ok_or_else(|| Error::Start {
            service: HUB,
            why: "it does not receive OTLP".to_owned(),
        })?;
        let mut sidecars = Vec::new();
        for (index, service) in (0_u16..).zip(SERVICES) {
            let config = settings::sidecar(service, index, places, at);
            sidecars.push((service, run(service, config, clock).await?));
        }
        let book = Arc::new(Book::default());
        let levers = Levers {
            mail: watch::Sender::new(Pace::Normal),
            archive: watch::Sender::new(Pace::Slow),
            load: watch::Sender::new(Load::Nothing),
            written: watch::Sender::new(Written::default()),
            payments: watch::Sender::new(Payments::Guarded),
        };
        employ(&sidecars, clock, &book, &levers, &mut ends);
        let replays = false;
        Ok(Self { hook, spans, book, levers, kinesis, operator, sidecars, hub, replays, ends })
    }

    /// The inventory service begins to read the archive, from its oldest record on; once.
    pub(super) fn replay(&mut self, clock: &Clock) {
        let sidecar = self.sidecars.iter().find(|(service, _)| *service == INVENTORY_SERVICE);
        let sidecar = sidecar.and_then(|(_, running)| running.data_plane.first().copied());
        let Some(sidecar) = sidecar.filter(|_| !self.replays) else { return };
        self.replays = true;
        let tools = Tools { sidecar, book: Arc::clone(&self.book), clock: clock.clone() };
        let reader = Reader { service: INVENTORY_SERVICE, stream: ARCHIVE };
        let pace = self.levers.archive.subscribe();
        let consumer = Consumer::new(tools, reader, Duty::Replay(0), pace);
        self.ends.consuming.spawn(consumer.run(self.ends.consume.clone()));
    }

    /// Everybody's snapshot: the sidecars', then the hub's.
    pub(super) async fn snapshots(&self) -> (Vec<(&'static str, Snapshot)>, Option<Snapshot>) {
        let mut all = Vec::new();
        for (service, running) in &self.sidecars {
            all.extend(running.snapshot().await.map(|snapshot| (*service, snapshot)));
        }
        (all, self.hub.snapshot().await)
    }

    /// Ends the taking of orders, and waits for it.
    pub(super) async fn stop_producing(&mut self) {
        self.ends.produce.cancel();
        finish(&mut self.ends.producing).await;
    }

    /// Ends the consumers, then the sidecars (which send their last spans), then the hub and the
    /// servers. Returns what all of them counted as dropped, and what the hub knows at the end.
    pub(super) async fn stop(mut self) -> (Option<BTreeMap<String, u64>>, HubStory) {
        self.stop_producing().await;
        self.ends.consume.cancel();
        finish(&mut self.ends.consuming).await;
        let admins = self.sidecars.iter().map(|(_, running)| running);
        let admins = admins.chain([&self.hub]).map(|running| running.admin.first().copied());
        let dropped = pages::dropped(&admins.collect::<Vec<_>>()).await;
        for (_, running) in self.sidecars {
            running.stop().await;
        }
        let sagas = self.book.pages().sagas;
        let story = hub::ask(self.hub.admin.first().copied(), sagas).await;
        self.hub.stop().await;
        self.ends.serve.cancel();
        finish(&mut self.ends.serving).await;
        (dropped, story)
    }
}

async fn listen(
    clock: &Clock,
    hook: &Arc<Hook>,
    spans: &Arc<Mutex<Spans>>,
    ends: &mut Ends,
) -> std::io::Result<(Places, Kinesis)> {
    let traffic = Arc::new(Mutex::new(Traffic::default()));
    let mut at = [None; 4];
    let (embedded, inside) = kinesis::embedded(clock.clone(), Arc::clone(&traffic));
    let routers = [
        embedded,
        cloudwatch::router(traffic),
        otlp::router(Arc::clone(spans)),
        webhook::router(Arc::clone(hook)),
    ];
    for (address, router) in at.iter_mut().zip(routers) {
        *address = Some(serve(router, &mut ends.serving, ends.serve.clone()).await?);
    }
    let [Some(kinesis), Some(cloudwatch), Some(otlp), Some(webhook)] = at else {
        return Err(std::io::ErrorKind::AddrNotAvailable.into());
    };
    Ok((Places { kinesis, cloudwatch, otlp, webhook }, inside))
}

/// Makes the streams, straight at Kinesis, and waits until they can be used.
pub(super) async fn streams(client: &Client) -> Result<(), Error> {
    for (stream, shards) in STREAMS {
        let why = |why: String| Error::Stream { stream, why };
        let create = client.create_stream().stream_name(stream).shard_count(shards);
        create.send().await.map_err(|error| why(error.into_service_error().to_string()))?;
        loop {
            let asked = client.describe_stream_summary().stream_name(stream).send().await;
            let summary = asked.map_err(|error| why(error.into_service_error().to_string()))?;
            let status = summary.stream_description_summary.map(|summary| summary.stream_status);
            if status.is_some_and(|status| status.as_str() == "ACTIVE") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

async fn run(
    service: &'static str,
    config: Result<Config, Faults>,
    clock: &Clock,
) -> Result<Running, Error> {
    let failed = |why: String| Error::Start { service, why };
    let config = config.map_err(|faults| failed(faults.to_string()))?;
    let load = reload::Load::same(&config);
    let started = wiring::start(config, load, &settings::environment(), clock.clone()).await;
    started.map_err(|error| failed(chain(&error)))
}

/// Gives every service its sidecar's address, and its work.
fn employ(
    sidecars: &[(&'static str, Running)],
    clock: &Clock,
    book: &Arc<Book>,
    levers: &Levers,
    ends: &mut Ends,
) {
    let doors: HashMap<_, _> = sidecars
        .iter()
        .filter_map(|(service, running)| Some((*service, running.data_plane.first().copied()?)))
        .collect();
    let producer = |service: &str, stream| {
        let client = services::client(*doors.get(service)?);
        Some(Producer { client, stream, book: Arc::clone(book) })
    };
    if let Some(producer) = producer(services::ORDER_SERVICE, ORDERS) {
        let (load, written) = (levers.load.subscribe(), levers.written.clone());
        let (client, dice) = (producer.client.clone(), Dice::new(SEED + 1));
        let invoices = Invoices::new(client, clock.clone(), dice, load, written);
        ends.producing.spawn(invoices.run(ends.produce.clone()));
        let orders = Orders::new(producer, Dice::new(SEED), clock.clone());
        ends.producing.spawn(orders.run(ends.produce.clone()));
    }
    let saga = producer(services::SAGA, COMMANDS).map(|producer| {
        let payments = levers.payments.subscribe();
        Saga { producer, clock: clock.clone(), payments, has_poisoned: false }
    });
    let duties = [
        Some(Duty::Reserve(BTreeMap::new())),
        Some(Duty::Mail(0)),
        saga.clone().map(Duty::Begin),
        saga.map(Duty::CarryOut),
    ];
    let steady = watch::Sender::new(Pace::Normal);
    for (reader, duty) in READERS.into_iter().zip(duties) {
        let (Some(sidecar), Some(duty)) = (doors.get(reader.service).copied(), duty) else {
            continue;
        };
        let slowed = reader.service == services::EMAIL_SERVICE;
        let pace = if slowed { levers.mail.subscribe() } else { steady.subscribe() };
        let tools = Tools { sidecar, book: Arc::clone(book), clock: clock.clone() };
        let consumer = Consumer::new(tools, reader, duty, pace);
        ends.consuming.spawn(consumer.run(ends.consume.clone()));
    }
}

/// Waits for all tasks, and aborts those that take too long.
async fn finish(tasks: &mut JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(END_MAX, all).await.is_err() {
        tasks.shutdown().await;
    }
}
