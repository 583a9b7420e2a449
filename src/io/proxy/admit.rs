//! Owns the door: which requests are forwarded at all. Refuses pages, foreign hosts, the unsigned
//! and other services, because whoever is let in is signed for with our credentials. It cannot
//! check the client's signature: the secret is not ours.

use super::names;
use super::policy::{self, Allow};
use crate::domain::stream::ConsumerName;
use crate::wire::kinesis::account::account_of;
use crate::wire::kinesis::fault::{AccountId, Fault};
use crate::wire::kinesis::operation::Operation;
use crate::wire::sigv4::{ClientScope, client_scope};
use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderMap, Method, header};

/// A request that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admitted {
    /// What it asks for.
    pub operation: Operation,
    /// The region of the client's credential scope.
    pub region: String,
    /// The application's name out of `/app/NAME`.
    pub app: Option<ConsumerName>,
}

/// Who calls, as far as a signature that cannot be checked tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller<'a> {
    /// The access key id of the client's signature.
    pub access_key_id: &'a str,
}

/// What the door knows of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door<'a> {
    /// The configuration opened a listener beyond loopback.
    pub any_host: bool,
    /// Who may call what.
    pub allow: &'a Allow,
    /// The access key id that requests are signed with, where Kinesis itself is called. An emulator
    /// or a custom endpoint has accounts of its own.
    pub our_key: Option<&'a str>,
    /// What this process writes into `Via`.
    pub via: &'a str,
}

/// Checks a request's head.
pub(super) fn admit(parts: &Parts, door: &Door<'_>) -> Result<Admitted, Fault> {
    let app = application(parts.uri.path()).ok_or(Fault::NotFound)?;
    if parts.headers.contains_key(header::ORIGIN) {
        return Err(Fault::BrowserRefused);
    }
    if parts.method != Method::POST {
        return Err(Fault::NotFound);
    }
    if !door.any_host && !is_loopback(host(parts).ok_or(Fault::ForeignHost)?) {
        return Err(Fault::ForeignHost);
    }
    if text(&parts.headers, &header::VIA).is_some_and(|via| via.contains(door.via)) {
        return Err(Fault::LoopDetected);
    }
    let scope = scope(&parts.headers).ok_or(Fault::Unsigned)?;
    let target = text(&parts.headers, &names::AMZ_TARGET);
    let operation = target.map_or(Some(Operation::Other), Operation::from_target);
    let (Some(operation), "kinesis") = (operation, scope.service) else {
        return Err(Fault::WrongService);
    };
    if text(&parts.headers, &names::AMZ_CONTENT_SHA256).is_some_and(|v| v.starts_with("STREAMING-"))
    {
        return Err(Fault::StreamingSignature);
    }
    let caller = Caller { access_key_id: scope.access_key_id };
    door.allow.call(&caller, policy::operation_name(operation, target.unwrap_or_default()))?;
    same_account(scope.access_key_id, door.our_key)?;
    Ok(Admitted { operation, region: scope.region.to_owned(), app })
}

/// Refuses only where both keys carry an account and the two differ: different keys of one account
/// are normal, and a key that carries none proves nothing.
fn same_account(theirs: &str, ours: Option<&str>) -> Result<(), Fault> {
    let Some(ours) = ours.filter(|ours| *ours != theirs) else { return Ok(()) };
    let account = |key| AccountId::parse(&account_of(key)?);
    let (Some(application), Some(ours)) = (account(theirs), account(ours)) else { return Ok(()) };
    if application == ours { Ok(()) } else { Err(Fault::AccountMismatch { application, ours }) }
}

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn scope(headers: &HeaderMap) -> Option<ClientScope<'_>> {
    client_scope(text(headers, &header::AUTHORIZATION)?)
}

/// `/` has no application name; `/app/NAME`, with or without a slash behind it, has one.
pub(super) fn application(path: &str) -> Option<Option<ConsumerName>> {
    if matches!(path, "/" | "") {
        return Some(None);
    }
    let name = path.strip_prefix("/app/")?;
    let name = name.strip_suffix('/').unwrap_or(name);
    let sane = (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    sane.then(|| Some(ConsumerName::from(name)))
}

/// The host that the client meant: HTTP/2 has it in `:authority`, HTTP/1.1 in `Host`.
pub(super) fn host(parts: &Parts) -> Option<&str> {
    parts.uri.host().or_else(|| {
        let host = text(&parts.headers, &header::HOST)?;
        if let Some(v6) = host.strip_prefix('[') {
            return v6.split_once(']').map(|(address, _)| address);
        }
        host.split(':').next()
    })
}

pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    matches!(bare, "127.0.0.1" | "localhost")
        || bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn who_is_let_in() {
        let signature = "a".repeat(64);
        let signed = |service: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=AK/20261122/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature={signature}"
            )
        };
        let kinesis = signed("kinesis");
        let good = [
            ("host", "127.0.0.1:4590"),
            ("authorization", &kinesis),
            ("x-amz-target", "Kinesis_20131202.PutRecord"),
        ];
        let check = |uri: &str, headers: &[(&str, &str)], expected: Result<Option<&str>, Fault>| {
            let allow = Allow::default();
            let door = Door { any_host: false, allow: &allow, our_key: None, via: "kinescope-17" };
            let seen = admit(&parts(uri, headers), &door);
            assert_eq!(
                seen.as_ref().map(|a| a.app.as_ref().map(ConsumerName::as_str)),
                expected.as_ref().copied(),
                "{uri} {headers:?}"
            );
        };
        let with = |extra: &[(&'static str, &'static str)]| [extra, &good[1..]].concat();
        check("/", &good, Ok(None));
        check("/app/orders", &good, Ok(Some("orders")));
        check("/app/orders/", &good, Ok(Some("orders")));
        check("http://localhost:4590/", &good[1..], Ok(None));
        check("/", &with(&[("host", "[::1]:4590")]), Ok(None));
        check("/app/../etc", &good, Err(Fault::NotFound));
        check("/metrics", &good, Err(Fault::NotFound));
        check("/", &with(&[("host", "evil.example:4590")]), Err(Fault::ForeignHost));
        check("/", &good[1..], Err(Fault::ForeignHost));
        check("/", &with(&[("host", "localhost"), ("origin", "null")]), Err(Fault::BrowserRefused));
        check("/", &good[..1], Err(Fault::Unsigned));
        check("/", &[good[0], ("authorization", "Bearer x")], Err(Fault::Unsigned));
        check(
            "/",
            &[
                good[0],
                ("authorization", &signed("dynamodb")),
                ("x-amz-target", "DynamoDB_20120810.PutItem"),
            ],
            Err(Fault::WrongService),
        );
        check(
            "/",
            &[&good[..], &[("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")]]
                .concat(),
            Err(Fault::StreamingSignature),
        );
    }
}
