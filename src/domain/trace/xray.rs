//! Owns X-Ray's header as a parent: `X-Amzn-Trace-Id: Root=1-EPOCH-RANDOM;Parent=SPAN;Sampled=1`.
//! Refuses to write one. Source: reference/tracing.md 2.3, 3.1.

use super::context::{SpanId, TraceContext, TraceId};
use super::propagation::Said;

/// The header's context, if it names a root and a parent. `Sampled=0` is not sampled; anything
/// else (`1`, `?`, absent) leaves the decision to whoever records, so it counts as sampled.
#[must_use]
pub fn parse_xray(header: &str) -> Option<TraceContext> {
    read(header).map(|said| said.context())
}

/// What the header says. Two headers joined by a comma contradict each other: neither is read.
pub(super) fn read(header: &str) -> Option<Said> {
    let field = |name: &str| {
        header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let (epoch, random) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
    if epoch.len() != 8 || header.contains(',') {
        return None;
    }
    Some(Said {
        trace_id: TraceId::from_hex(format!("{epoch}{random}").as_bytes())?,
        span_id: SpanId::from_hex(field("Parent")?.as_bytes())?,
        sampled: match field("Sampled") {
            Some("0") => Some(false),
            Some("1") => Some(true),
            _ => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_by_the_rules() {
        let check = |header: &str, expected: Option<&str>| {
            assert_eq!(parse_xray(header).map(|c| c.to_string()).as_deref(), expected, "{header}");
        };
        let on = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        check(
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            Some(on),
        );
        check(
            "Self=1-x; Root=1-5759e988-bd862e3fe1be46a994272793; Parent=53995c3f42cd8ad8",
            Some(on),
        );
        check(
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
            Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00"),
        );
        check("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", None);
        check("Root=1-5759e9-88bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8", None);
        check("nonsense", None);
        check("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0,", None);
    }
}
