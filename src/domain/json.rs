//! Owns a JSON scanner that gives byte ranges.
