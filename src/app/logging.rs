//! Owns app/logging; to be written.
