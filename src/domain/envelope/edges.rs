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
use super::payload::{EDGE_BYTES, Examined, Kind, WHOLE_BYTES_MAX, mark_bytes};
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
