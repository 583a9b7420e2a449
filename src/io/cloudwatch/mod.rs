//! Owns io/cloudwatch/mod; to be written.
