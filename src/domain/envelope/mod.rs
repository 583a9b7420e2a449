//! Owns the event envelope: what kind of payload a record holds, whether context may be added, and
//! the splice that adds it and takes it away again. Refuses to re-encode: bytes are kept, and in
//! doubt a payload is left as it came, with the reason.

pub mod aggregate;
mod binary;
mod datadog;
mod edges;
pub(crate) mod facts;
mod frame;
mod inspect;
mod leave;
mod made;
mod payload;
mod protobuf;
mod splice;
mod text;

pub use edges::examine_edges;
pub use facts::{Event, Facts, events, facts, facts_of_head};
pub use inspect::{Envelope, Existing, inspect};
pub use leave::Leave;
pub use made::Made;
pub use payload::{
    EDGE_BYTES, Examined, Kind, Place, Places, WHOLE_BYTES_MAX, examine, examine_whole, extract,
};
pub use splice::{Insertion, splice, unsplice};
