//! Owns the way from a request's headers to its parent. Refuses to choose: `domain::trace` does.

use crate::domain::trace::Parent;
use crate::domain::trace::Propagators;
use http::HeaderMap;
use std::borrow::Cow;

/// Whose child the request makes our span.
pub(super) fn parent(propagators: &Propagators, headers: &HeaderMap) -> Option<Parent> {
    // Most requests have none: comparing names is less than looking for each.
    let any = headers.keys().any(|name| Propagators::may_read(name.as_str()));
    any.then(|| propagators.parent(|name| joined(headers, name)))?
}

/// A header's value, of several lines joined by commas as HTTP says: a `tracestate` may be written
/// so; two of what may come once become one that no grammar takes. A line that is not visible ASCII
/// spoils the whole.
fn joined<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let mut lines = headers.get_all(name).iter().map(|line| line.to_str().ok());
    let first = Cow::Borrowed(lines.next()??);
    lines.try_fold(first, |joined, line| Some(joined + "," + line?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use http::HeaderValue;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    fn check(lines: &[(&str, &[u8])], expected: Option<(&str, Option<&str>)>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let told = parent(&Propagators::default(), &headers);
        let told = told.as_ref().map(|it| (it.format.as_str(), it.state.as_str()));
        assert_eq!(told, expected, "{headers:?}");
    }

    #[test]
    fn lines_are_joined() {
        let own = ("TraceParent", TRACE.as_bytes());
        let xray = ("X-Amzn-Trace-Id", XRAY.as_bytes());
        check(&[], None);
        check(&[own], Some(("tracecontext", None)));
        check(&[own, ("tracestate", b"a=1")], Some(("tracecontext", Some("a=1"))));
        check(
            &[("TraceState", b"a=1, b=2"), own, ("tracestate", b""), ("tracestate", b"c=3")],
            Some(("tracecontext", Some("a=1,b=2,c=3"))),
        );
        check(
            &[own, ("tracestate", b"a=1"), ("tracestate", b"b=\xff")],
            Some(("tracecontext", None)),
        );
        check(&[own, own, xray], Some(("xray", None)));
        check(&[own, own], None);
        check(&[xray, xray], None);
        check(&[("traceparent", b"\xff"), xray], Some(("xray", None)));
    }
}
