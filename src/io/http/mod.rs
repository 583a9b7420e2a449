//! Owns HTTP as a transport: the data plane's server and the client towards Kinesis. Refuses to
//! know what the requests mean.

pub mod brief;
pub mod client;
pub mod connect;
mod kept;
pub mod pieces;
mod probe;
pub mod server;
#[cfg(test)]
mod tests;
pub mod tls;
