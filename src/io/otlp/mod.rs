//! Owns the way of finished spans and of the messaging metrics out of the process: a bounded queue,
//! and one task that empties it to a collector or to X-Ray by OTLP. Refuses to make the data plane
//! wait: what does not fit is dropped and counted. A collector that is down, slow or absent changes
//! nothing for the application.

mod answer;
mod batch;
mod config;
mod environment;
mod exporter;
mod messaging;
mod metrics;
mod observed;
mod queue;
mod relay;
mod report;
mod run;
mod sender;
mod transport;
mod xray;

#[cfg(test)]
mod tests;

pub use config::Compression;
pub use config::Config;
pub use config::Endpoint;
pub use config::Fault;
pub use config::File;
pub use config::Protocol;
pub use config::Tls;
pub use environment::Configured;
pub use environment::Export;
pub use environment::Reading;
pub use environment::from_environment;
pub use exporter::Exporter;
pub(in crate::io) use messaging::BOUNDS as OPERATION_SECONDS;
pub use messaging::Ended;
pub use messaging::OtlpMetrics;
pub use metrics::Metrics;
pub use observed::ANSWER_WITHIN;
pub use observed::Observations;
pub use observed::Teller;
pub use observed::observations;
pub use queue::Queue;
pub use queue::Slot;
pub use queue::SpanSink;
pub use queue::queue;
pub use queue::remembered;
pub use relay::BYTES_MAX as RELAY_BYTES_MAX;
pub use relay::Relay;
pub use relay::RelaySink;
pub use relay::relay;
pub use report::Reporter;
pub use report::report;
pub use run::run;
pub use transport::BuildError;
