//! Owns the data plane: one request from start to end. Refuses to wait for the observer, to change
//! what it does not understand, and to send anything twice.

mod admit;
mod exchange;
mod iterators;
mod load;
mod metrics;
mod observe;
mod put;
mod spans;
mod stream;
mod subscriptions;
mod tee;
mod upstream;

pub use exchange::{Exchange, ObserverSink};
pub use metrics::Metrics;
pub use observe::Observer;
pub use tee::Body;

use crate::domain::alert::glob;
use crate::domain::stream::{ConsumerName, StreamName};
use crate::domain::time::Moment;
use crate::io::clock::Clock;
use crate::io::credentials::Credentials;
use crate::io::entropy;
use crate::io::http::client::HttpsClient;
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::operation::Operation;
use crate::wire::kinesis::read;
use crate::wire::sigv4::BodyHash;
use admit::{Admitted, admit, text};
use bytes::Bytes;
use exchange::{Answer, Facts};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use load::Load;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tee::Tee;
use upstream::Upstream;

/// Bodies up to this are spliced and hashed where they were read: 0.1 ms at most.
const INLINE_BYTES_MAX: usize = 128 << 10;

/// What is done to the records of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagate {
    /// Context is added.
    Inject,
    /// Records are looked at, never changed.
    Observe,
    /// Records are not looked at.
    Off,
}

/// What the data plane needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The `consumer` of requests that name no application.
    pub consumer: ConsumerName,
    /// The kill switch: false changes no byte of any stream.
    pub propagation: bool,
    /// Glob on the stream's name, first match wins; without a match, inject.
    pub streams: Vec<(String, Propagate)>,
    /// In place of Kinesis' own host.
    pub endpoint: Option<Uri>,
    /// Whether the configuration opened a listener beyond loopback.
    pub any_host: bool,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Bytes of request bodies in memory at once.
    pub buffered_bytes_max: usize,
    /// Requests in flight at once.
    pub in_flight_max: usize,
    /// How long Kinesis may take to begin its answer.
    pub answer_timeout: Duration,
}

/// The data plane.
#[derive(Debug)]
pub struct Proxy {
    config: Config,
    upstream: Upstream,
    load: Load,
    observer: ObserverSink,
    metrics: Metrics,
    clock: Clock,
}

impl Proxy {
    /// Wires the data plane.
    #[must_use]
    pub fn new(
        config: Config,
        client: HttpsClient,
        credentials: Credentials,
        observer: ObserverSink,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        let endpoint = config.endpoint.as_ref();
        let upstream = Upstream::new(client, credentials, endpoint, config.answer_timeout);
        let load =
            Load::new(config.in_flight_max, config.buffered_bytes_max, config.body_bytes_max);
        Self { config, upstream, load, observer, metrics, clock }
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let started = self.clock.now();
        let (parts, body) = request.into_parts();
        let admitted = match admit(&parts, self.config.any_host) {
            Ok(admitted) => admitted,
            Err(fault) => return self.refuse("refused", fault),
        };
        match self.forward(&admitted, parts.headers, body, started).await {
            Ok(answer) => answer,
            Err(fault) => self.refuse(admitted.operation.as_str(), fault),
        }
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
        let (headers, body, hash, facts) = self.prepare(admitted.operation, headers, body).await;
        let target = self.upstream.target(&admitted.region).await?;
        let exchange = facts.map(|facts| Exchange {
            operation: admitted.operation,
            consumer: admitted.app.clone().unwrap_or_else(|| self.config.consumer.clone()),
            server: target.server.clone(),
            started,
            ended: started,
            facts,
            answer: Answer::Fault(Fault::UpstreamReset),
        });
        let sent = self.clock.now();
        let now = || self.clock.now().wall;
        let sending = self.upstream.send(&target, &admitted.region, headers, (body, hash), now);
        let answer = sending.await;
        drop(room);
        let answered = self.clock.now();
        self.measure(admitted.operation, sent.since(started), answered.since(sent));
        match answer {
            Ok(answer) => Ok(self.pass_on(admitted.operation, answer, exchange)),
            Err(fault) => {
                if let Some(exchange) = exchange {
                    self.observer.offer(Exchange {
                        ended: answered,
                        answer: Answer::Fault(fault),
                        ..exchange
                    });
                }
                Err(fault)
            }
        }
    }

    /// The splice and the hash of a body. Those of a large one take milliseconds, which the other
    /// requests of this thread would wait for: they are worked out on another.
    async fn prepare(
        self: &Arc<Self>,
        operation: Operation,
        headers: HeaderMap,
        body: Bytes,
    ) -> (HeaderMap, Bytes, BodyHash, Option<Facts>) {
        if body.len() <= INLINE_BYTES_MAX {
            let (body, facts) = self.understand(operation, &headers, body);
            let hash = BodyHash::of(&body);
            return (headers, body, hash, facts);
        }
        let (this, original, kept) = (Arc::clone(self), body.clone(), headers.clone());
        let work = tokio::task::spawn_blocking(move || {
            let (body, facts) = this.understand(operation, &headers, body);
            let hash = BodyHash::of(&body);
            (headers, body, hash, facts)
        });
        work.await.unwrap_or_else(|_| {
            let hash = BodyHash::of(&original);
            (kept, original, hash, None)
        })
    }

    /// As [`Self::read_body`]; a panic of ours leaves the bytes as they came, and is counted.
    fn understand(
        &self,
        operation: Operation,
        headers: &HeaderMap,
        body: Bytes,
    ) -> (Bytes, Option<Facts>) {
        let original = body.clone();
        let work = AssertUnwindSafe(|| self.read_body(operation, headers, body));
        catch_unwind(work).unwrap_or_else(|_| {
            tracing::error!(
                operation = operation.as_str(),
                "our own bug: a body goes out as it came"
            );
            self.metrics.records.with_label_values(&["unknown", "put", "panicked"]).inc();
            (original, None)
        })
    }

    /// The body to send, and what we understood of it; nothing where there is nothing to observe.
    fn read_body(
        &self,
        operation: Operation,
        headers: &HeaderMap,
        body: Bytes,
    ) -> (Bytes, Option<Facts>) {
        let facts = match operation {
            Operation::PutRecord | Operation::PutRecords => {
                let (body, facts) = put::prepare(self, headers, body);
                return (body, facts.map(Facts::Put));
            }
            Operation::GetRecords => read::records_request(WireForm::Json, &body)
                .filter(|request| !request.dry_run)
                .map(|request| Facts::Read {
                    iterator: request.iterator,
                    stream: request.stream,
                    parent: put::request_parent(headers),
                }),
            Operation::GetShardIterator => read::iterator_request(WireForm::Json, &body)
                .filter(|request| !request.dry_run)
                .and_then(|request| {
                    Some(Facts::Iterator { stream: request.stream?, shard: request.shard })
                }),
            Operation::SubscribeToShard
            | Operation::ReceiveQueueRecords
            | Operation::ReceiveDeadLetterQueueRecords
            | Operation::Known(_)
            | Operation::Other => None,
        };
        (body, facts)
    }

    /// Kinesis' answer to the client, frame by frame, with a copy for the observer.
    fn pass_on(
        &self,
        operation: Operation,
        answer: Response<Incoming>,
        exchange: Option<Exchange>,
    ) -> Response<Body> {
        let (mut parts, body) = answer.into_parts();
        let status = parts.status;
        let outcome = match status.as_u16() {
            200..=299 => "ok",
            400..=499 => "client_error",
            _ => "server_error",
        };
        self.metrics.requests.with_label_values(&[operation.as_str(), outcome]).inc();
        let hop = [
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::TE,
            header::TRAILER,
            header::UPGRADE,
        ];
        hop.iter().for_each(|name| drop(parts.headers.remove(name)));
        parts.headers.remove("keep-alive");
        let body = match exchange {
            Some(exchange) => {
                let request_id = text(&parts.headers, "x-amzn-requestid").map(str::to_owned);
                let answer = (status.as_u16(), request_id);
                Body::Copied(Box::new(Tee::new(
                    body,
                    exchange,
                    answer,
                    self.observer.clone(),
                    self.clock.clone(),
                )))
            }
            None => Body::Passed(body),
        };
        parts.version = http::Version::default();
        Response::from_parts(parts, body)
    }

    /// Our own answer, in Kinesis' shape.
    fn refuse(&self, operation: &str, fault: Fault) -> Response<Body> {
        self.metrics.requests.with_label_values(&[operation, fault.reason()]).inc();
        let (status, kind, _) = fault.answer();
        let mut answer =
            Response::new(Body::Own(Full::new(Bytes::from(fault.body(WireForm::Json)))));
        *answer.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let headers = answer.headers_mut();
        headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-kinescope-error", HeaderValue::from_static(fault.reason()));
        headers.insert("x-amzn-errortype", HeaderValue::from_static(kind));
        if let Ok(id) = HeaderValue::from_str(&request_id()) {
            headers.insert("x-amzn-requestid", id);
        }
        answer
    }

    fn measure(&self, operation: Operation, overhead: Duration, upstream: Duration) {
        let operation = [operation.as_str()];
        self.metrics.overhead.with_label_values(&operation).observe(overhead.as_secs_f64());
        self.metrics.upstream.with_label_values(&operation).observe(upstream.as_secs_f64());
    }

    /// What is done to a stream's records.
    fn propagate(&self, stream: Option<&StreamName>) -> Propagate {
        if !self.config.propagation {
            return Propagate::Off;
        }
        let Some(stream) = stream else { return Propagate::Observe };
        let rule =
            self.config.streams.iter().find(|(pattern, _)| glob::matches(pattern, stream.as_str()));
        rule.map_or(Propagate::Inject, |(_, propagate)| *propagate)
    }
}

/// A request id of ours, in the form of AWS' (a version 4 UUID).
fn request_id() -> String {
    let mut bytes = entropy::bytes::<16>();
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
