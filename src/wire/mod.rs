//! The scribes: bytes to values and back, pure. May touch `domain`; refuses I/O and clocks as it does.

pub mod admission;
pub mod alert_rules;
pub mod envelope_api;
pub mod exposition;
pub mod kinesis;
pub mod notify;
pub mod observations;
pub mod otlp;
pub mod otlp_receive;
pub mod plan;
pub mod recording;
pub mod segments;
pub mod sigv4;
pub mod silences;
pub mod status;
pub mod xray;
