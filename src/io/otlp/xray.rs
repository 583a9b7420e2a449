//! Owns the signature of what goes to X-Ray's OTLP endpoint: by the credentials of the moment, anew
//! for each try. Refuses to send unsigned.

use super::answer::Failure;
use crate::domain::time::Wall;
use crate::io::credentials::Credentials;
use crate::wire::sigv4::SigningKey;
use crate::wire::xray;
use ::http::HeaderMap;
use ::http::HeaderName;
use ::http::HeaderValue;
use ::http::Uri;
use ::http::header::AUTHORIZATION;
use ::http::header::CONTENT_TYPE;
use ::http::header::HOST;
use std::sync::Arc;
use std::time::Duration;

type Current = Arc<aws_credential_types::Credentials>;

/// Signs for one region.
pub(super) struct Signer {
    credentials: Credentials,
    region: String,
}

impl Signer {
    pub(super) const fn new(credentials: Credentials, region: String) -> Self {
        Self { credentials, region }
    }

    /// The credentials there are, waiting for the first ones.
    pub(super) async fn credentials(&self, at_most: Duration) -> Result<Current, Failure> {
        let none = || Failure::unanswered("there are no AWS credentials to sign with".to_owned());
        self.credentials.wait(at_most).await.ok_or_else(none)
    }

    /// Others than those that AWS refused.
    pub(super) async fn other_than(&self, refused: &Current, at_most: Duration) -> Option<Current> {
        self.credentials.other_than(refused, at_most).await
    }

    /// The headers that sign this body. The signing key is not kept: deriving it costs 5 µs, once a
    /// batch.
    pub(super) fn headers(
        &self,
        credentials: &Current,
        uri: &Uri,
        sent: &HeaderMap,
        body: &[u8],
        now: Wall,
    ) -> HeaderMap {
        let host = host(uri);
        let secret = credentials.secret_access_key();
        let key = SigningKey::derive_for(xray::SERVICE, secret, &self.region, now);
        let kind = sent.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let token = credentials.session_token();
        let id = credentials.access_key_id();
        let signed = xray::sign(&key, id, token, (&host, kind), body, now);
        let header = |name: HeaderName, text: Option<&str>| {
            // What cannot be a header is left out, and AWS says that it is missing.
            let mut value = HeaderValue::from_str(text?).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        };
        let headers = [
            header(HOST, Some(&host)),
            header(AUTHORIZATION, Some(&signed.authorization)),
            header(HeaderName::from_static("x-amz-date"), Some(&signed.amz_date)),
            header(HeaderName::from_static("x-amz-security-token"), token),
        ];
        headers.into_iter().flatten().collect()
    }
}

/// The `Host` of an address: without the port that its scheme implies.
fn host(uri: &Uri) -> String {
    let name = uri.host().unwrap_or_default();
    match (uri.port_u16(), uri.scheme_str()) {
        (None, _) | (Some(443), Some("https")) | (Some(80), Some("http")) => name.to_owned(),
        (Some(port), _) => format!("{name}:{port}"),
    }
}
