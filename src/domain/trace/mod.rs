//! Owns trace context as fixed-size values, whose child a request makes us, and a finished span as
//! a value. Refuses to sample by itself, to make ids (chance is an argument) and to export.

mod b3;
mod baggage;
mod context;
mod datadog;
mod propagation;
mod span;
mod state;
#[cfg(test)]
mod vectors;
mod xray;

pub use baggage::Baggage;
pub use context::{Flags, SpanId, TraceContext, TraceId};
pub use propagation::{Format, Parent, Propagators};
pub use span::{Attribute, Kind, Link, Span, Status, Value};
pub use state::TraceState;
pub use xray::parse_xray;
