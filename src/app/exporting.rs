//! Owns the wiring of the export: what the configuration and OpenTelemetry's environment say, read
//! once for `run` and `check` alike, and the tasks that carry it out. Refuses to show a value of
//! theirs: it may be a secret.

use crate::app::config::{Config, OtlpProtocol, Role};
use crate::app::logging::chain;
use crate::app::supervisor::{Policy, Supervisor};
use crate::io::clock::Clock;
use crate::io::credentials::Credentials;
use crate::io::http::client::Client;
use crate::io::otlp::{self, OtlpMetrics, RelaySink, SpanSink};
use prometheus::{IntCounterVec, Registry};
use std::collections::BTreeMap;

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `OTEL_*` or `otlp`.
    #[error("{0}")]
    Config(String),
    /// `otlp.xray` where nothing names a region.
    #[error("otlp.xray needs a region: set region or AWS_REGION")]
    NoRegion,
    /// Certificates.
    #[error("OTLP cannot be exported")]
    Build(#[from] otlp::BuildError),
    /// A metric family of ours twice: our own bug.
    #[error("the exporter's metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Where the data plane leaves what is exported.
#[derive(Debug, Clone)]
pub struct Sinks {
    /// Finished spans.
    pub spans: SpanSink,
    /// Calls, for the messaging metrics.
    pub metrics: OtlpMetrics,
}

/// What to export, where and how.
///
/// # Errors
/// [`Error::Config`] with every fault of the configuration, and [`Error::NoRegion`].
pub fn read(
    config: &Config,
    environment: &BTreeMap<String, String>,
    region: Option<&str>,
) -> Result<otlp::Reading, Error> {
    let configured = otlp::Configured {
        endpoint: config.otlp.endpoint.as_deref(),
        protocol: config.otlp.protocol.map(|protocol| match protocol {
            OtlpProtocol::HttpProtobuf => otlp::Protocol::HttpProtobuf,
            OtlpProtocol::Grpc => otlp::Protocol::Grpc,
        }),
        service_name: Some(&config.service_name),
        xray: match (config.otlp.xray, region) {
            (false, _) => None,
            (true, Some(region)) => Some(region),
            (true, None) => return Err(Error::NoRegion),
        },
    };
    otlp::from_environment(|name| environment.get(name).cloned(), configured).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Error::Config(faults.join("; "))
    })
}

/// What `check` says about the export without connecting: warnings, a sentence each.
///
/// # Errors
/// What would keep the service from starting, a sentence.
pub fn check(
    config: &Config,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<String>, String> {
    // AWS's own files may name the region, which only the start reads; any will do to check the rest.
    let region = config.region.as_deref().unwrap_or("us-east-1");
    let reading = read(config, environment, Some(region)).map_err(|error| chain(&error))?;
    let clock = Clock::system();
    if let otlp::Export::On(to) = &reading.export {
        otlp::Exporter::new(to, clock.clone()).map_err(|error| chain(&error))?;
    }
    if let Some(to) = &reading.metrics {
        otlp::Reporter::new(to, clock).map_err(|error| chain(&error))?;
    }
    Ok(reading.warnings.iter().map(ToString::to_string).collect())
}

/// Starts the tasks of what is exported.
///
/// # Errors
/// See [`otlp::BuildError`]; a metric family twice.
pub fn start(
    reading: otlp::Reading,
    aws: impl FnOnce() -> (Client, Credentials),
    (registry, dropped): (&Registry, &IntCounterVec),
    clock: &Clock,
    supervisor: &mut Supervisor,
) -> Result<Sinks, Error> {
    for warning in &reading.warnings {
        tracing::warn!(%warning, "OpenTelemetry's environment");
    }
    let to = match reading.export {
        otlp::Export::Off(reason) => {
            tracing::info!(reason, "no spans are exported");
            None
        }
        otlp::Export::On(to) => Some((otlp::Exporter::new(&to, clock.clone())?, to)),
        otlp::Export::XRay { region, config } => {
            let (client, credentials) = aws();
            let exporter =
                otlp::Exporter::xray(&config, &region, client, credentials, clock.clone())?;
            Some((exporter, config))
        }
    };
    let mut sinks = Sinks { spans: SpanSink::off(), metrics: OtlpMetrics::off() };
    if let Some((exporter, to)) = to {
        let metrics = otlp::Metrics::register(registry, dropped)?;
        let (sink, queue) = otlp::queue(metrics, to.batch_max);
        let stage = supervisor.stage("export");
        let run = otlp::run(queue, exporter, *to, clock.clone(), stage.token());
        stage.spawn("otlp", Policy::Helpful, run);
        sinks.spans = sink;
    }
    if let Some(to) = reading.metrics {
        let reporter = otlp::Reporter::new(&to, clock.clone())?;
        sinks.metrics = OtlpMetrics::new(clock.now().wall);
        let stage = supervisor.stage("metrics");
        let report = otlp::report(sinks.metrics.clone(), reporter, stage.token());
        stage.spawn("otlp", Policy::Helpful, report);
    }
    Ok(sinks)
}

/// Where what arrives by OTLP goes on to: the collector of our own spans. A hub's sidecars export
/// their own, and X-Ray takes no metrics.
#[must_use]
pub fn relays(config: &Config, reading: &otlp::Reading) -> Option<otlp::Config> {
    if config.role != Role::Sidecar || config.otlp.receive.is_empty() {
        return None;
    }
    match &reading.export {
        otlp::Export::On(to) => Some(otlp::Config::clone(to)),
        otlp::Export::XRay { .. } => {
            tracing::warn!("what arrives by OTLP is not handed on: spans go to X-Ray");
            None
        }
        otlp::Export::Off(_) => None,
    }
}

/// The task that hands on what arrives by OTLP.
///
/// # Errors
/// See [`otlp::BuildError`].
pub fn relay(
    to: &otlp::Config,
    environment: &BTreeMap<String, String>,
    dropped: &IntCounterVec,
    clock: &Clock,
    supervisor: &mut Supervisor,
) -> Result<RelaySink, Error> {
    let metrics = environment.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT").map(String::as_str);
    let metrics = metrics.filter(|text| !text.is_empty());
    let (sink, relay) = otlp::relay(to, metrics, dropped, clock)?;
    let stage = supervisor.stage("relay");
    stage.spawn("relay", Policy::Helpful, relay.run(stage.token()));
    Ok(sink)
}
