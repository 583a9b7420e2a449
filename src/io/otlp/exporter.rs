//! Owns the delivery of a batch of spans: opentelemetry-otlp's exporter over a client of ours, which
//! sends the request whole, or in parts where the collector calls it too large. Refuses to wait for
//! ever: each request ends within a bound.
//!
//! The exporter is the crate's for both protocols, since what it writes is the same message. Its own
//! gRPC client hides status, `RetryInfo` and partial success, and copies all spans for each try.

use super::answer::Delivered;
use super::answer::Failure;
use super::answer::Remedy;
use super::batch::Batch;
use super::config::Config;
use super::config::Endpoint;
use super::queue::Held;
use super::queue::SPANS_MAX;
use super::queue::Window;
use super::sender::Sender;
use super::sender::Signal;
use super::transport::BuildError;
use super::xray::Signer;
use crate::domain::time::Wall;
use crate::io::clock::Clock;
use crate::io::credentials::Credentials;
use crate::io::http::client::Client;
use crate::io::quiet::Quiet;
use crate::wire::otlp;
use crate::wire::otlp::divide::halves;
use crate::wire::xray;
use ::http::Request;
use ::http::Response;
use bytes::Bytes;
use opentelemetry_http::HttpClient;
use opentelemetry_http::HttpError;
use opentelemetry_otlp::Protocol;
use opentelemetry_otlp::RetryPolicy;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_otlp::WithHttpConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Bytes after which a batch is closed: with a last span of [`SPAN_BYTES_MAX`] it stays below the
/// 4 MiB that gRPC servers accept unless told otherwise, and below X-Ray's 5 MB.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// A batch is not divided below this: no collector's limit is smaller, so one that refuses it means
/// something else, and would be asked about every span.
const BATCH_BYTES_MIN: usize = 16 << 10;
/// Most bytes of one span; a larger one loses links and says so.
const SPAN_BYTES_MAX: usize = 2 << 20;

/// What fits a collector fits X-Ray.
const _: () = assert!(
    BATCH_BYTES_MAX + xray::SPAN_BYTES_MAX + xray::ORIGIN_BYTES_MAX < xray::REQUEST_BYTES_MAX
        && SPANS_MAX <= xray::REQUEST_SPANS_MAX
);

/// Sends batches of spans to one collector.
#[derive(Debug)]
pub struct Exporter {
    otlp: SpanExporter,
    parcel: Arc<Mutex<Parcel>>,
    endpoint: Endpoint,
    is_xray: bool,
    /// Halved when the collector calls a batch too large, for all that follow.
    batch_bytes_max: usize,
}

/// What goes along with a batch through opentelemetry-otlp, which takes spans and gives a sentence.
#[derive(Debug, Default)]
struct Parcel {
    /// To be settled, on the way in.
    held: Option<Held>,
    /// What came of it, on the way out.
    result: Option<Result<(), Failure>>,
    /// The bytes of the smallest part that was too large.
    refused_bytes: Option<usize>,
}

impl Exporter {
    /// The exporter of `config`. It connects when it is first used, so a collector that is down is
    /// no error.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn new(config: &Config, clock: Clock) -> Result<Self, BuildError> {
        let sender = Sender::new(config, Signal::Traces, clock.clone())?;
        Self::over(sender, config, false, clock)
    }

    /// The exporter to X-Ray's OTLP endpoint: over the data plane's client, signed.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn xray(
        config: &Config,
        region: &str,
        client: Client,
        credentials: Credentials,
        clock: Clock,
    ) -> Result<Self, BuildError> {
        let signer = Signer::new(credentials, region.to_owned());
        let sender = Sender::signed(config, client, signer, clock.clone());
        Self::over(sender, config, true, clock)
    }

    fn over(
        sender: Sender,
        config: &Config,
        is_xray: bool,
        clock: Clock,
    ) -> Result<Self, BuildError> {
        let parcel = Arc::<Mutex<Parcel>>::default();
        let courier =
            Courier { sender, parcel: Arc::clone(&parcel), clock, quiet: Quiet::default() };
        // Compression, headers, tries and time are the courier's, whatever the crate would read out
        // of the environment: what it sends reaches nobody but the courier, as bytes.
        let mut otlp = SpanExporter::builder()
            .with_http()
            .with_http_client(courier)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.endpoint.uri().to_string())
            .with_timeout(config.timeout)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(BuildError::Exporter)?;
        let attributes = otlp::resource(&config.resource);
        otlp.set_resource(&Resource::builder_empty().with_attributes(attributes).build());
        Ok(Self {
            otlp,
            parcel,
            endpoint: config.endpoint.clone(),
            is_xray,
            batch_bytes_max: BATCH_BYTES_MAX,
        })
    }

    /// Where spans go, safe to log.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Bytes after which a batch is closed.
    pub(super) const fn batch_bytes_max(&self) -> usize {
        self.batch_bytes_max
    }

    /// Most bytes of one span.
    pub(super) const fn span_bytes_max(&self) -> usize {
        if self.is_xray { xray::SPAN_BYTES_MAX } else { SPAN_BYTES_MAX }
    }

    /// The times of spans that are taken now.
    pub(super) fn window(&self, now: Wall) -> Option<Window> {
        self.is_xray.then(|| Window {
            earliest: now.minus(xray::AGE_MAX),
            latest: now.plus(xray::AHEAD_MAX),
            spread_max: xray::SPREAD_MAX,
        })
    }

    /// Whether the collector takes an export, by one without spans.
    ///
    /// # Errors
    /// Why not, for a person.
    pub async fn probe(&mut self) -> Result<(), String> {
        self.send(Batch::default(), None).await.map_err(|failure| failure.cause)
    }

    /// Delivers a batch, and settles each of its spans as soon as that is known.
    pub(super) async fn export(&mut self, batch: Batch, held: Held) -> Result<(), Failure> {
        self.send(batch, Some(held)).await
    }

    async fn send(&mut self, batch: Batch, held: Option<Held>) -> Result<(), Failure> {
        *open(&self.parcel) = Parcel { held, ..Parcel::default() };
        let sent = self.otlp.export(batch.into_spans()).await;
        let Parcel { held, result, refused_bytes } = std::mem::take(&mut *open(&self.parcel));
        if let Some(bytes) = refused_bytes {
            self.batch_bytes_max = (bytes / 2).clamp(BATCH_BYTES_MIN, self.batch_bytes_max);
        }
        // Without a result the crate refused to send; the parcel came back as it was.
        if let (None, Some(mut held)) = (&result, held) {
            held.failed();
        }
        let cause = sent.err().map(|error| error.to_string()).unwrap_or_default();
        result.unwrap_or_else(|| Err(Failure { cause, ..Failure::default() }))
    }
}

fn open(parcel: &Mutex<Parcel>) -> MutexGuard<'_, Parcel> {
    parcel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client under opentelemetry-otlp's exporter.
#[derive(Debug)]
struct Courier {
    sender: Sender,
    parcel: Arc<Mutex<Parcel>>,
    clock: Clock,
    quiet: Quiet,
}

#[async_trait::async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Spans of an export that is given up are with its future, and count themselves.
        let mut held = open(&self.parcel).held.take();
        let result = self.deliver(request.into_body(), held.as_mut()).await;
        open(&self.parcel).result = Some(result);
        // What the collector said has been read; the exporter would only tell it to nobody.
        Ok(Response::new(Bytes::new()))
    }
}

impl Courier {
    async fn deliver(&self, request: Bytes, mut held: Option<&mut Held>) -> Result<(), Failure> {
        let spans = held.as_ref().map_or(0, |held| held.spans());
        // At most a part for each halving.
        let mut parts = vec![(spans, request)];
        let mut result = Ok(());
        while let Some((spans, request)) = parts.pop() {
            let failure = match self.sender.deliver(request.clone()).await {
                Ok(delivered) => {
                    self.tell(&delivered);
                    if let Some(held) = &mut held {
                        held.delivered(spans, delivered.rejected);
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            if failure.remedy != Remedy::Split {
                // Of the other parts none would fare better.
                if let Some(held) = &mut held {
                    held.failed();
                }
                return Err(failure);
            }
            let divided = Some(&request).filter(|it| it.len() > BATCH_BYTES_MIN);
            if let Some([first, second]) = divided.and_then(|request| halves(request)) {
                let mut parcel = open(&self.parcel);
                let before = parcel.refused_bytes.unwrap_or(usize::MAX);
                parcel.refused_bytes = Some(request.len().min(before));
                drop(parcel);
                parts.extend([second, first].map(|(spans, part)| (spans as u64, part.into())));
            } else {
                if let Some(held) = &mut held {
                    held.too_large(spans);
                }
                result = Err(failure);
            }
        }
        result
    }

    fn tell(&self, delivered: &Delivered) {
        let Delivered { rejected, message } = delivered;
        if *rejected == 0 && message.is_none() {
            return;
        }
        if let Some(silenced) = self.quiet.may_say("partial success", self.clock.now()) {
            let message = message.as_deref().unwrap_or_default();
            let endpoint = self.sender.endpoint();
            tracing::warn!(%endpoint, rejected, message, silenced, "the collector refused spans, or warns");
        }
    }
}
