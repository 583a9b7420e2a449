//! Owns how a connection upstream comes to be: direct or through a proxy's tunnel, TLS with ALPN,
//! and one bound on all of it. Refuses to read the environment: settings come in as values.

use crate::io::clock::Clock;
use crate::io::quiet::Quiet;
use crate::io::secret::Secret;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// Any reason why there is no connection.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<S> = Pin<Box<dyn Future<Output = Result<S, BoxError>> + Send>>;
/// To the upstream itself, or to a proxy that may want TLS of its own.
type Wire = MaybeHttpsStream<TokioIo<TcpStream>>;

/// How connections are made.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// For name, TCP, the proxy's tunnel and TLS together.
    pub connect_timeout: Duration,
    /// The proxy between us and upstream.
    pub proxy: ProxySettings,
    /// PEM file of root certificates that are trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// The proxy between us and upstream, as the environment or the configuration names it.
#[derive(Debug, Clone, Default)]
pub struct ProxySettings {
    /// `http://[user:password@]host:port`, for `https` upstreams.
    pub https_proxy: Option<Secret>,
    /// Hosts that are reached without it, as curl reads `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// The configuration itself asks for the proxy: plain `http` upstreams go through it too.
    pub plain_too: bool,
}

impl ClientSettings {
    /// As every AWS program reads the environment: `HTTPS_PROXY`, `NO_PROXY` and `AWS_CA_BUNDLE`.
    /// `SSL_CERT_FILE` names the system's own roots, and is read where those are.
    #[must_use]
    pub fn from_environment(
        connect_timeout: Duration,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let value = |names: [&str; 2]| {
            names.iter().find_map(|name| environment(name).filter(|value| !value.is_empty()))
        };
        let proxy = ProxySettings {
            https_proxy: value(["HTTPS_PROXY", "https_proxy"]).map(Secret::new),
            no_proxy: value(["NO_PROXY", "no_proxy"]),
            plain_too: false,
        };
        let ca_bundle = value(["AWS_CA_BUNDLE"; 2]).map(PathBuf::from);
        Self { connect_timeout, proxy, ca_bundle }
    }
}

/// Trusts the system's roots and those of a PEM file. Without any, TLS fails with the verifier's
/// own error, and plain `http://` still works, which is what emulators need.
#[must_use]
pub fn trusting(ca_bundle: Option<&Path>) -> ClientConfig {
    let system = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system.certs);
    let more = ca_bundle.map(|path| {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        read.inspect_err(|error| {
            tracing::warn!(%error, path = %path.display(), "cannot read the bundle of root certificates");
        })
    });
    roots.add_parsable_certificates(more.into_iter().flatten().flatten());
    if roots.is_empty() {
        let errors = system.errors;
        tracing::warn!(?errors, "no root certificates: only plain http:// can be reached");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[expect(clippy::expect_used, reason = "the provider supports the versions it was built with")]
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Makes connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    upstream: HttpsConnector<Route>,
    connect_timeout: Duration,
}

impl Connector {
    pub(super) fn new(settings: &ClientSettings, clock: Clock) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        // Shared out among a name's addresses, so that one that is dead leaves time for the next.
        tcp.set_connect_timeout(Some(settings.connect_timeout));
        let to_proxy = trusting(settings.ca_bundle.as_deref());
        let mut tls = to_proxy.clone();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let proxy = settings.proxy.matcher().map(|matcher| {
            let connector = HttpsConnector::from((tcp.clone(), to_proxy));
            Arc::new(Proxy { matcher, connector, clock, quiet: Quiet::default() })
        });
        let upstream = HttpsConnector::from((Route { direct: tcp, proxy }, tls));
        Self { upstream, connect_timeout: settings.connect_timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Wire>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.upstream.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(self.connect_timeout, self.upstream.call(to));
        Box::pin(async move { connecting.await? })
    }
}

/// Direct, or through the proxy.
#[derive(Clone)]
struct Route {
    direct: HttpConnector,
    proxy: Option<Arc<Proxy>>,
}

struct Proxy {
    matcher: Matcher,
    connector: HttpsConnector<HttpConnector>,
    clock: Clock,
    quiet: Quiet,
}

/// A proxy that gave no tunnel.
#[derive(Debug, thiserror::Error)]
#[error("no tunnel to {to} through the proxy {proxy}")]
struct NoTunnel {
    to: String,
    proxy: String,
    #[source]
    source: BoxError,
}

impl Service<Uri> for Route {
    type Response = Wire;
    type Error = BoxError;
    type Future = Connecting<Wire>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let proxy = self.proxy.as_ref().and_then(|proxy| {
            proxy.matcher.intercept(&to).map(|through| (Arc::clone(proxy), through))
        });
        match proxy {
            Some((proxy, through)) => Box::pin(async move { proxy.tunnel(&through, to).await }),
            None => {
                let direct = self.direct.call(to);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(direct.await?)) })
            }
        }
    }
}

impl Proxy {
    async fn tunnel(&self, through: &Intercept, to: Uri) -> Result<Wire, BoxError> {
        // Names no credentials: the matcher took them out of the proxy's address.
        let proxy = through.uri().authority().map(ToString::to_string).unwrap_or_default();
        let mut tunnel = Tunnel::new(through.uri().clone(), self.connector.clone());
        if let Some(credentials) = through.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        let host = to.host().unwrap_or_default();
        let own_port = if to.scheme_str() == Some("http") { 80 } else { 443 };
        let to = format!("{host}:{}", to.port_u16().unwrap_or(own_port));
        let wire = tunnel.call(to.parse()?).await;
        wire.map_err(|error| {
            let error = NoTunnel { to, proxy, source: error.into() };
            if let Some(silenced) = self.quiet.may_say("tunnel", self.clock.now()) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, silenced, "the proxy does not let us through to Kinesis");
            }
            error.into()
        })
    }
}

impl ProxySettings {
    fn matcher(&self) -> Option<Matcher> {
        let proxy =
            self.https_proxy.as_ref().map(Secret::reveal).filter(|proxy| !proxy.is_empty())?;
        let build = |no_proxy: &str| {
            let plain = if self.plain_too { proxy } else { "" };
            Matcher::builder().https(proxy).http(plain).no(no_proxy).build()
        };
        // Without exceptions, what is asked for must be the answer.
        let any = build("").intercept(&Uri::from_static("https://kinesis"));
        let spoken = any.is_some_and(|through| {
            through.uri().scheme_str().is_some_and(|scheme| scheme.starts_with("http"))
        });
        if !spoken {
            tracing::warn!(
                "the proxy's address is not http://host:port: Kinesis is called directly"
            );
            return None;
        }
        Some(build(self.no_proxy.as_deref().unwrap_or_default()))
    }
}
