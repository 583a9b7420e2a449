//! Owns Datadog's headers as a parent. Refuses to write them. Source: reference/tracing.md 1.1, 2.3.

use super::context::{SpanId, TraceId};
use super::propagation::Said;

/// The several headers, each looked up by its name. The trace id's upper half is a tag; a priority
/// above zero is sampled, and without one nobody has decided.
pub(super) fn read<T: AsRef<str>>(header: impl Fn(&'static str) -> Option<T>) -> Option<Said> {
    let low = decimal(header("x-datadog-trace-id")?.as_ref())?;
    let span_id = decimal(header("x-datadog-parent-id")?.as_ref())?;
    let high = header("x-datadog-tags").and_then(|tags| upper_half(tags.as_ref())).unwrap_or(0);
    let priority = header("x-datadog-sampling-priority");
    Some(Said {
        trace_id: TraceId::new((u128::from(high) << 64 | u128::from(low)).to_be_bytes())?,
        span_id: SpanId::new(span_id.to_be_bytes())?,
        sampled: priority.and_then(|it| it.as_ref().parse::<i32>().ok()).map(|it| it > 0),
    })
}

/// Digits alone: `parse` would take a sign, too.
fn decimal(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `_dd.p.tid`: sixteen lower-case hexadecimal digits.
fn upper_half(tags: &str) -> Option<u64> {
    let tid = tags.split(',').find_map(|tag| tag.trim().strip_prefix("_dd.p.tid="))?;
    SpanId::from_hex(tid.as_bytes()).map(|half| u64::from_be_bytes(half.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_by_the_rules() {
        let check = |more: &[(&str, &str)], expected: Option<(&str, Option<bool>)>| {
            let ids =
                [("x-datadog-trace-id", "12345678901234567890"), ("x-datadog-parent-id", "255")];
            let find = |name: &str| {
                more.iter().chain(&ids).find(|(it, _)| *it == name).map(|(_, value)| *value)
            };
            let told = read(find).map(|it| (it.trace_id.to_string(), it.sampled));
            let expected = expected.map(|(trace_id, sampled)| (trace_id.to_owned(), sampled));
            assert_eq!(told, expected, "{more:?}");
        };
        let short = "0000000000000000ab54a98ceb1f0ad2";
        check(&[], Some((short, None)));
        for (priority, sampled) in [
            ("2", Some(true)),
            ("1", Some(true)),
            ("0", Some(false)),
            ("-1", Some(false)),
            ("x", None),
        ] {
            check(&[("x-datadog-sampling-priority", priority)], Some((short, sampled)));
        }
        let tags = "_dd.p.dm=-1,_dd.p.tid=640cfd8d00000000";
        check(&[("x-datadog-tags", tags)], Some(("640cfd8d00000000ab54a98ceb1f0ad2", None)));
        check(&[("x-datadog-tags", "_dd.p.tid=64")], Some((short, None)));
        check(&[("x-datadog-parent-id", "0")], None);
        check(&[("x-datadog-parent-id", "+1")], None);
        check(&[("x-datadog-parent-id", "")], None);
        check(&[("x-datadog-trace-id", "0")], None);
        check(&[("x-datadog-trace-id", "18446744073709551616")], None);
    }
}
