//! Owns wire/exposition; to be written.
