//! Owns app/commands/mod; to be written.
