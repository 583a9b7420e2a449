//! Owns io/streams/mod; to be written.
