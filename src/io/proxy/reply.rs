//! Owns the way back to the client: Kinesis' answer frame by frame with a copy for the observer,
//! stripped where the policy wants it, and the answers that are our own. Refuses to hold back an
//! answer that nobody asked us to change.

use super::admit::text;
use super::exchange::{AnswerHead, Exchange, Facts};
use super::policy::Deliver;
use super::stream::{EventStream, Subscription};
use super::tee::Tee;
use super::upstream::{Reply, Resent};
use super::{Body, Proxy, names};
use crate::io::entropy;
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::operation::Operation;
use crate::wire::kinesis::{read, strip};
use bytes::Bytes;
use hex_simd::AsciiCase;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

/// Most bytes of an answer that is stripped: ten thousand records of 10 MiB in base64, with room.
/// The protocol allows no more.
const STRIP_BYTES_MAX: usize = 24 << 20;

/// What an answer's way depends on.
#[derive(Debug)]
pub(super) struct Route {
    pub operation: Operation,
    /// The form that the client speaks.
    pub form: WireForm,
    /// Lacks its end and its answer; none where there is nothing to observe.
    pub exchange: Option<Box<Exchange>>,
}

impl Route {
    /// Notes that this is the answer to a second try.
    pub(super) fn resent(mut self, resent: Option<Resent>) -> Self {
        if let (Some(resent), Some(exchange)) = (resent, &mut self.exchange) {
            exchange.resent = Some(resent);
            if let (Resent::Original, Facts::Put(put)) = (resent, &mut exchange.facts) {
                put.take_back();
            }
        }
        self
    }
}

impl Proxy {
    /// Kinesis' answer to the client.
    pub(super) async fn pass_on(
        &self,
        route: Route,
        answer: Response<Reply>,
        subscription: Option<(Subscription, OwnedSemaphorePermit)>,
    ) -> Result<Response<Body>, Fault> {
        let (mut parts, reply) = answer.into_parts();
        let status = parts.status;
        strip_hop(&mut parts.headers);
        parts.version = http::Version::default();
        let head = AnswerHead {
            status: status.as_u16(),
            form: text(&parts.headers, &header::CONTENT_TYPE)
                .and_then(WireForm::of)
                .unwrap_or(route.form),
            request_id: text(&parts.headers, &names::AMZN_REQUEST_ID).map(str::to_owned),
        };
        let body = match reply {
            Reply::Streaming(body) => match subscription {
                Some(subscription) if status == StatusCode::OK => {
                    self.events_on(&mut parts.headers, body, subscription, head.request_id)
                }
                _ => self.body_on(&mut parts.headers, body, route.exchange, head).await?,
            },
            Reply::Read(body) => self.whole(route.exchange, head, body.clone(), body),
        };
        match status.as_u16() {
            200..=299 => self.metrics.request_ok(route.operation),
            400..=499 => self.metrics.request(route.operation.as_str(), "client_error"),
            _ => self.metrics.request(route.operation.as_str(), "server_error"),
        }
        Ok(Response::from_parts(parts, body))
    }

    fn events_on(
        &self,
        headers: &mut HeaderMap,
        body: Incoming,
        (subscription, room): (Subscription, OwnedSemaphorePermit),
        request_id: Option<String>,
    ) -> Body {
        let strips = self.policy.load().of(subscription.stream.as_ref()).deliver == Deliver::Strip;
        if strips {
            headers.remove(header::CONTENT_LENGTH);
        }
        let subscription = Subscription { request_id, ..subscription };
        let (sink, clock) = (self.events.clone(), self.clock.clone());
        let stream = EventStream::new(body, subscription, sink, clock, room);
        Body::Events(Box::new(if strips { stream.stripped() } else { stream }))
    }

    /// A body of known end: passed on as it comes, or read whole where it has to be changed or
    /// where the client must not be faster than our memory.
    async fn body_on(
        &self,
        headers: &mut HeaderMap,
        body: Incoming,
        exchange: Option<Box<Exchange>>,
        head: AnswerHead,
    ) -> Result<Body, Fault> {
        let Some(exchange) = exchange else { return Ok(Body::Passed(body)) };
        let wants_strip = head.status == 200 && self.wants_strip(&exchange.facts);
        let learns = head.status == 200
            && matches!(exchange.facts, Facts::Iterator { .. })
            && self.policy.load().strips();
        let mut room = None;
        if wants_strip || learns {
            room = self.load.answer_room(STRIP_BYTES_MAX).await;
            if room.is_none() {
                self.metrics.dropped.with_label_values(&["strip", "full"]).inc();
            }
        }
        let Some(_room) = room else {
            let (sink, clock) = (self.observer.clone(), self.clock.clone());
            return Ok(Body::Copied(Box::new(Tee::new(body, exchange, head, sink, clock))));
        };
        let original = Limited::new(body, STRIP_BYTES_MAX).collect().await;
        let original = original.map_err(|_| Fault::UpstreamReset)?.to_bytes();
        let mut delivered = None;
        if wants_strip {
            let next;
            (delivered, next) = stripped(head.form, &original).await;
            if let (Facts::Read { iterator, .. }, Some(next)) = (&exchange.facts, next) {
                self.iterators.follow(iterator, &next, self.clock.now());
            }
        }
        if let Facts::Iterator { stream, shard } = &exchange.facts
            && let Some(iterator) = read::iterator_answer(head.form, &original)
        {
            let (stream, shard) = (stream.clone(), shard.clone());
            self.iterators.begin(&iterator, stream, shard, self.clock.now());
        }
        if delivered.is_some() {
            headers.remove(header::CONTENT_LENGTH);
            headers.remove("x-amz-crc32");
        }
        Ok(self.whole(Some(exchange), head, original.clone(), delivered.unwrap_or(original)))
    }

    fn wants_strip(&self, facts: &Facts) -> bool {
        let policy = self.policy.load();
        let strips = |stream| policy.of(stream).deliver == Deliver::Strip;
        match facts {
            Facts::Read { iterator, stream, .. } => {
                let place = self.iterators.place(iterator);
                strips(place.map(|place| place.stream).or_else(|| stream.clone()).as_ref())
            }
            Facts::Queue { queue, .. } => strips(Some(queue)),
            Facts::Put(_) | Facts::Iterator { .. } => false,
        }
    }

    /// An answer that is there whole: `delivered` to the client, `original` to the observer.
    fn whole(
        &self,
        exchange: Option<Box<Exchange>>,
        head: AnswerHead,
        original: Bytes,
        delivered: Bytes,
    ) -> Body {
        if let Some(mut exchange) = exchange {
            let mut copy = self.observer.copy();
            copy.keep(&original, &self.observer);
            exchange.ended = self.clock.after(exchange.started);
            exchange.answer = copy.answer(head, true);
            self.observer.offer(exchange);
        }
        Body::Own(Full::new(delivered))
    }

    /// Our own answer, in Kinesis' shape.
    pub(super) fn refuse(&self, operation: &str, form: WireForm, fault: Fault) -> Response<Body> {
        self.metrics.request(operation, fault.reason());
        let (status, kind, _) = fault.answer();
        let mut answer = Response::new(Body::Own(Full::new(Bytes::from(fault.body(form)))));
        *answer.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
        headers.insert("x-kinescope-error", HeaderValue::from_static(fault.reason()));
        headers.insert("x-amzn-errortype", HeaderValue::from_static(kind));
        if let Ok(id) = HeaderValue::from_str(&request_id()) {
            headers.insert(&names::AMZN_REQUEST_ID, id);
        }
        answer
    }
}

/// The form of a request that may be of neither: our own answers are then in JSON.
pub(super) fn form_of(headers: &HeaderMap) -> WireForm {
    text(headers, &header::CONTENT_TYPE).and_then(WireForm::of).unwrap_or(WireForm::Json)
}

/// What the reader gets in place of an answer, and its next iterator, which the observer would learn
/// a moment later, when the client may have called again. Both on another thread: ten thousand
/// records take milliseconds.
async fn stripped(form: WireForm, original: &Bytes) -> (Option<Bytes>, Option<String>) {
    let body = original.clone();
    let work = move || {
        let next = read::records_answer(form, &body).and_then(|answer| answer.next);
        (strip::records(form, &body).map(|segments| segments.to_bytes()), next)
    };
    // A panic of ours leaves the bytes as they came.
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

fn strip_hop(headers: &mut HeaderMap) {
    let hop = [
        &header::CONNECTION,
        &header::TRANSFER_ENCODING,
        &header::TE,
        &header::TRAILER,
        &header::UPGRADE,
        &names::KEEP_ALIVE,
    ];
    // Most answers have none: comparing names is less than looking for each.
    let gone: Vec<HeaderName> = headers.keys().filter(|name| hop.contains(name)).cloned().collect();
    gone.iter().for_each(|name| drop(headers.remove(name)));
}

/// A request id of ours, in the form of AWS' (a version 4 UUID).
fn request_id() -> String {
    let mut bytes = entropy::bytes::<16>();
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let hex = hex_simd::encode_to_string(bytes, AsciiCase::Lower);
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
