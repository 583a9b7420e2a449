#![doc = include_str!("../ARCHITECTURE.md")]

pub mod api;
pub mod app;
pub mod domain;
#[path = "io/mod.rs"]
pub mod io;
pub mod wire;
