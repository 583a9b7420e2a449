//! Owns X-Ray's OTLP endpoint: where it is, how a request to it is signed, and what it takes.
//! Refuses to send. Source: reference/tracing.md 3.1.

use super::sigv4;
use super::sigv4::BodyHash;
use super::sigv4::Signed;
use super::sigv4::SigningKey;
use crate::domain::time::Wall;
use std::time::Duration;

/// The name that requests are signed for.
pub const SERVICE: &str = "xray";
/// The path of its traces.
pub const PATH: &str = "/v1/traces";
/// Most bytes of one span; one that is larger is refused with its whole request.
pub const SPAN_BYTES_MAX: usize = 200_000;
/// Most bytes of the resource and the scope together.
pub const ORIGIN_BYTES_MAX: usize = 16_000;
/// Most bytes of a request before compression.
pub const REQUEST_BYTES_MAX: usize = 5_000_000;
/// Most spans of a request.
pub const REQUEST_SPANS_MAX: usize = 10_000;

/// How old a span may be, how far ahead of now, and how far apart the spans of one request. An hour
/// inside what is published: a request that waits for its tries grows older.
pub const AGE_MAX: Duration = Duration::from_secs((14 * 24 - 1) * HOUR_S);
/// See [`AGE_MAX`].
pub const AHEAD_MAX: Duration = Duration::from_secs(HOUR_S);
/// See [`AGE_MAX`].
pub const SPREAD_MAX: Duration = Duration::from_secs(23 * HOUR_S);
const HOUR_S: u64 = 3_600;

/// The address of a region's endpoint.
#[must_use]
pub fn address(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://xray.{region}.amazonaws.com{suffix}{PATH}")
}

/// Signs the POST of a body as it will be sent, compressed or not.
#[must_use]
pub fn sign(
    key: &SigningKey,
    access_key_id: &str,
    token: Option<&str>,
    (host, content_type): (&str, &str),
    body: &[u8],
    now: Wall,
) -> Signed {
    let body_hash = BodyHash::of(body);
    let content_type = Some(content_type);
    let request = sigv4::Request { host, content_type, target: None, token, body_hash: &body_hash };
    sigv4::sign_at(key, access_key_id, PATH, &request, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |region, expected| assert_eq!(address(region), expected);
        check("eu-west-1", "https://xray.eu-west-1.amazonaws.com/v1/traces");
        check("cn-north-1", "https://xray.cn-north-1.amazonaws.com.cn/v1/traces");
    }
}
