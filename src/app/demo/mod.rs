//! The demo: an order system on an embedded Kinesis in one process. TODO.

pub mod arrivals;
mod cbor;
pub mod cloudwatch;
pub mod kinesis;
pub mod otlp;
pub mod serve;
pub mod services;
pub mod traffic;
pub mod webhook;
