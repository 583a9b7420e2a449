//! Owns trace context as fixed-size values and a finished span as a value. Refuses to sample by
//! itself, to make ids (chance is an argument) and to export.

mod context;
mod span;
mod state;
mod xray;

pub use context::{Flags, SpanId, TraceContext, TraceId};
pub use span::{Attribute, Kind, Link, Span, Status, Value};
pub use state::TraceState;
pub use xray::parse_xray;
