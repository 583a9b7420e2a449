//! Owns the pooled client towards Kinesis. Its one retry is hyper-util's: a request that came back
//! unstarted from a pooled connection that was closed meanwhile goes out on another, which
//! invariant 4 allows.

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;

/// A client over plain TCP and TLS (ALPN h2, http/1.1) with whole bodies.
pub type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Idle connections are kept this long: under the 60 s after which AWS' front ends close theirs,
/// so that few requests meet a closed one.
const IDLE_MAX: Duration = Duration::from_secs(50);
/// Idle connections kept to one host; a pod rarely has more calls in flight at once.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Makes a client. Without any root certificate on the machine only plain `http://` works, which
/// is what emulators need; a TLS upstream then fails with the verifier's own error.
#[must_use]
pub fn https(connect_timeout: Duration) -> HttpsClient {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(connect_timeout));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|tls| tls.with_native_roots().map_err(|e| rustls::Error::General(e.to_string())))
        .map(|tls| tls.with_no_client_auth());
    let tls = tls.unwrap_or_else(|error| {
        tracing::warn!(%error, "no root certificates: only plain http:// can be reached");
        let none = rustls::RootCertStore::empty();
        rustls::ClientConfig::builder().with_root_certificates(none).with_no_client_auth()
    });
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .build(connector)
}
