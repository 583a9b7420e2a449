//! Owns a strict walk over the protobuf wire format that gives byte ranges instead of values.
//! Refuses groups, which proto3 does not have, and every length that leads outside.

use std::ops::Range;

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Its number, over zero.
    pub(super) number: u64,
    /// What it holds.
    pub(super) value: Value<'a>,
    /// The whole field in the message, with its tag.
    pub(super) range: Range<usize>,
    /// Tag, length and varint take as few bytes as they can.
    pub(super) minimal: bool,
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire types 1 and 5.
    Fixed,
    /// Wire type 2.
    Bytes(&'a [u8]),
}

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fields of a message, in order; after a fault there are no more.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, Malformed>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= message.len() {
            return None;
        }
        let field = field(message, at);
        at = field.as_ref().map_or(message.len(), |field| field.range.end);
        Some(field.ok_or(Malformed))
    })
}

/// Whether the bytes are a message of at least one field.
pub(super) fn is_message(bytes: &[u8]) -> bool {
    !bytes.is_empty() && fields(bytes).all(|field| field.is_ok())
}

fn field(message: &[u8], start: usize) -> Option<Field<'_>> {
    let (tag, at, tag_minimal) = varint(message, start)?;
    let number = tag >> 3;
    if !(1..1 << 29).contains(&number) {
        return None;
    }
    let (value, end, minimal) = match tag & 7 {
        0 => varint(message, at).map(|(value, end, minimal)| (Value::Varint(value), end, minimal)),
        1 => Some((Value::Fixed, at.checked_add(8)?, true)),
        2 => {
            let (length, at, minimal) = varint(message, at)?;
            let end = at.checked_add(usize::try_from(length).ok()?)?;
            Some((Value::Bytes(message.get(at..end)?), end, minimal))
        }
        5 => Some((Value::Fixed, at.checked_add(4)?, true)),
        _ => None,
    }?;
    let range = start..end;
    (end <= message.len()).then_some(Field {
        number,
        value,
        range,
        minimal: minimal && tag_minimal,
    })
}

/// The value, the offset behind it, and whether it could not be shorter.
fn varint(bytes: &[u8], start: usize) -> Option<(u64, usize, bool)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.get(start..)?.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, start + index + 1, index == 0 || *byte != 0));
        }
    }
    None
}

/// Appends a field of wire type 2.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = value.len();
    while length >= 0x80 {
        // Seven bits fit a byte.
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_a_message() {
        let check = |bytes: &[u8], expected: bool| {
            assert_eq!(is_message(bytes), expected, "{bytes:02x?}");
        };
        check(b"\x08\x96\x01", true);
        check(b"\x12\x07testing", true);
        check(b"\x09\0\0\0\0\0\0\0\0\x15\0\0\0\0", true);
        check(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", true);
        check(b"", false);
        check(b"\x00\x01", false); // field 0
        check(b"\x0b\x0c", false); // a group
        check(b"\x0e\x00", false); // wire type 6
        check(b"\x08", false);
        check(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", false);
        check(b"\x12\x08testing", false);
        check(b"\x09\0\0\0\0\0\0\0", false);
        check(b"\x15\0\0\0", false);
        check(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", false);
    }

    #[test]
    fn minimal_varints_are_told() {
        let check = |bytes: &[u8], expected: bool| {
            assert_eq!(fields(bytes).next().unwrap().unwrap().minimal, expected, "{bytes:02x?}");
        };
        check(b"\x08\x00", true);
        check(b"\x08\x80\x01", true);
        check(b"\x08\x80\x00", false);
        check(b"\x88\x00\x00", false);
        check(b"\x12\x81\x00a", false);
    }

    proptest! {
        #[test]
        fn what_is_put_is_found(number in 1_u8..16, value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut message = vec![8, 1];
            put_bytes(&mut message, number, &value);
            let field = fields(&message).nth(1).unwrap().unwrap();
            prop_assert_eq!(field.range.clone(), 2..message.len());
            prop_assert_eq!((field.number, field.minimal), (u64::from(number), true));
            prop_assert_eq!(field.value, Value::Bytes(&value));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = fields(&bytes).count();
        }
    }
}
