//! Owns app/demo/mod; to be written.
