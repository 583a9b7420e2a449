//! Owns the certificate that a TLS listener (the data plane's, the injector's) shows: mounted and
//! read again when it changes, or made at start. Refuses a pair that does not belong together: the one before stays.

use crate::domain::time::Moment;
use crate::io::clock::Clock;
use arc_swap::ArcSwap;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A mounted pair is looked at this often at most, and only when a client connects.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a client on this machine may call us.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, or holds no such thing.
    #[error("cannot read {what} from {}", path.display())]
    Read {
        /// A certificate or a private key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The two do not belong together, or are of a kind that TLS does not know.
    #[error("the certificate and the key cannot be used together")]
    Pair(#[source] rustls::Error),
    /// Making one failed.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
}

/// The certificate and key that are shown to clients.
#[derive(Debug)]
pub struct Identity {
    shown: ArcSwap<ServerConfig>,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Mounted(Mounted),
    Made { certificate_pem: String },
}

#[derive(Debug)]
struct Mounted {
    files: Files,
    clock: Clock,
    looked: Mutex<Looked>,
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// When each file changed last; none where it cannot be told.
type Stamps = [Option<SystemTime>; 2];

#[derive(Debug)]
struct Looked {
    at: Moment,
    stamps: Stamps,
}

impl Identity {
    /// From PEM files, read again when they change; a new pair that is broken keeps the one before
    /// and is told in the log.
    ///
    /// # Errors
    /// What cannot be read, or does not belong together.
    pub fn mounted(certificate: PathBuf, key: PathBuf, clock: Clock) -> Result<Self, Error> {
        let files = Files { certificate, key };
        // Before the reading: a change in between is then seen at the next look.
        let looked = Looked { at: clock.now(), stamps: files.stamps() };
        let shown = ArcSwap::from_pointee(files.read()?);
        let origin = Origin::Mounted(Mounted { files, clock, looked: Mutex::new(looked) });
        Ok(Self { shown, origin })
    }

    /// Made now: self-signed, not an authority, for this machine's own names only.
    ///
    /// # Errors
    /// What the cryptography library says; none is known.
    pub fn made() -> Result<Self, Error> {
        let mut params = CertificateParams::new(NAMES.map(str::to_owned)).map_err(Error::Make)?;
        params.distinguished_name.push(DnType::CommonName, "kinescope");
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let key = KeyPair::generate().map_err(Error::Make)?;
        let certificate = params.self_signed(&key).map_err(Error::Make)?;
        let origin = Origin::Made { certificate_pem: certificate.pem() };
        let shown = config(vec![certificate.into()], key.into())?;
        Ok(Self { shown: ArcSwap::from_pointee(shown), origin })
    }

    /// The certificate that was made here, for clients that verify; a mounted one is its owner's to
    /// hand out.
    #[must_use]
    pub fn certificate_pem(&self) -> Option<&str> {
        match &self.origin {
            Origin::Made { certificate_pem } => Some(certificate_pem),
            Origin::Mounted(_) => None,
        }
    }

    /// A client's handshake, with the newest certificate. The caller bounds its time.
    pub(in crate::io) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        if let Origin::Mounted(mounted) = &self.origin
            && let Some(shown) = mounted.look().await
        {
            self.shown.store(Arc::new(shown));
        }
        TlsAcceptor::from(self.shown.load_full()).accept(stream).await
    }
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(Error::Pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl Mounted {
    /// The new pair, if there is one and it is whole.
    async fn look(&self) -> Option<ServerConfig> {
        let now = self.clock.now();
        let before = {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if now.since(looked.at) < LOOK_EVERY {
                return None;
            }
            looked.at = now;
            looked.stamps
        };
        let files = self.files.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let stamps = files.stamps();
            (stamps != before).then(|| (stamps, files.read()))
        });
        let (stamps, read) = reading.await.ok()??;
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).stamps = stamps;
        let certificate = self.files.certificate.display();
        match read {
            Ok(shown) => {
                tracing::info!(%certificate, "the certificate was read again");
                Some(shown)
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%certificate, error, "the new certificate is of no use: the old one stays");
                None
            }
        }
    }
}

impl Files {
    fn stamps(&self) -> Stamps {
        let stamp = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
        [stamp(&self.certificate), stamp(&self.key)]
    }

    fn read(&self) -> Result<ServerConfig, Error> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Read { what, path, source }
        };
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect);
        let chain = chain.map_err(failed("a certificate", &self.certificate))?;
        if chain.is_empty() {
            return Err(failed("a certificate", &self.certificate)(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key);
        config(chain, key.map_err(failed("a private key", &self.key))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;

    /// The clock is paused, so that only `advance` moves it.
    #[tokio::test(start_paused = true)]
    async fn files_are_looked_at_once_a_second_and_read_once_a_change() {
        let folder = std::env::temp_dir().join(format!("kinescope-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = Files { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        std::fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        let clock = Clock::simulated(Wall::from_nanos(0));
        let looked = Looked { at: clock.now(), stamps: [None; 2] };
        let mounted = Mounted { files, clock, looked: Mutex::new(looked) };
        assert!(mounted.look().await.is_none(), "within the second");
        tokio::time::advance(LOOK_EVERY).await;
        assert!(mounted.look().await.is_some(), "changed");
        assert!(mounted.look().await.is_none(), "within the next second");
        tokio::time::advance(LOOK_EVERY).await;
        assert!(mounted.look().await.is_none(), "not changed");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
