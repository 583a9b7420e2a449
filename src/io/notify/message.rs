//! Owns one request to a receiver: its address, its headers and its body, with what is secret read
//! for this request. Refuses to send it.

use crate::domain::alert::Notice;
use crate::domain::time::Wall;
use crate::io::notify::attempt::Failure;
use crate::io::notify::receiver::{Kind, Place, Receiver};
use crate::wire::notify::signature::Keys;
use crate::wire::notify::{alertmanager, message_id, pagerduty, slack, teams, webhook};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use std::path::Path;
use std::sync::Arc;

/// How many renewals an Alertmanager may miss before it lets an alert end, as Prometheus has it.
const RENEWALS_MISSED_MAX: u32 = 4;

/// A request, and what must not be seen of it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) request: Request<Full<Bytes>>,
    /// Masked in what a receiver's answer says.
    pub(super) secrets: Vec<String>,
}

/// The request that tells `receiver` of `notices`, which are as many as its kind takes at once.
pub(super) async fn compose(
    receiver: &Receiver,
    notices: &[Arc<Notice>],
    external_url: &str,
    now: Wall,
) -> Result<Message, Failure> {
    let url = read(receiver.kind.url()).await?;
    let (uri, from_file) = (url.text.as_str(), url.from_file);
    let mut secrets = vec![url.text.clone()];
    let all = || notices.iter().map(|notice| &**notice).collect::<Vec<_>>();
    let alerts = || notices.iter().flat_map(|notice| &notice.alerts);
    let mut headers: Vec<(&'static str, String)> = Vec::new();
    let body = match &receiver.kind {
        Kind::Webhook { secret_file, .. } => {
            let Some(notice) = notices.first() else { return Err(Failure::NothingToSay) };
            let body = webhook::body(notice, &receiver.name, external_url);
            if let Some(file) = secret_file {
                headers = signed(file, notice, now, &body).await?;
            }
            body
        }
        Kind::Alertmanager { token_file, renew_every, .. } => {
            if let Some(file) = token_file {
                let token = read_file(file).await?;
                headers.push((AUTHORIZATION.as_str(), format!("Bearer {token}")));
                secrets.push(token);
            }
            let lifetime = renew_every.saturating_mul(RENEWALS_MISSED_MAX);
            alertmanager::body(alerts(), external_url, now, lifetime)
        }
        Kind::Slack { .. } => slack::body(&all(), external_url),
        Kind::Teams { .. } => teams::body(&all(), external_url),
        Kind::PagerDuty { routing_key, .. } => {
            let Some(alert) = alerts().next() else { return Err(Failure::NothingToSay) };
            let key = read(routing_key).await?.text;
            let body = pagerduty::body(alert, &key, external_url);
            secrets.push(key);
            body
        }
    };
    let uri = match receiver.kind {
        Kind::Alertmanager { .. } => parse_url(&below(uri, alertmanager::PATH), from_file)?,
        Kind::Webhook { .. } | Kind::Slack { .. } | Kind::PagerDuty { .. } | Kind::Teams { .. } => {
            parse_url(uri, from_file)?
        }
    };
    // A path alone is often quoted in an answer, and is the secret of the URL.
    secrets.extend(uri.path_and_query().map(|path| path.as_str().to_owned()));
    let mut request = Request::post(uri)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("kinescope/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(&value).map_err(|_| Failure::BadHeader)?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    let request =
        request.body(Full::new(Bytes::from(body))).map_err(|_| Failure::BadUrl { from_file })?;
    Ok(Message { request, secrets })
}

/// The headers of Standard Webhooks. The id stays the same at every try, the time is that of this
/// one.
async fn signed(
    file: &Path,
    notice: &Notice,
    now: Wall,
    body: &[u8],
) -> Result<Vec<(&'static str, String)>, Failure> {
    let keys = Keys::parse(&read_file(file).await?).map_err(Failure::BadKeys)?;
    let (id, seconds) = (message_id(notice), now.as_seconds());
    let signature = keys.sign(&id, seconds, body);
    Ok(vec![
        ("webhook-id", id),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signature),
    ])
}

struct Read {
    text: String,
    from_file: bool,
}

async fn read(place: &Place) -> Result<Read, Failure> {
    Ok(match place {
        Place::Given(secret) => Read { text: secret.reveal().to_owned(), from_file: false },
        Place::File(path) => Read { text: read_file(path).await?, from_file: true },
    })
}

async fn read_file(path: &Path) -> Result<String, Failure> {
    let text = tokio::fs::read_to_string(path).await.map_err(Failure::File)?;
    Ok(text.trim().to_owned())
}

/// `path` behind an address that may have a path, and a `/` at its end, of its own.
fn below(address: &str, path: &str) -> String {
    format!("{}{path}", address.trim_end_matches('/'))
}

pub(super) fn parse_url(text: &str, from_file: bool) -> Result<Uri, Failure> {
    let is_usable = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    text.parse().ok().filter(is_usable).ok_or(Failure::BadUrl { from_file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_http() {
        let check = |text, expected| assert_eq!(parse_url(text, false).is_ok(), expected, "{text}");
        check("http://127.0.0.1:9/a?b=c", true);
        check("https://hooks.example/T0/B0", true);
        check("ftp://hooks.example/", false);
        check("hooks.example", false);
        check("/path", false);
        check("", false);
    }

    #[test]
    fn paths_are_put_behind_addresses() {
        let check = |address, expected| assert_eq!(below(address, "/api"), expected);
        check("http://am:9093", "http://am:9093/api");
        check("http://am:9093/", "http://am:9093/api");
        check("http://am/prefix/", "http://am/prefix/api");
    }
}
