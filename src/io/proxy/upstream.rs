//! Owns the way to Kinesis: which host, which headers, our signature, one try. Refuses to send a
//! request twice: what was begun and broke is the client's to try again.

use super::admit::text;
use crate::domain::time::Wall;
use crate::io::credentials::Credentials;
use crate::io::http::client::{CallKind, Client, Error};
use crate::io::http::pieces::PiecesBody;
use crate::wire::kinesis::fault::Fault;
use crate::wire::sigv4::{self, BodyHash, SigningKey};
use aws_sdk_kinesis::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a request waits for the first credentials of the process.
const CREDENTIALS_PATIENCE: Duration = Duration::from_secs(5);
/// Regions and keys that are remembered: a pod speaks to one or two.
const REMEMBERED_MAX: usize = 16;

/// Headers that are not passed on: those of one connection, and those that our signature replaces.
const DROPPED: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-security-token"),
];
const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const AMZ_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Where a region's requests go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Scheme and authority, path `/`.
    uri: Uri,
    /// The Host header: with a port where it is not the scheme's own.
    host: String,
    /// For spans: without the port.
    pub server: Arc<str>,
}

impl Target {
    fn new(base: &Uri) -> Option<Self> {
        let authority = base.authority()?;
        let scheme = base.scheme_str()?;
        let own_port =
            matches!((scheme, authority.port_u16()), ("http", Some(80)) | ("https", Some(443)));
        let host = if own_port { authority.host() } else { authority.as_str() };
        let uri = format!("{scheme}://{authority}/").parse().ok()?;
        Some(Self { uri, host: host.to_owned(), server: authority.host().into() })
    }
}

/// A signing key, and the credentials and region that it was derived for.
type DerivedKey = (Arc<aws_credential_types::Credentials>, String, Arc<SigningKey>);

/// The way to Kinesis.
#[derive(Debug)]
pub(super) struct Upstream {
    client: Client,
    credentials: Credentials,
    fixed: Option<Arc<Target>>,
    resolver: DefaultResolver,
    targets: Mutex<Vec<(String, Arc<Target>)>>,
    keys: Mutex<Vec<DerivedKey>>,
    answer_timeout: Duration,
}

impl Upstream {
    pub(super) fn new(
        client: Client,
        credentials: Credentials,
        endpoint: Option<&Uri>,
        answer_timeout: Duration,
    ) -> Self {
        Self {
            client,
            credentials,
            fixed: endpoint.and_then(Target::new).map(Arc::new),
            resolver: DefaultResolver::new(),
            targets: Mutex::default(),
            keys: Mutex::default(),
            answer_timeout,
        }
    }

    /// Where requests of a region go: the configured endpoint, else the host that the SDK's own
    /// rules give.
    pub(super) async fn target(&self, region: &str) -> Result<Arc<Target>, Fault> {
        if let Some(fixed) = &self.fixed {
            return Ok(Arc::clone(fixed));
        }
        let known = |targets: &Vec<(String, Arc<Target>)>| {
            targets.iter().find(|(name, _)| name == region).map(|(_, target)| Arc::clone(target))
        };
        if let Some(target) = known(&self.targets.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(target);
        }
        let params = Params::builder().region(region).build();
        let params = params.map_err(|_| Fault::UpstreamUnreachable)?;
        let endpoint = self.resolver.resolve_endpoint(&params).await;
        let endpoint = endpoint.map_err(|_| Fault::UpstreamUnreachable)?;
        let target = endpoint.url().parse().ok().as_ref().and_then(Target::new).map(Arc::new);
        let target = target.ok_or(Fault::UpstreamUnreachable)?;
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.truncate(REMEMBERED_MAX - 1);
        targets.insert(0, (region.to_owned(), Arc::clone(&target)));
        Ok(target)
    }

    /// Signs and sends; the answer's body is still on its way.
    pub(super) async fn send(
        &self,
        target: &Target,
        region: &str,
        headers: HeaderMap,
        (body, body_hash): (Bytes, BodyHash),
        now: impl Fn() -> Wall,
    ) -> Result<Response<Incoming>, Fault> {
        let keys = match self.credentials.current() {
            Some(keys) => keys,
            None => {
                let waited = self.credentials.wait(CREDENTIALS_PATIENCE).await;
                waited.ok_or(Fault::NoCredentials)?
            }
        };
        let headers = self.signed(target, region, headers, &body_hash, &keys, now());
        let mut request = Request::post(target.uri.clone()).body(PiecesBody::from(body));
        if let Ok(request) = &mut request {
            *request.headers_mut() = headers;
        }
        let request = request.map_err(|_| Fault::UpstreamUnreachable)?;
        let sending = self.client.request(request, CallKind::Call);
        match tokio::time::timeout(self.answer_timeout, sending).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no answer from Kinesis");
                Err(match error {
                    Error::Connect(_) => Fault::UpstreamUnreachable,
                    Error::Broke(_) => Fault::UpstreamReset,
                })
            }
            Err(_) => Err(Fault::UpstreamTimeout),
        }
    }

    fn signed(
        &self,
        target: &Target,
        region: &str,
        mut headers: HeaderMap,
        body_hash: &BodyHash,
        keys: &Arc<aws_credential_types::Credentials>,
        now: Wall,
    ) -> HeaderMap {
        strip_connection(&mut headers);
        let key = self.key(keys, region, now);
        let request = sigv4::Request {
            host: &target.host,
            content_type: text(&headers, "content-type"),
            target: text(&headers, "x-amz-target"),
            token: keys.session_token(),
            body_hash,
        };
        let signed = sigv4::sign(&key, keys.access_key_id(), &request, now);
        let pairs = [
            (header::HOST, Some(target.host.as_str())),
            (AMZ_DATE, Some(&signed.amz_date)),
            (AMZ_TOKEN, keys.session_token()),
            (header::AUTHORIZATION, Some(&signed.authorization)),
        ];
        for (name, value) in pairs {
            // A token or key that is no header value cannot be sent; Kinesis then says what lacks.
            if let Some(Ok(mut value)) = value.map(HeaderValue::from_str) {
                value.set_sensitive(name == AMZ_TOKEN || name == header::AUTHORIZATION);
                headers.insert(name, value);
            }
        }
        headers
    }

    /// The signing key of these credentials, region and day: derived once, then remembered.
    fn key(
        &self,
        credentials: &Arc<aws_credential_types::Credentials>,
        region: &str,
        now: Wall,
    ) -> Arc<SigningKey> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.iter().find(|(of, in_region, key)| {
            Arc::ptr_eq(of, credentials) && in_region == region && key.is_of(now)
        });
        if let Some((_, _, key)) = known {
            return Arc::clone(key);
        }
        let key = Arc::new(SigningKey::derive(credentials.secret_access_key(), region, now));
        keys.truncate(REMEMBERED_MAX - 1);
        keys.insert(0, (Arc::clone(credentials), region.to_owned(), Arc::clone(&key)));
        key
    }
}

/// Removes what belongs to one connection, and what our signature replaces.
pub(super) fn strip_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&DROPPED) {
        headers.remove(name);
    }
}
