//! Owns the way to Kinesis: which host, which headers, our signature, one try. A second try happens
//! at most once, and only after a complete answer that proves that nothing was stored
//! ([`outcome::resend`]): what was begun and broke is the client's to try again.

use super::admit::text;
use super::metrics::Metrics;
use super::names;
use super::skew::Skew;
use crate::domain::time::{Moment, Wall};
use crate::io::clock::Clock;
use crate::io::credentials::Credentials;
use crate::io::http::client::{CallKind, Client, Error};
use crate::io::http::pieces::PiecesBody;
use crate::wire::kinesis::address::Address;
use crate::wire::kinesis::endpoint::{self, Settings};
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::operation::Operation;
use crate::wire::kinesis::outcome::{self, Resend};
use crate::wire::segments::Segments;
use crate::wire::sigv4::{self, BodyHash, SigningKey};
use bytes::Bytes;
use http::header::{self, HeaderName, InvalidHeaderValue};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a request waits for the first credentials of the process, or for others.
const CREDENTIALS_PATIENCE: Duration = Duration::from_secs(5);
/// Hosts and keys that are remembered: a pod speaks to a few.
const REMEMBERED_MAX: usize = 16;
/// Most bytes of an error answer, which is read whole before it is judged.
const ERROR_BYTES_MAX: usize = 1 << 20;

/// Headers that are not passed on: those of one connection, and what our signature does without.
/// Those that it sets anew are replaced in their places.
static DROPPED: [HeaderName; 11] = [
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

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Scheme and authority, path `/`.
    uri: Uri,
    /// The Host header: with a port where it is not the scheme's own.
    host: String,
    /// The same, as it is sent.
    host_header: HeaderValue,
    /// For spans: always with the port.
    pub server: Arc<str>,
}

impl Target {
    fn new(base: &Uri) -> Option<Self> {
        let authority = base.authority()?;
        let scheme = base.scheme_str()?;
        let scheme_port = if scheme == "http" { 80 } else { 443 };
        let port = authority.port_u16().unwrap_or(scheme_port);
        let own_port = port == scheme_port;
        let host = if own_port { authority.host() } else { authority.as_str() };
        let uri = format!("{scheme}://{authority}/").parse().ok()?;
        let host_header = HeaderValue::from_str(host).ok()?;
        let server = format!("{}:{port}", authority.host()).into();
        Some(Self { uri, host: host.to_owned(), host_header, server })
    }
}

/// A request as it leaves.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub operation: Operation,
    /// The region of the client's own signature.
    pub region: String,
    pub form: WireForm,
    pub headers: HeaderMap,
    pub body: Segments,
    pub hash: BodyHash,
    /// The client's bytes, where `body` has more.
    pub original: Option<Bytes>,
}

/// An answer, and whether it is the second.
#[derive(Debug)]
pub(super) struct Sent {
    pub answer: Response<Reply>,
    pub resent: Option<Resent>,
}

/// An answer's body.
#[derive(Debug)]
pub(super) enum Reply {
    /// Still on its way.
    Streaming(Incoming),
    /// An error, read whole.
    Read(Bytes),
}

/// Why a request was sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resent {
    /// Kinesis refused what we had enlarged: the client's bytes.
    Original,
    /// Our credentials had expired.
    OtherCredentials,
    /// Our clock was wrong.
    OtherTime,
}

impl Resent {
    /// The label value `reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::OtherCredentials => "credentials_expired",
            Self::OtherTime => "clock_skew",
        }
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
    settings: Settings,
    targets: Mutex<Vec<(String, Arc<Target>)>>,
    keys: Mutex<Vec<DerivedKey>>,
    answer_timeout: Duration,
    skew: Skew,
    clock: Clock,
    metrics: Metrics,
}

impl Upstream {
    pub(super) fn new(
        client: Client,
        credentials: Credentials,
        (endpoint, settings): (Option<&Uri>, Settings),
        answer_timeout: Duration,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        Self {
            client,
            credentials,
            fixed: endpoint.and_then(Target::new).map(Arc::new),
            settings,
            targets: Mutex::default(),
            keys: Mutex::default(),
            answer_timeout,
            skew: Skew::default(),
            clock,
            metrics,
        }
    }

    /// Whether the configuration names the upstream: an emulator, a VPC endpoint.
    pub(super) const fn is_fixed(&self) -> bool {
        self.fixed.is_some()
    }

    /// The credentials that requests are signed with now.
    pub(super) fn credentials(&self) -> Option<Arc<aws_credential_types::Credentials>> {
        self.credentials.current()
    }

    /// Where a request goes: the configured endpoint, else the host that the SDK's own rules give.
    pub(super) fn target(
        &self,
        operation: Operation,
        region: &str,
        address: &Address,
    ) -> Result<Arc<Target>, Fault> {
        if let Some(fixed) = &self.fixed {
            return Ok(Arc::clone(fixed));
        }
        let credentials = self.credentials.current();
        let account = credentials.as_ref().and_then(|keys| keys.account_id());
        let call = endpoint::Call {
            region,
            data: operation.is_data(),
            stream_arn: address.stream_arn.as_deref(),
            consumer_arn: address.consumer_arn.as_deref(),
            resource_arn: address.resource_arn.as_deref(),
            queue_arn: address.queue_arn.as_deref(),
            channel_arn: address.channel_arn.as_deref(),
            is_queue_operation: operation.is_queue(),
            stream_id: address.stream_id.as_deref(),
            account: account.map(aws_credential_types::attributes::AccountId::as_str),
        };
        let host = endpoint::resolve(&call, &self.settings).or_else(|fault| {
            // The SDK would not have sent it; what it is, Kinesis says better than we.
            tracing::debug!(%fault, operation = operation.as_str(), "sent to the region's host");
            let call = endpoint::Call {
                region,
                data: call.data,
                is_queue_operation: call.is_queue_operation,
                ..endpoint::Call::default()
            };
            endpoint::resolve(&call, &self.settings)
        });
        let host = host.map_err(|_| Fault::UpstreamUnreachable)?.to_string();
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, target)) = targets.iter().find(|(known, _)| *known == host) {
            return Ok(Arc::clone(target));
        }
        let uri = format!("https://{host}/").parse().map_err(|_| Fault::UpstreamUnreachable)?;
        let target = Target::new(&uri).map(Arc::new).ok_or(Fault::UpstreamUnreachable)?;
        targets.truncate(REMEMBERED_MAX - 1);
        targets.insert(0, (host, Arc::clone(&target)));
        Ok(target)
    }

    /// Signs and sends a request without headers of the client's connection ([`strip_connection`]); the
    /// body of a good answer is still on its way.
    pub(super) async fn send(
        &self,
        target: &Target,
        mut outgoing: Outgoing,
        now: Moment,
    ) -> Result<Sent, Fault> {
        let keys = match self.credentials.current() {
            Some(keys) => keys,
            None => {
                // Boxed, as all that is rare here: every request carries the room of its future.
                let waited = Box::pin(self.credentials.wait(CREDENTIALS_PATIENCE)).await;
                waited.ok_or(Fault::NoCredentials)?
            }
        };
        let answer = self.once(target, &mut outgoing, &keys, now).await?;
        let judged = matches!(
            answer.status(),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::PAYLOAD_TOO_LARGE
        );
        if !judged {
            return Ok(Sent { answer: answer.map(Reply::Streaming), resent: None });
        }
        Box::pin(self.judge(target, outgoing, keys, answer)).await
    }

    /// Reads a refusal whole, and sends a second time what it proves was not stored.
    async fn judge(
        &self,
        target: &Target,
        outgoing: Outgoing,
        keys: Arc<aws_credential_types::Credentials>,
        answer: Response<Incoming>,
    ) -> Result<Sent, Fault> {
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ERROR_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Fault::UpstreamReset)?.to_bytes();
        let form = text(&parts.headers, &header::CONTENT_TYPE).and_then(WireForm::of);
        let form = form.unwrap_or(outgoing.form);
        let resend = outcome::resend(
            parts.status.as_u16(),
            outcome::error_type(form, &body).as_deref(),
            outcome::error_message(form, &body).as_deref(),
            outgoing.original.is_some(),
            false,
        );
        let again = self.again(resend, outgoing, keys, &parts.headers).await;
        let Some((resent, mut outgoing, keys)) = again else {
            return Ok(Sent {
                answer: Response::from_parts(parts, Reply::Read(body)),
                resent: None,
            });
        };
        self.metrics.resends.with_label_values(&[resent.as_str()]).inc();
        let answer = self.once(target, &mut outgoing, &keys, self.clock.now()).await?;
        Ok(Sent { answer: answer.map(Reply::Streaming), resent: Some(resent) })
    }

    /// What is sent the second time, if anything is.
    async fn again(
        &self,
        resend: Resend,
        outgoing: Outgoing,
        keys: Arc<aws_credential_types::Credentials>,
        answered: &HeaderMap,
    ) -> Option<(Resent, Outgoing, Arc<aws_credential_types::Credentials>)> {
        match resend {
            Resend::No => None,
            Resend::Original => {
                let body = outgoing.original?;
                let hash = BodyHash::of(&body);
                let outgoing = Outgoing { body: body.into(), hash, original: None, ..outgoing };
                Some((Resent::Original, outgoing, keys))
            }
            Resend::SignAgain { expired: true } => {
                let other = self.credentials.other_than(&keys, CREDENTIALS_PATIENCE).await?;
                Some((Resent::OtherCredentials, outgoing, other))
            }
            Resend::SignAgain { expired: false } => {
                let date = text(answered, &header::DATE)?;
                let changed = self.skew.learn(date, self.clock.now().wall);
                changed.then_some((Resent::OtherTime, outgoing, keys))
            }
        }
    }

    async fn once(
        &self,
        target: &Target,
        outgoing: &mut Outgoing,
        keys: &Arc<aws_credential_types::Credentials>,
        now: Moment,
    ) -> Result<Response<Incoming>, Fault> {
        let mut request = Request::new(PiecesBody::from(outgoing.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri.clone();
        *request.headers_mut() = self.signed(target, outgoing, keys, now.wall);
        let kind = if outgoing.operation == Operation::SubscribeToShard {
            CallKind::Subscription
        } else {
            CallKind::Call
        };
        let answer = self.client.request(request, kind, now);
        match tokio::time::timeout(self.answer_timeout, answer).await {
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
        outgoing: &mut Outgoing,
        keys: &Arc<aws_credential_types::Credentials>,
        now: Wall,
    ) -> HeaderMap {
        let now = self.skew.now(now);
        // The client's own stay for a second try: as a copy, since a copy has no room to grow.
        let kept = outgoing.headers.clone();
        let mut headers = std::mem::replace(&mut outgoing.headers, kept);
        let key = self.key(keys, &outgoing.region, now);
        let request = sigv4::Request {
            host: &target.host,
            content_type: text(&headers, &header::CONTENT_TYPE),
            target: text(&headers, &names::AMZ_TARGET),
            token: keys.session_token(),
            body_hash: &outgoing.hash,
        };
        let signed = sigv4::sign(&key, keys.access_key_id(), &request, now);
        // A token or key that is no header value cannot be sent; Kinesis then says what lacks.
        let mut secret =
            |name: &HeaderName, value: Result<HeaderValue, InvalidHeaderValue>| match value {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                Err(_) => drop(headers.remove(name)),
            };
        secret(&header::AUTHORIZATION, signed.authorization.try_into());
        if let Some(token) = keys.session_token() {
            secret(&names::AMZ_TOKEN, HeaderValue::from_str(token));
        }
        if let Ok(date) = signed.amz_date.try_into() {
            headers.insert(&names::AMZ_DATE, date);
        }
        headers.insert(&header::HOST, target.host_header.clone());
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

/// Removes what belongs to one connection, and what our signature does without.
pub(super) fn strip_connection(headers: &mut HeaderMap) {
    let named = headers
        .get_all(&header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok());
    // Most requests have one or two of them: comparing names is less than looking for each.
    let dropped = headers.keys().filter(|name| DROPPED.contains(name)).cloned();
    let gone: Vec<HeaderName> = named.chain(dropped).collect();
    gone.iter().for_each(|name| drop(headers.remove(name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_request_goes() {
        let check = |base: &str, host: &str, server: &str| {
            let target = Target::new(&base.parse().unwrap()).unwrap();
            assert_eq!((target.host.as_str(), &*target.server), (host, server), "{base}");
        };
        let kinesis = "kinesis.us-east-1.amazonaws.com";
        check(&format!("https://{kinesis}/"), kinesis, &format!("{kinesis}:443"));
        check(&format!("https://{kinesis}:443"), kinesis, &format!("{kinesis}:443"));
        check("http://localhost", "localhost", "localhost:80");
        check("http://localhost:4566", "localhost:4566", "localhost:4566");
        check("http://[::1]:443", "[::1]:443", "[::1]:443");
    }
}
