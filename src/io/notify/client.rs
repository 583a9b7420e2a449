//! Owns the HTTP client that receivers are called with. Refuses redirects (it has none to follow)
//! and a TLS stack other than rustls on aws-lc-rs.

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use std::time::Duration;

/// A pooled client for `http` and `https`, cheap to clone.
pub type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Longer than any handshake of a receiver that works, and shorter than an attempt may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Receivers are called rarely: a connection that idles longer has likely been cut on the way.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// A client that trusts the system's root certificates. Where there are none, `https` fails at each
/// attempt and says so: no reason to keep the service from starting.
#[must_use]
pub fn client() -> HttpsClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_MAX));
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new();
    let schemes = match builder.with_provider_and_native_roots(aws_lc_rs::default_provider()) {
        Ok(schemes) => schemes,
        Err(error) => {
            tracing::warn!(%error, "no root certificates: https receivers can't be reached");
            HttpsConnectorBuilder::new().with_tls_config(trusting_nobody())
        }
    };
    let connector = schemes.https_or_http().enable_http1().wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

fn trusting_nobody() -> ClientConfig {
    #[expect(clippy::expect_used, reason = "the provider supports the versions it was built with")]
    ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports the default versions of TLS")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}
