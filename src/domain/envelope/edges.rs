//! Owns the look at the two ends of a large payload: reading a megabyte whole would cost more than
//! signing it. Refuses to guess: what the ends do not settle is examined whole.
//!
//! What is given up, for payloads over [`WHOLE_BYTES_MAX`] that begin like one object and end like
//! one. Not seen is a context of the producer's own that stands in the middle (or at the end with
//! its name in escapes), a name twice, and text in the middle that is no JSON. Several objects, one
//! a line, are taken for one if the first and the last line are both longer than an edge; then only
//! the first carries context. Members in the middle do not count for the kind of envelope.

use super::inspect::Root;
use super::leave::Leave;
use super::payload::{EDGE_BYTES, Examined, Kind, WHOLE_BYTES_MAX};
use super::text::mark_bytes;
use super::{aggregate, binary};
use crate::domain::json::{Fault, Scanner};

/// Looks at the two ends of a large payload of `payload_bytes` bytes: its first [`EDGE_BYTES`] and
/// its last ones (of longer ends no more is looked at). `None`: the ends do not tell, examine it
/// whole with [`super::examine_whole`]; so with all up to [`WHOLE_BYTES_MAX`], and with an
/// aggregate, whose magic needs its checksum.
#[must_use]
pub fn examine_edges(head: &[u8], tail: &[u8], payload_bytes: usize) -> Option<Examined> {
    let head = head.get(..EDGE_BYTES)?;
    let tail = tail.get(tail.len().checked_sub(EDGE_BYTES)?..)?;
    if payload_bytes <= WHOLE_BYTES_MAX || head.starts_with(&aggregate::MAGIC) {
        return None;
    }
    if let Some((kind, leave)) = binary::by_magic(head) {
        return Some(Examined::left(kind, leave));
    }
    let start = mark_bytes(head);
    let body = head.get(start..)?;
    let mut scanner = Scanner::new(body);
    let opens = scanner.at();
    // An insertion of ours behind the brace must be seen in the head again.
    if opens > EDGE_BYTES / 2 || !begins_as_text(head) || !ends_as_text(tail) {
        return None;
    }
    let mut root = Root::new(body);
    match (scanner.peek()?, last_token(tail)?) {
        (b'{', b'}') => {
            let cut = scanner.object(|scanner, key| root.member(scanner, key));
            let tells = is_cut(body, cut) && !names_context(tail) && !parts_objects(tail);
            let envelope = tells.then(|| root.envelope_so_far(opens + 1))??;
            Some(Examined::object(envelope, start))
        }
        (b'[', b']') => {
            let cut = scanner.value().map(drop);
            is_cut(body, cut).then(|| Examined::left(Kind::Json, Leave::NotObject))
        }
        _ => None,
    }
}

/// Whether all of the head was read and more is to come.
fn is_cut(head: &[u8], read: Result<(), Fault>) -> bool {
    match read {
        Err(Fault::Truncated) => true,
        // To the scanner half a word is nonsense.
        Err(Fault::Syntax(at)) => head.get(at..).is_some_and(|word| {
            [&b"true"[..], b"false", b"null"].iter().any(|whole| whole.starts_with(word))
        }),
        Ok(()) | Err(Fault::TooDeep(_)) => false,
    }
}

/// Whether these bytes begin UTF-8; the last character may be cut.
fn begins_as_text(head: &[u8]) -> bool {
    head.is_ascii() || !std::str::from_utf8(head).is_err_and(|error| error.error_len().is_some())
}

/// Whether these bytes end UTF-8; the first character may be cut.
fn ends_as_text(tail: &[u8]) -> bool {
    let starts = |byte: &u8| byte & 0xc0 != 0x80;
    let cut = tail.iter().position(starts).unwrap_or(tail.len());
    tail.is_ascii()
        || cut < 4 && tail.get(cut..).is_some_and(|whole| std::str::from_utf8(whole).is_ok())
}

/// The last byte that is not white space.
fn last_token(tail: &[u8]) -> Option<u8> {
    tail.iter().rev().find(|byte| !is_space(**byte)).copied()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether the name of a member that carries context stands there, be it in a string.
fn names_context(tail: &[u8]) -> bool {
    [&b"\"traceparent\""[..], b"\"tracestate\"", b"\"_datadog\""]
        .iter()
        .any(|name| memchr::memmem::find(tail, name).is_some())
}

/// Whether one object ends on a line and another begins on a later one, with nothing between
/// them: no single JSON value has that.
fn parts_objects(mut tail: &[u8]) -> bool {
    while let Some((before, behind)) =
        memchr::memchr(b'\n', tail).and_then(|newline| tail.split_at_checked(newline))
    {
        let next = behind.iter().position(|byte| !is_space(*byte)).unwrap_or(behind.len());
        tail = behind.get(next..).unwrap_or_default();
        if last_token(before) == Some(b'}') && tail.first() == Some(&b'{') {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::payload::{examine, examine_whole};
    use super::*;
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn edges(payload: &[u8]) -> Option<Examined> {
        let tail = payload.get(payload.len() - EDGE_BYTES - 1..).unwrap();
        examine_edges(&payload[..EDGE_BYTES + 2], tail, payload.len())
    }

    /// `FILL` stands for a string of 70,000 bytes.
    fn check(form: &str, expected: Option<Result<usize, Leave>>) {
        let payload = form.replace("FILL", &format!("\"{}\"", "x".repeat(70_000)));
        let told = edges(payload.as_bytes());
        assert_eq!(
            told.as_ref().map(|t| t.places.clone().map(|places| places.as_slice()[0].at)),
            expected,
            "{form}"
        );
        let same = told.unwrap_or_else(|| examine_whole(payload.as_bytes()));
        assert_eq!(examine(payload.as_bytes()), same, "{form}");
    }

    #[test]
    fn what_the_ends_tell() {
        check("{\"a\":FILL}", Some(Ok(1)));
        check("\u{feff} {\"a\":FILL,\"b\":[1]} \n", Some(Ok(5)));
        check("{\"a\":[FILL,{\"b\":1}\n,{\"b\":2}]}", Some(Ok(1)));
        check(
            &format!("{{\"traceparent\":\"{PARENT}\",\"a\":FILL}}"),
            Some(Err(Leave::ContextPresent)),
        );
        check("{\"\\u0074raceparent\":\"\",\"a\":FILL}", Some(Err(Leave::ContextInvalid)));
        check("{\"a\":{\"traceparent\":1},\"b\":FILL}", Some(Ok(1)));
        check("[FILL]", Some(Err(Leave::NotObject)));
        check(&format!("[{}true]", "true,".repeat(20_000)), Some(Err(Leave::NotObject)));
        check("{\"a\":FILL,\"b\":\"\u{20ac}\u{20ac}\"}", Some(Ok(1)));
        check(&format!("{{\"a\":\"{}\"}}", "\u{20ac}".repeat(30_000)), Some(Ok(1)));
        check(&format!("{{\"a\":\"x{}\"}}", "\u{20ac}".repeat(30_000)), Some(Ok(1)));
    }

    #[test]
    fn what_they_do_not() {
        let check = |form: &str| check(form, None);
        check(&format!("{{\"a\":FILL,\"traceparent\":\"{PARENT}\"}}"));
        check(&format!("{{\"traceparent\":\"{PARENT}\",\"a\":FILL,\"tracestate\":\"a=1\"}}"));
        check("{\"a\":FILL,\"_datadog\":{}}");
        check("{\"_datadog\":{},\"a\":FILL}");
        check("{\"tracestate\":\"a=1\",\"a\":FILL}");
        check("{\"traceparent\":FILL}");
        check("{\"traceparent\":[FILL]}");
        check("{\"a\":1,\"a\":FILL}");
        check("{\"a\":FILL");
        check("{\"a\":FILL]");
        check("{a:FILL}");
        check("{}\n{\"a\":FILL}");
        check("{\"a\":FILL}\n\n {\"a\":1}\n");
        check("FILL");
        check("42 FILL");
        check(&format!("{}{{\"a\":FILL}}", " ".repeat(EDGE_BYTES - 1)));
        check(&format!("{{{}\"a\":FILL}}", " ".repeat(EDGE_BYTES)));
        check(&format!(
            "{{{}}}",
            (0..20_000).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(",")
        ));
        let small = vec![b' '; WHOLE_BYTES_MAX];
        assert_eq!(edges(&small), None);
        let aggregate = [&aggregate::MAGIC[..], &[0; 70_000]].concat();
        assert_eq!(edges(&aggregate), None);
        let bad_end = [&b"{\"a\":\""[..], &[b'x'; 70_000], b"\xff\"}"].concat();
        assert_eq!(edges(&bad_end), None);
        let bad_start = [&b"{\"a\":\"\xff"[..], &[b'x'; 70_000], b"\"}"].concat();
        assert_eq!(edges(&bad_start), None);
    }

    #[test]
    fn magic_needs_the_head_alone() {
        let gzip = [&[0x1f, 0x8b][..], &[0; 70_000]].concat();
        assert_eq!(edges(&gzip), Some(Examined::left(Kind::Gzip, Leave::Gzip)));
    }

    /// Values of a large object; one has a long string.
    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("-0.5e+3".to_owned()),
            "\"[a-z\u{20ac} ]{0,30}\"",
            Just("{\"traceparent\":\"x\"}".to_owned()),
            (20_000_usize..40_000).prop_map(|length| format!("\"{}\"", "z".repeat(length))),
        ];
        leaf.prop_recursive(2, 16, 4, |inner| {
            proptest::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(", ")))
        })
    }

    /// A large object, with context at one of its ends: the middle is given up.
    fn large_object() -> impl Strategy<Value = String> {
        let context = prop_oneof![
            2 => Just(None),
            1 => Just(Some(format!("\"traceparent\":\"{PARENT}\""))),
            1 => Just(Some("\"_datadog\":{}".to_owned())),
        ];
        let members = proptest::collection::vec(value(), 1..40);
        (members, context, any::<bool>(), "[ \n]{0,2}").prop_map(
            |(values, context, last, space)| {
                let member = |(i, value): (usize, &String)| format!("{space}\"k{i}\" : {value}");
                let mut members: Vec<_> = values.iter().enumerate().map(member).collect();
                let middle = members.len() / 2;
                members.insert(middle, format!("\"k\":\"{}\"", "y".repeat(WHOLE_BYTES_MAX)));
                if let Some(context) = context {
                    members.insert(if last { members.len() } else { 0 }, context);
                }
                format!("{space}{{{}{space}}}{space}", members.join(","))
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Where the ends tell, all of it says the same.
        #[test]
        fn ends_agree_with_the_whole(payload in large_object()) {
            let told = edges(payload.as_bytes());
            let plain = !payload.contains("traceparent") && !payload.contains("_datadog");
            prop_assert!(told.is_some() || !plain);
            if let Some(told) = told {
                prop_assert_eq!(told, examine_whole(payload.as_bytes()));
            }
        }
    }
}
