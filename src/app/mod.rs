//! The keeper: configuration, wiring, supervision, the engine's loop, commands, the demo. May touch
//! all below.

pub mod commands;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod data_plane;
pub mod engine_loop;
pub mod logging;
pub mod reload;
pub mod supervisor;
pub mod wiring;
