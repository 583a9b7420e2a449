//! Owns app/config/mod; to be written.
