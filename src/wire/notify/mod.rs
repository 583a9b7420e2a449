//! Owns wire/notify/mod; to be written.
