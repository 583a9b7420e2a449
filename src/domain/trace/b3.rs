//! Owns B3 as a parent, in one header (`b3: TRACE-SPAN-SAMPLED-PARENT`) and in several
//! (`x-b3-traceid` and so on). Refuses to write it, and a decision without ids: it is no parent.
//! Source: openzipkin/b3-propagation; reference/tracing.md 2.3.

use super::context::{SpanId, TraceId};
use super::propagation::Said;

/// The single header.
pub(super) fn single(header: &str) -> Option<Said> {
    let mut parts = header.split('-');
    let (trace_id, span_id) = (trace_id(parts.next()?)?, span_id(parts.next()?)?);
    let sampled = match parts.next() {
        None => None,
        Some("1" | "d") => Some(true),
        Some("0") => Some(false),
        Some(_) => return None,
    };
    if let Some(parent) = parts.next() {
        SpanId::from_hex(parent.as_bytes())?;
    }
    parts.next().is_none().then_some(Said { trace_id, span_id, sampled })
}

/// The several headers, each looked up by its name.
pub(super) fn multi<T: AsRef<str>>(header: impl Fn(&'static str) -> Option<T>) -> Option<Said> {
    let trace_id = trace_id(header("x-b3-traceid")?.as_ref())?;
    let span_id = span_id(header("x-b3-spanid")?.as_ref())?;
    let is = |name, values: &[&str]| header(name).is_some_and(|it| values.contains(&it.as_ref()));
    let sampled = if is("x-b3-flags", &["1"]) || is("x-b3-sampled", &["1", "true"]) {
        Some(true) // flags 1 is debug, which implies sampled
    } else if is("x-b3-sampled", &["0", "false"]) {
        Some(false)
    } else {
        None
    };
    Some(Said { trace_id, span_id, sampled })
}

/// 32 digits, or 16 of an older tracer, whose upper half is zero.
fn trace_id(text: &str) -> Option<TraceId> {
    match text.len() {
        16 => TraceId::from_hex(format!("{:016}{text}", 0).as_bytes()),
        _ => TraceId::from_hex(text.as_bytes()),
    }
}

fn span_id(text: &str) -> Option<SpanId> {
    SpanId::from_hex(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    fn told(said: Option<Said>) -> Option<(String, Option<bool>)> {
        said.map(|said| (format!("{}-{}", said.trace_id, said.span_id), said.sampled))
    }

    #[test]
    fn one_header() {
        let check = |rest: &str, expected: Option<Option<bool>>| {
            let header = format!("{TRACE}-{SPAN}{rest}");
            let ids = format!("{TRACE}-{SPAN}");
            assert_eq!(told(single(&header)), expected.map(|sampled| (ids, sampled)), "{header}");
        };
        check("", Some(None));
        check("-1", Some(Some(true)));
        check("-0", Some(Some(false)));
        check("-d", Some(Some(true)));
        check("-1-05e3ac9a4f6e3b90", Some(Some(true)));
        check("-1-05e3", None);
        check("-1-05e3ac9a4f6e3b90-", None);
        check("-true", None);
        check("-", None);
        check(",x", None);
        for header in ["0", "", "-", &TRACE.to_uppercase(), TRACE] {
            assert_eq!(told(single(header)), None, "{header}");
        }
        let short = told(single(&format!("64fe8b2a57d3eff7-{SPAN}-1")));
        let long = format!("000000000000000064fe8b2a57d3eff7-{SPAN}");
        assert_eq!(short, Some((long, Some(true))));
        assert_eq!(told(single(&format!("0000000000000000-{SPAN}-1"))), None);
    }

    #[test]
    fn several_headers() {
        let check = |headers: &[(&str, &str)], expected: Option<Option<bool>>| {
            let find = |name: &str| headers.iter().find(|(it, _)| *it == name).map(|(_, v)| *v);
            let ids = format!("{TRACE}-{SPAN}");
            assert_eq!(told(multi(find)), expected.map(|sampled| (ids, sampled)), "{headers:?}");
        };
        let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        let with = |more: &[(&'static str, &'static str)]| [&ids, more].concat();
        check(&ids, Some(None));
        check(&with(&[("x-b3-sampled", "1")]), Some(Some(true)));
        check(&with(&[("x-b3-sampled", "true")]), Some(Some(true)));
        check(&with(&[("x-b3-sampled", "0")]), Some(Some(false)));
        check(&with(&[("x-b3-sampled", "maybe")]), Some(None));
        check(&with(&[("x-b3-sampled", "0"), ("x-b3-flags", "1")]), Some(Some(true)));
        check(&ids[..1], None);
        check(&ids[1..], None);
        check(&[("x-b3-sampled", "0")], None);
    }
}
