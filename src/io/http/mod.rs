//! Owns io/http/mod; to be written.
