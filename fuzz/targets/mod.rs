//! Owns the list of fuzz targets: a function for each parser, which takes any bytes and asserts the
//! parser's laws. Refuses to know who feeds it: cargo-fuzz does through `fuzz_targets/`, and
//! `tests/corpus.rs` replays the corpus on stable.

pub mod clients;
pub mod tree;

mod admission;
pub mod aggregate;
mod authorization;
mod body;
mod config;
mod endpoint;
mod envelope;
mod envelope_api;
mod event_stream;
mod journal;
mod json;
mod otlp;
mod otlp_environment;
mod propagation;
pub mod put;
mod stored;
mod strip;
mod texts;
mod trace_context;

/// Every target: a name that is also its function's, its wrapper's and its corpus folder's.
macro_rules! targets {
    ($($room:ident::$name:ident),+ $(,)?) => {
        $(pub use $room::$name;)+
        /// Each target with its name.
        pub const ALL: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name)),+];
    };
}

targets!(
    json::json,
    envelope::envelope,
    envelope::envelope_large,
    aggregate::aggregate,
    trace_context::trace_context,
    put::put_json,
    put::put_cbor,
    put::put_forms,
    body::read_json,
    body::read_cbor,
    body::queue,
    body::outcome,
    body::address,
    body::subscribe,
    strip::strip_json,
    strip::strip_cbor,
    event_stream::event_stream,
    endpoint::endpoint,
    authorization::account,
    authorization::authorization,
    config::config,
    journal::journal,
    otlp_environment::otlp_environment,
    otlp_environment::retry_after,
    propagation::propagation,
    propagation::tracing_variables,
    admission::admission,
    envelope_api::envelope_api,
    stored::stored,
    stored::silences,
    otlp::otlp_traces,
    otlp::otlp_metrics,
    otlp::otlp_answer,
    texts::recording,
    texts::prices,
    texts::trace_query,
    texts::lease,
    texts::webhook_keys,
    texts::sequence,
);
