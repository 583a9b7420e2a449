//! The keeper: configuration, wiring, supervision, the engine's loop, commands, the demo. May touch
//! all below.

pub mod asking;
pub mod commands;
pub mod config;
pub mod counted;
pub mod data_plane;
#[cfg(feature = "demo")]
pub mod demo;
pub mod engine_loop;
pub mod exporting;
pub mod fleet;
pub mod fleet_loop;
pub mod fleet_metrics;
pub mod logging;
pub mod observing;
pub mod realerting;
#[cfg(test)]
mod reference;
pub mod reload;
pub mod supervisor;
pub mod wiring;
