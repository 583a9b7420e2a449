//! Owns the connections of an export: one pooled connection, one exchange on it, within a deadline.
//! Refuses redirects, to read an answer without a bound, and to know what an answer means.

use super::config::Config;
use super::config::File;
use super::config::Protocol;
use crate::domain::time::Moment;
use crate::io::clock::Clock;
use crate::io::http::client::CallKind;
use crate::io::http::client::Client;
use crate::io::http::pieces::PiecesBody;
use ::http::HeaderMap;
use ::http::Request;
use ::http::Response;
use ::http::StatusCode;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem;
use rustls::pki_types::pem::PemObject;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an answer that are read; a partial success is a number and a sentence.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;
/// A gRPC connection is shared by all tries, so one that died in silence must be found out.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_MAX: Duration = Duration::from_secs(10);

/// Why there are no connections.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The system has no root certificates.
    #[error("the system has no root certificates that can be read")]
    Roots,
    /// A certificate's file cannot be read.
    #[error("{source_name} names a file that cannot be read as PEM")]
    File {
        /// The variable.
        source_name: String,
        /// Why.
        #[source]
        cause: pem::Error,
    },
    /// opentelemetry-otlp refused what it was told.
    #[error("the OTLP exporter refuses its configuration")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// Certificates that TLS cannot use.
    #[error("the certificates of {source_name} cannot be used")]
    Certificates {
        /// The variable.
        source_name: String,
        /// Why.
        #[source]
        cause: rustls::Error,
    },
}

/// Connections to one collector.
pub(super) enum Transport {
    /// Of this export's own making.
    Own(Box<Pool<HttpsConnector<HttpConnector>, Full<Bytes>>>),
    /// The data plane's way to AWS, with its proxy and its roots.
    Aws(Client),
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Empty unless it came whole.
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Transport {
    /// Connects when it is first used, so a collector that is down is no error.
    ///
    /// # Errors
    /// Certificates that cannot be read or used.
    pub(super) fn new(config: &Config) -> Result<Self, BuildError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls(config)?).https_or_http();
        let mut builder = Pool::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(1);
        let connector = match config.protocol {
            Protocol::HttpProtobuf => connector.enable_http1().wrap_connector(tcp),
            Protocol::Grpc => {
                builder
                    .http2_only(true)
                    .http2_keep_alive_interval(PING_EVERY)
                    .http2_keep_alive_timeout(PING_MAX);
                connector.enable_http2().wrap_connector(tcp)
            }
        };
        Ok(Self::Own(Box::new(builder.build(connector))))
    }

    /// One request and its answer. Without a head by the deadline there is no answer, and why is
    /// said; a body that breaks or is late is left out, since head and trailers say enough.
    pub(super) async fn exchange(
        &self,
        request: Request<Bytes>,
        deadline: Duration,
        clock: &Clock,
    ) -> Result<Answer, String> {
        let late = || clock.sleep_until(deadline);
        let head = tokio::select! {
            head = self.send(request, clock.now()) => head?,
            () = late() => return Err("no answer in time".to_owned()),
        };
        let (parts, body) = head.into_parts();
        let body = tokio::select! {
            body = Limited::new(body, ANSWER_BYTES_MAX).collect() => body.ok(),
            () = late() => None,
        };
        let trailers = body.as_ref().and_then(|body| body.trailers().cloned()).unwrap_or_default();
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Answer { status: parts.status, headers: parts.headers, body, trailers })
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        now: Moment,
    ) -> Result<Response<Incoming>, String> {
        match self {
            Self::Own(pool) => {
                pool.request(request.map(Full::new)).await.map_err(|error| sentence(&error))
            }
            Self::Aws(client) => {
                let request = request.map(PiecesBody::from);
                let answer = client.request(request, CallKind::Call, now).await;
                answer.map_err(|error| sentence(&error))
            }
        }
    }
}

/// When a try that begins now ends.
pub(super) fn deadline(now: Moment, timeout: Duration) -> Duration {
    now.mono.saturating_add(timeout)
}

fn tls(config: &Config) -> Result<rustls::ClientConfig, BuildError> {
    // What plain HTTP has no use for is not read: files that may be wrong, roots that cost memory.
    let https = config.endpoint.https();
    let (certificate, client) = (config.tls.certificate.as_ref(), config.tls.client.as_ref());
    let mut roots = RootCertStore::empty();
    match certificate.filter(|_| https) {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|cause| unusable(file, cause))?;
            }
        }
        None if https => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(BuildError::Roots);
            }
        }
        None => {}
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[expect(clippy::expect_used, reason = "the provider supports the versions it was built with")]
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports the default versions of TLS")
        .with_root_certificates(roots);
    let Some((certificate, key)) = client.filter(|_| https) else {
        return Ok(builder.with_no_client_auth());
    };
    let secret = PrivateKeyDer::from_pem_file(&key.path).map_err(|cause| unread(key, cause))?;
    let chain = certificates(certificate)?;
    builder.with_client_auth_cert(chain, secret).map_err(|cause| unusable(certificate, cause))
}

fn certificates(file: &File) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let read =
        CertificateDer::pem_file_iter(&file.path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read =
        read.and_then(|all| if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) });
    read.map_err(|cause| unread(file, cause))
}

fn unread(file: &File, cause: pem::Error) -> BuildError {
    BuildError::File { source_name: file.source_name.clone(), cause }
}

fn unusable(file: &File, cause: rustls::Error) -> BuildError {
    BuildError::Certificates { source_name: file.source_name.clone(), cause }
}

/// An error with its causes, in one line.
fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
