//! Owns the event envelope: what kind of payload a record holds, whether context may be added, and
//! the splice that adds it and takes it away again. Refuses to re-encode: bytes are kept, and in
//! doubt a payload is left as it came, with the reason.

mod inspect;
mod splice;

pub use inspect::{Envelope, Existing, Leave, extract, inspect};
pub use splice::{Insertion, splice, unsplice};
