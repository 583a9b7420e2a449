//! Owns io/notify/mod; to be written.
