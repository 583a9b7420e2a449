//! Owns the order in which the rooms are built, connected, started and stopped: long and straight.
//! Refuses to decide anything that a room decides.

use crate::app::asking;
use crate::app::commands::REVISION;
use crate::app::config::{self, Config, PerShard, Role};
use crate::app::counted::Counted;
use crate::app::data_plane::{self, DoorError, Given};
use crate::app::engine_loop::{EngineLoop, Kept};
use crate::app::exporting::{self, Sinks};
use crate::app::fleet::{self, Heard};
use crate::app::observing;
use crate::app::realerting::{self, Realerting};
use crate::app::reload::{Load, Reloader};
use crate::app::supervisor::{Ended, Policy, Report, Supervisor};
use crate::domain::engine::{Alerting, Engine, EngineConfig, Event};
use crate::domain::snapshot::Snapshot;
use crate::io::admin::{
    self, Admin, ConfigurationSource, FleetSource, ReloadSource, SnapshotSource,
};
use crate::io::clock::Clock;
use crate::io::cloudwatch;
use crate::io::credentials::refusals::Refusals;
use crate::io::credentials::{Credentials, SdkSettings};
use crate::io::http::client::Client;
use crate::io::hub;
use crate::io::leases;
use crate::io::notify::{self, Built};
use crate::io::outbox;
use crate::io::silences::SilenceBook;
use crate::io::standby::{self, while_working};
use crate::io::streams::{AccountWatcher, Describer, Lister, Selection};
use crate::io::streams::{RecordLimits, ShardRanges};
use crate::wire::exposition::openmetrics::Exemplars;
use crate::wire::notify::board;
use crate::wire::{exposition, status};
use prometheus::{IntCounterVec, Opts, Registry};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Events that wait for the engine. Each is small and handled in microseconds; a full queue drops
/// the new one and counts it (`kinescope_dropped_total{queue="engine"}`).
const EVENTS_MAX: usize = 4_096;
/// Who may wait for a snapshot at once; more are answered 503.
const ASKS_MAX: usize = 64;
/// How often a hub lists the account's streams.
const LIST_EVERY: Duration = Duration::from_secs(300);
/// The `region` label where nothing names one.
const REGION_UNKNOWN: &str = "unknown";

/// Why the service could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data plane's port.
    #[error(transparent)]
    DataPlane(#[from] DoorError),
    /// The admin port.
    #[error("the admin listener cannot start")]
    Admin(#[from] admin::Error),
    /// The export of spans and metrics.
    #[error(transparent)]
    Export(#[from] exporting::Error),
    /// The OTLP receiver's port.
    #[error("OTLP cannot be received")]
    Receive(#[from] hub::Error),
    /// What remembers spans, or the way to the hub.
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    /// A metric family of ours twice: our own bug.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// The provider chain.
    #[error("the AWS configuration has no credentials provider")]
    NoProvider,
    /// Signals.
    #[error("signals cannot be listened to")]
    Signals(#[source] std::io::Error),
    /// A task that must not end.
    #[error("{stage}/{task} ended by itself")]
    TaskEnded {
        /// Its stage.
        stage: &'static str,
        /// Its name.
        task: &'static str,
    },
}

/// A service that runs.
#[derive(Debug)]
pub struct Running {
    /// Where the data plane listens; empty in a hub.
    pub data_plane: Vec<SocketAddr>,
    /// Where the admin listener listens.
    pub admin: Vec<SocketAddr>,
    /// Where OTLP is received; empty where it is not.
    pub otlp: Vec<SocketAddr>,
    snapshots: SnapshotSource,
    supervisor: Supervisor,
    quit: CancellationToken,
    reload: ReloadSource,
    events: mpsc::Sender<Event>,
    ready: Arc<AtomicBool>,
    clock: Clock,
    drain: Duration,
}

impl Running {
    /// What is known now.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        self.snapshots.now().await
    }

    /// Stops accepting, finishes, flushes; says who was late.
    pub async fn stop(self) -> Report {
        self.ready.store(false, Ordering::Relaxed);
        // Full: the drain is seconds, and no rule is that quick.
        let _ = self.events.try_send(Event::Draining);
        self.supervisor.drain(self.drain, &self.clock).await
    }
}

/// `kinescope run`: until SIGTERM, SIGINT or `POST /-/quit`; SIGHUP reads the configuration again.
///
/// # Errors
/// See [`Error`].
pub async fn run(
    config: Config,
    load: Load,
    environment: BTreeMap<String, String>,
) -> Result<(), Error> {
    let mut running = start(config, load, &environment, Clock::system()).await?;
    let Running { data_plane, admin, otlp, .. } = &running;
    tracing::info!(?data_plane, ?admin, ?otlp, "kinescope runs");
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Signals)?;
    let ended = loop {
        tokio::select! {
            biased;
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            () = running.quit.cancelled() => break None,
            _ = hangup.recv() => running.reload.soon(),
            ended = running.supervisor.watch() => break Some(ended),
        }
    };
    let report = running.stop().await;
    if report.is_clean() {
        tracing::info!("drained");
    } else {
        tracing::warn!(late = ?report.late, panicked = ?report.panicked, "drained with losses");
    }
    ended.map_or(Ok(()), |Ended { stage, task, .. }| Err(Error::TaskEnded { stage, task }))
}

/// Builds and starts every room.
///
/// # Errors
/// See [`Error`]; what was started is stopped again.
#[expect(clippy::too_many_lines, reason = "one straight line, room after room")]
pub async fn start(
    config: Config,
    load: Load,
    environment: &BTreeMap<String, String>,
    clock: Clock,
) -> Result<Running, Error> {
    let registry = Registry::new();
    let (reloader, reload, in_force) =
        Reloader::new(load, config.clone(), clock.clone(), &registry)?;
    let reloads = reloader.count();
    let dropped = IntCounterVec::new(
        Opts::new(
            "kinescope_dropped_total",
            "What a bounded queue of this process could not take.",
        ),
        &["queue", "reason"],
    )?;
    registry.register(Box::new(dropped.clone()))?;
    let sdk = SdkSettings::load(environment, config.region.clone()).await;
    let region = config.region.as_deref().or(sdk.region());
    let export = exporting::read(&config, environment, region)?;
    let region = region.unwrap_or(REGION_UNKNOWN).to_owned();

    // Ports first: a port in use is the most likely fault, and nothing has begun yet.
    let has_data_plane = config.role != Role::Hub;
    let doors = if has_data_plane { data_plane::bind(&config, &clock).await? } else { vec![] };
    let relay_to = exporting::relays(&config, &export);
    let received = hub::Metrics::register(&registry, &dropped)?;
    let heard = Heard::bind(&config, relay_to.is_some(), received).await?;
    let otlp_addresses = heard.local_addresses();
    let ready = Arc::new(AtomicBool::new(false));
    let quit = CancellationToken::new();
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let snapshots = SnapshotSource(asks);
    let (fleet_asks, fleet_asked) = mpsc::channel(ASKS_MAX);
    let exemplars = Arc::<Mutex<Exemplars>>::default();
    let (events, happened) = mpsc::channel::<Event>(EVENTS_MAX);
    let configured = config.alerts.alerting.silences.clone();
    let silences =
        SilenceBook::open(configured, config.state.clone(), events.clone(), clock.clone());
    silences.announce().await;
    let admin = Admin {
        listen: with_ipv4_fallback(&config.admin.listen),
        registry: registry.clone(),
        exemplars: exemplars.clone(),
        snapshots: snapshots.clone(),
        fleet: FleetSource(fleet_asks),
        silences: silences.clone(),
        configuration: told(in_force.clone()),
        clock: clock.clone(),
        scope: scope(&config, &region),
        identity: identity(&config, &region),
        ready: Arc::clone(&ready),
        quit: quit.clone(),
        reload: reload.clone(),
        token_file: config.admin.token_file.clone(),
    };
    let admin = admin.bind().await?;
    let admin_addresses = admin.local_addresses();
    let mut supervisor = Supervisor::default();
    let stage = supervisor.stage("admin");
    stage.spawn("server", Policy::Vital, admin.serve(stage.token()));
    stage.spawn("reload", Policy::Helpful, reloader.run(stage.token()));

    let credentials = Credentials::new(sdk.provider().ok_or(Error::NoProvider)?, clock.clone());
    let aws = || {
        let settings = data_plane::client_settings(&config, environment);
        (Client::new(&settings, clock.clone()), credentials.clone())
    };
    let books = (&registry, &dropped);
    let Sinks { spans: exported, metrics: otlp_metrics } =
        exporting::start(export, aws, books, &clock, &mut supervisor)?;
    let to_hub = fleet::to_hub(&config, books, &clock, &mut supervisor)?;
    let told_by = (&config, environment);
    let observations = observing::to_hub(told_by, &region, &dropped, &clock, &mut supervisor)?;
    let (reports, merging) = observing::merging(&config, &registry, &dropped)?;
    let given = fleet::Given {
        relay: relay_to
            .map(|to| exporting::relay(&to, environment, &dropped, &clock, &mut supervisor))
            .transpose()?,
        heard,
        asks: fleet_asked,
        hub: to_hub.clone(),
        reports,
    };
    let remembered = fleet::start(&config, &region, given, books, &clock, &mut supervisor)?;
    let spans = remembered.and(&exported).and(&to_hub);
    // A wildcard is no place that a link could lead to.
    let reachable = |at: &SocketAddr| {
        let unspecified = at.ip().is_unspecified();
        SocketAddr::new(if unspecified { Ipv4Addr::LOCALHOST.into() } else { at.ip() }, at.port())
    };
    let external_url =
        admin_addresses.first().map(|at| format!("http://{}/", reachable(at))).unwrap_or_default();
    let notify_metrics = notify::metrics::Metrics::register(&registry)?;
    let (store, restored) = outbox::Store::open(config.state.clone()).await;
    let notify = notify::Room {
        receivers: config.alerts.receivers.clone(),
        external_url: &external_url,
        client: &notify::client::client(),
        clock: &clock,
        registry: &registry,
        metrics: &notify_metrics,
        dropped: &dropped,
        reloads,
    };
    let Built { notifier, deliveries, keeper, settings, machine } =
        notify.build(store, restored)?;
    // Stopped after the deliveries, whose last words it writes down.
    let stage = supervisor.stage("outbox");
    stage.spawn("keeper", Policy::Helpful, keeper.run(stage.token()));
    let stage = supervisor.stage("notify");
    for delivery in deliveries {
        stage.spawn("delivery", Policy::Helpful, delivery.run(stage.token()));
    }

    let kinesis = sdk.kinesis(config.proxy.upstream_endpoint.as_ref().map(ToString::to_string));
    let (record_limits, ranges) = (RecordLimits::default(), ShardRanges::default());
    let refusals = Refusals::register(&registry)?;
    let asking = asking::asking(&config, &clock, &refusals);
    let (describe, describer) = Describer::new(
        kinesis.clone(),
        clock.clone(),
        events.clone(),
        (record_limits.clone(), has_data_plane.then(|| ranges.clone())),
        asking.clone(),
    );
    let (working, holder) = match &config.hub_standby {
        Some(table) => {
            let table = table.clone();
            let held = standby::Holder::new(sdk.dynamodb(), clock.clone(), table, &registry)?;
            (held.0, Some(held.1))
        }
        None => (standby::always(), None),
    };
    let stage = supervisor.stage("engine");
    let mut alerting = engine(&config, &region, &external_url);
    if let Some(saved) = machine.as_deref().and_then(board::read) {
        alerting.restore(saved, clock.now());
    }
    let engine = EngineLoop {
        engine: alerting,
        clock: clock.clone(),
        events: happened,
        asks: asked,
        describe,
        notifier,
        observations,
        fleet: merging,
        working: working.clone(),
        kept: Kept::default(),
    };
    stage.spawn("engine", Policy::Vital, engine.run(stage.token()));
    let realerting = Realerting {
        known: config.alerts.clone(),
        in_force: in_force.clone(),
        events: events.clone(),
        silences,
        receivers: settings,
        status_page: external_url,
    };
    stage.spawn("realerting", Policy::Helpful, realerting.run(stage.token()));
    let counted = Counted {
        registry: registry.clone(),
        clock: clock.clone(),
        events: events.clone(),
        polls_cloudwatch: config.cloudwatch.enabled,
    };
    stage.spawn("counted", Policy::Helpful, counted.run(stage.token()));

    let stage = supervisor.stage("aws");
    stage.spawn("credentials", Policy::Helpful, credentials.clone().run(stage.token()));
    stage.spawn("describe", Policy::Helpful, describer.run(stage.token()));
    if let Some(holder) = holder {
        stage.spawn("standby", Policy::Helpful, holder.run(stage.token()));
    }
    let token = stage.token();
    let rest = || (working.clone(), token.clone());
    // An account has one answer for all its pods: the hub asks.
    if config.role != Role::Sidecar {
        let calls = (kinesis.clone(), asking.pacer.clone());
        let account = AccountWatcher::new(calls, clock.clone(), events.clone());
        let watch = while_working(rest(), account.run(stage.token()));
        stage.spawn("account", Policy::Helpful, watch);
    }
    if config.cloudwatch.enabled {
        let selection = Selection {
            include: config.cloudwatch.include.clone(),
            exclude: config.cloudwatch.exclude.clone(),
            tags: config.cloudwatch.tags.clone(),
        };
        let calls = (kinesis, asking.pacer);
        let (streams, lister) =
            Lister::new(calls, clock.clone(), selection, LIST_EVERY, events.clone());
        let list = while_working(rest(), lister.run(stage.token()));
        stage.spawn("list", Policy::Helpful, list);
        let ask = cloudwatch::Sdk(sdk.cloudwatch(config.cloudwatch.endpoint.clone()));
        let metrics = cloudwatch::CloudWatchMetrics::register(&registry)?.telling(refusals.clone());
        let polled = asking::polling(&config);
        let (found, finder) =
            cloudwatch::Finder::new(ask.clone(), clock.clone(), &polled.plan, metrics.clone());
        let find = while_working(rest(), finder.run(stage.token()));
        stage.spawn("cloudwatch finder", Policy::Helpful, find);
        let sources = cloudwatch::Sources { streams, found };
        let poller =
            cloudwatch::Poller::new(ask, clock.clone(), polled, sources, events.clone(), metrics);
        let poll = while_working(rest(), poller.run(stage.token()));
        stage.spawn("cloudwatch", Policy::Helpful, poll);
    }
    let lease_metrics = leases::LeaseMetrics::register(&registry)?.telling(refusals);
    for table in &config.leases {
        let (events, metrics) = (events.clone(), lease_metrics.clone());
        let watcher =
            leases::Watcher::new(sdk.dynamodb(), clock.clone(), table.clone(), events, metrics);
        let watch = while_working(rest(), watcher.run(stage.token()));
        stage.spawn("leases", Policy::Helpful, watch);
    }

    let told = events.clone();
    let mut data_plane = Vec::new();
    if has_data_plane {
        let given = Given {
            credentials,
            record_limits,
            ranges,
            events,
            spans,
            otlp_metrics,
            in_force,
            dropped,
            exemplars,
            region: region.clone(),
        };
        let instruments = (&registry, &clock);
        data_plane =
            data_plane::start(&config, environment, doors, given, instruments, &mut supervisor)?;
    }
    ready.store(true, Ordering::Relaxed);
    let drain = config.limits.drain;
    Ok(Running {
        data_plane,
        admin: admin_addresses,
        otlp: otlp_addresses,
        snapshots,
        supervisor,
        quit,
        reload,
        events: told,
        ready,
        clock,
        drain,
    })
}

/// The configuration in force, as the page tells it.
fn told(in_force: watch::Receiver<Arc<Config>>) -> ConfigurationSource {
    ConfigurationSource::new(move || config::summary(&in_force.borrow()))
}

fn scope(config: &Config, region: &str) -> exposition::Scope {
    exposition::Scope {
        region: region.to_owned(),
        hub: config.role != Role::Sidecar || config.cloudwatch.enabled,
        verdicts: config.hub_endpoint.is_none(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: REVISION.to_owned(),
        per_shard: config.metrics.per_shard != PerShard::None,
        series_max: match config.metrics.per_shard {
            PerShard::Top | PerShard::None => config.metrics.max_series,
            PerShard::All => usize::MAX,
        },
    }
}

fn identity(config: &Config, region: &str) -> status::Identity {
    status::Identity {
        role: config.role,
        service: config.service_name.clone(),
        region: region.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: REVISION.to_owned(),
    }
}

/// The engine with its way of telling.
fn engine(config: &Config, region: &str, external_url: &str) -> Engine {
    let Alerting { rules, policy, objective } = realerting::alerting(config, external_url);
    let mut external_labels = config.external_labels.clone();
    external_labels.insert("region".to_owned(), region.to_owned());
    let begins = EngineConfig {
        rules,
        external_labels,
        repeat_interval: policy.grouping.repeat,
        limits: config.limits.engine,
    };
    Engine::judging(begins, observing::judging(config)).telling(policy, objective)
}

/// `[::]` with `0.0.0.0` behind it, which is bound only where the first does not cover it: on a
/// machine without IPv6.
fn with_ipv4_fallback(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let any = |at: &&SocketAddr| at.is_ipv6() && at.ip().is_unspecified();
    let ipv4 = |at: &SocketAddr| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), at.port());
    listen.iter().copied().chain(listen.iter().filter(any).map(ipv4)).collect()
}
