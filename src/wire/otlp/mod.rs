//! Owns what we say by OTLP and what is answered: spans as the bytes of a request, metrics, gRPC's
//! frames, and who it is that speaks. Refuses to send.

pub mod divide;
pub mod grpc;
pub mod metrics;
mod protobuf;
pub mod spans;
#[cfg(test)]
mod tests;

use crate::domain::trace::Attribute;
use crate::domain::trace::Value;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::resource::v1::Resource;

/// Who records what is exported.
fn proto_scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "kinescope".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The process that it is recorded in.
fn proto_resource(attributes: &[(String, String)]) -> Resource {
    let text = |(name, text): &(String, String)| pair(name, Any::StringValue(text.clone()));
    Resource { attributes: attributes.iter().map(text).collect(), ..Resource::default() }
}

fn attribute((name, value): Attribute) -> KeyValue {
    let value = match value {
        Value::Text(text) => Any::StringValue(text.into_owned()),
        Value::Int(number) => Any::IntValue(number),
        Value::Float(number) => Any::DoubleValue(number),
        Value::Bool(truth) => Any::BoolValue(truth),
    };
    pair(name, value)
}

fn pair(key: &str, value: Any) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
