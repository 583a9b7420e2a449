//! Owns the SigV4 header of the requests that we send: one fixed set of signed headers, and a key
//! that is derived once a day. Refuses presigning and chunked payloads.
//! The key's derivation is aws-sigv4's; the canonical request and the last HMAC are ours, because
//! aws-sigv4's whole signer derives the key on every call (5 µs against 0.4 µs,
//! reference/wire-and-proxy.md 5.2), and the HMAC of a known key begins half done.

use crate::domain::time::Wall;
use aws_sigv4::sign::v4::generate_signing_key;
use hex_simd::{AsOut, AsciiCase};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// What SHA-256 takes in at once.
const HMAC_BLOCK_BYTES: usize = 64;

/// A signing key: good for one day, region and secret.
#[derive(Clone)]
pub struct SigningKey {
    /// SHA-256 that has read the key as HMAC's inner hash begins with it.
    inner: Sha256,
    /// The same for the outer hash.
    outer: Sha256,
    scope: String,
    /// Days since the epoch.
    day: u64,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [secret])", self.scope)
    }
}

impl SigningKey {
    /// Derives the key of `now`'s day for Kinesis.
    #[must_use]
    pub fn derive(secret: &str, region: &str, now: Wall) -> Self {
        Self::derive_for("kinesis", secret, region, now)
    }

    /// Derives the key of `now`'s day for a service.
    #[must_use]
    pub fn derive_for(service: &str, secret: &str, region: &str, now: Wall) -> Self {
        let time = UNIX_EPOCH + Duration::from_nanos(now.as_nanos());
        let derived = generate_signing_key(secret, time, region, service);
        let begun = |pad: u8| {
            let mut block = [pad; HMAC_BLOCK_BYTES];
            block.iter_mut().zip(derived.as_ref()).for_each(|(block, key)| *block ^= key);
            Sha256::new_with_prefix(block)
        };
        let date = now.amz_date();
        let date = date.get(..8).unwrap_or_default();
        let scope = format!("{date}/{region}/{service}/aws4_request");
        Self { inner: begun(0x36), outer: begun(0x5c), scope, day: day(now) }
    }

    /// HMAC-SHA256 under this key (RFC 2104).
    fn hmac(&self, message: &[u8]) -> HexHash {
        let inner = self.inner.clone().chain_update(message).finalize();
        HexHash::of(&self.outer.clone().chain_update(inner).finalize().into())
    }

    /// Whether the key is still the one of `now`'s day.
    #[must_use]
    pub fn is_of(&self, now: Wall) -> bool {
        day(now) == self.day
    }
}

const fn day(now: Wall) -> u64 {
    now.as_seconds() / 86_400
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The Host that will be sent, with a port where it is not the scheme's own.
    pub host: &'a str,
    /// `Content-Type`, if the client sent one.
    pub content_type: Option<&'a str>,
    /// `X-Amz-Target`, if the client sent one.
    pub target: Option<&'a str>,
    /// The session token of the credentials.
    pub token: Option<&'a str>,
    /// The hash of the body as it will be sent.
    pub body_hash: &'a BodyHash,
}

/// A hash in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HexHash([u8; 64]);

impl HexHash {
    fn of(hash: &[u8; 32]) -> Self {
        let mut digits = [0; 64];
        let _filled = hex_simd::encode(hash, digits.as_mut_slice().as_out(), AsciiCase::Lower);
        Self(digits)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// SHA-256 of a body in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyHash(HexHash);

impl BodyHash {
    /// Hashes a body: by far the dearest part of a large put.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self::of_pieces([body])
    }

    /// Hashes a body that lies in pieces.
    #[must_use]
    pub fn of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = BodyHasher::default();
        pieces.into_iter().for_each(|piece| hash.update(piece));
        hash.finish()
    }
}

/// A body's hash on its way: for who does not hash all of a body at once.
#[derive(Debug, Clone, Default)]
pub struct BodyHasher(Sha256);

impl BodyHasher {
    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes.
    #[must_use]
    pub fn finish(self) -> BodyHash {
        BodyHash(HexHash::of(&self.0.finalize().into()))
    }
}

/// The headers that make a request signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `Authorization`.
    pub authorization: String,
    /// `X-Amz-Date`.
    pub amz_date: String,
}

/// Signs `POST /` without a query.
#[must_use]
pub fn sign(key: &SigningKey, access_key_id: &str, request: &Request<'_>, now: Wall) -> Signed {
    sign_at(key, access_key_id, "/", request, now)
}

/// Signs a POST to a path in its canonical form, without a query.
#[must_use]
pub fn sign_at(
    key: &SigningKey,
    access_key_id: &str,
    path: &str,
    request: &Request<'_>,
    now: Wall,
) -> Signed {
    let amz_date = now.amz_date();
    let headers = [
        ("content-type", request.content_type),
        ("host", Some(request.host)),
        ("x-amz-date", Some(amz_date.as_str())),
        ("x-amz-security-token", request.token),
        ("x-amz-target", request.target),
    ];
    // A session token alone is a KiB or two.
    let mut canonical = String::with_capacity(512 + request.token.map_or(0, str::len));
    let mut names = String::with_capacity(80);
    canonical.extend(["POST\n", path, "\n\n"]);
    for (name, value) in headers {
        let Some(value) = value else { continue };
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(name);
        canonical.push_str(name);
        canonical.push(':');
        push_folded(&mut canonical, value);
        canonical.push('\n');
    }
    canonical.extend(["\n", &names, "\n", request.body_hash.0.as_str()]);
    let hash = HexHash::of(&Sha256::digest(&canonical).into());
    let mut to_sign = canonical;
    to_sign.clear();
    to_sign.extend(["AWS4-HMAC-SHA256\n", &amz_date, "\n", &key.scope, "\n", hash.as_str()]);
    let signature = key.hmac(to_sign.as_bytes());
    let mut authorization = String::with_capacity(320);
    authorization.extend(["AWS4-HMAC-SHA256 Credential=", access_key_id, "/", &key.scope]);
    authorization.extend([", SignedHeaders=", &names, ", Signature=", signature.as_str()]);
    Signed { authorization, amz_date }
}

/// SigV4 folds runs of spaces inside a value into one, and drops those around it.
fn push_folded(canonical: &mut String, value: &str) {
    if memchr::memchr(b' ', value.as_bytes()).is_none() {
        return canonical.push_str(value);
    }
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    canonical.push_str(words.next().unwrap_or_default());
    for word in words {
        canonical.push(' ');
        canonical.push_str(word);
    }
}

/// The credential scope of a client's own `Authorization`, structurally complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientScope<'a> {
    /// Who signed.
    pub access_key_id: &'a str,
    /// For which region.
    pub region: &'a str,
    /// For which service.
    pub service: &'a str,
}

/// Reads a client's `Authorization`; `None` unless it is a complete SigV4 header. The signature
/// itself cannot be checked: the client's secret is not ours.
#[must_use]
pub fn client_scope(authorization: &str) -> Option<ClientScope<'_>> {
    let mut fields = authorization.strip_prefix("AWS4-HMAC-SHA256")?;
    let (mut credential, mut signed, mut signature) = (None, None, None);
    while !fields.is_empty() {
        let (field, behind) = cut(fields, b',').unwrap_or((fields, ""));
        match cut(field.trim_ascii(), b'=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => signed = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            _ => {}
        }
        fields = behind;
    }
    let signature = signature?;
    if signature.len() != 64 || hex_simd::check(signature.as_bytes()).is_err() {
        return None;
    }
    signed.filter(|names| !names.is_empty())?;
    let scope = credential?.strip_suffix("/aws4_request")?;
    let (scope, service) = cut_last(scope, b'/')?;
    let (scope, region) = cut_last(scope, b'/')?;
    let (access_key_id, date) = cut_last(scope, b'/')?;
    let complete = date.len() == 8 && ![service, region, access_key_id].contains(&"");
    // The region becomes part of a host name.
    let sane = region.len() <= 32 && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (complete && sane).then_some(ClientScope { access_key_id, region, service })
}

/// What stands before and behind the first such ASCII character. Once a request and more: `memchr`
/// takes a fifth of what `split_once` does.
fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let (before, rest) = text.split_at_checked(memchr::memchr(at, text.as_bytes())?)?;
    Some((before, rest.get(1..)?))
}

/// The same of the last.
fn cut_last(text: &str, at: u8) -> Option<(&str, &str)> {
    let (before, rest) = text.split_at_checked(memchr::memrchr(at, text.as_bytes())?)?;
    Some((before, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings};
    use aws_sigv4::sign::v4;

    fn theirs(request: &Request<'_>, body: &[u8], now: Wall) -> String {
        let identity =
            Credentials::new("AKID", "secret", request.token.map(Into::into), None, "t").into();
        let mut settings = SigningSettings::default();
        settings.uri_path_normalization_mode =
            aws_sigv4::http_request::UriPathNormalizationMode::Enabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("kinesis")
            .time(UNIX_EPOCH + Duration::from_nanos(now.as_nanos()))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let headers = [
            ("content-type", request.content_type),
            ("x-amz-target", request.target),
            ("host", Some(request.host)),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let url = format!("https://{}/", request.host);
        let signable =
            SignableRequest::new("POST", &url, headers, SignableBody::Bytes(body)).unwrap();
        let (instructions, _) =
            aws_sigv4::http_request::sign(signable, &params).unwrap().into_parts();
        let (headers, _) = instructions.into_parts();
        let found = headers.iter().find(|header| header.name() == "authorization");
        found.unwrap().value().to_owned()
    }

    #[test]
    fn agrees_with_aws_sigv4() {
        let now = Wall::from_ms(1_792_000_000_123);
        let key = SigningKey::derive("secret", "eu-west-1", now);
        let (json, empty) = (BodyHash::of(b"{}"), BodyHash::of(b""));
        let check = |request: Request<'_>| {
            let body: &[u8] = if *request.body_hash == empty { b"" } else { b"{}" };
            assert_eq!(
                sign(&key, "AKID", &request, now).authorization,
                theirs(&request, body, now)
            );
        };
        let full = Request {
            host: "kinesis.eu-west-1.amazonaws.com",
            content_type: Some("application/x-amz-json-1.1"),
            target: Some("Kinesis_20131202.PutRecord"),
            token: Some("session/token=="),
            body_hash: &json,
        };
        check(full);
        check(Request { token: None, ..full });
        check(Request {
            content_type: None,
            target: None,
            body_hash: &empty,
            host: "127.0.0.1:4570",
            ..full
        });
        check(Request {
            content_type: Some("application/x-amz-json-1.1;   charset=utf-8"),
            ..full
        });
    }

    #[test]
    fn a_key_is_of_its_day() {
        let day = Wall::from_ms(1_792_000_000_000);
        let key = SigningKey::derive("s", "r", day);
        assert!(key.is_of(day));
        assert!(!key.is_of(day.plus(Duration::from_secs(86_400))));
        assert!(!format!("{key:?}").contains("key:"));
    }

    #[test]
    fn scopes_of_clients() {
        let signature = "0".repeat(64);
        let check = |credential: &str, expected: Option<(&str, &str, &str)>| {
            let header = format!(
                "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature={signature}"
            );
            let scope = client_scope(&header).map(|s| (s.access_key_id, s.region, s.service));
            assert_eq!(scope, expected, "{credential}");
        };
        check(
            "AKID/20261122/us-east-1/kinesis/aws4_request",
            Some(("AKID", "us-east-1", "kinesis")),
        );
        check("A/B/20261122/us-east-1/kinesis/aws4_request", Some(("A/B", "us-east-1", "kinesis")));
        check("AKID/20261122/us-east-1/kinesis", None);
        check("AKID/20261122/evil.example/kinesis/aws4_request", None);
        check("/20261122/us-east-1/kinesis/aws4_request", None);
        assert_eq!(client_scope("Bearer x"), None);
        assert_eq!(
            client_scope(
                "AWS4-HMAC-SHA256 Credential=a/20261122/r/kinesis/aws4_request, SignedHeaders=host, Signature=short"
            ),
            None
        );
    }
}
