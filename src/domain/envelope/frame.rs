//! Owns the form of a KPL aggregate: its parts as byte ranges, and its writing with other user
//! records. Refuses what a consumer's library would not take apart, and aggregates in aggregates.
//! Source: reference/tracing.md 4.
//!
//! `magic | AggregatedRecord | MD5(AggregatedRecord)`, where the protobuf message is
//! `{ 1 partition keys, 2 explicit hash keys, 3 records { 1 key, 2 hash key, 3 data, 4 tags } }`.

use super::leave::Leave;
use super::protobuf::{Value, fields, put_bytes};
use md5::{Digest, Md5};
use std::ops::Range;

/// What every aggregate begins with.
pub(super) const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const MD5_BYTES: usize = 16;
/// Most user records of one aggregate that we follow. A library at its default of 51,200 bytes an
/// aggregate does not come near.
const RECORDS_MAX: usize = 1 << 16;

/// A well-formed aggregate of at least one user record.
pub(super) struct Frame<'a> {
    message: &'a [u8],
    pub(super) records: Vec<UserRecord<'a>>,
    /// Every varint is as short as it can be: whoever writes it anew writes the same.
    pub(super) minimal: bool,
}

/// One user record.
pub(super) struct UserRecord<'a> {
    /// The whole field in the message.
    range: Range<usize>,
    /// The record as a message.
    pub(super) body: &'a [u8],
    pub(super) data: &'a [u8],
    /// The whole field of the data in the body.
    data_field: Range<usize>,
    pub(super) tags: Vec<Tag<'a>>,
    pk_index: u64,
    ehk_index: Option<u64>,
    minimal: bool,
}

impl<'a> Frame<'a> {
    /// Takes an aggregate apart.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn read(payload: &'a [u8]) -> Result<Self, Leave> {
        let message = message(payload).ok_or(Leave::AggregateBroken)?;
        Self::of(message)
    }

    /// Takes an aggregate apart again, whose checksum was found right before.
    pub(super) fn read_again(payload: &'a [u8]) -> Option<Self> {
        let rest = payload.strip_prefix(&MAGIC)?;
        Self::of(rest.get(..rest.len().checked_sub(MD5_BYTES)?)?).ok()
    }

    fn of(message: &'a [u8]) -> Result<Self, Leave> {
        let (mut pk_count, mut ehk_count) = (0_u64, 0_u64);
        let mut frame = Self { message, records: Vec::new(), minimal: true };
        for field in fields(message) {
            let field = field.map_err(|_| Leave::AggregateBroken)?;
            frame.minimal &= field.minimal;
            match (field.number, field.value) {
                (1, Value::Bytes(_)) => pk_count += 1,
                (2, Value::Bytes(_)) => ehk_count += 1,
                (3, Value::Bytes(_)) if frame.records.len() == RECORDS_MAX => {
                    return Err(Leave::TooComplex);
                }
                (3, Value::Bytes(body)) => {
                    let record = UserRecord::read(field.range, body);
                    frame.records.push(record.ok_or(Leave::AggregateBroken)?);
                }
                (1..=3, _) => return Err(Leave::AggregateBroken),
                _ => {}
            }
        }
        frame.minimal &= frame.records.iter().all(|record| record.minimal);
        // The tables may follow the records.
        let found = |record: &UserRecord<'_>| {
            record.pk_index < pk_count && record.ehk_index.is_none_or(|index| index < ehk_count)
        };
        let good = !frame.records.is_empty() && frame.records.iter().all(found);
        if good { Ok(frame) } else { Err(Leave::AggregateBroken) }
    }

    /// The aggregate with new bodies for some of its records, in order, and with its MD5 anew.
    pub(super) fn with_bodies(&self, bodies: &[Option<Vec<u8>>]) -> Vec<u8> {
        let grown: usize = bodies.iter().flatten().map(Vec::len).sum();
        let mut out = Vec::with_capacity(self.message.len() + grown + 64);
        out.extend_from_slice(&MAGIC);
        let mut copied = 0;
        for (record, body) in self.records.iter().zip(bodies) {
            let Some(body) = body else { continue };
            out.extend_from_slice(self.message.get(copied..record.range.start).unwrap_or_default());
            put_bytes(&mut out, 3, body);
            copied = record.range.end;
        }
        out.extend_from_slice(self.message.get(copied..).unwrap_or_default());
        let md5 = Md5::digest(out.get(MAGIC.len()..).unwrap_or_default());
        out.extend_from_slice(&md5);
        out
    }
}

/// The message between magic and MD5, if the MD5 is right.
fn message(payload: &[u8]) -> Option<&[u8]> {
    let rest = payload.strip_prefix(&MAGIC)?;
    let (message, md5) = rest.split_at_checked(rest.len().checked_sub(MD5_BYTES)?)?;
    (Md5::digest(message).as_slice() == md5).then_some(message)
}

impl<'a> UserRecord<'a> {
    fn read(range: Range<usize>, body: &'a [u8]) -> Option<Self> {
        let (mut pk_index, mut ehk_index, mut data, mut minimal) = (None, None, None, true);
        let mut tags = Vec::new();
        for field in fields(body) {
            let field = field.ok()?;
            minimal &= field.minimal;
            let doubled = match (field.number, field.value) {
                (1, Value::Varint(index)) => pk_index.replace(index).is_some(),
                (2, Value::Varint(index)) => ehk_index.replace(index).is_some(),
                (3, Value::Bytes(bytes)) => data.replace((bytes, field.range)).is_some(),
                (4, Value::Bytes(tag)) => {
                    tags.push(Tag::read(tag)?);
                    false
                }
                (1..=4, _) => return None,
                _ => false,
            };
            if doubled {
                return None;
            }
        }
        let ((data, data_field), pk_index) = (data?, pk_index?);
        let nested = data.starts_with(&MAGIC);
        (!nested).then_some(Self {
            range,
            body,
            data,
            data_field,
            tags,
            pk_index,
            ehk_index,
            minimal,
        })
    }

    /// The record's body with other data.
    pub(super) fn with_data(&self, data: &[u8]) -> Vec<u8> {
        let head = self.body.get(..self.data_field.start).unwrap_or_default();
        let tail = self.body.get(self.data_field.end..).unwrap_or_default();
        let mut body = Vec::with_capacity(head.len() + data.len() + tail.len() + 8);
        body.extend_from_slice(head);
        put_bytes(&mut body, 3, data);
        body.extend_from_slice(tail);
        body
    }
}

/// A name and a value beside a user record's data.
pub(super) struct Tag<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl<'a> Tag<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        let (mut key, mut value) = (None, None);
        for field in fields(message) {
            let field = field.ok()?;
            match (field.number, field.value) {
                (1, Value::Bytes(bytes)) => key = Some(bytes),
                (2, Value::Bytes(bytes)) => value = Some(bytes),
                (1 | 2, _) => return None,
                _ => {}
            }
        }
        Some(Self { key: key?, value: value.unwrap_or_default() })
    }
}
