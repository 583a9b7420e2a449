//! Owns the wiring of the data plane: its listeners, its client, its policy and the observer beside
//! it. Refuses to decide: the configuration says what, the rooms say how.

use crate::app::config::{self, Config, Propagation};
use crate::app::supervisor::{Policy, Supervisor};
use crate::domain::engine::Event;
use crate::domain::sampling::Sampler;
use crate::domain::stream::ConsumerName;
use crate::domain::trace::Propagators;
use crate::io::clock::Clock;
use crate::io::credentials::Credentials;
use crate::io::entropy;
use crate::io::http::client::{Client, ClientSettings, ProxySettings};
use crate::io::http::server;
use crate::io::http::tls::{self, Identity};
use crate::io::otlp::{OtlpMetrics, SpanSink};
use crate::io::proxy;
use crate::io::proxy::envelope_api::{EventMetrics, Reports, processed_queue};
use crate::io::proxy::{Allow, Attendance, Deliver, Observer, ObserverSink, Propagate, Proxy};
use crate::io::proxy::{
    Deciding, Disclosed, Iterators, SagaKey, Shared, StreamSink, Tracing, Treatment,
};
use crate::io::streams::{RecordLimits, ShardRanges};
use crate::wire::exposition::openmetrics::Exemplars;
use crate::wire::kinesis::endpoint::Settings;
use prometheus::{IntCounterVec, Registry};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

/// The certificate that was made at start, in the state folder, for clients that verify it.
const CERTIFICATE_FILE: &str = "certificate.pem";

/// A port that is bound, and whose requests come in there.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    identity: Option<Arc<Identity>>,
    app: Option<ConsumerName>,
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The port.
    #[error("the data plane cannot listen")]
    Listen(#[from] std::io::Error),
    /// The certificate.
    #[error("the TLS listener has no certificate")]
    Tls(#[from] tls::Error),
}

/// Binds every listener of the configuration, the plain ones first.
///
/// # Errors
/// Which could not be opened, and why.
pub async fn bind(config: &Config, clock: &Clock) -> Result<Vec<Door>, DoorError> {
    let door = |identity: Option<Arc<Identity>>, app: Option<ConsumerName>| {
        move |listener| Door { listener, identity: identity.clone(), app: app.clone() }
    };
    let plain = server::bind(&config.proxy.listen).await?;
    let mut doors: Vec<Door> = plain.into_iter().map(door(None, None)).collect();
    for app in &config.proxy.apps {
        let name = Some(ConsumerName::from(app.name.as_str()));
        doors.extend(server::bind(&app.listen).await?.into_iter().map(door(None, name)));
    }
    if let Some(tls) = &config.proxy.tls {
        let identity = match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(key)) => {
                Identity::mounted(certificate.clone(), key.clone(), clock.clone())?
            }
            (_, _) => Identity::made()?,
        };
        publish(&identity, config.state.as_deref());
        let listeners = server::bind(&tls.listen).await?;
        doors.extend(listeners.into_iter().map(door(Some(Arc::new(identity)), None)));
    }
    Ok(doors)
}

/// Writes a made certificate where clients can be told to trust it.
fn publish(identity: &Identity, state: Option<&Path>) {
    let Some(pem) = identity.certificate_pem() else { return };
    let Some(path) = state.map(|folder| folder.join(CERTIFICATE_FILE)) else {
        tracing::info!(
            "the TLS listener's certificate was made at start; clients cannot verify it"
        );
        return;
    };
    match std::fs::write(&path, pem) {
        Ok(()) => tracing::info!(path = %path.display(), "the TLS listener's certificate was made"),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the TLS listener's certificate cannot be kept: clients cannot verify it");
        }
    }
}

/// What the data plane is given by the rooms that started before it.
#[derive(Debug)]
pub struct Given {
    /// Signs for every request.
    pub credentials: Credentials,
    /// Each stream's record limit.
    pub record_limits: RecordLimits,
    /// Each stream's hash ranges.
    pub ranges: ShardRanges,
    /// To the engine.
    pub events: mpsc::Sender<Event>,
    /// To the exporter.
    pub spans: SpanSink,
    /// The messaging metrics.
    pub otlp_metrics: OtlpMetrics,
    /// The configuration in force.
    pub in_force: watch::Receiver<Arc<Config>>,
    /// `kinescope_dropped_total`.
    pub dropped: IntCounterVec,
    /// The traces behind histograms.
    pub exemplars: Arc<Mutex<Exemplars>>,
    /// The `region` label.
    pub region: String,
}

/// Starts the observer, the listeners and what they need; gives where it listens.
///
/// # Errors
/// A metric family is there twice: our own bug.
pub fn start(
    config: &Config,
    environment: &BTreeMap<String, String>,
    doors: Vec<Door>,
    given: Given,
    (registry, clock): (&Registry, &Clock),
    supervisor: &mut Supervisor,
) -> Result<Vec<SocketAddr>, prometheus::Error> {
    let Given { credentials, record_limits, events, spans, otlp_metrics, .. } = given;
    let Given { ranges, in_force, dropped, exemplars, region, .. } = given;
    let metrics = proxy::Metrics::register(registry, &region, dropped.clone(), exemplars)?;
    let limits = &config.limits;
    // Before the observer's stage, so that it ends behind it and keeps its last steps.
    let stage = supervisor.stage("journal");
    let iterators = match &config.state {
        Some(folder) => {
            let (iterators, task) =
                proxy::restored_iterators(folder, limits.iterators_max, clock, dropped.clone());
            stage.spawn("journal", Policy::Helpful, task.run(stage.token()));
            iterators
        }
        None => Iterators::new(limits.iterators_max),
    };
    let deciding = Arc::new(Deciding::new(tracing_settings(config, environment), dropped.clone()));
    let disclosed = Disclosed::of(&config.privacy.fields, saga_key(config));
    let refused = Arc::default();
    let wanted = spans.clone();
    let keys = entropy::hasher();
    let shared = Shared {
        iterators,
        record_limits,
        ranges,
        refused,
        deciding,
        disclosed,
        keys,
        clock: clock.clone(),
        spans: wanted,
    };
    let (queue_max, bytes_max) = (limits.observer_queue, limits.observer_bytes_max);
    let (sink, copies) = ObserverSink::new(queue_max, bytes_max, dropped.clone());
    let (stream_sink, pieces) = StreamSink::new(queue_max, bytes_max, dropped.clone());
    let (processed, reported) = processed_queue(dropped);
    let events_seen = EventMetrics::register(registry, &region)?;
    let reports = Reports::new(events_seen, spans, otlp_metrics.clone(), disclosed);
    let attendances = attendances(config, &doors, &events, &metrics.dropped, clock);
    let observer = Observer::new(shared.clone(), events, otlp_metrics, metrics.clone());
    let stage = supervisor.stage("observe");
    stage.spawn("reports", Policy::Helpful, reports.run(reported, stage.token()));
    stage.spawn("observer", Policy::Helpful, observer.run(copies, pieces, stage.token()));
    let proxy = Arc::new(Proxy::new(
        (proxy_config(config), policy(config)),
        Client::new(&client_settings(config, environment), clock.clone()),
        credentials,
        (sink, stream_sink, processed),
        shared,
        metrics,
        clock.clone(),
    ));
    let stage = supervisor.stage("proxy");
    stage.spawn("policy", Policy::Helpful, follow(Arc::clone(&proxy), in_force, stage.token()));
    let addresses = doors.iter().filter_map(|door| door.listener.local_addr().ok()).collect();
    let connections = Arc::new(Semaphore::new(limits.connections_max));
    for Door { listener, identity, app } in doors {
        let proxy = Arc::clone(&proxy);
        let name = if identity.is_some() { "tls_listener" } else { "listener" };
        let name_of = app.clone().unwrap_or_else(|| config.service_name.as_str().into());
        let here = attendances.get(&name_of).map(Attendance::door);
        // Cloned for each connection, so that `here` lives as long as one does.
        let answer = move |request, peer| {
            let _ = &here;
            let (proxy, app) = (Arc::clone(&proxy), app.clone());
            // Boxed: the connection moves the future about, and it is kilobytes large.
            Box::pin(proxy.answer(request, peer, app))
        };
        let (connections, stop) = (Arc::clone(&connections), stage.token());
        let serving = server::serve(listener, identity, connections, answer, stop);
        stage.spawn(name, Policy::Vital, serving);
    }
    Ok(addresses)
}

/// Who is connected, by the consumer that a door is for.
fn attendances(
    config: &Config,
    doors: &[Door],
    events: &mpsc::Sender<Event>,
    dropped: &IntCounterVec,
    clock: &Clock,
) -> BTreeMap<ConsumerName, Attendance> {
    let service = ConsumerName::from(config.service_name.as_str());
    let names = doors.iter().map(|door| door.app.clone().unwrap_or_else(|| service.clone()));
    let attendance =
        |name: ConsumerName| Attendance::new(name, events.clone(), dropped.clone(), clock.clone());
    names.map(|name| (name.clone(), attendance(name))).collect()
}

/// The key that sagas are hashed under: of the shared secret, else one that nobody else has.
fn saga_key(config: &Config) -> SagaKey {
    let alone = || SagaKey::of_chance(entropy::bytes());
    let Some(path) = &config.privacy.key_file else { return alone() };
    let why = match std::fs::read(path).map(|secret| SagaKey::of_secret(&secret)) {
        Ok(Some(key)) => return key,
        Ok(None) => format!("it has fewer than {} bytes", SagaKey::SECRET_BYTES_MIN),
        Err(error) => error.to_string(),
    };
    tracing::warn!(path = %path.display(), why, "privacy.key_file cannot be used: sagas are followed through this process only");
    alone()
}

/// Puts each reloaded policy in force.
async fn follow(
    proxy: Arc<Proxy>,
    mut in_force: watch::Receiver<Arc<Config>>,
    stop: tokio_util::sync::CancellationToken,
) {
    while let Some(Ok(())) = stop.run_until_cancelled(in_force.changed()).await {
        let config = Arc::clone(&in_force.borrow_and_update());
        proxy.set_policy(policy(&config));
    }
}

fn tracing_settings(config: &Config, environment: &BTreeMap<String, String>) -> Tracing {
    let value = |name: &str| environment.get(name).map_or("", String::as_str);
    let (propagators, mut warnings) = match value("OTEL_PROPAGATORS") {
        "" => (Propagators::default(), Vec::new()),
        named => Propagators::parse(named),
    };
    let sampler = (value("OTEL_TRACES_SAMPLER"), value("OTEL_TRACES_SAMPLER_ARG"));
    let (sampler, unsupported) = Sampler::parse(sampler.0, sampler.1);
    warnings.extend(unsupported);
    let links_max = match value("OTEL_SPAN_LINK_COUNT_LIMIT") {
        "" => None,
        limit => {
            let limit = limit.parse().ok().filter(|limit| *limit > 0);
            if limit.is_none() {
                warnings
                    .push("OTEL_SPAN_LINK_COUNT_LIMIT: should be a whole number above 0".into());
            }
            limit
        }
    };
    for warning in warnings {
        tracing::warn!(%warning, "OpenTelemetry's environment");
    }
    Tracing {
        propagators,
        sampler,
        spans_per_second_max: u32::try_from(config.traces.max_spans_per_second).unwrap_or(u32::MAX),
        create_spans: config.traces.create_spans,
        inferred_process: config.traces.inferred_process,
        links_max,
    }
}

/// How AWS is reached.
pub(super) fn client_settings(
    config: &Config,
    environment: &BTreeMap<String, String>,
) -> ClientSettings {
    let timeout = config.limits.upstream_connect_timeout;
    let from_environment =
        ClientSettings::from_environment(timeout, |name| environment.get(name).cloned());
    let proxy = ProxySettings {
        https_proxy: config.proxy.upstream_proxy.clone(),
        no_proxy: config.proxy.no_proxy.clone(),
        ..from_environment.proxy
    };
    ClientSettings { proxy, ..from_environment }
}

fn policy(config: &Config) -> proxy::Policy {
    let treatment = |policy: &config::StreamPolicy| Treatment {
        propagate: match policy.propagate {
            config::Propagate::Inject => Propagate::Inject,
            config::Propagate::Observe => Propagate::Observe,
            config::Propagate::Off => Propagate::Off,
        },
        percent: policy.propagate_percent,
        deliver: match policy.deliver {
            config::Deliver::Keep => Deliver::Keep,
            config::Deliver::Strip => Deliver::Strip,
        },
        aggregated: policy.aggregated,
        record_bytes_max: policy.max_record_bytes,
    };
    let config::Allow { access_keys, streams, operations } = config.proxy.allow.clone();
    let policies = config.proxy.streams.iter();
    proxy::Policy {
        propagation: config.proxy.propagation == Propagation::Auto,
        streams: policies.map(|policy| (policy.pattern.clone(), treatment(policy))).collect(),
        allow: Allow { access_keys, streams, operations },
    }
}

fn proxy_config(config: &Config) -> proxy::Config {
    let apps = config.proxy.apps.iter().flat_map(|app| &app.listen);
    let tls = config.proxy.tls.iter().flat_map(|tls| &tls.listen);
    let mut listen = config.proxy.listen.iter().chain(apps).chain(tls);
    proxy::Config {
        consumer: ConsumerName::from(config.service_name.as_str()),
        endpoint: config.proxy.upstream_endpoint.clone(),
        settings: Settings { fips: config.proxy.fips, dual_stack: config.proxy.dual_stack },
        any_host: listen.any(|address| !address.ip().is_loopback()),
        body_bytes_max: config.limits.body_bytes_max,
        buffered_bytes_max: config.limits.buffered_bytes_max,
        in_flight_max: config.limits.in_flight_max,
        subscriptions_max: config.limits.subscriptions_max,
        retries_max: config.limits.retries_max,
        answer_timeout: config.limits.upstream_response_timeout,
    }
}
