//! Owns what comes next here. Refuses nothing.
