//! Owns what arrives by OTLP: spans about Kinesis as our span values, KCL's own lag as a value, and
//! the answer to them. Refuses what is not ours, politely: it is counted and left to be forwarded.
//! Refuses a body that would unpack to many times its size before it unpacks it.
//! Source: the OTLP specification 1.x; reference/metrics.md on KCL 3.5.

mod lag;
mod sift;
mod spans;

#[cfg(test)]
mod tests;

pub use lag::{LagPoint, ReceivedMetrics, metrics};
pub use spans::{Received, ServiceSpan, spans};

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::sync::Arc;

/// Where a resource has no `service.name`, as the SDKs name it.
pub const UNKNOWN_SERVICE: &str = "unknown_service";
/// Longest text that is kept of a name or an attribute, in bytes; what is longer is cut.
const TEXT_BYTES_MAX: usize = 256;

/// Why a body is refused: a 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not follow the format.
    #[error("the body is no protobuf message of this OTLP signal")]
    Malformed,
    /// It would take many times its size in memory.
    #[error("the body holds more than {} spans, links, attributes and the like", sift::PARTS_MAX)]
    TooManyParts,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `/v1/traces`.
    Traces,
    /// `/v1/metrics`.
    Metrics,
}

impl Signal {
    /// As a label and in a path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// The body of a 200: empty where all was taken, else how many spans or points were not, and why.
#[must_use]
pub fn answer(signal: Signal, rejected: u64, why: &str) -> Vec<u8> {
    let (rejected, error_message) = (i64::try_from(rejected).unwrap_or(i64::MAX), why.to_owned());
    if rejected == 0 {
        return Vec::new();
    }
    match signal {
        Signal::Traces => {
            let rejected_spans = rejected;
            let partial = ExportTracePartialSuccess { rejected_spans, error_message };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
        Signal::Metrics => {
            let rejected_data_points = rejected;
            let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message };
            ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
    }
}

/// The body of an answer that is not 200: a `google.rpc.Status` with the sentence alone, as OTLP
/// wants it.
#[must_use]
pub fn refusal(why: &str) -> Vec<u8> {
    #[derive(prost::Message)]
    struct Status {
        #[prost(string, tag = "2")]
        message: String,
    }
    Status { message: why.to_owned() }.encode_to_vec()
}

pub(super) fn service(resource: Option<&Resource>) -> Arc<str> {
    let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
    Arc::from(text(attributes, "service.name").unwrap_or(UNKNOWN_SERVICE))
}

pub(super) fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    let any_value::Value::StringValue(text) = found.value.as_ref()?.value.as_ref()? else {
        return None;
    };
    (!text.is_empty()).then(|| cut(text))
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default()
}
