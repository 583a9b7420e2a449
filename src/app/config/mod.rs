//! Owns the configuration: what it means ([`Config`]) and how it is read ([`load`]), every fault
//! at once. Refuses to carry out anything: each room takes its own part.

mod alerting;
mod cloudwatch;
mod fault;
mod leases;
mod limits;
mod proxy;
mod raw;
mod receiver_kinds;
mod receivers;
mod rules;
mod sections;
mod sources;
mod summary;
#[cfg(test)]
mod survey;
mod value;
mod walk;

pub use crate::io::notify::{Kind, Place as SecretPlace, Receiver};
pub use crate::wire::status::Role;
pub use alerting::Alerting;
pub use cloudwatch::CloudWatch;
pub use fault::{Fault, Faults, Place};
pub use limits::Limits;
pub use proxy::{Allow, App, Deliver, Propagate, Propagation, Proxy, StreamPolicy, Tls};
#[cfg(test)]
pub(crate) use sections::survey;
pub use sources::Flags;
pub use summary::summary;
#[cfg(test)]
pub(crate) use survey::{Asked, Holds};
pub(crate) use value::duration;

use crate::domain::alert::Rule;
use crate::domain::cloudwatch::Share;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Everything that was decided before the start.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What this process is.
    pub role: Role,
    /// The `consumer` label; `unknown` when nothing names the service.
    pub service_name: String,
    /// The AWS region; `None` leaves it to AWS's own files.
    pub region: Option<String>,
    /// Part of every alert's identity; labels without a value are left out.
    pub external_labels: BTreeMap<String, String>,
    /// `hub.endpoint`: the hub that spans go to, too; its base address.
    pub hub_endpoint: Option<String>,
    /// `hub.replicas`: which of how many hubs this is.
    pub hub_share: Share,
    /// `hub.standby`: the DynamoDB table by whose lease one of several hubs works; `None`: this one
    /// always does.
    pub hub_standby: Option<String>,
    /// The data plane.
    pub proxy: Proxy,
    /// The CloudWatch poller.
    pub cloudwatch: CloudWatch,
    /// KCL applications whose checkpoints are watched; none in a sidecar.
    pub leases: Vec<crate::io::leases::Table>,
    /// Where spans go.
    pub otlp: Otlp,
    /// How spans are made.
    pub traces: Traces,
    /// What of a record may leave the process.
    pub privacy: Privacy,
    /// Prometheus.
    pub metrics: Metrics,
    /// Rules and receivers.
    pub alerts: Alerts,
    /// The admin listener.
    pub admin: Admin,
    /// Where what must outlive a restart is kept; `None`: memory only.
    pub state: Option<PathBuf>,
    /// Every bound.
    pub limits: Limits,
    /// What is legal but probably not meant; said once, at start.
    pub warnings: Vec<String>,
}

/// Where spans go; what is `None` here is left to `OTEL_EXPORTER_OTLP_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// The collector.
    pub endpoint: Option<String>,
    /// How it is spoken to.
    pub protocol: Option<OtlpProtocol>,
    /// Spans go to X-Ray of the region instead.
    pub xray: bool,
    /// Where OTLP is received; nowhere in a sidecar unless it was written.
    pub receive: Vec<SocketAddr>,
}

/// OTLP's transports that are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// `http/protobuf`
    HttpProtobuf,
    /// `grpc`
    Grpc,
}

/// What of a record may leave the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privacy {
    /// Members of an envelope's root, by name.
    pub fields: Vec<String>,
    /// Holds the secret that makes a hash of `sagaId` the same in all sidecars; `None`: a secret of
    /// this process alone.
    pub key_file: Option<PathBuf>,
}

/// How spans are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traces {
    /// A span for each record of PutRecords, in place of one context for all.
    pub create_spans: bool,
    /// A process span from the delivery of a batch to the reader's next call, marked as inferred.
    pub inferred_process: bool,
    /// Spans a second that are exported because a caller's flag asks for it.
    pub max_spans_per_second: usize,
}

/// Prometheus' part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Which shards have series of their own.
    pub per_shard: PerShard,
    /// Most series in one scrape; what comes beyond is counted and left out.
    pub max_series: usize,
}

/// Which shards have series of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerShard {
    /// Those in the most trouble, up to `max_series`.
    Top,
    /// Every one, whatever `max_series` says.
    All,
    /// None: only what is told of streams and consumers.
    None,
}

/// Alerting's part.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerts {
    /// The rules in force: built-in ones as overridden, then new ones.
    pub rules: Vec<Rule>,
    /// Who is told; each name once.
    pub receivers: Vec<Receiver>,
    /// How and when they are told, and when not.
    pub alerting: Alerting,
}

/// The admin listener's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Whoever bears the token in this file may write from elsewhere than loopback; read when it
    /// is needed.
    pub token_file: Option<PathBuf>,
}

/// Reads the file, the variables over it and the flags over both.
///
/// # Errors
/// Every fault of all sources and of the rule files that they name.
pub fn load(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
    flags: &Flags,
) -> Result<Config, Faults> {
    load_with(file, environment, flags, &|path| std::fs::read_to_string(path))
}

/// [`load`], with the text of each file from `open`.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
    flags: &Flags,
    open: &dyn Fn(&Path) -> std::io::Result<String>,
) -> Result<Config, Faults> {
    sections::read(file, environment, flags, open)
}

#[cfg(test)]
mod proxy_tests;
#[cfg(test)]
mod receiver_tests;
#[cfg(test)]
mod tests;
