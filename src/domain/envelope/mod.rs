//! Owns the event envelope.
