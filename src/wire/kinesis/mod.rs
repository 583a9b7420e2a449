//! Owns wire/kinesis/mod; to be written.
