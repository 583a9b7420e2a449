//! Owns the event envelope: what kind of payload a record holds, whether context may be added, and
//! the splice that adds it and takes it away again. Refuses to re-encode: bytes are kept, and in
//! doubt a payload is left as it came, with the reason.

pub mod aggregate;
mod inspect;
mod payload;
mod splice;

pub use inspect::{Envelope, Existing, Leave, extract, inspect};
pub use payload::{
    EDGE_BYTES, Examined, Kind, Place, Places, WHOLE_BYTES_MAX, examine, examine_edges,
    examine_whole,
};
pub use splice::{Insertion, splice, unsplice};
