//! Owns wire/sigv4; to be written.
