//! Owns how payloads that are not JSON are recognised: by magic bytes, and protobuf by its wire
//! format. Refuses to open them. Source: reference/tracing.md 3.4 and 8.

use super::leave::Leave;
use super::payload::Kind;
use super::protobuf;

/// The kind that the payload's first bytes name. None of them can begin JSON.
pub(super) fn by_magic(payload: &[u8]) -> Option<(Kind, Leave)> {
    match payload {
        [0x1f, 0x8b, ..] => Some((Kind::Gzip, Leave::Gzip)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some((Kind::Zstd, Leave::Zstd)),
        [b'O', b'b', b'j', 1, ..] => Some((Kind::Avro, Leave::Avro)),
        // Behind the marker of the single-object encoding stands a fingerprint of eight bytes.
        [0xc3, 1, rest @ ..] if rest.len() >= 8 => Some((Kind::Avro, Leave::Avro)),
        // Version, compression, a schema's UUID.
        [3, 0 | 5, rest @ ..] if rest.len() >= 16 => Some((Kind::Glue, Leave::Glue)),
        [0xff, count, rest @ ..] if *count > 0 && spring_headers(*count, rest) => {
            Some((Kind::Spring, Leave::Spring))
        }
        _ => None,
    }
}

/// The kind of what has no magic and is no JSON.
pub(super) fn by_form(payload: &[u8]) -> (Kind, Leave) {
    if !is_text(payload) && protobuf::is_message(payload) {
        return (Kind::Protobuf, Leave::Protobuf);
    }
    (Kind::Opaque, Leave::NotJson)
}

/// `count` headers: a name behind one byte of length, a JSON value behind four.
fn spring_headers(count: u8, mut rest: &[u8]) -> bool {
    let mut header = || {
        let (name_bytes, behind) = rest.split_first()?;
        let (name, behind) = behind.split_at_checked(usize::from(*name_bytes))?;
        let (value_bytes, behind) = behind.split_first_chunk()?;
        let value_bytes = usize::try_from(u32::from_be_bytes(*value_bytes)).ok()?;
        rest = behind.get(value_bytes..)?;
        (!name.is_empty() && std::str::from_utf8(name).is_ok()).then_some(())
    };
    (0..count).all(|_| header().is_some())
}

/// Text as people write it: many a short protobuf is UTF-8 too, but has control characters.
fn is_text(payload: &[u8]) -> bool {
    let control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r');
    std::str::from_utf8(payload).is_ok() && !payload.iter().any(control)
}
