//! Owns the hot standby of a hub: a lease in a DynamoDB table, of which one of several hubs at a
//! time is the holder. Refuses to know what the holder does.

mod gate;
mod hold;

pub use gate::while_working;
pub use hold::{Holder, always};
