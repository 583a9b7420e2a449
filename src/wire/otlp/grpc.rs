//! Owns gRPC's bytes around one call: the frame of its message, and the status in its trailers.
//! Refuses streams, and to trust a server: what cannot be read is absent, never a panic.
//! (tonic's reader of the status panics at details that are no base64.)

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use prost::Message;
use std::time::Duration;

/// The status codes that OTLP tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All went well.
    Ok,
    /// Another try may help: CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE,
    /// DATA_LOSS.
    Retryable,
    /// Too much: of requests if the server says when to come back, else in this request.
    ResourceExhausted,
    /// Another try would end the same way.
    Final,
}

/// A call's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What it means to OTLP.
    pub code: Code,
    /// gRPC's number.
    pub number: u8,
    /// For a person; may be empty.
    pub message: String,
    /// How long the server asks to be left alone, if it does.
    pub retry_delay: Option<Duration>,
}

impl Status {
    /// Reads the status out of trailers, or out of the headers of an answer without a body.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number: u8 = text("grpc-status")?.parse().ok()?;
        let code = match number {
            0 => Code::Ok,
            1 | 4 | 10 | 11 | 14 | 15 => Code::Retryable,
            8 => Code::ResourceExhausted,
            _ => Code::Final,
        };
        let message = text("grpc-message").unwrap_or_default();
        Some(Self {
            code,
            number,
            message: percent_decode_str(message).decode_utf8_lossy().into_owned(),
            retry_delay: text("grpc-status-details-bin").and_then(retry_delay),
        })
    }
}

/// The message as the one of its stream.
#[must_use]
pub fn frame(message: &[u8], compressed: bool) -> Vec<u8> {
    let mut framed = Vec::with_capacity(5 + message.len());
    framed.push(u8::from(compressed));
    // A batch is a few MiB at most.
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// The message in a stream of one; `None` unless it is whole and not compressed.
#[must_use]
pub fn unframe(stream: &[u8]) -> Option<&[u8]> {
    let (&flag, rest) = stream.split_first()?;
    let (length, message) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (flag == 0).then(|| message.get(..length)).flatten()
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn retry_delay(details: &str) -> Option<Duration> {
    // Padding is the sender's choice.
    let unpadded = details.trim_end_matches('=');
    let bytes = base64_simd::STANDARD_NO_PAD.decode_to_vec(unpadded).ok()?;
    let details = Details::decode(bytes.as_slice()).ok()?.details;
    let info = details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    let seconds = Duration::from_secs(u64::try_from(delay.seconds).ok()?);
    Some(seconds.saturating_add(Duration::from_nanos(u64::try_from(delay.nanos).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn details(type_url: &str, seconds: i64) -> String {
        let info = RetryInfo { retry_delay: Some(Delay { seconds, nanos: 500_000_000 }) };
        let any = Any { type_url: type_url.to_owned(), value: info.encode_to_vec() };
        let details = Details { details: vec![Any::default(), any] };
        base64_simd::STANDARD.encode_to_string(details.encode_to_vec())
    }

    #[test]
    fn codes() {
        let check = |number: &str, expected: Option<Code>| {
            let status = Status::read(&trailers(&[("grpc-status", number)]));
            assert_eq!(status.map(|status| status.code), expected, "{number}");
        };
        check("0", Some(Code::Ok));
        for retryable in ["1", "4", "10", "11", "14", "15"] {
            check(retryable, Some(Code::Retryable));
        }
        check("8", Some(Code::ResourceExhausted));
        for last in ["2", "3", "5", "6", "7", "9", "12", "13", "16", "99"] {
            check(last, Some(Code::Final));
        }
        check("ok", None);
        check("", None);
        assert_eq!(Status::read(&HeaderMap::new()), None);
    }

    #[test]
    fn the_time_to_come_back() {
        let check = |details: &str, expected: Option<u64>| {
            let pairs = [("grpc-status", "8"), ("grpc-status-details-bin", details)];
            let status = Status::read(&trailers(&pairs)).unwrap();
            assert_eq!(status.retry_delay, expected.map(Duration::from_millis), "{details}");
        };
        let info = "type.googleapis.com/google.rpc.RetryInfo";
        check(&details(info, 7), Some(7_500));
        check(details(info, 7).trim_end_matches('='), Some(7_500));
        check(&details(info, -7), None);
        check(&details("type.googleapis.com/google.rpc.ErrorInfo", 7), None);
        check("!!! no base64 !!!", None);
        check("/////w==", None);
        check("", None);
    }

    #[test]
    fn messages_for_a_person() {
        let pairs = [("grpc-status", "3"), ("grpc-message", "too%20old %ff")];
        assert_eq!(Status::read(&trailers(&pairs)).unwrap().message, "too old \u{fffd}");
    }

    #[test]
    fn frames() {
        assert_eq!(frame(b"ab", true), [1, 0, 0, 0, 2, b'a', b'b']);
        let check = |stream: &[u8], expected: Option<&[u8]>| assert_eq!(unframe(stream), expected);
        check(&frame(b"", false), Some(b""));
        check(&frame(b"abc", false), Some(b"abc"));
        check(&frame(b"abc", true), None);
        check(&[0, 0, 0, 0, 9, 1], None);
        check(&[0, 0xff, 0xff, 0xff, 0xff], None);
        check(&[0, 0, 0], None);
        check(&[], None);
    }
}
