//! Owns how a request that a collector calls too large becomes two. Refuses to send. It works on
//! what was encoded: a batch is hardly ever too large, so no copy of its spans is kept for it.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

/// A part of a request: how many spans, and the request that they are.
pub type Part = (usize, Vec<u8>);

/// Half of the spans of an export request each; `None` for a request that has fewer than two, or
/// that cannot be read.
#[must_use]
pub fn halves(request: &[u8]) -> Option<[Part; 2]> {
    let mut first = ExportTraceServiceRequest::decode(request).ok()?;
    let spans = spans(&first);
    let middle = spans / 2;
    if middle == 0 {
        return None;
    }
    let mut second = first.clone();
    keep(&mut first, |span| span < middle);
    keep(&mut second, |span| span >= middle);
    Some([(middle, first.encode_to_vec()), (spans - middle, second.encode_to_vec())])
}

fn spans(request: &ExportTraceServiceRequest) -> usize {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

/// Keeps the spans whose place is wanted; who recorded them stays said.
fn keep(request: &mut ExportTraceServiceRequest, wanted: impl Fn(usize) -> bool) {
    let mut place = 0;
    for scope in request.resource_spans.iter_mut().flat_map(|it| &mut it.scope_spans) {
        scope.spans.retain(|_| {
            place += 1;
            wanted(place - 1)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::data;
    use super::super::tests::span;
    use super::*;
    use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
    use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;

    fn request(spans: usize) -> ExportTraceServiceRequest {
        let spans = (0..spans).map(|place| {
            let name = format!("send {place}");
            data(crate::domain::trace::Span { name, ..span() })
        });
        let resource = ResourceAttributesWithSchema::default();
        let resource_spans = group_spans_by_resource_and_scope(spans.collect(), &resource);
        ExportTraceServiceRequest { resource_spans }
    }

    fn names(request: &ExportTraceServiceRequest) -> Vec<String> {
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(|span| span.name.clone()).collect()
    }

    #[test]
    fn halves_are_the_whole() {
        for spans in [2, 3, 512] {
            let whole = request(spans);
            let [(first, a), (second, b)] = halves(&whole.encode_to_vec()).unwrap();
            assert_eq!((first, second), (spans / 2, spans.div_ceil(2)));
            let [a, b] = [a, b].map(|part| ExportTraceServiceRequest::decode(&*part).unwrap());
            let together = [names(&a), names(&b)];
            assert_eq!((together[0].len(), together[1].len()), (first, second));
            assert_eq!(together.concat(), names(&whole));
            let scope = |it: &ExportTraceServiceRequest| {
                it.resource_spans[0].scope_spans[0].scope.clone().unwrap()
            };
            assert_eq!((scope(&a), scope(&b)), (scope(&whole), scope(&whole)));
        }
    }

    #[test]
    fn one_span_and_nonsense_are_not_divided() {
        assert_eq!(halves(&request(1).encode_to_vec()), None);
        assert_eq!(halves(&[]), None);
        assert_eq!(halves(b"\xff\xff"), None);
    }
}
