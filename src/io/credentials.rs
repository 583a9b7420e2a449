//! Owns io/credentials; to be written.
