//! Owns how a protobuf message is written straight from the values that it tells. Refuses to read,
//! and to know any message.
//!
//! What `prost` writes it must own: a span would become its types first, a `String` for the name of
//! each attribute and a `Vec` for each id. For what is written once, thousands of times a second,
//! that was most of the work. A test writes the same with `prost` and compares.

use prost::encoding::encode_varint;
use prost::encoding::encoded_len_varint;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

/// A message.
pub(super) trait Message {
    /// Writes its fields.
    fn write(&self, to: &mut impl Out);
}

/// Where fields go: a buffer, or a count of what they would take in one. Both are given the same
/// description of a message, so a length cannot differ from what follows it.
pub(super) trait Out: Sized {
    /// Bytes as they are.
    fn raw(&mut self, bytes: &[u8]);

    /// A number without a fixed width.
    fn varint(&mut self, number: u64);

    /// A field that is a message of so many bytes.
    fn message_of(&mut self, field: u32, bytes: usize, message: &impl Message);

    /// A field that is a message.
    fn message(&mut self, field: u32, message: &impl Message) {
        self.message_of(field, bytes_of(message), message);
    }

    /// A field that is text or bytes.
    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, DELIMITED);
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// A field that is a number without a fixed width, a truth or one of a list.
    fn number(&mut self, field: u32, number: u64) {
        self.key(field, VARINT);
        self.varint(number);
    }

    /// A field of eight bytes.
    fn fixed64(&mut self, field: u32, bytes: [u8; 8]) {
        self.key(field, FIXED64);
        self.raw(&bytes);
    }

    /// A field of four bytes.
    fn fixed32(&mut self, field: u32, number: u32) {
        self.key(field, FIXED32);
        self.raw(&number.to_le_bytes());
    }

    /// What comes before a field's value.
    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }
}

impl Out for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn varint(&mut self, number: u64) {
        encode_varint(number, self);
    }

    fn message_of(&mut self, field: u32, bytes: usize, message: &impl Message) {
        self.key(field, DELIMITED);
        self.varint(bytes as u64);
        message.write(self);
    }
}

/// The bytes that were asked for.
struct Count(usize);

impl Out for Count {
    fn raw(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn varint(&mut self, number: u64) {
        self.0 += encoded_len_varint(number);
    }

    fn message_of(&mut self, field: u32, bytes: usize, _message: &impl Message) {
        self.0 += field_bytes(field, bytes);
    }
}

/// Bytes of a message alone.
pub(super) fn bytes_of(message: &impl Message) -> usize {
    let mut count = Count(0);
    message.write(&mut count);
    count.0
}

/// Bytes of a field that is a message of so many bytes.
pub(super) const fn field_bytes(field: u32, bytes: usize) -> usize {
    encoded_len_varint((field as u64) << 3) + encoded_len_varint(bytes as u64) + bytes
}
