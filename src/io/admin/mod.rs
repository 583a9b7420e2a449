//! Owns io/admin/mod; to be written.
