//! Owns the data plane: one request from start to end. Refuses to wait for the observer and to
//! change what it does not understand.

mod admit;
mod attendance;
mod deciding;
pub(crate) mod disclosed;
pub mod envelope_api;
mod exchange;
mod inferring;
mod iterators;
mod journal;
mod load;
#[doc(hidden)]
pub mod measured;
mod metrics;
mod names;
mod observe;
mod parents;
mod placing;
mod policy;
mod prepare;
mod put;
mod reply;
mod retries;
mod skew;
mod spans;
mod stream;
mod subscriptions;
mod tee;
mod upstream;

pub use attendance::{Attendance, Visitor};
pub use deciding::{Deciding, Tracing};
pub use disclosed::{Disclosed, SagaKey};
pub use exchange::{Exchange, ObserverSink};
pub use iterators::Iterators;
pub use journal::open as restored_iterators;
pub use metrics::Metrics;
pub use observe::Observer;
pub use policy::{Allow, Deliver, Policy, Propagate, Treatment};
pub use retries::RefusedRecords;
pub use stream::StreamSink;
pub use tee::Body;

use crate::domain::stream::ConsumerName;
use crate::domain::time::Moment;
use crate::io::clock::Clock;
use crate::io::credentials::Credentials;
use crate::io::entropy;
use crate::io::http::client::Client;
use crate::io::otlp::SpanSink;
use crate::io::streams::{RecordLimits, ShardRanges};
use crate::wire::kinesis::endpoint::Settings;
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::operation::Operation;
use admit::{Admitted, Door, admit};
use arc_swap::ArcSwap;
use envelope_api::ProcessedSink;
use exchange::Answer;
use hex_simd::AsciiCase;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use load::Load;
use prepare::Prepared;
use reply::Route;
use retries::Calls;
use std::hash::RandomState;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use upstream::{Upstream, strip_connection};

/// What the data plane needs to know for as long as it runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The `consumer` of requests that name no application.
    pub consumer: ConsumerName,
    /// In place of Kinesis' own host.
    pub endpoint: Option<Uri>,
    /// Which of Kinesis' own hosts.
    pub settings: Settings,
    /// Whether the configuration opened a listener beyond loopback.
    pub any_host: bool,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Bytes of request bodies in memory at once.
    pub buffered_bytes_max: usize,
    /// Requests in flight at once.
    pub in_flight_max: usize,
    /// Subscriptions at once.
    pub subscriptions_max: usize,
    /// Calls whose context is remembered for their retries.
    pub retries_max: usize,
    /// How long Kinesis may take to begin its answer.
    pub answer_timeout: Duration,
}

/// What the data plane shares with the observer and the control plane.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Whose iterator it is.
    pub iterators: Iterators,
    /// Each stream's own record limit.
    pub record_limits: RecordLimits,
    /// Each stream's hash ranges.
    pub ranges: ShardRanges,
    /// Records that failed inside a 200.
    pub refused: Arc<RefusedRecords>,
    /// Whose child our spans are, and whether they are recorded.
    pub deciding: Arc<Deciding>,
    /// What of an event our spans may tell.
    pub disclosed: Disclosed,
    /// Makes numbers of partition keys.
    pub keys: RandomState,
    /// Both clocks.
    pub clock: Clock,
    /// Where finished spans go.
    pub spans: SpanSink,
}

/// The data plane.
#[derive(Debug)]
pub struct Proxy {
    config: Config,
    policy: ArcSwap<Policy>,
    upstream: Upstream,
    load: Load,
    observer: ObserverSink,
    events: StreamSink,
    processed: ProcessedSink,
    iterators: Iterators,
    record_limits: RecordLimits,
    calls: Arc<Calls>,
    refused: Arc<RefusedRecords>,
    deciding: Arc<Deciding>,
    keys: RandomState,
    spans: SpanSink,
    metrics: Metrics,
    clock: Clock,
    /// What this process writes into `Via`, by which it knows its own requests again.
    via: String,
    /// The same as it is sent.
    via_header: Option<HeaderValue>,
}

impl Proxy {
    /// Wires the data plane.
    #[must_use]
    pub fn new(
        (config, policy): (Config, Policy),
        client: Client,
        credentials: Credentials,
        (observer, events, processed): (ObserverSink, StreamSink, ProcessedSink),
        shared: Shared,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        let upstream = Upstream::new(
            client,
            credentials,
            (config.endpoint.as_ref(), config.settings),
            config.answer_timeout,
            clock.clone(),
            metrics.clone(),
        );
        let (load, calls) = (Load::new(&config), Arc::new(Calls::new(config.retries_max)));
        let name = hex_simd::encode_to_string(entropy::bytes::<4>(), AsciiCase::Lower);
        let via = format!("kinescope-{name}");
        let via_header = HeaderValue::try_from(format!("1.1 {via}")).ok();
        let Shared {
            iterators, record_limits, refused, deciding, disclosed: _, keys, spans, ..
        } = shared;
        Self {
            config,
            policy: ArcSwap::from_pointee(policy),
            upstream,
            load,
            observer,
            events,
            processed,
            iterators,
            record_limits,
            calls,
            refused,
            deciding,
            keys,
            spans,
            metrics,
            clock,
            via,
            via_header,
        }
    }

    /// Puts another policy in force for every request that comes from now on.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// Answers one request of `peer`'s that came in where `app` listens.
    pub async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        app: Option<ConsumerName>,
    ) -> Response<Body> {
        let started = self.clock.now();
        let (mut parts, body) = request.into_parts();
        if let Some((call, named)) = envelope_api::asked(parts.uri.path()) {
            // Of these calls only: an extension costs each request an allocation.
            parts.extensions.insert(peer);
            let answer = self.envelope(call, parts, body, named.or(app), &self.processed);
            return Box::pin(answer).await;
        }
        let form = reply::form_of(&parts.headers);
        let admitted = match self.admit(&parts) {
            Ok(admitted) => Admitted { app: admitted.app.or(app), ..admitted },
            Err(fault) => return self.refuse("refused", form, fault),
        };
        match self.forward(&admitted, parts.headers, body, started).await {
            Ok(answer) => answer,
            Err(fault) => self.refuse(admitted.operation.as_str(), form, fault),
        }
    }

    fn admit(&self, parts: &http::request::Parts) -> Result<Admitted, Fault> {
        let ours = if self.upstream.is_fixed() { None } else { self.upstream.credentials() };
        let policy = self.policy.load();
        let door = Door {
            any_host: self.config.any_host,
            allow: &policy.allow,
            our_key: ours.as_ref().map(|keys| keys.access_key_id()),
            via: &self.via,
        };
        admit(parts, &door)
    }

    /// The straight line of every request: read, understand, send, pass the answer on.
    async fn forward(
        self: &Arc<Self>,
        admitted: &Admitted,
        headers: HeaderMap,
        body: Incoming,
        started: Moment,
    ) -> Result<Response<Body>, Fault> {
        let (body, room) = self.load.read(body).await?;
        let Prepared { mut outgoing, facts, subscription, address } =
            self.prepare(admitted, headers, body, started).await?;
        let target = self.upstream.target(admitted.operation, &admitted.region, &address)?;
        strip_connection(&mut outgoing.headers);
        if let Some(via) = &self.via_header {
            outgoing.headers.append(&header::VIA, via.clone());
        }
        let consumer = admitted.app.clone().unwrap_or_else(|| self.config.consumer.clone());
        let exchange = facts.map(|facts| {
            Box::new(Exchange {
                operation: admitted.operation,
                consumer: consumer.clone(),
                server: target.server.clone(),
                started,
                ended: started,
                facts,
                resent: None,
                answer: Answer::Fault(Fault::UpstreamReset),
            })
        });
        let route = Route { operation: admitted.operation, form: outgoing.form, exchange };
        let subscription = match subscription {
            Some(asked) => {
                let room = self.load.subscription()?;
                Some((asked.begin(consumer, &target.server, started), room))
            }
            None => None,
        };
        let sent = self.clock.after(started);
        let answer = self.upstream.send(&target, outgoing, sent).await;
        drop(room);
        let answered = self.clock.after(sent);
        self.measure(admitted.operation, sent.since(started), answered.since(sent));
        match answer {
            Ok(sent) => self.pass_on(route.resent(sent.resent), sent.answer, subscription).await,
            Err(fault) => {
                if let Some(mut exchange) = route.exchange {
                    (exchange.ended, exchange.answer) = (answered, Answer::Fault(fault));
                    self.observer.offer(exchange);
                }
                Err(fault)
            }
        }
    }

    fn measure(&self, operation: Operation, overhead: Duration, upstream: Duration) {
        self.metrics.overhead_of(operation, overhead);
        // A long poll waits on purpose: its duration says nothing of Kinesis.
        if !operation.is_long_poll() {
            self.metrics.upstream_of(operation, upstream);
        }
    }
}
