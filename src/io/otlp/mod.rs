//! Owns the way of finished spans out of the process: a bounded queue, and one task that empties it
//! to a collector by OTLP. Refuses to make the data plane wait: what does not fit is dropped and
//! counted. A collector that is down, slow or absent changes nothing for the application.

mod config;
mod environment;
mod exporter;
mod http;
mod metrics;
mod queue;
mod relay;
mod run;

#[cfg(test)]
mod collectors;
#[cfg(test)]
mod tests;

pub use config::Compression;
pub use config::Config;
pub use config::Endpoint;
pub use config::Fault;
pub use config::Protocol;
pub use environment::Configured;
pub use environment::Export;
pub use environment::Reading;
pub use environment::from_environment;
pub use exporter::BuildError;
pub use exporter::Exporter;
pub use metrics::Metrics;
pub use queue::Queue;
pub use queue::Slot;
pub use queue::SpanSink;
pub use queue::queue;
pub use relay::BYTES_MAX as RELAY_BYTES_MAX;
pub use relay::Relay;
pub use relay::RelaySink;
pub use relay::relay;
pub use run::run;
