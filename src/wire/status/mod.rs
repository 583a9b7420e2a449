//! Owns wire/status/mod; to be written.
