//! Owns the tests of who we are to a collector: signed for X-Ray, and with certificates of TLS.

use super::Clock;
use super::Collector;
use super::Compression;
use super::Config;
use super::Endpoint;
use super::Exporter;
use super::GRPC;
use super::HTTP;
use super::Reply;
use super::Rig;
use super::Span;
use super::Wall;
use super::collectors::Received;
use super::config;
use super::span;
use crate::io::credentials::Credentials;
use crate::io::http::client::Client;
use crate::io::http::connect::ClientSettings;
use crate::io::http::connect::ProxySettings;
use crate::io::otlp::File;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sigv4::http_request::SignableBody;
use aws_sigv4::http_request::SignableRequest;
use aws_sigv4::http_request::SigningSettings;
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::Request;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::IsCa;
use rcgen::KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::convert::Infallible;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::UNIX_EPOCH;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const NOW: Wall = Wall::from_ms(1_792_000_000_123);

/// A span of a time that X-Ray takes.
fn fresh(links: usize) -> Span {
    Span { start: NOW, end: NOW, ..span(links) }
}

fn keys() -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new("AKID", "hush", Some("token/==".into()), None, "test")
}

/// What AWS would find the signature to be.
fn expected(received: &Received, host: &str, now: Wall) -> String {
    let identity = keys().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("xray")
        .time(UNIX_EPOCH + Duration::from_nanos(now.as_nanos()))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = [("content-type", "application/x-protobuf"), ("host", host)];
    let url = format!("http://{host}/v1/traces");
    let body = SignableBody::Bytes(&received.raw);
    let request = SignableRequest::new("POST", &url, headers.into_iter(), body).unwrap();
    let signed = aws_sigv4::http_request::sign(request, &params).unwrap();
    let (headers, _) = signed.into_parts().0.into_parts();
    let found = headers.iter().find(|header| header.name() == "authorization");
    found.unwrap().value().to_owned()
}

/// An exporter to X-Ray, which is `collector`; the task keeps its credentials.
fn xray(collector: &Collector, config: impl FnOnce(&mut Config)) -> (Rig, JoinSet<()>) {
    let clock = Clock::simulated(NOW);
    let credentials = Credentials::new(SharedCredentialsProvider::new(keys()), clock.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(credentials.clone().run(CancellationToken::new()));
    let settings = ClientSettings {
        connect_timeout: Duration::from_secs(3),
        proxy: ProxySettings::default(),
        ca_bundle: None,
    };
    let client = Client::new(&settings, clock.clone());
    let mut to = super::config(&format!("{}/v1/traces", collector.address), HTTP);
    config(&mut to);
    let exporter = Exporter::xray(&to, "eu-west-1", client, credentials, clock.clone());
    let exporter = exporter.unwrap();
    (Rig::with(exporter, to, clock), tasks)
}

#[tokio::test]
async fn x_ray_finds_our_signature_right() {
    for compression in [None, Some(Compression::Gzip)] {
        let mut collector = Collector::start(HTTP, &[Reply::Busy(None)], Reply::Accept).await;
        let (rig, _tasks) = xray(&collector, |config| config.compression = compression);
        (0..5).for_each(|_| rig.sink.offer(fresh(1)));
        for _ in 0..2 {
            let received = collector.received.recv().await.unwrap();
            assert_eq!((received.path.as_str(), received.spans()), ("/v1/traces", 5));
            assert_eq!(received.headers["x-amz-security-token"], "token/==");
            let date = received.headers["x-amz-date"].to_str().unwrap();
            let signed_at = [NOW, NOW.plus(Duration::from_secs(1))];
            let signed_at = signed_at.into_iter().find(|at| at.amz_date() == date).unwrap();
            let host = collector.address.strip_prefix("http://").unwrap();
            assert_eq!(received.headers["authorization"], expected(&received, host, signed_at));
        }
        assert_eq!(rig.end().await, [5, 0, 0, 0, 0]);
    }
}

/// Refused, with no other credentials to be had: one try, and the spans have their count.
#[tokio::test]
async fn x_ray_denies() {
    let mut collector = Collector::start(HTTP, &[], Reply::Status(403)).await;
    let (rig, _tasks) = xray(&collector, |config| config.timeout = Duration::from_secs(1));
    (0..5).for_each(|_| rig.sink.offer(fresh(1)));
    collector.received.recv().await.unwrap();
    assert_eq!(rig.end().await, [0, 0, 0, 5, 0]);
    assert!(collector.received.try_recv().is_err());
}

#[tokio::test]
async fn a_span_for_x_ray_is_no_larger_than_x_ray_takes() {
    let mut collector = Collector::start(HTTP, &[], Reply::Accept).await;
    let (rig, _tasks) = xray(&collector, |_| {});
    rig.sink.offer(fresh(5_000));
    let received = collector.received.recv().await.unwrap();
    assert!(received.raw.len() < 201_000, "{}", received.raw.len());
    let body = received.body();
    let span = &body.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.links.len() + span.dropped_links_count as usize, 5_000);
    assert!(span.links.len() > 1_000);
    assert_eq!(rig.end().await, [1, 0, 0, 0, 0]);
}

/// A report may be of any time; what X-Ray would refuse with its whole request stays here.
#[tokio::test]
async fn a_span_of_another_time_is_not_sent_to_x_ray() {
    let mut collector = Collector::start(HTTP, &[], Reply::Accept).await;
    let (rig, _tasks) = xray(&collector, |_| {});
    rig.offer(3);
    rig.sink.offer(fresh(1));
    assert_eq!(collector.received.recv().await.unwrap().spans(), 1);
    assert_eq!(rig.metrics.dropped_out_of_time.get(), 3);
    assert_eq!(rig.end().await, [1, 0, 0, 3, 0]);
}

/// PEM files in a folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("kinescope-otlp-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> File {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        File { source_name: format!("OTEL_{name}"), path }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn certified(authority: &CertifiedIssuer<'static, KeyPair>) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// What both protocols take for a success.
async fn accept(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = Response::builder().header("content-type", "application/grpc");
    Ok(answer.header("grpc-status", "0").body(Full::default()).unwrap())
}

/// A collector that asks for a certificate of `authority` and accepts everything.
async fn strict(authority: &CertifiedIssuer<'static, KeyPair>) -> (String, JoinSet<()>) {
    let (certificate, key) = certified(authority);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let server = auto::Builder::new(TokioExecutor::new());
            server.serve_connection(TokioIo::new(stream), service_fn(accept)).await.ok();
        }
    });
    (address, tasks)
}

/// Whether the collector takes an export.
async fn takes(to: &Config) -> bool {
    Exporter::new(to, Clock::simulated(NOW)).unwrap().probe().await.is_ok()
}

#[tokio::test]
async fn certificates_of_our_own() {
    let folder = Folder::new("mutual");
    let authority = authority();
    let (certificate, key) = certified(&authority);
    for protocol in [HTTP, GRPC] {
        let (address, _tasks) = strict(&authority).await;
        let mut to = config(&address, protocol);
        to.tls.certificate = Some(folder.file("CA", &authority.pem()));
        assert!(!takes(&to).await, "without a certificate of ours");
        let own = folder.file("CERTIFICATE", &certificate.pem());
        to.tls.client = Some((own, folder.file("KEY", &key.serialize_pem())));
        assert!(takes(&to).await, "{protocol:?}");
        to.tls.certificate = Some(folder.file("OTHER", &self::authority().pem()));
        assert!(!takes(&to).await, "a collector of another authority");
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_read() {
    let folder = Folder::new("unread");
    let check = |certificate: Option<File>, client: Option<(File, File)>, expected: &str| {
        let mut to = Config::new(Endpoint::parse("https://localhost").unwrap(), HTTP);
        to.tls = crate::io::otlp::Tls { certificate, client };
        let error = Exporter::new(&to, Clock::simulated(NOW)).unwrap_err().to_string();
        assert_eq!(error, expected);
    };
    let unread = "OTEL_CA names a file that cannot be read as PEM";
    let missing = File { source_name: "OTEL_CA".into(), path: Path::new("/no/such/file").into() };
    check(Some(missing.clone()), None, unread);
    check(Some(folder.file("CA", "no certificate")), None, unread);
    let authority = authority();
    let (certificate, _) = certified(&authority);
    let certificate = folder.file("OWN", &certificate.pem());
    let root = || Some(folder.file("ROOT", &authority.pem()));
    check(root(), Some((certificate.clone(), missing)), unread);
    let other = folder.file("KEY", &KeyPair::generate().unwrap().serialize_pem());
    let unusable = "the certificates of OTEL_OWN cannot be used";
    check(root(), Some((certificate, other)), unusable);
}
