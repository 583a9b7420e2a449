//! Owns the demo's OTLP receiver (http/protobuf) and the question whether traces are joined: whether
//! what a reader's span links to is a producer's span that arrived here, too. Refuses to keep
//! more of a span than that takes.

use crate::domain::trace::SpanId;
use crate::domain::trace::TraceId;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::post;
use http::HeaderMap;
use http::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Contexts kept of each kind; what comes beyond is counted and cannot be called joined. Two hours
/// of the demo's traffic.
pub(super) const CONTEXTS_MAX: usize = 262_144;
const BODY_BYTES_MAX: usize = 16 << 20;

/// A span's identity: what a record carries and a link names.
pub(super) type Context = (TraceId, SpanId);

/// What the spans that arrived have in common with each other.
#[derive(Debug, Default)]
pub(super) struct Spans {
    producers: HashSet<Context>,
    /// What the receive spans of a service link to.
    linked: HashMap<String, HashSet<Context>>,
    traces: HashSet<TraceId>,
    /// Spans taken in.
    pub spans: u64,
    /// Contexts for which there was no room.
    pub left_out: u64,
}

impl Spans {
    /// Takes in what an exporter sent.
    pub(super) fn take(&mut self, request: &ExportTraceServiceRequest) {
        for resource in &request.resource_spans {
            let service = resource.resource.as_ref().and_then(service_name).unwrap_or_default();
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                self.spans += 1;
                self.span(service, span);
            }
        }
    }

    /// How many of these records, each the context it carried and how often it was delivered to
    /// `service`, are joined: its reader's span links to that context and that context is a
    /// producer's span.
    #[must_use]
    pub(super) fn joined(&self, service: &str, delivered: &HashMap<Context, u64>) -> u64 {
        let Some(linked) = self.linked.get(service) else { return 0 };
        let joined =
            |context: &Context| linked.contains(context) && self.producers.contains(context);
        delivered.iter().filter(|(context, _)| joined(context)).map(|(_, records)| records).sum()
    }

    /// Whether a producer's span belongs to this trace.
    #[must_use]
    pub(super) fn continues(&self, trace: TraceId) -> bool {
        self.traces.contains(&trace)
    }

    fn span(&mut self, service: &str, span: &Span) {
        if span.kind == SpanKind::Producer as i32
            && let Some(context) = context(&span.trace_id, &span.span_id)
        {
            if self.producers.len() < CONTEXTS_MAX {
                self.producers.insert(context);
                self.traces.insert(context.0);
            } else {
                self.left_out += 1;
            }
            return;
        }
        for link in &span.links {
            let Some(context) = context(&link.trace_id, &link.span_id) else { continue };
            let linked = self.linked.entry(service.to_owned()).or_default();
            if linked.len() < CONTEXTS_MAX {
                linked.insert(context);
            } else {
                self.left_out += 1;
            }
        }
    }
}

fn context(trace_id: &[u8], span_id: &[u8]) -> Option<Context> {
    let trace = TraceId::new(trace_id.try_into().ok()?)?;
    Some((trace, SpanId::new(span_id.try_into().ok()?)?))
}

fn service_name(resource: &Resource) -> Option<&str> {
    let name = resource.attributes.iter().find(|attribute| attribute.key == "service.name")?;
    let Value::StringValue(name) = name.value.as_ref()?.value.as_ref()? else { return None };
    Some(name)
}

/// The receiver as a router; what arrives is in `spans`.
pub(super) fn router(spans: Arc<Mutex<Spans>>) -> Router {
    let limit = DefaultBodyLimit::max(BODY_BYTES_MAX);
    Router::new().route("/v1/traces", post(receive)).layer(limit).with_state(spans)
}

async fn receive(
    State(spans): State<Arc<Mutex<Spans>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.contains_key("content-encoding") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    spans.lock().unwrap_or_else(PoisonError::into_inner).take(&request);
    // An ExportTraceServiceResponse without a partial success is no bytes at all.
    ([("content-type", "application/x-protobuf")], Bytes::new()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use opentelemetry_proto::tonic::common::v1::KeyValue;
    use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
    use opentelemetry_proto::tonic::trace::v1::ScopeSpans;
    use opentelemetry_proto::tonic::trace::v1::span::Link;

    fn id(trace: u8, span: u8) -> Context {
        context(&[trace; 16], &[span; 8]).expect("ids that are not zero")
    }

    fn sent(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let value = AnyValue { value: Some(Value::StringValue(service.to_owned())) };
        let name =
            KeyValue { key: "service.name".to_owned(), value: Some(value), ..KeyValue::default() };
        let resource = Resource { attributes: vec![name], ..Resource::default() };
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let spans =
            ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
        ExportTraceServiceRequest { resource_spans: vec![spans] }
    }

    fn send(trace: u8, span: u8) -> Span {
        let (trace_id, span_id) = (vec![trace; 16], vec![span; 8]);
        Span { trace_id, span_id, kind: SpanKind::Producer as i32, ..Span::default() }
    }

    fn receive(links: &[(u8, u8)]) -> Span {
        let link = |(trace, span): &(u8, u8)| Link {
            trace_id: vec![*trace; 16],
            span_id: vec![*span; 8],
            ..Link::default()
        };
        let links = links.iter().map(link).collect();
        Span { kind: SpanKind::Client as i32, links, ..Span::default() }
    }

    #[test]
    fn joined_takes_a_producer_and_a_link_of_the_reader() {
        let mut spans = Spans::default();
        spans.take(&sent("orders", vec![send(1, 1), send(2, 2), send(3, 3)]));
        spans.take(&sent("mail", vec![receive(&[(1, 1), (2, 9), (4, 4)])]));
        spans.take(&sent("stock", vec![receive(&[(2, 2)])]));
        let check = |service, context, expected| {
            let delivered = HashMap::from([(context, 5)]);
            assert_eq!(spans.joined(service, &delivered), expected, "{service} {context:?}");
        };
        check("mail", id(1, 1), 5);
        check("mail", id(2, 2), 0); // stock read it, mail's link names another span
        check("mail", id(2, 9), 0); // the right trace, but no such span
        check("mail", id(4, 4), 0); // linked, but nobody sent it
        check("mail", id(3, 3), 0); // sent, but not linked
        check("stock", id(2, 2), 5);
        check("nobody", id(1, 1), 0);
        assert_eq!(spans.spans, 5);
    }
}
