//! Owns app/engine_loop; to be written.
