//! Owns Kinesis' wire protocol as far as we read it: operations, request and answer bodies in
//! JSON 1.1 and CBOR, event streams, errors. Refuses to re-encode a body: edits are ranges of it.
//! Source: reference/wire-and-proxy.md 1.

pub mod account;
pub mod address;
pub mod endpoint;
pub mod fault;
pub mod form;
pub mod operation;
pub mod outcome;
pub mod put;
pub mod queue;
pub mod read;
mod record;
pub mod strip;
pub mod subscribe;
