//! The windows: sockets, timers, AWS, exporters. May touch `wire` and `domain`; refuses policy:
//! what things mean is decided below.

pub mod admin;
pub mod clock;
pub mod cloudwatch;
pub mod credentials;
pub mod entropy;
pub mod http;
pub mod hub;
pub mod injector;
pub mod leases;
pub mod memory;
pub mod notify;
pub mod otlp;
pub mod outbox;
pub mod proxy;
pub mod quiet;
pub mod secret;
pub mod silences;
pub mod standby;
pub mod streams;
