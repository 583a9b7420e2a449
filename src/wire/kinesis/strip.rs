//! Owns `deliver: strip`: takes our insertions out of the answers of reads, so that the reader gets
//! the producer's bytes. Refuses to touch anything else.
