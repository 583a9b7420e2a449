//! Owns wire/otlp; to be written.
