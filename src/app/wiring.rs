//! Owns app/wiring; to be written.
