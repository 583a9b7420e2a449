//! Owns the HTTP side of the export: one pooled connection, our headers, our tries. It stands under
//! the OTLP exporter, where an encoded batch is bytes that cost nothing to send again, and where
//! status, `Retry-After` and partial success can be seen. Refuses redirects.
//! Source: the OTLP specification, "OTLP/HTTP response".

use super::config::Config;
use crate::io::clock::Clock;
use crate::io::entropy;
use ::http::HeaderMap;
use ::http::Request;
use ::http::Response;
use ::http::StatusCode;
use ::http::header::RETRY_AFTER;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use opentelemetry_http::HttpClient;
use opentelemetry_http::HttpError;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::error::Error;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::UNIX_EPOCH;

/// Tries a batch, the first among them.
pub(super) const TRIES_MAX: u32 = 4;
/// A batch may take so many times the timeout of one try, waits included.
pub(super) const TIMEOUTS_MAX: u32 = 3;
/// Bytes of an answer that are read; a partial success is a number and a sentence.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;
/// The longest wait that a collector may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What the last batch was answered, beside the exporter's own result, which is but a sentence.
#[derive(Debug, Default, Clone)]
pub(super) struct Answer {
    /// Spans that the collector took in and refused.
    pub(super) rejected: u64,
    /// How long the collector asked to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// Why no answer came.
    pub(super) cause: Option<String>,
}

/// The answer's place, shared by the client under the exporter and the exporter's owner.
#[derive(Debug, Default, Clone)]
pub(super) struct LastAnswer(Arc<Mutex<Answer>>);

impl LastAnswer {
    /// Takes the answer, leaving an empty one.
    pub(super) fn take(&self) -> Answer {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, answer: Answer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

/// The HTTP client under the exporter.
pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
    timeout: Duration,
    retry: crate::domain::backoff::Backoff,
    clock: Clock,
    last: LastAnswer,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the collector of `config`; connects when it is first used.
    ///
    /// # Errors
    /// When the address is https and the system has no root certificates.
    pub(super) fn new(config: &Config, clock: Clock, last: LastAnswer) -> std::io::Result<Self> {
        Ok(Self {
            pool: Pool::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(Duration::from_secs(60))
                .pool_max_idle_per_host(1)
                .build(connector(config.endpoint.https())?),
            headers: config.headers.clone(),
            timeout: config.timeout,
            retry: config.retry,
            clock,
            last,
        })
    }

    /// One request, its answer's body read up to a bound.
    async fn attempt(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let (parts, body) = self.pool.request(request).await?.into_parts();
            // The status has decided; a body that breaks or never ends only hides its details.
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            Ok(Response::from_parts(parts, body))
        };
        let deadline = self.clock.now().mono.saturating_add(self.timeout);
        tokio::select! {
            answer = exchange => answer,
            () = self.clock.sleep_until(deadline) => Err("no answer in time".into()),
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut parts, body) = request.into_parts();
        parts.headers.extend(self.headers.clone());
        let give_up_at = self.clock.now().mono + self.timeout.saturating_mul(TIMEOUTS_MAX);
        let mut tries = 0;
        loop {
            tries += 1;
            let request = Request::from_parts(parts.clone(), Full::new(body.clone()));
            let result = self.attempt(request).await;
            let (answer, again) = self.read(&result);
            let wait = self.retry.delay(tries, entropy::chance());
            let wait = wait.max(answer.retry_after.unwrap_or_default());
            let next_at = self.clock.now().mono.saturating_add(wait);
            if !again || tries >= TRIES_MAX || next_at >= give_up_at {
                self.last.set(answer);
                return result;
            }
            self.clock.sleep_until(next_at).await;
        }
    }
}

impl Client {
    /// What an attempt's result says, and whether another try may help.
    fn read(&self, result: &Result<Response<Bytes>, HttpError>) -> (Answer, bool) {
        match result {
            Err(error) => {
                let cause = Some(sentence(error.as_ref()));
                (Answer { cause, ..Answer::default() }, true)
            }
            Ok(response) if response.status().is_success() => {
                let rejected = rejected_spans(response.body());
                (Answer { rejected, ..Answer::default() }, false)
            }
            Ok(response) => {
                let now = self.clock.now().wall;
                let retry_after = response.headers().get(RETRY_AFTER);
                let retry_after = retry_after
                    .and_then(|value| value.to_str().ok())
                    .and_then(|text| read_retry_after(text, now));
                (Answer { retry_after, ..Answer::default() }, may_retry(response.status()))
            }
        }
    }
}

fn connector(https: bool) -> std::io::Result<HttpsConnector<HttpConnector>> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = if https {
        builder.with_provider_and_native_roots(provider)?
    } else {
        // Reading the system's roots costs memory that plain HTTP has no use for.
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(config)
    };
    Ok(builder.https_or_http().enable_http1().build())
}

/// The statuses that the specification calls retryable.
fn may_retry(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Seconds or an HTTP date, as a wait from `now`, bounded.
fn read_retry_after(text: &str, now: crate::domain::time::Wall) -> Option<Duration> {
    let wait = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
            date.saturating_sub(Duration::from_nanos(now.as_nanos()))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Spans that an answer says were refused; an answer that cannot be read refuses none.
fn rejected_spans(body: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(body).ok();
    let partial = answer.and_then(|answer| answer.partial_success);
    partial.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0))
}

/// An error with its causes, in one line.
fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;

    #[test]
    fn retry_after_in_both_forms() {
        let check = |text: &str, expected: Option<u64>| {
            let now = Wall::from_ms(784_111_770_000); // Sun, 06 Nov 1994 08:49:30 GMT
            assert_eq!(read_retry_after(text, now), expected.map(Duration::from_secs), "{text}");
        };
        check("7", Some(7));
        check(" 0 ", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(7));
        check("Sun, 06 Nov 1994 08:49:07 GMT", Some(0));
        check("99999999", Some(300));
        check("-1", None);
        check("soon", None);
    }

    #[test]
    fn retryable_statuses() {
        let check = |status, expected| {
            assert_eq!(may_retry(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        };
        for status in [429, 502, 503, 504] {
            check(status, true);
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            check(status, false);
        }
    }

    #[test]
    fn refused_spans_are_read_and_nonsense_refuses_none() {
        let check = |body: &[u8], expected| assert_eq!(rejected_spans(body), expected);
        check(&[], 0);
        check(&[0x0a, 2, 0x08, 3], 3);
        check(&[0xff; 4], 0);
        check(b"<html>", 0);
    }
}
