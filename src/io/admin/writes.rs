//! Owns who may change something through the admin listener: programs of this pod, and whoever
//! bears the token. Refuses web pages, whose browsers run on loopback too.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, ORIGIN};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::Path;

/// More than any token; a larger file is not one.
const TOKEN_BYTES_MAX: usize = 4096;

/// Why a write is refused. Loopback is the pod itself; but a web page that a person on this very
/// machine looks at is loopback too, and browsers name its origin on every POST.
pub(super) async fn refusal(
    peer: SocketAddr,
    headers: &HeaderMap,
    token_file: Option<&Path>,
) -> Option<&'static str> {
    if headers.contains_key(ORIGIN) {
        return Some("{\"error\":\"requests from web pages are refused here\"}\n");
    }
    if peer.ip().to_canonical().is_loopback() {
        return None;
    }
    let Some(file) = token_file else {
        return Some("{\"error\":\"only a loopback peer may do this\"}\n");
    };
    let refused = "{\"error\":\"only a loopback peer, or who bears the token, may do this\"}\n";
    let Some(given) = bearer(headers) else { return Some(refused) };
    match tokio::fs::read(file).await {
        Ok(token) => (!is_token(given, &token)).then_some(refused),
        Err(error) => {
            tracing::warn!(%error, "admin.token_file cannot be read: the token is refused");
            Some(refused)
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().as_bytes())
}

/// Whether `given` is the file's token. Digests are compared, so that the time that takes tells
/// nothing about the token.
fn is_token(given: &[u8], file: &[u8]) -> bool {
    let token = file.trim_ascii();
    !token.is_empty()
        && token.len() <= TOKEN_BYTES_MAX
        && Sha256::digest(given) == Sha256::digest(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[tokio::test]
    async fn who_may_write() {
        let folder = std::env::temp_dir().join(format!("kinescope-token-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        };
        let (token, empty) = (file("token", "open sesame\n"), file("empty", " \n"));
        let check = async |peer: &str, header: Option<(_, &'static str)>, file, allowed| {
            let headers = header.map(|(name, value)| (name, HeaderValue::from_static(value)));
            let headers = headers.into_iter().collect();
            let refusal = refusal(peer.parse().unwrap(), &headers, file).await;
            assert_eq!(refusal.is_none(), allowed, "{peer} {headers:?} {file:?}");
        };
        let remote = "10.0.0.7:1";
        let right = || Some((AUTHORIZATION, "Bearer open sesame"));
        check("127.0.0.1:1", None, None, true).await;
        check("[::1]:1", None, Some(&*token), true).await;
        check("[::ffff:127.0.0.1]:1", None, None, true).await;
        check(remote, None, None, false).await;
        check("[::ffff:10.0.0.7]:1", None, None, false).await;
        check("127.0.0.1:1", Some((ORIGIN, "http://localhost:9590")), None, false).await;
        check(remote, right(), None, false).await;
        check(remote, right(), Some(&token), true).await;
        check(remote, None, Some(&token), false).await;
        check(remote, Some((AUTHORIZATION, "bearer open")), Some(&token), false).await;
        check(remote, Some((AUTHORIZATION, "Basic open sesame")), Some(&token), false).await;
        check(remote, Some((AUTHORIZATION, "Bearer ")), Some(&empty), false).await;
        check(remote, right(), Some(&folder.join("nowhere")), false).await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
