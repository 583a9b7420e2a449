//! Owns `/envelope/v1/inject`, `/extract` and `/processed` of the data plane: who may call, by which
//! policy context is added, what a report becomes. Refuses everyone but programs of this machine:
//! whoever calls needs no signature here.

mod metrics;
mod processed;
mod report;

pub use metrics::EventMetrics;
pub use processed::{Processed, ProcessedQueue, ProcessedSink, processed_queue};
pub use report::{LINE_FIELDS, Reports};

use super::admit::{application, host, is_loopback};
use super::policy::{Propagate, Treatment};
use super::retries::Context;
use super::{Body, Proxy};
use crate::domain::envelope::{self, Insertion, examine};
use crate::domain::stream::{ConsumerName, StreamName};
use crate::domain::time::Moment;
use crate::io::entropy;
use crate::wire::envelope_api::{self as api, BadField, Verdict};
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::form::WireForm;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Bodies up to this are worked on where they were read: 0.1 ms at most.
const INLINE_BYTES_MAX: usize = 128 << 10;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// What became of an envelope.
const VERDICT: HeaderName = HeaderName::from_static("x-kinescope-verdict");

/// The three calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Inject,
    Extract,
    Processed,
}

impl Call {
    /// The metric label `operation`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Inject => "EnvelopeInject",
            Self::Extract => "EnvelopeExtract",
            Self::Processed => "EnvelopeProcessed",
        }
    }
}

/// Which call a path asks for, and the application's name out of `/app/NAME/envelope/v1/…`.
pub(super) fn asked(path: &str) -> Option<(Call, Option<ConsumerName>)> {
    // Nearly every request's, and then the search need not begin.
    let (before, call) = (path != "/").then(|| path.split_once("/envelope/v1/"))??;
    let call = match call {
        "inject" => Call::Inject,
        "extract" => Call::Extract,
        "processed" => Call::Processed,
        _ => return None,
    };
    Some((call, application(before)?))
}

/// Programs of this machine pass, in the pod or beside us; pages and other machines do not. The peer
/// is the request's extension; without it only a listener on loopback proves where a call is from.
fn admit(parts: &Parts, any_host: bool) -> Result<(), Fault> {
    if parts.headers.contains_key(header::ORIGIN) {
        return Err(Fault::BrowserRefused);
    }
    if parts.method != Method::POST {
        return Err(Fault::NotFound);
    }
    let peer = parts.extensions.get::<SocketAddr>();
    let near = peer.map_or(!any_host, |peer| peer.ip().to_canonical().is_loopback());
    if near && host(parts).is_some_and(is_loopback) { Ok(()) } else { Err(Fault::ForeignHost) }
}

impl Proxy {
    /// Answers one of the calls.
    pub(super) async fn envelope(
        self: &Arc<Self>,
        call: Call,
        parts: Parts,
        body: Incoming,
        consumer: Option<ConsumerName>,
        sink: &ProcessedSink,
    ) -> Response<Body> {
        let answered = async {
            admit(&parts, self.config.any_host)?;
            let (body, _room) = self.load.read(body).await?;
            let now = self.clock.now();
            let consumer = consumer.unwrap_or_else(|| self.config.consumer.clone());
            let (this, sink, bytes) = (Arc::clone(self), sink.clone(), body.len());
            let work = move || this.envelope_answer(call, &parts, &body, consumer, &sink, now);
            let work = move || catch_unwind(AssertUnwindSafe(work));
            let ended = if bytes <= INLINE_BYTES_MAX {
                work()
            } else {
                // Only a stopping runtime ends it.
                tokio::task::spawn_blocking(work).await.map_err(|_| Fault::Overloaded)?
            };
            ended.unwrap_or_else(|_| {
                tracing::error!(call = call.as_str(), "our own bug: a call is refused");
                Err(Fault::Overloaded)
            })
        };
        match answered.await {
            Ok(answer) => {
                let outcome = if answer.status().is_success() { "ok" } else { "client_error" };
                self.metrics.requests.with_label_values(&[call.as_str(), outcome]).inc();
                answer
            }
            Err(fault) => self.refuse(call.as_str(), WireForm::Json, fault),
        }
    }

    fn envelope_answer(
        &self,
        call: Call,
        parts: &Parts,
        body: &Bytes,
        consumer: ConsumerName,
        sink: &ProcessedSink,
        now: Moment,
    ) -> Result<Response<Body>, Fault> {
        match call {
            Call::Inject => {
                let rules = self.rules(parts)?;
                let parent = self.deciding.parent(&parts.headers);
                let context = parent.map_or_else(
                    || self.deciding.child(None, 1, now),
                    |parent| (parent.context, parent.state),
                );
                Ok(inject(&rules, &parts.headers, context, body, entropy::chance()))
            }
            Call::Extract => Ok(json(StatusCode::OK, api::extract(body).json())),
            Call::Processed => match api::report(body) {
                Ok(report) => {
                    let parent = self.deciding.parent(&parts.headers);
                    let (own, _) = self.deciding.child(parent.as_ref(), 1, now);
                    let parent = parent.map(|parent| (parent.context, parent.state));
                    let processed = Processed::new(report, consumer, parent, own, now);
                    let answer = processed.answer();
                    sink.offer(processed).then_some(()).ok_or(Fault::Overloaded)?;
                    Ok(json(StatusCode::ACCEPTED, answer))
                }
                Err(bad) => Ok(refused(&bad)),
            },
        }
    }

    /// What may be done to an envelope: by the stream that it is meant for, where the call names it
    /// (`?stream=NAME`), else what is done to any.
    fn rules(&self, parts: &Parts) -> Result<Rules, Fault> {
        let policy = self.policy.load();
        let Some(stream) = stream(parts.uri.query()) else {
            let propagate = if policy.propagation { Propagate::Inject } else { Propagate::Off };
            let treatment = Treatment { propagate, ..Treatment::default() };
            return Ok(Rules { treatment, record_bytes_max: api::RECORD_BYTES_MAX });
        };
        policy.allow.stream(Some(&stream))?;
        let treatment = policy.of(Some(&stream));
        let record_bytes_max = self.record_bytes_max(Some(&stream), treatment);
        Ok(Rules { treatment, record_bytes_max })
    }
}

/// What may be done to an envelope.
struct Rules {
    treatment: Treatment,
    record_bytes_max: usize,
}

/// The stream that a call names: `stream=` in the query, a name or an ARN.
fn stream(query: Option<&str>) -> Option<StreamName> {
    let named = |pair: &str| Some(pair.strip_prefix("stream=")?.to_owned());
    let text = query?.split('&').find_map(named).filter(|name| !name.is_empty())?;
    let text = percent_decode_str(&text).decode_utf8_lossy();
    Some(StreamName::from_arn(&text).unwrap_or_else(|| StreamName::from(&*text)))
}

/// The envelope with the caller's context, or a new root's, in it; or as it came. `chance` chooses
/// between the envelopes of a stream that are injected and those that are only looked at.
fn inject(
    rules: &Rules,
    headers: &HeaderMap,
    (context, state): Context,
    body: &Bytes,
    chance: f64,
) -> Response<Body> {
    let Treatment { propagate, aggregated, .. } = rules.treatment;
    let injected = match propagate {
        Propagate::Inject if rules.treatment.chooses(|| chance) => {
            let insertion = Insertion::new(&context, &state);
            api::inject(body, &insertion, aggregated, rules.record_bytes_max)
                .map_err(|verdict| verdict.as_str())
        }
        Propagate::Inject | Propagate::Observe => Err(observed(body)),
        Propagate::Off => Err("off"),
    };
    let (body, verdict) = match injected {
        Ok(injected) => (injected.into(), Verdict::Injected.as_str()),
        Err(verdict) => (body.clone(), verdict),
    };
    let carried = envelope::extract(&body);
    let mut answer = Response::new(Body::Own(Full::new(body)));
    let given = headers.get(header::CONTENT_TYPE).cloned();
    let kind = given.unwrap_or_else(|| HeaderValue::from_static("application/json"));
    let answered = answer.headers_mut();
    answered.insert(header::CONTENT_TYPE, kind);
    answered.insert(VERDICT, HeaderValue::from_static(verdict));
    if let Some((context, state)) = carried {
        let state = state.as_str().map(HeaderValue::from_str);
        answered.extend(HeaderValue::from_bytes(&context.text()).map(|it| (TRACEPARENT, it)));
        answered.extend(state.and_then(Result::ok).map(|state| (TRACESTATE, state)));
    }
    answer
}

/// The verdict on an envelope that is only looked at.
fn observed(body: &[u8]) -> &'static str {
    let places = examine(body).places;
    places.map_or_else(Verdict::Left, |_| Verdict::Observed).as_str()
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut answer = Response::new(Body::Own(Full::new(body.into())));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// A 400 that names the field.
fn refused(bad: &BadField) -> Response<Body> {
    let mut answer = json(StatusCode::BAD_REQUEST, bad.json());
    let headers = answer.headers_mut();
    headers.insert("x-kinescope-error", HeaderValue::from_static("bad_field"));
    headers.insert("x-amzn-errortype", HeaderValue::from_static("ValidationException"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::trace::{TraceContext, TraceState};
    use http_body_util::BodyExt;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    #[test]
    fn paths() {
        let check = |path: &str, expected: Option<(Call, Option<&str>)>| {
            let seen = asked(path);
            let seen = seen.as_ref().map(|(call, app)| (*call, app.as_ref().map(|it| it.as_str())));
            assert_eq!(seen, expected, "{path}");
        };
        check("/envelope/v1/inject", Some((Call::Inject, None)));
        check("/app/mail/envelope/v1/extract", Some((Call::Extract, Some("mail"))));
        check("/app/mail/envelope/v1/processed", Some((Call::Processed, Some("mail"))));
        check("/app/a/b/envelope/v1/inject", None);
        check("/envelope/v1/inject/", None);
        check("/envelope/v2/inject", None);
        check("/", None);
    }

    #[test]
    fn who_may_call() {
        let check = |host: &str,
                     more: Option<(&str, &str)>,
                     peer: Option<&str>,
                     any_host,
                     expected| {
            let mut request = http::Request::post("/envelope/v1/inject").header("host", host);
            if let Some((name, value)) = more {
                request = request.header(name, value);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.extensions.extend(peer_of(peer));
            assert_eq!(admit(&parts, any_host), expected, "{host} {more:?} {peer:?} {any_host}");
        };
        let (here, far) = (Some("127.0.0.1:9"), Some("10.0.0.7:9"));
        check("127.0.0.1:4590", None, None, false, Ok(()));
        check("[::1]:4590", None, here, false, Ok(()));
        check("localhost:4590", None, here, true, Ok(()));
        check("localhost", None, Some("[::ffff:127.0.0.1]:9"), true, Ok(()));
        // A listener beyond loopback, and nobody says who calls.
        check("localhost:4590", None, None, true, Err(Fault::ForeignHost));
        check("localhost:4590", None, far, true, Err(Fault::ForeignHost));
        check("evil.example:4590", None, here, true, Err(Fault::ForeignHost));
        let page = Some(("origin", "http://localhost"));
        check("localhost", page, here, false, Err(Fault::BrowserRefused));
    }

    fn peer_of(peer: Option<&str>) -> http::Extensions {
        let mut extensions = http::Extensions::new();
        if let Some(peer) = peer {
            extensions.insert::<SocketAddr>(peer.parse().unwrap());
        }
        extensions
    }

    #[test]
    fn streams_that_are_named() {
        let check = |query: &str, expected: Option<&str>| {
            assert_eq!(stream(Some(query)).as_ref().map(StreamName::as_str), expected, "{query}");
        };
        check("stream=orders", Some("orders"));
        check("a=1&stream=arn%3Aaws%3Akinesis%3Aeu-west-1%3A1%3Astream%2Forders", Some("orders"));
        check("stream=", None);
        check("streams=orders", None);
    }

    #[tokio::test]
    async fn envelopes_by_the_stream_s_policy() {
        let check = async |propagate, percent, limit, body: &str, verdict: &str| {
            let treatment = Treatment { propagate, percent, ..Treatment::default() };
            let rules = Rules { treatment, record_bytes_max: limit };
            let parent = TraceContext::parse(PARENT.as_bytes()).unwrap();
            let context = (parent, TraceState::parse("a=1"));
            let headers = HeaderMap::new();
            let bytes = Bytes::copy_from_slice(body.as_bytes());
            let answer = inject(&rules, &headers, context, &bytes, 0.5);
            assert_eq!(answer.headers()[VERDICT], verdict);
            let injected = verdict == "injected";
            assert_eq!(answer.headers().get(TRACEPARENT).is_some_and(|it| it == PARENT), injected);
            assert_eq!(answer.headers().get(TRACESTATE).is_some_and(|it| it == "a=1"), injected);
            let out = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(out != body, injected, "{verdict}");
            assert_eq!(*envelope::unsplice(&out), *body.as_bytes());
        };
        let all = usize::MAX;
        check(Propagate::Inject, 100, all, "{\"a\":1}", "injected").await;
        check(Propagate::Inject, 51, all, "{\"a\":1}", "injected").await;
        check(Propagate::Inject, 50, all, "{\"a\":1}", "observed").await;
        check(Propagate::Inject, 100, 80, "{\"a\":1}", "record_too_large").await;
        check(Propagate::Observe, 100, all, "{\"a\":1}", "observed").await;
        check(Propagate::Observe, 100, all, "[1]", "not_object").await;
        check(Propagate::Off, 100, all, "{\"a\":1}", "off").await;
    }
}
