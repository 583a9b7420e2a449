//! Owns the OTLP exporter: opentelemetry-otlp's, told everything by us. Refuses to wait for ever:
//! each batch ends within a bound.

use super::config::Compression;
use super::config::Config;
use super::config::Endpoint;
use super::config::Protocol;
use super::http::Client;
use super::http::LastAnswer;
use super::http::TIMEOUTS_MAX;
use super::http::TRIES_MAX;
use crate::domain::trace::Span;
use crate::io::clock::Clock;
use crate::wire::otlp::span_data;
use opentelemetry::InstrumentationScope;
use opentelemetry::KeyValue;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_otlp::RetryPolicy;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_otlp::WithHttpConfig;
use opentelemetry_otlp::WithTonicConfig;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::trace::SpanExporter as _;
use std::time::Duration;

/// Sends batches of spans to one collector.
#[derive(Debug)]
pub struct Exporter {
    otlp: SpanExporter,
    last: LastAnswer,
    scope: InstrumentationScope,
    endpoint: Endpoint,
    batch_timeout: Duration,
    clock: Clock,
}

/// Why an exporter could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The system has no root certificates.
    #[error("the system's root certificates cannot be read")]
    Roots(#[source] std::io::Error),
    /// The exporter refused its configuration.
    #[error("the OTLP exporter refuses its configuration")]
    Exporter(#[source] ExporterBuildError),
}

/// Why a batch was given up.
#[derive(Debug)]
pub(super) struct Failure {
    /// For the log; names neither headers nor contents.
    pub(super) cause: String,
    /// How long the collector asked to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Exporter {
    /// The exporter of `config`. It connects when it is first used, so a collector that is down is
    /// no error. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn new(config: &Config, clock: Clock) -> Result<Self, BuildError> {
        let last = LastAnswer::default();
        let mut otlp = match config.protocol {
            Protocol::HttpProtobuf => http(config, clock.clone(), last.clone())?,
            Protocol::Grpc => grpc(config).map_err(BuildError::Exporter)?,
        };
        let attributes = config.resource.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone()));
        otlp.set_resource(&Resource::builder_empty().with_attributes(attributes).build());
        Ok(Self {
            otlp,
            last,
            scope: InstrumentationScope::builder("kinescope")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            endpoint: config.endpoint.clone(),
            // A little more than the tries may take: the bound for what has no bound of its own,
            // such as a gRPC connection attempt into the void.
            batch_timeout: config.timeout.saturating_mul(TIMEOUTS_MAX + 1),
            clock,
        })
    }

    /// Where spans go, safe to log.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The span in the exporter's form.
    pub(super) fn encode(&self, span: Span) -> SpanData {
        span_data(span, &self.scope)
    }

    /// Whether the collector takes an export, by one without spans.
    ///
    /// # Errors
    /// Why not, for a person.
    pub async fn probe(&self) -> Result<(), String> {
        self.export(Vec::new()).await.map(|_| ()).map_err(|failure| failure.cause)
    }

    /// Delivers a batch, trying again where that may help. Returns how many spans the collector
    /// refused; over gRPC that cannot be seen, and none is said.
    pub(super) async fn export(&self, batch: Vec<SpanData>) -> Result<u64, Failure> {
        let deadline = self.clock.now().mono.saturating_add(self.batch_timeout);
        let result = tokio::select! {
            result = self.otlp.export(batch) => result.map_err(|error| error.to_string()),
            () = self.clock.sleep_until(deadline) => Err("no answer in time".to_owned()),
        };
        let answer = self.last.take();
        result.map(|()| answer.rejected).map_err(|error| Failure {
            cause: answer.cause.unwrap_or(error),
            retry_after: answer.retry_after,
        })
    }
}

fn http(config: &Config, clock: Clock, last: LastAnswer) -> Result<SpanExporter, BuildError> {
    let client = Client::new(config, clock, last).map_err(BuildError::Roots)?;
    let builder = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_endpoint(config.endpoint.uri().to_string())
        .with_timeout(config.timeout)
        // The tries are our client's: it sees Retry-After and need not encode again.
        .with_retry_policy(RetryPolicy::disabled());
    let builder = match config.compression {
        Some(Compression::Gzip) => builder.with_compression(opentelemetry_otlp::Compression::Gzip),
        None => builder,
    };
    builder.build().map_err(BuildError::Exporter)
}

fn grpc(config: &Config) -> Result<SpanExporter, ExporterBuildError> {
    let mut builder = SpanExporter::builder()
        .with_tonic()
        .with_protocol(opentelemetry_otlp::Protocol::Grpc)
        .with_endpoint(config.endpoint.uri().to_string())
        .with_metadata(MetadataMap::from_headers(config.headers.clone()))
        .with_timeout(config.timeout)
        // The exporter's own tries, bounded: only it sees the status and its RetryInfo.
        .with_retry_policy(
            RetryPolicy::recommended()
                .with_max_retries(TRIES_MAX as usize - 1)
                .with_initial_delay(config.retry.initial)
                .with_max_delay(config.retry.max)
                .with_max_jitter(config.retry.initial.mul_f64(config.retry.jitter)),
        );
    if let Some(Compression::Gzip) = config.compression {
        builder = builder.with_compression(opentelemetry_otlp::Compression::Gzip);
    }
    if config.endpoint.https() {
        builder = builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    builder.build()
}
