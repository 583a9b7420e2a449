//! Owns how many bytes a span takes in a request, known before it is encoded: batches are closed by
//! it, and a span that a collector would refuse loses links. Refuses to encode. The figure is never
//! less than what `opentelemetry-proto` writes, and a few bytes more at most (a test compares them).

use crate::domain::trace::Attribute;
use crate::domain::trace::Link;
use crate::domain::trace::Span;
use crate::domain::trace::Status;
use crate::domain::trace::Value;

/// A field's key. Those from 16 on have one byte more.
const KEY: usize = 1;
/// A trace id with key and length, and a span id.
const TRACE_ID: usize = 18;
const SPAN_ID: usize = 10;
/// A fixed field of eight bytes.
const FIXED64: usize = KEY + 8;
/// A kind, a status code, a truth: one byte each.
const SMALL: usize = KEY + 1;
/// A field of at most 64 bits without a fixed width.
const VARINT_MAX: usize = KEY + 10;
/// `flags`, whose number is 16 in a span.
const FLAGS_MAX: usize = 2 + 4;
/// `dropped_links_count`.
const DROPPED_MAX: usize = KEY + 5;

/// Bytes that a span may take in a request.
#[must_use]
pub fn span_bytes(span: &Span) -> usize {
    let links: usize = span.links.iter().map(link_bytes).sum();
    delimited(without_links(span) + links)
}

/// Leaves out links, the last first, until the span fits into `bytes_max`. Gives what it then takes
/// and how many links are gone; `None` when it does not fit without any.
#[must_use]
pub fn fit(span: &mut Span, bytes_max: usize) -> Option<(usize, u32)> {
    let whole = span_bytes(span);
    if whole <= bytes_max {
        return Some((whole, 0));
    }
    let mut inner = without_links(span);
    let fits = |link: &&Link| {
        inner += link_bytes(link);
        delimited(inner) <= bytes_max
    };
    let kept = span.links.iter().take_while(fits).count();
    let dropped = span.links.len() - kept;
    span.links.truncate(kept);
    let bytes = span_bytes(span);
    (bytes <= bytes_max).then(|| (bytes, u32::try_from(dropped).unwrap_or(u32::MAX)))
}

fn without_links(span: &Span) -> usize {
    let status = match &span.status {
        Status::Unset => delimited(0),
        Status::Error(description) => delimited(delimited(description.len()) + SMALL),
    };
    let ids = TRACE_ID + SPAN_ID + span.parent.map_or(0, |_| SPAN_ID);
    let texts = delimited(span.name.len()) + delimited(state_bytes(span.tracestate.as_str()));
    ids + texts
        + SMALL
        + 2 * FIXED64
        + FLAGS_MAX
        + DROPPED_MAX
        + status
        + attributes_bytes(&span.attributes)
}

fn link_bytes(link: &Link) -> usize {
    let state = delimited(state_bytes(link.tracestate.as_str()));
    delimited(TRACE_ID + SPAN_ID + state + FLAGS_MAX + attributes_bytes(&link.attributes))
}

fn state_bytes(state: Option<&str>) -> usize {
    state.map_or(0, str::len)
}

fn attributes_bytes(attributes: &[Attribute]) -> usize {
    let bytes = |(name, value): &Attribute| {
        let value = match value {
            Value::Text(text) => delimited(text.len()),
            Value::Int(_) => VARINT_MAX,
            Value::Float(_) => FIXED64,
            Value::Bool(_) => SMALL,
        };
        delimited(delimited(name.len()) + delimited(value))
    };
    attributes.iter().map(bytes).sum()
}

/// A field of so many bytes, with its key and its length.
const fn delimited(bytes: usize) -> usize {
    let length = match bytes {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 5,
    };
    KEY + length + bytes
}

#[cfg(test)]
mod tests {
    use super::super::scope;
    use super::super::span_data;
    use super::super::tests::link;
    use super::super::tests::span;
    use super::*;
    use opentelemetry_proto::tonic::trace::v1 as proto;
    use proptest::prelude::*;
    use prost::Message;

    fn encoded(span: Span) -> usize {
        let span = proto::Span::from(span_data(span, &scope()));
        proto::ScopeSpans { spans: vec![span], ..proto::ScopeSpans::default() }.encoded_len()
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            ".{0,300}".prop_map(Value::from),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            any::<bool>().prop_map(Value::Bool),
        ]
    }

    proptest! {
        #[test]
        fn never_less_than_is_written_and_hardly_more(
            name in ".{0,200}",
            values in prop::collection::vec(value(), 0..12),
            links in 0..40_u64,
            failed in prop::option::of(".{0,200}"),
        ) {
            let attributes: Vec<_> = values.into_iter().map(|value| ("a.name", value)).collect();
            // Of a number of up to 64 bits eleven bytes are reckoned, and each attribute may have one.
            let slack = 40 + 12 * attributes.len() + 8 * usize::try_from(links).unwrap();
            let status = failed.map_or(Status::Unset, Status::Error);
            let links = (0..links).map(link).collect();
            let span = Span { name, attributes, links, status, ..span() };
            let (reckoned, written) = (span_bytes(&span), encoded(span));
            prop_assert!(reckoned >= written && reckoned <= written + slack, "{reckoned} {written}");
        }
    }

    #[test]
    fn links_are_left_out_until_a_span_fits() {
        let whole = Span { links: (0..1_000).map(link).collect(), ..span() };
        let check = |bytes_max: usize, expected: Option<usize>| {
            let mut span = whole.clone();
            let fitted = fit(&mut span, bytes_max);
            assert_eq!(fitted.map(|_| span.links.len()), expected, "{bytes_max}");
            let Some((bytes, dropped)) = fitted else { return };
            assert_eq!(bytes, span_bytes(&span));
            assert_eq!(span.links.len() + dropped as usize, 1_000);
            assert_eq!(span.links, whole.links[..span.links.len()], "the first ones stay");
            assert!(encoded(span) <= bytes_max);
        };
        let bare = span_bytes(&span());
        let one = span_bytes(&Span { links: vec![link(0)], ..span() });
        check(span_bytes(&whole), Some(1_000));
        check(span_bytes(&whole) - 1, Some(999));
        check(one, Some(1));
        check(one - 1, Some(0));
        check(bare, Some(0));
        check(bare - 1, None);
    }
}
