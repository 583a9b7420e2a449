//! Owns the process spans that are inferred: each says so. Refuses to name a record or an outcome:
//! of processing only its reader knows, and may report it.

use super::super::inferring::{Batch, Reading};
use super::{count, head, split, stream_name, times};
use crate::domain::time::Moment;
use crate::domain::trace::{Kind, Span, SpanId, Status, TraceContext, TraceState, Value};

/// The process span of a batch, `own`, from its delivery to `until`; several where more than
/// `links_max` links need it.
pub(in crate::io::proxy) fn inferred_process(
    batch: Batch,
    of: Reading<'_>,
    (context, tracestate): (TraceContext, TraceState),
    until: Moment,
    (links_max, fresh): (usize, impl FnMut() -> SpanId),
) -> Vec<Span> {
    let Reading { consumer, stream, shard } = of;
    let (name, mut attributes) = head("process", Some(stream));
    attributes.extend(stream_name(Some(stream)));
    attributes.push(("messaging.batch.message_count", count(batch.records)));
    attributes.push(("messaging.destination.partition.id", shard.to_string().into()));
    attributes.push(("messaging.consumer.group.name", consumer.to_string().into()));
    attributes.push(("kinescope.inferred", Value::Bool(true)));
    let (start, end) = times(batch.delivered, until);
    let whole = Span {
        name,
        kind: Kind::Consumer,
        context,
        tracestate,
        parent: Some(batch.receive.0.span_id),
        start,
        end,
        attributes,
        links: Vec::new(),
        status: Status::Unset,
    };
    split(whole, batch.links, links_max, fresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use crate::domain::trace::Link;
    use std::time::Duration;

    fn context(span: u64) -> (TraceContext, TraceState) {
        let text = format!("00-0af7651916cd43dd8448eb211c80319c-{span:016x}-03");
        (TraceContext::parse(text.as_bytes()).unwrap(), TraceState::default())
    }

    #[test]
    fn it_says_that_it_is_inferred() {
        let at = |ms| Moment { wall: Wall::from_ms(ms), mono: Duration::from_millis(ms) };
        let link = |span| {
            let (context, tracestate) = context(span);
            Link { context, tracestate, attributes: vec![] }
        };
        let links: Vec<Link> = (1..=5).map(link).collect();
        let batch = Batch {
            delivered: at(1_000),
            receive: context(0xa),
            asked: false,
            records: 7,
            links: links.clone(),
        };
        let (consumer, stream, shard) = ("mail".into(), "orders".into(), "s1".into());
        let of = Reading { consumer: &consumer, stream: &stream, shard: &shard };
        // A wall clock that was set meanwhile does not make it longer.
        let until = Moment { wall: Wall::from_ms(9_000_000), ..at(1_250) };
        let mut spans =
            inferred_process(batch, of, context(0xb), until, (4, || context(0xc).0.span_id));
        let second = spans.pop().unwrap();
        let first = spans.pop().unwrap();
        assert!(spans.is_empty());
        assert_eq!((first.name.as_str(), first.kind), ("process orders", Kind::Consumer));
        assert_eq!((first.start.as_ms(), first.end.as_ms()), (1_000, 1_250));
        assert_eq!(first.context.trace_id, context(0xa).0.trace_id);
        assert_eq!((&first.links[..], &second.links[..]), (&links[..4], &links[4..]));
        for span in [&first, &second] {
            assert_eq!(span.parent, Some(context(0xa).0.span_id));
            for expected in [
                ("kinescope.inferred", Value::Bool(true)),
                ("messaging.operation.type", "process".into()),
                ("messaging.batch.message_count", Value::Int(7)),
                ("messaging.destination.partition.id", "s1".into()),
                ("messaging.consumer.group.name", "mail".into()),
            ] {
                assert!(span.attributes.contains(&expected), "{expected:?}");
            }
        }
    }
}
