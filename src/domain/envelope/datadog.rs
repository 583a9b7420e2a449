//! Owns the reading of `_datadog`, the member in which Datadog's tracers leave their context.
//! Refuses to change it. Source: reference/tracing.md 1.1, 1.2.

use crate::domain::json::Scanner;
use crate::domain::trace::{Flags, SpanId, TraceContext, TraceId};

/// The context in the object that `_datadog` holds: its `traceparent`, else Datadog's own fields.
pub(super) fn context(object: &[u8]) -> Option<TraceContext> {
    let mut carrier = Carrier::default();
    Scanner::new(object)
        .object(|scanner, key| {
            if scanner.peek() != Some(b'"') {
                return scanner.value().map(drop);
            }
            let text = scanner.text()?;
            let text = || text.unescaped(object);
            match object.get(key.inner).unwrap_or_default() {
                b"traceparent" => {
                    carrier.traceparent = text().and_then(|t| TraceContext::parse(t.as_bytes()));
                }
                b"x-datadog-trace-id" => carrier.trace_id = text().and_then(|t| t.parse().ok()),
                b"x-datadog-parent-id" => carrier.parent_id = text().and_then(|t| t.parse().ok()),
                b"x-datadog-sampling-priority" => {
                    carrier.sampled = text().and_then(|t| t.parse::<i32>().ok()) > Some(0);
                }
                b"x-datadog-tags" => carrier.trace_id_high = text().and_then(|t| high_bits(&t)),
                _ => {}
            }
            Ok(())
        })
        .ok()?;
    carrier.traceparent.or_else(|| {
        let high = carrier.trace_id_high.unwrap_or(0);
        let trace_id = u128::from(high) << 64 | u128::from(carrier.trace_id?);
        Some(TraceContext {
            trace_id: TraceId::new(trace_id.to_be_bytes())?,
            span_id: SpanId::new(carrier.parent_id?.to_be_bytes())?,
            flags: Flags::new(carrier.sampled.into()),
        })
    })
}

#[derive(Default)]
struct Carrier {
    traceparent: Option<TraceContext>,
    trace_id: Option<u64>,
    trace_id_high: Option<u64>,
    parent_id: Option<u64>,
    sampled: bool,
}

/// The trace id's upper half: the tag `_dd.p.tid`, sixteen hexadecimal digits.
fn high_bits(tags: &str) -> Option<u64> {
    let tid = tags.split(',').find_map(|tag| tag.trim().strip_prefix("_dd.p.tid="))?;
    (tid.len() == 16).then(|| u64::from_str_radix(tid, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriers() {
        let check = |carrier: &str, expected: Option<&str>| {
            let read = context(carrier.as_bytes()).map(|context| context.to_string());
            assert_eq!(read.as_deref(), expected, "{carrier}");
        };
        let ids = "\"x-datadog-trace-id\":\"12345678901234567890\",\"x-datadog-parent-id\":\"255\"";
        let short = "0000000000000000ab54a98ceb1f0ad2-00000000000000ff";
        check(&format!("{{{ids}}}"), Some(&format!("00-{short}-00")));
        check(
            &format!("{{{ids},\"x-datadog-sampling-priority\":\"2\"}}"),
            Some(&format!("00-{short}-01")),
        );
        check(
            &format!("{{{ids},\"x-datadog-sampling-priority\":\"-1\"}}"),
            Some(&format!("00-{short}-00")),
        );
        check(
            &format!("{{{ids},\"x-datadog-tags\":\"_dd.p.dm=-1,_dd.p.tid=640cfd8d00000000\"}}"),
            Some("00-640cfd8d00000000ab54a98ceb1f0ad2-00000000000000ff-00"),
        );
        check(
            &format!("{{{ids},\"x-datadog-tags\":\"_dd.p.tid=64\",\"dd-pathway-ctx-base64\":1}}"),
            Some(&format!("00-{short}-00")),
        );
        let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        check(&format!("{{{ids},\"traceparent\":\"{own}\"}}"), Some(own));
        check(&format!("{{{ids},\"traceparent\":\"x\"}}"), Some(&format!("00-{short}-00")));
        check("{\"x-datadog-trace-id\":\"1\"}", None);
        check("{\"x-datadog-trace-id\":\"0\",\"x-datadog-parent-id\":\"1\"}", None);
        check("{\"x-datadog-trace-id\":1,\"x-datadog-parent-id\":\"1\"}", None);
        check("{\"dd-pathway-ctx-base64\":\"x\"}", None);
        check("{}", None);
    }
}
