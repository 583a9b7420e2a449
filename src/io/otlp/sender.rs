//! Owns the tries of one request: what is encoded is bytes, sent again as they are while that may
//! help. Refuses to wait for ever: tries and time are bounded.

use super::answer;
use super::answer::Delivered;
use super::answer::Failure;
use super::answer::Remedy;
use super::config::Compression;
use super::config::Config;
use super::config::Endpoint;
use super::config::Protocol;
use super::transport::BuildError;
use super::transport::Transport;
use super::transport::deadline;
use super::xray::Signer;
use crate::domain::backoff::Backoff;
use crate::io::clock::Clock;
use crate::io::entropy;
use crate::io::http::client::Client;
use crate::wire::otlp::grpc;
use ::http::HeaderMap;
use ::http::HeaderValue;
use ::http::Method;
use ::http::Request;
use ::http::Uri;
use ::http::header::CONTENT_ENCODING;
use ::http::header::CONTENT_TYPE;
use ::http::header::TE;
use ::http::header::USER_AGENT;
use bytes::Bytes;
use flate2::write::GzEncoder;
use std::io::Write;
use std::time::Duration;

/// Tries a request, the first among them.
pub(super) const TRIES_MAX: u32 = 4;
/// A request may take so many times the timeout of one try, waits included.
const TIMEOUTS_MAX: u32 = 3;

/// What is sent, for the two protocols to name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

impl Signal {
    const fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

/// Sends requests to one collector.
pub(super) struct Sender {
    transport: Transport,
    endpoint: Endpoint,
    uri: Uri,
    protocol: Protocol,
    headers: HeaderMap,
    timeout: Duration,
    compression: Option<Compression>,
    retry: Backoff,
    clock: Clock,
    signer: Option<Signer>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Sender {
    /// A sender to a collector.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub(super) fn new(config: &Config, signal: Signal, clock: Clock) -> Result<Self, BuildError> {
        let endpoint = match config.protocol {
            Protocol::HttpProtobuf => config.endpoint.clone(),
            // An address that can take no path is found out when it is used.
            Protocol::Grpc => {
                config.endpoint.under(signal.grpc_path()).unwrap_or(config.endpoint.clone())
            }
        };
        let transport = Transport::new(config)?;
        Ok(Self::over(transport, config, endpoint.uri().clone(), clock, None))
    }

    /// A sender to AWS, over the data plane's client: HTTP, and signed.
    pub(super) fn signed(config: &Config, client: Client, signer: Signer, clock: Clock) -> Self {
        let uri = config.endpoint.uri().clone();
        Self::over(Transport::Aws(client), config, uri, clock, Some(signer))
    }

    fn over(
        transport: Transport,
        config: &Config,
        uri: Uri,
        clock: Clock,
        signer: Option<Signer>,
    ) -> Self {
        let kind = match config.protocol {
            Protocol::HttpProtobuf => "application/x-protobuf",
            Protocol::Grpc => "application/grpc",
        };
        let mut headers = config.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let agent = concat!("kinescope/", env!("CARGO_PKG_VERSION"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
        let gzip = HeaderValue::from_static("gzip");
        match (config.protocol, config.compression) {
            (Protocol::HttpProtobuf, None) => {}
            (Protocol::HttpProtobuf, Some(Compression::Gzip)) => {
                headers.insert(CONTENT_ENCODING, gzip);
            }
            (Protocol::Grpc, compression) => {
                headers.insert(TE, HeaderValue::from_static("trailers"));
                if let Some(Compression::Gzip) = compression {
                    headers.insert("grpc-encoding", gzip);
                }
            }
        }
        Self {
            transport,
            endpoint: config.endpoint.clone(),
            uri,
            protocol: config.protocol,
            headers,
            timeout: config.timeout,
            compression: config.compression,
            retry: config.retry,
            clock,
            signer,
        }
    }

    /// Where requests go, safe to log.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Delivers an export request, trying again where that may help.
    pub(super) async fn deliver(&self, message: Bytes) -> Result<Delivered, Failure> {
        let body = self.body(message).await?;
        let now = self.clock.now();
        let give_up_at = deadline(now, self.timeout.saturating_mul(TIMEOUTS_MAX));
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.attempt(&body).await {
                Ok(delivered) => return Ok(delivered),
                Err(failure) => failure,
            };
            match failure.remedy {
                Remedy::Again => {}
                Remedy::Split | Remedy::Credentials | Remedy::None => return Err(failure),
            }
            let wait = self.retry.delay(tries, entropy::chance());
            let wait = wait.max(failure.retry_after.unwrap_or_default());
            let next_at = self.clock.now().mono.saturating_add(wait);
            if tries >= TRIES_MAX || next_at >= give_up_at {
                return Err(failure);
            }
            self.clock.sleep_until(next_at).await;
        }
    }

    /// Delivers an export request, or not: for what is soon told again, and newer.
    pub(super) async fn deliver_once(&self, message: Bytes) -> Result<Delivered, Failure> {
        let body = self.body(message).await?;
        self.attempt(&body).await
    }

    /// One try; with AWS a second where other credentials may help.
    async fn attempt(&self, body: &Bytes) -> Result<Delivered, Failure> {
        let Some(signer) = &self.signer else { return self.exchange(body, HeaderMap::new()).await };
        let wait_max = self.timeout;
        let credentials = signer.credentials(wait_max).await?;
        let sign = |credentials| {
            signer.headers(credentials, &self.uri, &self.headers, body, self.clock.now().wall)
        };
        let result = self.exchange(body, sign(&credentials)).await;
        if !matches!(&result, Err(failure) if failure.remedy == Remedy::Credentials) {
            return result;
        }
        match signer.other_than(&credentials, wait_max).await {
            Some(other) => self.exchange(body, sign(&other)).await,
            None => result,
        }
    }

    async fn exchange(&self, body: &Bytes, more: HeaderMap) -> Result<Delivered, Failure> {
        let mut request = Request::new(body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(more);
        if self.protocol == Protocol::Grpc {
            *request.version_mut() = ::http::Version::HTTP_2;
        }
        let now = self.clock.now();
        let until = deadline(now, self.timeout);
        let answer = self.transport.exchange(request, until, &self.clock).await;
        let answer = answer.map_err(Failure::unanswered)?;
        answer::read(self.protocol, &answer, now.wall)
    }

    /// The message as a body.
    async fn body(&self, message: Bytes) -> Result<Bytes, Failure> {
        let message = match self.compression {
            None => message,
            // Milliseconds of work: not on a thread that the data plane shares.
            Some(Compression::Gzip) => {
                let packed = tokio::task::spawn_blocking(move || gzip(&message)).await;
                let packed = packed.ok().and_then(Result::ok).ok_or_else(|| Failure {
                    cause: "the batch could not be compressed".to_owned(),
                    ..Failure::default()
                })?;
                packed.into()
            }
        };
        Ok(match self.protocol {
            Protocol::HttpProtobuf => message,
            Protocol::Grpc => grpc::frame(&message, self.compression.is_some()).into(),
        })
    }
}

/// Fast rather than small: the collector is near.
fn gzip(message: &[u8]) -> std::io::Result<Vec<u8>> {
    let packed = Vec::with_capacity(message.len() / 4);
    let mut encoder = GzEncoder::new(packed, flate2::Compression::fast());
    encoder.write_all(message)?;
    encoder.finish()
}
