//! Owns io/otlp/mod; to be written.
