//! Owns the delivery of a batch of spans: whole, or in parts where the collector calls it too
//! large. Refuses to wait for ever: each request ends within a bound.

use super::answer::Delivered;
use super::answer::Failure;
use super::answer::Remedy;
use super::batch::Batch;
use super::config::Config;
use super::config::Endpoint;
use super::queue::Held;
use super::sender::Sender;
use super::sender::Signal;
use super::transport::BuildError;
use super::xray::Signer;
use crate::io::clock::Clock;
use crate::io::credentials::Credentials;
use crate::io::http::client::Client;
use crate::io::quiet::Quiet;
use crate::wire::otlp::Origin;
use crate::wire::xray;

/// Bytes after which a batch is closed: with a last span of [`SPAN_BYTES_MAX`] it stays below the
/// 4 MiB that gRPC servers accept unless told otherwise, and below X-Ray's 5 MB.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// A batch is not divided below this: no collector's limit is smaller, so one that refuses it means
/// something else, and would be asked about every span.
const BATCH_BYTES_MIN: usize = 16 << 10;
/// Most bytes of one span; a larger one loses links and says so.
const SPAN_BYTES_MAX: usize = 2 << 20;

/// Sends batches of spans to one collector.
#[derive(Debug)]
pub struct Exporter {
    sender: Sender,
    origin: Origin,
    span_bytes_max: usize,
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
        Ok(Self::over(sender, config, SPAN_BYTES_MAX, clock))
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
        Self::over(sender, config, xray::SPAN_BYTES_MAX, clock)
    }

    fn over(sender: Sender, config: &Config, span_bytes_max: usize, clock: Clock) -> Self {
        Self {
            sender,
            origin: Origin::new(&config.resource),
            span_bytes_max,
            batch_bytes_max: BATCH_BYTES_MAX,
            clock,
            quiet: Quiet::default(),
        }
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
        self.span_bytes_max
    }

    /// Whether the collector takes an export, by one without spans.
    ///
    /// # Errors
    /// Why not, for a person.
    pub async fn probe(&self) -> Result<(), String> {
        self.sender.deliver(Vec::new()).await.map(|_| ()).map_err(|failure| failure.cause)
    }

    /// Delivers a batch, and settles each of its spans as soon as that is known.
    pub(super) async fn export(&mut self, batch: &Batch, held: &mut Held) -> Result<(), Failure> {
        // At most a part for each halving.
        let whole = 0..batch.len();
        let mut parts = vec![whole];
        let mut result = Ok(());
        while let Some(part) = parts.pop() {
            let bytes = batch.part(&part);
            let failure = match self.sender.deliver(self.origin.request(bytes)).await {
                Ok(delivered) => {
                    self.tell(&delivered);
                    held.delivered(part.len() as u64, delivered.rejected);
                    continue;
                }
                Err(failure) => failure,
            };
            if failure.remedy != Remedy::Split {
                // Of the other parts none would fare better.
                held.failed();
                return Err(failure);
            }
            let may_divide = part.len() > 1 && bytes.len() > BATCH_BYTES_MIN;
            if may_divide {
                self.batch_bytes_max =
                    (bytes.len() / 2).clamp(BATCH_BYTES_MIN, self.batch_bytes_max);
                let middle = usize::midpoint(part.start, part.end);
                parts.extend([middle..part.end, part.start..middle]);
            } else {
                held.too_large(part.len() as u64);
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
            let endpoint = self.endpoint();
            tracing::warn!(%endpoint, rejected, message, silenced, "the collector refused spans, or warns");
        }
    }
}
