//! Owns protobuf's wire format, as far as OTLP needs it: fields are appended to one buffer, so that
//! a message costs no allocation. Refuses to read. A field with its default value is left out.

/// Bytes of a length or key at most.
const VARINT_BYTES_MAX: usize = 10;

/// How a field's value is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Varint = 0,
    Fixed64 = 1,
    Delimited = 2,
    Fixed32 = 5,
}

fn varint(mut number: u64) -> ([u8; VARINT_BYTES_MAX], usize) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let mut filled = 0;
    for byte in &mut bytes {
        *byte = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        filled += 1;
        if number == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, filled)
}

fn append(out: &mut Vec<u8>, number: u64) {
    if let Ok(byte @ ..0x80) = u8::try_from(number) {
        return out.push(byte);
    }
    let (bytes, filled) = varint(number);
    out.extend_from_slice(bytes.get(..filled).unwrap_or_default());
}

fn key(out: &mut Vec<u8>, field: u32, form: Form) {
    append(out, u64::from(field) << 3 | form as u64);
}

/// Bytes that a length takes.
pub(super) fn length_bytes(length: usize) -> usize {
    varint(length as u64).1
}

pub(super) fn uint(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        always_uint(out, field, number);
    }
}

/// The member of a `oneof`: written even when it is its type's default.
pub(super) fn always_uint(out: &mut Vec<u8>, field: u32, number: u64) {
    key(out, field, Form::Varint);
    append(out, number);
}

pub(super) fn fixed32(out: &mut Vec<u8>, field: u32, number: u32) {
    key(out, field, Form::Fixed32);
    out.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, number: u64) {
    key(out, field, Form::Fixed64);
    out.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn double(out: &mut Vec<u8>, field: u32, number: f64) {
    fixed64(out, field, number.to_bits());
}

pub(super) fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        always_bytes(out, field, bytes);
    }
}

/// As [`always_uint`].
pub(super) fn always_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    delimited(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// The head of a field whose `length` bytes the caller writes.
pub(super) fn delimited(out: &mut Vec<u8>, field: u32, length: usize) {
    key(out, field, Form::Delimited);
    append(out, length as u64);
}

/// A message inside the message. Its length is known only afterwards: one byte is kept for it, and
/// what is longer moves once.
pub(super) fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    key(out, field, Form::Delimited);
    let at = out.len();
    out.push(0);
    write(out);
    let end = out.len();
    let (length, filled) = varint((end - at - 1) as u64);
    out.resize(end + filled - 1, 0);
    if filled > 1 {
        out.copy_within(at + 1..end, at + filled);
    }
    for (place, byte) in out.iter_mut().skip(at).zip(length.iter().take(filled)) {
        *place = *byte;
    }
}
