//! The scribes of notifications: what a receiver is sent, and what its answer asks for. Refuses to
//! send.

pub mod retry_after;
pub mod webhook;
