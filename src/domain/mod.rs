//! The ground: what things mean. Pure values and decisions; touches nothing above it.
//!
//! Refuses: tokio, sockets, files, environment, clock, randomness. Time arrives as
//! [`time::Moment`], chance and limits arrive as arguments.

pub mod alert;
pub mod backoff;
pub mod capacity;
pub mod cloudwatch;
pub mod engine;
pub mod envelope;
pub mod fleet;
pub mod json;
pub mod lag;
pub mod lease;
pub mod observation;
pub mod outbox;
pub mod plan;
pub mod saga;
pub mod sampling;
pub mod snapshot;
pub mod standby;
pub mod stream;
pub mod time;
pub mod trace;
