//! The demo: an order system on an embedded Kinesis in one process. TODO.

pub mod arrivals;
pub mod kinesis;
pub mod serve;
pub mod traffic;
