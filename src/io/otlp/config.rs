//! Owns what an export is told: where, how, how often. Refuses addresses that carry secrets.

use crate::domain::backoff::Backoff;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How one signal, spans or metrics, leaves the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The collector's address, complete: for HTTP with its path.
    pub endpoint: Endpoint,
    /// How the collector is spoken to.
    pub protocol: Protocol,
    /// Headers of each request; their values are marked sensitive, so that Debug hides them.
    pub headers: ::http::HeaderMap,
    /// The longest that one try may take.
    pub timeout: Duration,
    /// Whether bodies are compressed.
    pub compression: Option<Compression>,
    /// Whom we trust and who we are, where connections are encrypted.
    pub tls: Tls,
    /// Attributes of the resource, `service.name` among them.
    pub resource: Vec<(String, String)>,
    /// The longest that a span waits for others before it is sent; of metrics, how often they are.
    pub schedule_delay: Duration,
    /// Most spans a request; nothing to metrics.
    pub batch_max: usize,
    /// The wait after a failed try, and between batches while the collector fails.
    pub retry: Backoff,
}

impl Config {
    /// Defaults of the OpenTelemetry specification.
    pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
    pub(super) const SCHEDULE_DELAY: Duration = Duration::from_secs(5);
    pub(super) const BATCH_MAX: usize = 512;
    /// Gentle with a collector that restarts, at rest when it stays away: a try a half minute.
    pub(super) const RETRY: Backoff = Backoff {
        initial: Duration::from_millis(500),
        factor: 2.0,
        max: Duration::from_secs(30),
        jitter: 0.3,
    };

    /// The specification's defaults for a collector at `endpoint`.
    #[must_use]
    pub fn new(endpoint: Endpoint, protocol: Protocol) -> Self {
        Self {
            endpoint,
            protocol,
            headers: ::http::HeaderMap::new(),
            timeout: Self::TIMEOUT,
            compression: None,
            tls: Tls::default(),
            resource: Vec::new(),
            schedule_delay: Self::SCHEDULE_DELAY,
            batch_max: Self::BATCH_MAX,
            retry: Self::RETRY,
        }
    }
}

/// OTLP's transports that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `http/protobuf`.
    HttpProtobuf,
    /// `grpc`.
    Grpc,
}

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip.
    Gzip,
}

/// Certificates that are not the system's. All are PEM files, read once when the export starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The only roots that are trusted; else the system's are.
    pub certificate: Option<File>,
    /// Our own certificate and its key.
    pub client: Option<(File, File)>,
}

/// A file and the variable that named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The variable.
    pub source_name: String,
    /// The file.
    pub path: PathBuf,
}

/// A collector's address. Its Debug and Display leave out path and query, where tokens may be.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(::http::Uri);

impl Endpoint {
    /// Reads an absolute `http://` or `https://` address.
    ///
    /// # Errors
    /// A sentence's end that says what is wrong, without the address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: ::http::Uri = text.parse().map_err(|_| "is not an address")?;
        match (uri.scheme_str(), uri.authority()) {
            (_, Some(authority)) if authority.as_str().contains('@') => {
                Err("carries a user or password; send it as a header")
            }
            (Some("http" | "https"), Some(_)) => Ok(Self(uri)),
            _ => Err("does not begin with http:// or https://"),
        }
    }

    /// This address with `path` after its own path.
    ///
    /// # Errors
    /// A sentence's end that says what is wrong, without the address.
    pub fn under(&self, path: &str) -> Result<Self, &'static str> {
        let mut parts = self.0.clone().into_parts();
        let query = self.0.query().map(|query| format!("?{query}")).unwrap_or_default();
        let whole = format!("{}{path}{query}", self.0.path().trim_end_matches('/'));
        parts.path_and_query = Some(whole.parse().map_err(|_| "is not an address")?);
        ::http::Uri::from_parts(parts).map(Self).map_err(|_| "is not an address")
    }

    /// The address, for the one who connects.
    pub(super) const fn uri(&self) -> &::http::Uri {
        &self.0
    }

    /// Whether connections are encrypted.
    pub(super) fn https(&self) -> bool {
        self.0.scheme() == Some(&::http::uri::Scheme::HTTPS)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().map_or("", ::http::uri::Authority::as_str);
        write!(f, "{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with one source of configuration; never quotes its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name} {problem}")]
pub struct Fault {
    /// The environment variable or configuration key.
    pub source_name: String,
    /// The rest of the sentence.
    pub problem: &'static str,
}
