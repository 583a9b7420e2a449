//! Owns the delivery of a batch of spans: as one request, or in parts where the collector calls it too
//! large. Refuses to wait for ever: each request ends within a bound.

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
use crate::wire::otlp::divide::halves;
use crate::wire::otlp::spans::Origin;
use crate::wire::xray;

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
    sender: Sender,
    origin: Origin,
    is_xray: bool,
    /// Halved when the collector calls a batch too large, for all that follow.
    batch_bytes_max: usize,
    clock: Clock,
    quiet: Quiet,
}

impl Exporter {
    /// The exporter of `config`. It connects when it is first used, so a collector that is down is
    /// no error.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn new(config: &Config, clock: Clock) -> Result<Self, BuildError> {
        let sender = Sender::new(config, Signal::Traces, clock.clone())?;
        Ok(Self::over(sender, config, false, clock))
    }

    /// The exporter to X-Ray's OTLP endpoint: over the data plane's client, signed.
    #[must_use]
    pub fn xray(
        config: &Config,
        region: &str,
        client: Client,
        credentials: Credentials,
        clock: Clock,
    ) -> Self {
        let signer = Signer::new(credentials, region.to_owned());
        let sender = Sender::signed(config, client, signer, clock.clone());
        Self::over(sender, config, true, clock)
    }

    fn over(sender: Sender, config: &Config, is_xray: bool, clock: Clock) -> Self {
        let origin = Origin::of(&config.resource);
        let quiet = Quiet::default();
        Self { sender, origin, is_xray, batch_bytes_max: BATCH_BYTES_MAX, clock, quiet }
    }

    /// Where spans go, safe to log.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        self.sender.endpoint()
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

    /// Spans of an export that is given up are with its future, and count themselves.
    async fn send(&mut self, batch: Batch, mut held: Option<Held>) -> Result<(), Failure> {
        // At most a part for each halving.
        let mut parts = vec![(batch.len() as u64, batch.into_request(&self.origin))];
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
                let bytes_max = (request.len() / 2).max(BATCH_BYTES_MIN);
                self.batch_bytes_max = self.batch_bytes_max.min(bytes_max);
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
