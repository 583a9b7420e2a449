//! Owns the HTTP client that receivers are called with. Refuses redirects (it has none to follow)
//! and a TLS stack other than rustls on aws-lc-rs.

use crate::io::http::connect::trusting;
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
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
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(trusting(None))
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_MAX)
        .pool_timer(TokioTimer::new())
        .build(connector)
}
