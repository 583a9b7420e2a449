//! Owns the checks of what the service needs beside AWS: certificate, collector, receivers, state.
//! Refuses to post anything: a receiver is connected to and left.

use super::Verdict;
use crate::app::config::{Config, Receiver, SecretPlace, Tls};
use crate::app::logging::chain;
use crate::app::{data_plane, exporting};
use crate::io::clock::Clock;
use crate::io::credentials::{Credentials, SdkSettings};
use crate::io::http::client::Client;
use crate::io::otlp;
use hyper_rustls::ConfigBuilderExt;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Whether certificate and key are what they should be, and belong together.
pub(super) fn tls(tls: Option<&Tls>) -> Verdict {
    let files = tls.map(|tls| (tls.certificate.as_deref(), tls.key.as_deref()));
    match files {
        None => Verdict::skipped("proxy.tls is off"),
        Some((Some(certificate), Some(key))) => pair(certificate, key),
        Some((None, _) | (_, None)) => Verdict::skipped("the certificate is made at start"),
    }
}

fn pair(certificate: &Path, key: &Path) -> Verdict {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let certificates = match chain {
        Ok(certificates) if !certificates.is_empty() => certificates,
        Ok(_) => return Verdict::failed("the certificate's file holds no PEM certificate"),
        Err(error) => return Verdict::failed(format!("the certificate cannot be read: {error}")),
    };
    let key = match PrivateKeyDer::from_pem_file(key) {
        Ok(key) => key,
        Err(error) => return Verdict::failed(format!("the key cannot be read: {error}")),
    };
    let count = certificates.len();
    let server = rustls::ServerConfig::builder().with_no_client_auth();
    match server.with_single_cert(certificates, key) {
        Ok(_) => Verdict::ok(format!("certificate and key fit; {count} in the chain")),
        Err(error) => Verdict::failed(format!("certificate and key cannot be used: {error}")),
    }
}

/// Whether the collector takes an export without spans.
pub(super) async fn otlp(
    config: &Config,
    environment: &BTreeMap<String, String>,
    (sdk, clock): (&SdkSettings, &Clock),
) -> Verdict {
    let region = config.region.as_deref().or(sdk.region());
    let reading = match exporting::read(config, environment, region) {
        Ok(reading) => reading,
        Err(error) => return Verdict::failed(chain(&error)),
    };
    let (exporter, to) = match reading.export {
        otlp::Export::Off(why) => return Verdict::skipped(why),
        otlp::Export::On(to) => (otlp::Exporter::new(&to, clock.clone()), to),
        otlp::Export::XRay { region, config: to } => {
            let Some(provider) = sdk.provider() else {
                return Verdict::failed("there is no credentials provider");
            };
            let credentials = Credentials::new(provider, clock.clone());
            // Ends with this check.
            let keeping = credentials.clone().run(CancellationToken::new());
            let settings = data_plane::client_settings(config, environment);
            let client = Client::new(&settings, clock.clone());
            let exporter = otlp::Exporter::xray(&to, &region, client, credentials, clock.clone());
            return tokio::select! {
                verdict = probe(exporter, &to.endpoint) => verdict,
                () = keeping => Verdict::failed("there are no credentials"),
            };
        }
    };
    probe(exporter, &to.endpoint).await
}

/// Whether the hub takes what a sidecar has to tell: a report of nothing.
pub(super) async fn hub(config: &Config, clock: &Clock) -> Verdict {
    let Some(endpoint) = &config.hub_endpoint else {
        return Verdict::skipped("hub.endpoint is not set");
    };
    let traces = otlp::Endpoint::parse(endpoint).and_then(|hub| hub.under("/v1/traces"));
    let endpoint = match traces {
        Ok(endpoint) => endpoint,
        Err(error) => return Verdict::failed(format!("hub.endpoint {error}")),
    };
    let to = otlp::Config::new(endpoint, otlp::Protocol::HttpProtobuf);
    match probe(otlp::Exporter::new(&to, clock.clone()), &to.endpoint).await {
        Verdict::Failed(why) => Verdict::Failed(format!(
            "{why}; is a hub there (role hub), and is this the port of its OTLP receiver (4595)?"
        )),
        verdict @ (Verdict::Ok(_) | Verdict::Skipped(_)) => verdict,
    }
}

async fn probe(
    exporter: Result<otlp::Exporter, otlp::BuildError>,
    endpoint: &otlp::Endpoint,
) -> Verdict {
    let mut exporter = match exporter {
        Ok(exporter) => exporter,
        Err(error) => return Verdict::failed(chain(&error)),
    };
    match exporter.probe().await {
        Ok(()) => Verdict::ok(format!("{endpoint} takes exports")),
        Err(why) => Verdict::failed(format!("{endpoint}: {why}")),
    }
}

/// Whether a receiver can be connected to; its address may be a secret and is not shown.
pub(super) async fn receiver(receiver: &Receiver) -> Verdict {
    let address = match receiver.kind.url() {
        SecretPlace::Given(url) => url.reveal().to_owned(),
        SecretPlace::File(file) => match tokio::fs::read_to_string(file).await {
            Ok(text) => text.trim().to_owned(),
            Err(error) => return Verdict::failed(format!("url_file cannot be read: {error}")),
        },
    };
    let Ok(uri) = address.parse::<http::Uri>() else {
        return Verdict::failed("the address is not one");
    };
    let https = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
    let Some(host) = uri.host().map(|host| host.trim_matches(['[', ']'])) else {
        return Verdict::failed("the address names no host");
    };
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    let stream = match TcpStream::connect((host, port)).await {
        Ok(stream) => stream,
        Err(error) => return Verdict::failed(format!("cannot be connected to: {error}")),
    };
    if !https {
        return Verdict::ok("can be connected to; nothing was posted");
    }
    match handshake(host, stream).await {
        Ok(()) => Verdict::ok("can be connected to by TLS; nothing was posted"),
        Err(error) => Verdict::failed(format!("TLS fails: {error}")),
    }
}

async fn handshake(host: &str, stream: TcpStream) -> std::io::Result<()> {
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    let trusting = rustls::ClientConfig::builder().with_native_roots()?.with_no_client_auth();
    TlsConnector::from(Arc::new(trusting)).connect(name, stream).await.map(drop)
}

/// Whether the folder is there, or can be made, and can be written to.
pub(super) fn state(folder: Option<&Path>) -> Verdict {
    let Some(folder) = folder else { return Verdict::skipped("memory only") };
    let probe = folder.join(format!(".kinescope-check-{}", std::process::id()));
    let was_there = folder.exists();
    let tried = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe));
    if !was_there {
        // A check leaves nothing behind; what others put there meanwhile stays.
        let _kept = std::fs::remove_dir(folder);
    }
    match tried {
        Ok(()) => Verdict::ok(format!("{} can be written to", folder.display())),
        Err(error) => Verdict::failed(format!(
            "{} cannot be written to: {error}; mount a volume there, or set `state: null`",
            folder.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::Kind;
    use crate::io::secret::Secret;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("kinescope-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn starts(verdict: &Verdict, word: &str) {
        assert!(format!("{verdict:?}").starts_with(word), "{verdict:?} is not {word}");
    }

    #[test]
    fn certificates() {
        let folder = folder("tls");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::KeyPair::generate().unwrap();
        let file = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).unwrap();
            Some(folder.join(name))
        };
        let certificate = file("tls.crt", made.cert.pem());
        let key = file("tls.key", made.signing_key.serialize_pem());
        let strange = file("other.key", other.serialize_pem());
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let check = |certificate: &Option<PathBuf>, key: &Option<PathBuf>, word: &str| {
            let pair = Tls { listen: vec![], certificate: certificate.clone(), key: key.clone() };
            starts(&tls(Some(&pair)), word);
        };
        check(&certificate, &key, "Ok(\"certificate and key fit; 1");
        check(&certificate, &strange, "Failed(\"certificate and key cannot");
        check(&key, &key, "Failed(\"the certificate's file holds no");
        check(&certificate, &certificate, "Failed(\"the key cannot be read");
        check(&None, &None, "Skipped(\"the certificate is made");
        starts(&tls(None), "Skipped(\"proxy.tls is off");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn receivers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let check = async |address: String, word: &str| {
            let url = SecretPlace::Given(Secret::new(address.clone()));
            let kind = Kind::Webhook { url, secret_file: None };
            let verdict = receiver(&Receiver::new("hook", kind)).await;
            starts(&verdict, word);
            assert!(!format!("{verdict:?}").contains("hunter2"), "{verdict:?}");
        };
        check(format!("http://127.0.0.1:{port}/hunter2"), "Ok(\"can be connected to;").await;
        drop(listener);
        check(format!("http://127.0.0.1:{port}/hunter2"), "Failed(\"cannot be connected").await;
        check("hunter2".to_owned(), "Failed(\"").await;
    }

    #[test]
    fn folders_for_state() {
        let folder = folder("state");
        starts(&state(None), "Skipped");
        starts(&state(Some(&folder.join("new"))), "Ok");
        assert!(!folder.join("new").exists(), "a check leaves nothing behind");
        std::fs::write(folder.join("file"), "").unwrap();
        starts(&state(Some(&folder.join("file"))), "Failed");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
