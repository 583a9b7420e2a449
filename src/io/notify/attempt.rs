//! Owns one POST to one receiver and what its outcome means. Refuses to try again, and to name the
//! URL in what it says.

use crate::io::clock::Clock;
use crate::io::notify::ReceiverUrl;
use crate::io::notify::client::HttpsClient;
use crate::wire::notify::retry_after;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use std::error::Error;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// How much of an answer is read, only so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// How long that may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Why an attempt did not deliver.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// The file that holds the URL.
    #[error("the receiver's url_file can't be read")]
    UrlFile(#[source] io::Error),
    /// What the configuration or the file holds.
    #[error("the receiver's url is not an http or https url")]
    BadUrl {
        /// A file may hold a better one next time.
        from_file: bool,
    },
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Not connected, or cut off before an answer.
    #[error("no answer: {0}")]
    Connection(String),
    /// An answer that is not 2xx.
    #[error("answered {status}")]
    Status {
        /// The answer's status.
        status: StatusCode,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// Whether another attempt may go better. What was refused will be refused again.
    #[must_use]
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::UrlFile(_) | Self::Timeout(_) | Self::Connection(_) => true,
            Self::BadUrl { from_file } => *from_file,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
        }
    }

    /// How long the receiver asks to be left alone.
    #[must_use]
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::UrlFile(_) | Self::BadUrl { .. } | Self::Timeout(_) | Self::Connection(_) => None,
        }
    }
}

/// Posts `body` once; an answer 2xx is success, whatever it says.
///
/// # Errors
/// With why the receiver does not have it, as far as can be known: a connection that was cut may
/// have delivered, so the receiver may get it twice.
pub(super) async fn post(
    client: &HttpsClient,
    url: &ReceiverUrl,
    body: Bytes,
    attempt_max: Duration,
    clock: &Clock,
) -> Result<(), Failure> {
    let request = Request::post(read_url(url).await?)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("kinescope/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(body))
        .map_err(|_| Failure::BadUrl { from_file: matches!(url, ReceiverUrl::File(_)) })?;
    let answer = tokio::time::timeout(attempt_max, client.request(request))
        .await
        .map_err(|_| Failure::Timeout(attempt_max))?
        .map_err(|error| Failure::Connection(cause(&error)))?;
    let (status, retry_after) = (answer.status(), retry_after(&answer, clock));
    let rest = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    // The status has decided: a body that never ends must not make the receiver be told again.
    let _ = tokio::time::timeout(ANSWER_MAX, rest).await;
    if status.is_success() { Ok(()) } else { Err(Failure::Status { status, retry_after }) }
}

fn retry_after(answer: &Response<Incoming>, clock: &Clock) -> Option<Duration> {
    let value = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    retry_after::parse(value, clock.now().wall)
}

async fn read_url(url: &ReceiverUrl) -> Result<Uri, Failure> {
    match url {
        ReceiverUrl::Given(secret) => parse_url(secret.reveal(), false),
        ReceiverUrl::File(path) => {
            let text = tokio::fs::read_to_string(path).await.map_err(Failure::UrlFile)?;
            parse_url(text.trim(), true)
        }
    }
}

fn parse_url(text: &str, from_file: bool) -> Result<Uri, Failure> {
    let is_usable = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    text.parse().ok().filter(is_usable).ok_or(Failure::BadUrl { from_file })
}

/// What went wrong, without what the errors say of host and path.
fn cause(error: &legacy::Error) -> String {
    let unnamed = if error.is_connect() { "can't connect" } else { "connection broken" };
    named_cause(error).unwrap_or_else(|| unnamed.to_owned())
}

/// The innermost error of a kind that can be named.
fn named_cause(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_cause(tls).to_owned());
    }
    let Some(io) = error.downcast_ref::<io::Error>() else {
        return error.source().and_then(named_cause);
    };
    // What an I/O error wraps is not its source.
    let wrapped = io.get_ref().and_then(|inner| named_cause(inner));
    wrapped.or_else(|| Some(io_cause(io.kind())))
}

/// A name that does not resolve has a kind without a name.
fn io_cause(kind: io::ErrorKind) -> String {
    match kind.to_string().as_str() {
        "uncategorized error" => "can't resolve or reach its host".to_owned(),
        named => named.to_owned(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum, and it grows")]
fn tls_cause(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "its certificate's issuer is not trusted"
        }
        rustls::Error::InvalidCertificate(_) => "its certificate is not valid",
        _ => "tls handshake failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_not_tried_again() {
        let check = |status, expected| {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = Failure::Status { status, retry_after: None };
            assert_eq!(failure.is_retryable(), expected, "{status}");
        };
        for status in [408, 429, 500, 502, 503, 504, 599] {
            check(status, true);
        }
        for status in [301, 302, 304, 307, 400, 401, 403, 404, 410, 413, 422] {
            check(status, false);
        }
    }

    #[test]
    fn urls_are_http() {
        let check = |text, expected| assert_eq!(parse_url(text, false).is_ok(), expected, "{text}");
        check("http://127.0.0.1:9/a?b=c", true);
        check("https://hooks.example/T0/B0", true);
        check("ftp://hooks.example/", false);
        check("hooks.example", false);
        check("/path", false);
        check("", false);
    }
}
