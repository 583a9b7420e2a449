//! Owns app/supervisor; to be written.
