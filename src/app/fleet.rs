//! Owns the wiring of what remembers spans: the task and its sources, the OTLP receiver, the ways to
//! the hub and on to the collector. Refuses to decide: the configuration says what.

use crate::app::config::{Config, Role};
use crate::app::fleet_loop::{FleetBounds, FleetLoop, ReportSink};
use crate::app::fleet_metrics::FleetMetrics;
use crate::app::supervisor::{Policy, Supervisor};
use crate::io::admin::Asked;
use crate::io::clock::Clock;
use crate::io::hub::{self, Inbox, Receiver};
use crate::io::otlp::{self, RelaySink, SpanSink};
use prometheus::{IntCounterVec, Registry};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A span waits so long for others before it goes to the hub: what is looked at there should not be
/// old, and a request a second costs nothing.
const HUB_DELAY: Duration = Duration::from_secs(1);

/// Why what remembers spans could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `hub.endpoint`.
    #[error("hub.endpoint {0}")]
    Hub(&'static str),
    /// The exporter to the hub.
    #[error("spans cannot be sent to the hub")]
    Build(#[from] otlp::BuildError),
    /// A metric family of ours twice: our own bug.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// An OTLP receiver that is bound, and what arrives there.
#[derive(Debug)]
pub struct Heard {
    receiver: Option<Receiver>,
    inbox: Inbox,
}

impl Heard {
    /// Binds the receiver, where one is configured. With `forward` requests are also kept whole.
    ///
    /// # Errors
    /// An address cannot be had.
    pub async fn bind(
        config: &Config,
        forward: bool,
        metrics: hub::Metrics,
    ) -> Result<Self, hub::Error> {
        if config.otlp.receive.is_empty() {
            // Of a sender that is gone: nothing ever arrives.
            return Ok(Self { receiver: None, inbox: mpsc::channel(1).1 });
        }
        let (receiver, inbox) = Receiver::bind(&config.otlp.receive, forward, metrics).await?;
        Ok(Self { receiver: Some(receiver), inbox })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<std::net::SocketAddr> {
        self.receiver.as_ref().map(Receiver::local_addresses).unwrap_or_default()
    }
}

/// The way to the hub: its queue and the task that empties it, where `hub.endpoint` names one.
///
/// # Errors
/// See [`Error`].
pub fn to_hub(
    config: &Config,
    (registry, dropped): (&Registry, &IntCounterVec),
    clock: &Clock,
    supervisor: &mut Supervisor,
) -> Result<SpanSink, Error> {
    let Some(endpoint) = &config.hub_endpoint else { return Ok(SpanSink::off()) };
    let endpoint = otlp::Endpoint::parse(endpoint).map_err(Error::Hub)?;
    let endpoint = endpoint.under("/v1/traces").map_err(Error::Hub)?;
    let to = otlp::Config {
        resource: vec![("service.name".to_owned(), config.service_name.clone())],
        schedule_delay: HUB_DELAY,
        ..otlp::Config::new(endpoint, otlp::Protocol::HttpProtobuf)
    };
    let metrics = otlp::Metrics::register_hub(registry, dropped)?;
    let (sink, queue) = otlp::queue(metrics, to.batch_max);
    let exporter = otlp::Exporter::new(&to, clock.clone())?;
    let stage = supervisor.stage("hub");
    let run = otlp::run(queue, exporter, to, clock.clone(), stage.token());
    stage.spawn("spans", Policy::Helpful, run);
    Ok(sink)
}

/// What the task is given by the rooms that started before it.
#[derive(Debug)]
pub struct Given {
    /// What arrives by OTLP.
    pub heard: Heard,
    /// Who asks.
    pub asks: mpsc::Receiver<Asked>,
    /// To the hub.
    pub hub: SpanSink,
    /// On to the collector.
    pub relay: Option<RelaySink>,
    /// To the engine, where this is a hub.
    pub reports: Option<ReportSink>,
}

/// Starts the task and the receiver; gives where our own spans are left for it.
///
/// # Errors
/// A metric family is there twice: our own bug.
pub fn start(
    config: &Config,
    region: &str,
    given: Given,
    (registry, dropped): (&Registry, &IntCounterVec),
    clock: &Clock,
    supervisor: &mut Supervisor,
) -> Result<SpanSink, Error> {
    let Given { heard: Heard { receiver, inbox }, asks, hub, relay, reports } = given;
    let (sink, own) = otlp::remembered(otlp::Metrics::remembered(dropped)?);
    let alone = config.role != Role::Sidecar || config.hub_endpoint.is_none();
    let fleet = FleetLoop {
        service: Arc::from(config.service_name.as_str()),
        role: config.role,
        bounds: FleetBounds::of(config.role),
        clock: clock.clone(),
        own,
        inbox,
        asks,
        hub,
        relay,
        reports,
        metrics: FleetMetrics::register(registry, region, alone)?,
    };
    let stage = supervisor.stage("fleet");
    stage.spawn("fleet", Policy::Helpful, fleet.run(stage.token()));
    if let Some(receiver) = receiver {
        stage.spawn("receiver", Policy::Vital, receiver.run(stage.token()));
    }
    Ok(sink)
}
