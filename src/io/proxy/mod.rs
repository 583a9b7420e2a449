//! Owns io/proxy/mod; to be written.
