//! Owns the cases of W3C's own test suite (`test/test.py` of w3c/trace-context, strict level 2,
//! specification level 2) as a table: which headers come in, and what its harness expects to see of
//! them in the call that follows. Refuses cases of our own: those stand beside the code.

use super::{Propagators, SpanId};
use std::borrow::Cow;

/// What the harness expects.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// A trace id that came with none of the headers, and none of their tracestate.
    Restart,
    /// The trace `1234…9012` under a new span id, with these flags and this tracestate.
    Continue(u8, Option<&'static str>),
}
use Expected::{Continue, Restart};

type Headers = &'static [(&'static str, &'static str)];

const OFF: (&str, &str) =
    ("traceparent", "00-12345678901234567890123456789012-1234567890123456-00");
const FOO: &str = "foo=1";
const THREE: &str = "foo=1,bar=2,baz=3";

/// `traceparent`: what begins at `00-12345678901234567890123456789012-1234567890123456-01`.
#[rustfmt::skip]
const TRACEPARENT: &[(&str, Headers, Expected)] = &[
    ("both missing", &[], Restart),
    ("included, tracestate missing", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-01")], Continue(1, None)),
    ("duplicated", &[("traceparent", "00-12345678901234567890123456789011-1234567890123456-01"), ("traceparent", "00-12345678901234567890123456789012-1234567890123456-01")], Restart),
    ("header name", &[("trace-parent", "00-12345678901234567890123456789012-1234567890123456-01")], Restart),
    ("header name", &[("trace.parent", "00-12345678901234567890123456789012-1234567890123456-01")], Restart),
    ("header name casing", &[("TraceParent", "00-12345678901234567890123456789012-1234567890123456-01")], Continue(1, None)),
    ("header name casing", &[("TrAcEpArEnT", "00-12345678901234567890123456789012-1234567890123456-01")], Continue(1, None)),
    ("header name casing", &[("TRACEPARENT", "00-12345678901234567890123456789012-1234567890123456-01")], Continue(1, None)),
    ("version 00", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-01.")], Restart),
    ("version 00", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like")], Restart),
    ("version cc", &[("traceparent", "cc-12345678901234567890123456789012-1234567890123456-01")], Continue(1, None)),
    ("version cc", &[("traceparent", "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like")], Continue(1, None)),
    ("version cc", &[("traceparent", "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like")], Restart),
    ("version ff", &[("traceparent", "ff-12345678901234567890123456789012-1234567890123456-01")], Restart),
    ("version illegal", &[("traceparent", ".0-12345678901234567890123456789012-1234567890123456-01")], Restart),
    ("version illegal", &[("traceparent", "0.-12345678901234567890123456789012-1234567890123456-01")], Restart),
    ("version too long", &[("traceparent", "000-12345678901234567890123456789012-1234567890123456-01")], Restart),
    ("version too long", &[("traceparent", "0000-12345678901234567890123456789012-1234567890123456-01")], Restart),
    ("version too short", &[("traceparent", "0-12345678901234567890123456789012-1234567890123456-01")], Restart),
    ("trace id zero", &[("traceparent", "00-00000000000000000000000000000000-1234567890123456-01")], Restart),
    ("trace id illegal", &[("traceparent", "00-.2345678901234567890123456789012-1234567890123456-01")], Restart),
    ("trace id illegal", &[("traceparent", "00-1234567890123456789012345678901.-1234567890123456-01")], Restart),
    ("trace id too long", &[("traceparent", "00-123456789012345678901234567890123-1234567890123456-01")], Restart),
    ("trace id too short", &[("traceparent", "00-1234567890123456789012345678901-1234567890123456-01")], Restart),
    ("parent id zero", &[("traceparent", "00-12345678901234567890123456789012-0000000000000000-01")], Restart),
    ("parent id illegal", &[("traceparent", "00-12345678901234567890123456789012-.234567890123456-01")], Restart),
    ("parent id illegal", &[("traceparent", "00-12345678901234567890123456789012-123456789012345.-01")], Restart),
    ("parent id too long", &[("traceparent", "00-12345678901234567890123456789012-12345678901234567-01")], Restart),
    ("parent id too short", &[("traceparent", "00-12345678901234567890123456789012-123456789012345-01")], Restart),
    ("flags illegal", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-.0")], Restart),
    ("flags illegal", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-0.")], Restart),
    ("flags too long", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-001")], Restart),
    ("flags too short", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-1")], Restart),
    ("blanks", &[("traceparent", " 00-12345678901234567890123456789012-1234567890123456-01")], Continue(1, None)),
    ("blanks", &[("traceparent", "\t00-12345678901234567890123456789012-1234567890123456-01")], Continue(1, None)),
    ("blanks", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-01 ")], Continue(1, None)),
    ("blanks", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-01\t")], Continue(1, None)),
    ("blanks", &[("traceparent", "\t 00-12345678901234567890123456789012-1234567890123456-01 \t")], Continue(1, None)),
    ("random flag", &[("traceparent", "00-12345678901234567890123456789012-1234567890123456-02")], Continue(2, None)),
];

/// `tracestate`: the suite sends them all with flags 00.
#[rustfmt::skip]
const TRACESTATE: &[(&str, Headers, Expected)] = &[
    ("traceparent missing", &[("tracestate", "foo=1")], Restart),
    ("traceparent missing", &[("tracestate", "foo=1,bar=2")], Restart),
    ("both included", &[OFF, ("tracestate", "foo=1,bar=2")], Continue(0, Some("foo=1,bar=2"))),
    ("header name", &[OFF, ("trace-state", "foo=1")], Continue(0, None)),
    ("header name", &[OFF, ("trace.state", "foo=1")], Continue(0, None)),
    ("header name casing", &[OFF, ("TraceState", "foo=1")], Continue(0, Some(FOO))),
    ("header name casing", &[OFF, ("TrAcEsTaTe", "foo=1")], Continue(0, Some(FOO))),
    ("header name casing", &[OFF, ("TRACESTATE", "foo=1")], Continue(0, Some(FOO))),
    ("empty", &[OFF, ("tracestate", "")], Continue(0, None)),
    ("empty", &[OFF, ("tracestate", "foo=1"), ("tracestate", "")], Continue(0, Some(FOO))),
    ("empty", &[OFF, ("tracestate", ""), ("tracestate", "foo=1")], Continue(0, Some(FOO))),
    ("several headers", &[OFF, ("tracestate", "foo=1,bar=2"), ("tracestate", "rojo=1,congo=2"), ("tracestate", "baz=3")], Continue(0, Some("foo=1,bar=2,rojo=1,congo=2,baz=3"))),
    // The suite takes either of two that share a key, or both.
    ("duplicated keys", &[OFF, ("tracestate", "foo=1,foo=1")], Continue(0, Some(FOO))),
    ("duplicated keys", &[OFF, ("tracestate", "foo=1,foo=2")], Continue(0, Some(FOO))),
    ("duplicated keys", &[OFF, ("tracestate", "foo=1"), ("tracestate", "foo=1")], Continue(0, Some(FOO))),
    ("duplicated keys", &[OFF, ("tracestate", "foo=1"), ("tracestate", "foo=2")], Continue(0, Some(FOO))),
    ("all characters", &[OFF, ("tracestate", r##"abcdefghijklmnopqrstuvwxyz0123456789_-*/= !"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefghijklmnopqrstuvwxyz{|}~"##)],
        Continue(0, Some(r##"abcdefghijklmnopqrstuvwxyz0123456789_-*/= !"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefghijklmnopqrstuvwxyz{|}~"##))),
    ("all characters", &[OFF, ("tracestate", r##"abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z0-9_-*/= !"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefghijklmnopqrstuvwxyz{|}~"##)],
        Continue(0, Some(r##"abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z0-9_-*/= !"#$%&'()*+-./0123456789:;<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefghijklmnopqrstuvwxyz{|}~"##))),
    ("blanks", &[OFF, ("tracestate", "foo=1 \t , \t bar=2, \t baz=3")], Continue(0, Some(THREE))),
    ("blanks", &[OFF, ("tracestate", "foo=1\t \t,\t \tbar=2,\t \tbaz=3")], Continue(0, Some(THREE))),
    ("blanks", &[OFF, ("tracestate", " foo=1")], Continue(0, Some(FOO))),
    ("blanks", &[OFF, ("tracestate", "\tfoo=1")], Continue(0, Some(FOO))),
    ("blanks", &[OFF, ("tracestate", "foo=1 ")], Continue(0, Some(FOO))),
    ("blanks", &[OFF, ("tracestate", "foo=1\t")], Continue(0, Some(FOO))),
    ("blanks", &[OFF, ("tracestate", "\t foo=1 \t")], Continue(0, Some(FOO))),
    ("key illegal", &[OFF, ("tracestate", "foo =1")], Continue(0, None)),
    ("key illegal", &[OFF, ("tracestate", "FOO=1")], Continue(0, None)),
    ("key illegal", &[OFF, ("tracestate", "foo.bar=1")], Continue(0, None)),
    ("key with at signs", &[OFF, ("tracestate", "foo@=1,bar=2")], Continue(0, Some("foo@=1,bar=2"))),
    ("key with at signs", &[OFF, ("tracestate", "@foo=1,bar=2")], Continue(0, None)),
    ("key with at signs", &[OFF, ("tracestate", "foo@@bar=1,bar=2")], Continue(0, Some("foo@@bar=1,bar=2"))),
    ("key with at signs", &[OFF, ("tracestate", "foo@bar@baz=1,bar=2")], Continue(0, Some("foo@bar@baz=1,bar=2"))),
    ("value illegal", &[OFF, ("tracestate", "foo=bar=baz")], Continue(0, None)),
    ("value illegal", &[OFF, ("tracestate", "foo=,bar=3")], Continue(0, None)),
];

/// Reads the headers as they would come out of an HTTP server, and compares.
fn check(name: &str, headers: &[(&str, &str)], expected: (Option<u8>, Option<&str>)) {
    let joined = |wanted: &'static str| {
        let same = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let values: Vec<&str> = same.map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| Cow::Owned(values.join(",")))
    };
    let parent = Propagators::parse("tracecontext").0.parent(joined);
    let Some(parent) = parent else {
        assert_eq!(expected, (None, None), "{name}: {headers:?}");
        return;
    };
    let child = parent.context.child(SpanId::new([7; 8]).unwrap(), parent.context.flags.sampled());
    assert_eq!((Some(child.flags.byte()), parent.state.as_str()), expected, "{name}: {headers:?}");
    assert_eq!(child.trace_id.to_string(), "12345678901234567890123456789012", "{name}");
    assert_eq!(parent.context.span_id.to_string(), "1234567890123456", "{name}");
}

#[test]
fn the_suites_tables() {
    for (name, headers, expected) in TRACEPARENT.iter().chain(TRACESTATE) {
        let expected = match expected {
            Restart => (None, None),
            Continue(flags, state) => (Some(*flags), *state),
        };
        check(name, headers, expected);
    }
}

#[test]
fn the_suites_member_count_limit() {
    let line = |from: usize, to: usize| {
        (from..=to).map(|place| format!("bar{place:02}={place:02}")).collect::<Vec<_>>().join(",")
    };
    let check = |last: usize, expected: Option<&str>| {
        let lines = [line(1, 10), line(11, 20), line(21, 30), line(31, last)];
        let mut headers = vec![OFF];
        headers.extend(lines.iter().map(|line| ("tracestate", line.as_str())));
        check("member count", &headers, (Some(0), expected));
    };
    check(32, Some(&line(1, 32)));
    check(33, None);
}

#[test]
fn the_suites_key_length_limit() {
    let check = |key: &str, kept: bool| {
        let (long, both) = (format!("{key}=1"), format!("foo=1,{key}=1"));
        let headers = [OFF, ("tracestate", FOO), ("tracestate", long.as_str())];
        check("key length", &headers, (Some(0), kept.then_some(both.as_str())));
    };
    check(&"z".repeat(256), true);
    check(&"z".repeat(257), false);
    check(&format!("{}@{}", "t".repeat(241), "v".repeat(14)), true);
    check(&format!("{}@v", "t".repeat(242)), true);
    check(&format!("t@{}", "v".repeat(15)), true);
}
