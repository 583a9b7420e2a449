//! Owns what a collector's answer means: taken, refused in part, try again, too large, or never.
//! Refuses to wait and to try: the sender does.
//! Source: the OTLP specification, "OTLP/HTTP response" and "OTLP/gRPC response".

use super::config::Protocol;
use super::transport::Answer;
use crate::domain::time::Wall;
use crate::wire::otlp::grpc;
use ::http::HeaderMap;
use ::http::StatusCode;
use ::http::header::CONTENT_TYPE;
use ::http::header::RETRY_AFTER;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use std::time::Duration;
use std::time::UNIX_EPOCH;

/// The longest wait that a collector may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Characters of a collector's own words that are logged.
const WORDS_MAX: usize = 200;

/// What a delivery came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Delivered {
    /// Spans or points that the collector took in and refused.
    pub(super) rejected: u64,
    /// Why, or a warning, in the collector's words.
    pub(super) message: Option<String>,
}

/// Why nothing was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Failure {
    /// For the log; names neither headers nor contents.
    pub(super) cause: String,
    /// How long the collector asked to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// What to do about it.
    pub(super) remedy: Remedy,
}

/// What may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Remedy {
    /// The same again, later.
    Again,
    /// The same in parts.
    Split,
    /// Other credentials.
    Credentials,
    /// Nothing.
    #[default]
    None,
}

impl Failure {
    /// No answer came.
    pub(super) fn unanswered(cause: String) -> Self {
        Self { cause, retry_after: None, remedy: Remedy::Again }
    }
}

/// Reads an answer.
pub(super) fn read(protocol: Protocol, answer: &Answer, now: Wall) -> Result<Delivered, Failure> {
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default();
    if !answer.status.is_success() {
        return Err(http_failure(answer, kind, now));
    }
    match protocol {
        // Some web server, such as one behind a wrong address or a login page, took it for a form.
        Protocol::HttpProtobuf if kind.starts_with("text/html") => Err(not_otlp(kind)),
        Protocol::HttpProtobuf if kind.starts_with("application/json") => Ok(Delivered::default()),
        Protocol::HttpProtobuf => Ok(partial_success(&answer.body)),
        Protocol::Grpc if !kind.starts_with("application/grpc") => Err(not_otlp(kind)),
        Protocol::Grpc => grpc_end(answer),
    }
}

fn not_otlp(kind: &str) -> Failure {
    let cause = format!("the answer is no OTLP but {:?}", words(kind));
    Failure { cause, ..Failure::default() }
}

fn http_failure(answer: &Answer, kind: &str, now: Wall) -> Failure {
    let mut cause = format!("the collector answered {}", answer.status);
    if kind.starts_with("application/x-protobuf")
        && let Ok(Words { message }) = Words::decode(answer.body.clone())
        && !message.is_empty()
    {
        cause = format!("{cause}: {}", words(&message));
    }
    let remedy = match answer.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Remedy::Again,
        StatusCode::PAYLOAD_TOO_LARGE => Remedy::Split,
        StatusCode::FORBIDDEN => Remedy::Credentials,
        _ => Remedy::None,
    };
    Failure { cause, retry_after: retry_after(&answer.headers, now), remedy }
}

fn grpc_end(answer: &Answer) -> Result<Delivered, Failure> {
    // An answer without a body has its status among its headers.
    let status =
        grpc::Status::read(&answer.trailers).or_else(|| grpc::Status::read(&answer.headers));
    let Some(status) = status else {
        return Err(Failure::unanswered("the answer ended without a status".to_owned()));
    };
    // Servers made with tonic say OUT_OF_RANGE where others say RESOURCE_EXHAUSTED.
    let too_large = status.message.contains("too large");
    let remedy = match status.code {
        grpc::Code::Ok => {
            return Ok(partial_success(grpc::unframe(&answer.body).unwrap_or_default()));
        }
        grpc::Code::Retryable if !too_large => Remedy::Again,
        grpc::Code::ResourceExhausted if status.retry_delay.is_some() => Remedy::Again,
        grpc::Code::Retryable | grpc::Code::ResourceExhausted => Remedy::Split,
        grpc::Code::Final => Remedy::None,
    };
    let retry_after = status.retry_delay.map(|delay| delay.min(RETRY_AFTER_MAX));
    let said = words(&status.message);
    let cause = format!("the collector answered with status {}: {said}", status.number);
    Err(Failure { cause, retry_after, remedy })
}

/// `google.rpc.Status`, as far as a person reads it.
#[derive(Clone, PartialEq, Message)]
struct Words {
    #[prost(string, tag = "2")]
    message: String,
}

/// What a success says was refused; one that cannot be read refuses nothing. The answers of all
/// signals have the same form.
fn partial_success(body: &[u8]) -> Delivered {
    let answer = ExportTraceServiceResponse::decode(body).ok();
    let Some(partial) = answer.and_then(|answer| answer.partial_success) else {
        return Delivered::default();
    };
    Delivered {
        rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
        message: (!partial.error_message.is_empty()).then(|| words(&partial.error_message)),
    }
}

/// Another's words, fit for one line of the log.
fn words(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(WORDS_MAX).collect()
}

/// Seconds or an HTTP date, as a wait from `now`, bounded.
fn retry_after(headers: &HeaderMap, now: Wall) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let wait = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
            date.saturating_sub(Duration::from_nanos(now.as_nanos()))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const NOW: Wall = Wall::from_ms(784_111_770_000); // Sun, 06 Nov 1994 08:49:30 GMT
    const HTTP: Protocol = Protocol::HttpProtobuf;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn answer(status: u16, kind: &str, body: &[u8]) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers(&[("content-type", kind)]),
            body: Bytes::copy_from_slice(body),
            trailers: HeaderMap::new(),
        }
    }

    #[test]
    fn retry_after_in_both_forms() {
        let check = |text: &str, expected: Option<u64>| {
            let headers = headers(&[("retry-after", text)]);
            assert_eq!(retry_after(&headers, NOW), expected.map(Duration::from_secs), "{text}");
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
    fn statuses() {
        let check = |status, expected| {
            for protocol in [HTTP, Protocol::Grpc] {
                let read = read(protocol, &answer(status, "text/plain", b"no"), NOW).unwrap_err();
                assert_eq!(read.remedy, expected, "{status}");
            }
        };
        for status in [429, 502, 503, 504] {
            check(status, Remedy::Again);
        }
        for status in [301, 400, 401, 404, 500, 501] {
            check(status, Remedy::None);
        }
        check(413, Remedy::Split);
        check(403, Remedy::Credentials);
    }

    #[test]
    fn successes_and_what_only_looks_like_one() {
        let check = |kind, body: &[u8], expected: Option<(u64, Option<&str>)>| {
            let read = read(HTTP, &answer(200, kind, body), NOW).ok();
            let read = read.map(|read| (read.rejected, read.message));
            let expected = expected.map(|(rejected, words)| (rejected, words.map(str::to_owned)));
            assert_eq!(read, expected, "{kind} {body:?}");
        };
        let protobuf = "application/x-protobuf";
        check(protobuf, &[], Some((0, None)));
        check(protobuf, &[0x0a, 2, 0x08, 3], Some((3, None)));
        check(protobuf, &[0x0a, 6, 0x12, 4, b'o', b'l', b'\n', b'd'], Some((0, Some("old"))));
        check(protobuf, &[0xff; 4], Some((0, None)));
        check("application/json", b"{}", Some((0, None)));
        check("text/html; charset=utf-8", b"<html>Sign in", None);
    }

    #[test]
    fn a_failure_is_told_in_the_collectors_words() {
        let body = [0x12, 3, b'b', b'a', b'd'];
        let failure = read(HTTP, &answer(400, "application/x-protobuf", &body), NOW).unwrap_err();
        assert_eq!(failure.cause, "the collector answered 400 Bad Request: bad");
        let failure = read(HTTP, &answer(400, "text/html", &body), NOW).unwrap_err();
        assert_eq!(failure.cause, "the collector answered 400 Bad Request");
    }

    #[test]
    fn ends_of_calls() {
        let check = |pairs: &[(&'static str, &str)], expected: Result<(), Remedy>| {
            let mut answer = answer(200, "application/grpc+proto", &[]);
            let ended = |answer: &Answer| {
                read(Protocol::Grpc, answer, NOW).map(|_| ()).map_err(|failure| failure.remedy)
            };
            answer.trailers = headers(pairs);
            assert_eq!(ended(&answer), expected, "{pairs:?}");
            answer.headers.extend(std::mem::take(&mut answer.trailers));
            assert_eq!(ended(&answer), expected, "{pairs:?} as headers");
        };
        check(&[("grpc-status", "0")], Ok(()));
        check(&[("grpc-status", "14")], Err(Remedy::Again));
        check(&[("grpc-status", "11")], Err(Remedy::Again));
        let large = "decoded message length too large: found 9, the limit is: 4";
        check(&[("grpc-status", "11"), ("grpc-message", large)], Err(Remedy::Split));
        check(&[("grpc-status", "8")], Err(Remedy::Split));
        // RetryInfo of one second.
        let details = "GjAKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUluZm8SBAoCCAE=";
        let pairs = [("grpc-status", "8"), ("grpc-status-details-bin", details)];
        check(&pairs, Err(Remedy::Again));
        check(&[("grpc-status", "7")], Err(Remedy::None));
        check(&[], Err(Remedy::Again));
    }

    #[test]
    fn a_web_page_is_no_grpc() {
        let failure = read(Protocol::Grpc, &answer(200, "text/html", b""), NOW).unwrap_err();
        assert_eq!(failure.remedy, Remedy::None);
    }
}
