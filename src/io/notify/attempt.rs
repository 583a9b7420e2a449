//! Owns one POST to one receiver and what its outcome means. Refuses to try again, and to name an
//! address or a key in what it says.

use crate::io::clock::Clock;
use crate::io::notify::client::HttpsClient;
use crate::io::notify::message::Message;
use crate::io::notify::receiver::Kind;
use crate::wire::notify::signature::KeysFault;
use crate::wire::notify::{retry_after, slack, teams};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy;
use std::error::Error;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// How long that may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How much of it is quoted in the log.
const QUOTE_CHARS_MAX: usize = 200;

/// Why an attempt did not deliver.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// A file that holds an address or a key.
    #[error("a file of the receiver can't be read")]
    File(#[source] io::Error),
    /// What the file of keys holds.
    #[error("the receiver's secret_file {0}")]
    BadKeys(#[source] KeysFault),
    /// A key that no header can hold.
    #[error("the receiver's token_file holds no token")]
    BadHeader,
    /// What the configuration or the file holds.
    #[error("the receiver's url is not an http or https url")]
    BadUrl {
        /// A file may hold a better one next time.
        from_file: bool,
    },
    /// It said so before, with a 410.
    #[error("the receiver is gone; it is asked again after a reload of the configuration")]
    Gone,
    /// Our own bug: a notice without alerts.
    #[error("there is nothing to say")]
    NothingToSay,
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Not connected, or cut off before an answer.
    #[error("no answer: {0}")]
    Connection(String),
    /// An answer that is not 2xx.
    #[error("answered {status}{quote}")]
    Status {
        /// The answer's status.
        status: StatusCode,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
        /// The beginning of what it says, without secrets.
        quote: String,
    },
    /// An answer of success that says it is none.
    #[error("answered {status}, but did not take it{quote}")]
    NotTaken {
        /// The answer's status.
        status: StatusCode,
        /// Whether it was asked too often.
        throttled: bool,
        /// The beginning of what it says, without secrets.
        quote: String,
    },
}

impl Failure {
    /// Whether another attempt may go better. What was refused will be refused again.
    #[must_use]
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::File(_) | Self::BadKeys(_) | Self::BadHeader => true,
            Self::Timeout(_) | Self::Connection(_) => true,
            Self::BadUrl { from_file } => *from_file,
            Self::Gone | Self::NothingToSay => false,
            Self::NotTaken { throttled, .. } => *throttled,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
        }
    }

    /// Whether a part of what was sent may be what was refused.
    #[must_use]
    pub(super) fn may_be_partial(&self) -> bool {
        let partial = [
            StatusCode::BAD_REQUEST,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        self.status().is_some_and(|status| partial.contains(&status))
    }

    /// Whether nobody is there any more.
    #[must_use]
    pub(super) fn is_gone(&self) -> bool {
        self.status() == Some(StatusCode::GONE)
    }

    fn status(&self) -> Option<StatusCode> {
        self.answered().map(|(status, _)| status)
    }

    /// How long the receiver asks to be left alone.
    #[must_use]
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.answered()?.1
    }

    /// The refusal, where one was read: its status, and how long to wait.
    fn answered(&self) -> Option<(StatusCode, Option<Duration>)> {
        match self {
            Self::Status { status, retry_after, .. } => Some((*status, *retry_after)),
            Self::File(_)
            | Self::BadKeys(_)
            | Self::BadHeader
            | Self::BadUrl { .. }
            | Self::Gone
            | Self::NothingToSay
            | Self::Timeout(_)
            | Self::Connection(_)
            | Self::NotTaken { .. } => None,
        }
    }
}

/// Posts once; an answer 2xx is success, unless its kind of receiver says no by it.
///
/// # Errors
/// With why the receiver does not have it, as far as can be known: a connection that was cut may
/// have delivered, so the receiver may get it twice.
pub(super) async fn post(
    client: &HttpsClient,
    kind: &Kind,
    message: Message,
    attempt_max: Duration,
    clock: &Clock,
) -> Result<(), Failure> {
    let Message { request, secrets } = message;
    let answer = tokio::time::timeout(attempt_max, client.request(request))
        .await
        .map_err(|_| Failure::Timeout(attempt_max))?
        .map_err(|error| Failure::Connection(cause(&error)))?;
    let (head, body) = answer.into_parts();
    let rest = Limited::new(body, ANSWER_BYTES_MAX).collect();
    // The status decides, but for Slack: a body that never ends must not have others told again.
    let rest = tokio::time::timeout(ANSWER_MAX, rest).await;
    let said = rest.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
    let (status, quote) = (head.status, quote(&said, &secrets));
    if !status.is_success() {
        let retry_after = retry_after(&head.headers, clock);
        return Err(Failure::Status { status, retry_after, quote });
    }
    match refusal(kind, &said) {
        None => Ok(()),
        Some(throttled) => Err(Failure::NotTaken { status, throttled, quote }),
    }
}

/// Whether what an answer of success says is a no, and if so whether one to asking too often.
fn refusal(kind: &Kind, said: &Bytes) -> Option<bool> {
    match kind {
        Kind::Slack { .. } => (!slack::is_taken(said)).then_some(false),
        Kind::Teams { .. } => teams::is_throttled(said).then_some(true),
        Kind::Webhook { .. } | Kind::Alertmanager { .. } | Kind::PagerDuty { .. } => None,
    }
}

/// `: "the beginning"` of an answer, in one line and without what is secret of its request.
fn quote(said: &[u8], secrets: &[String]) -> String {
    let mut text = String::from_utf8_lossy(said).into_owned();
    for secret in secrets.iter().filter(|secret| secret.len() > 1) {
        text = text.replace(secret.as_str(), "[secret]");
    }
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line: String = words.join(" ").chars().take(QUOTE_CHARS_MAX).collect();
    if line.trim().is_empty() { String::new() } else { format!(": {:?}", line.trim()) }
}

fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    retry_after::parse(value, clock.now().wall)
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
            let failure = Failure::Status { status, retry_after: None, quote: String::new() };
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
    fn answers_are_quoted_in_bounds() {
        let secrets = ["http://h/s3cret".to_owned(), "/s3cret".to_owned(), "/".to_owned()];
        let check = |said: &str, expected| assert_eq!(quote(said.as_bytes(), &secrets), expected);
        check("", "");
        check(" \n", "");
        check("no\n  such http://h/s3cret\u{7}", r#": "no   such [secret]""#);
        check("POST /s3cret is wrong", r#": "POST [secret] is wrong""#);
        assert!(quote(&[0xff; 5_000], &secrets).len() < 1_000);
    }
}
