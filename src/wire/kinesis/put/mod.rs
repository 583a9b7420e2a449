//! Owns the bodies of PutRecord and PutRecords in both wire forms: finds each record's data, looks
//! at it and splices context into those that allow it. Refuses a body it does not understand
//! wholly: then nothing is changed. All other bytes of the body stay as they came.

mod cbor;
mod change;
mod json;
#[cfg(test)]
mod laws;
mod members;
mod splice;
#[cfg(test)]
mod tests;

use super::form::WireForm;
use super::record;
use crate::domain::capacity::{hash_of_digits, hash_of_key};
use crate::domain::envelope::{EDGE_BYTES, Facts, facts_of_head};
use crate::domain::json::{Fault, Text};
use crate::domain::stream::StreamName;
use std::borrow::Cow;
use std::ops::Range;

pub use super::record::Look;
pub use super::record::Verdict as RecordVerdict;
pub use splice::{Insertions, Plan, SizeLaw, Spliced, splice};

/// Why a body was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Not JSON, or not the shape that the operation has.
    #[error("the body is not the JSON of this operation")]
    NotJson(#[source] Fault),
    /// Not CBOR, or not the shape that the operation has.
    #[error("the body is not the CBOR of this operation")]
    NotCbor,
    /// A member that we rely on is there twice.
    #[error("a member of the body is there twice")]
    DuplicateKeys,
}

impl BodyFault {
    /// The label value `verdict` of the body's records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson(_) => "body_not_json",
            Self::NotCbor => "body_not_cbor",
            Self::DuplicateKeys => "body_duplicate_keys",
        }
    }
}

impl From<Fault> for BodyFault {
    fn from(fault: Fault) -> Self {
        Self::NotJson(fault)
    }
}

/// A put's body, understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PutBody {
    /// The stream, by name or from its ARN.
    pub stream: Option<StreamName>,
    /// The stream's ARN as it came: the host is chosen by it.
    pub stream_arn: Option<String>,
    /// The stream's id as it came.
    pub stream_id: Option<String>,
    /// `DryRun` was true: not traffic.
    pub dry_run: bool,
    /// Each record, in order.
    pub records: Vec<Slot>,
}

impl PutBody {
    /// How many records the put has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether the put has no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// One record in the body. A record without data is as one with none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slot {
    /// How the data is written.
    shape: Shape,
    /// Offset of the data's first byte, header included; for JSON as `inner.start`.
    header_at: usize,
    /// The data: between the quotes, or the byte string's bytes.
    inner: Range<usize>,
    /// Bytes of the partition key.
    partition_key_bytes: usize,
    /// Where it stands; as the client wrote it, which is how the same client writes it again.
    partition_key: Range<usize>,
    /// How it is written.
    key_form: KeyForm,
    /// Where the explicit hash key's digits stand; empty: there is none.
    explicit_hash_key: Range<usize>,
}

/// How a partition key is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum KeyForm {
    /// As Kinesis takes it.
    #[default]
    Plain,
    /// In a JSON string with escapes.
    Escaped,
    /// In CBOR chunks, of which only the last one's place is kept.
    Chunks,
}

/// How a record's data is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Shape {
    /// Base64 in a JSON string.
    #[default]
    Base64,
    /// The same with escapes in it (PHP writes `\/`): its offsets are not the body's.
    Escaped,
    /// A CBOR byte string.
    Bytes,
    /// A CBOR byte string in chunks.
    Chunks,
}

/// Understands a put's body.
///
/// # Errors
/// Why it is to be forwarded unread.
pub fn locate(form: WireForm, body: &[u8]) -> Result<PutBody, BodyFault> {
    match form {
        WireForm::Json => json::locate(body),
        WireForm::Cbor => cbor::locate(body),
    }
}

/// Looks at every record of a put.
#[must_use]
pub fn look(body: &[u8], put: &PutBody) -> Vec<Look> {
    let mut scratch = Vec::new();
    put.records.iter().map(|slot| slot.look(body, &mut scratch)).collect()
}

/// One record's data as it stands in the body that `put` was located in: the characters of the
/// base64, or the bytes. The same record sent again has the same.
#[must_use]
pub fn record_bytes<'a>(body: &'a [u8], put: &PutBody, record: usize) -> Option<&'a [u8]> {
    put.records.get(record)?.raw(body)
}

/// Bytes that one record takes of its shard as the client wrote it: data and partition key. Of
/// base64 with escapes, and of a byte string in chunks, slightly more.
#[must_use]
pub fn stored_bytes(body: &[u8], put: &PutBody, record: usize) -> usize {
    let Some(slot) = put.records.get(record) else { return 0 };
    let data = match slot.shape {
        Shape::Base64 | Shape::Escaped => {
            let raw = slot.raw(body).unwrap_or_default();
            let padding = raw.iter().rev().take(2).filter(|byte| **byte == b'=').count();
            (raw.len() / 4 * 3).saturating_sub(padding)
        }
        Shape::Bytes | Shape::Chunks => slot.inner.len(),
    };
    data + slot.partition_key_bytes
}

/// One record's partition key as the client wrote it.
#[must_use]
pub fn key_bytes<'a>(body: &'a [u8], put: &PutBody, record: usize) -> Option<&'a [u8]> {
    body.get(put.records.get(record)?.partition_key.clone())
}

/// One record's partition key as Kinesis takes it, where it stands so in the body and alone decides
/// which shard is the record's.
#[must_use]
pub fn plain_key<'a>(body: &'a [u8], put: &PutBody, record: usize) -> Option<&'a [u8]> {
    let slot = put.records.get(record)?;
    let alone = slot.key_form == KeyForm::Plain && slot.explicit_hash_key.is_empty();
    let key = body.get(slot.partition_key.clone())?;
    (alone && !key.is_empty()).then_some(key)
}

/// The hash key by which Kinesis finds one record's shard: the explicit one, else that of its
/// partition key. Costs an MD5.
#[must_use]
pub fn hash_key(body: &[u8], put: &PutBody, record: usize) -> Option<u128> {
    let slot = put.records.get(record)?;
    if !slot.explicit_hash_key.is_empty() {
        return hash_of_digits(body.get(slot.explicit_hash_key.clone())?);
    }
    let inner = slot.partition_key.clone();
    if inner.is_empty() {
        return None;
    }
    match slot.key_form {
        KeyForm::Plain => Some(hash_of_key(body.get(inner)?)),
        KeyForm::Escaped => {
            let text = Text { inner, escaped: true };
            Some(hash_of_key(text.unescaped(body)?.as_bytes()))
        }
        KeyForm::Chunks => None,
    }
}

/// What one record's event calls itself, as far as the beginning of its data tells.
#[must_use]
pub fn facts(body: &[u8], put: &PutBody, record: usize) -> Facts {
    let mut scratch = Vec::new();
    let head = put.records.get(record).and_then(|slot| slot.head(body, &mut scratch));
    head.map(|head| facts_of_head(&head)).unwrap_or_default()
}

impl Slot {
    /// The beginning of the payload.
    fn head<'a>(&self, body: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<Cow<'a, [u8]>> {
        match self.shape {
            Shape::Base64 | Shape::Escaped => {
                let base64 = self.base64(body)?;
                let head = base64.get(..EDGE_BYTES / 3 * 4).unwrap_or(&base64);
                record::decode(head, scratch).map(Cow::Borrowed)
            }
            Shape::Bytes => self.raw(body).map(Cow::Borrowed),
            Shape::Chunks => self.raw(body).map(|chunks| Cow::Owned(cbor::joined(chunks))),
        }
    }

    fn raw<'a>(&self, body: &'a [u8]) -> Option<&'a [u8]> {
        body.get(self.inner.clone())
    }

    fn look(&self, body: &[u8], scratch: &mut Vec<u8>) -> Look {
        match self.shape {
            Shape::Base64 | Shape::Escaped => {
                record::look_base64(&self.base64(body).unwrap_or_default(), scratch)
            }
            Shape::Bytes => record::look(self.raw(body).unwrap_or_default()),
            Shape::Chunks => record::look(&cbor::joined(self.raw(body).unwrap_or_default())),
        }
    }

    /// The base64 without escapes; `None` where that is no text.
    fn base64<'a>(&self, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if self.shape != Shape::Escaped {
            return self.raw(body).map(Cow::Borrowed);
        }
        let text = Text { inner: self.inner.clone(), escaped: true };
        Some(text.unescaped(body)?.into_owned().into_bytes().into())
    }

    /// The whole payload.
    fn payload<'a>(&self, body: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        match self.shape {
            Shape::Base64 | Shape::Escaped => record::decode(&self.base64(body)?, scratch),
            Shape::Bytes => self.raw(body),
            Shape::Chunks => {
                *scratch = cbor::joined(self.raw(body)?);
                Some(scratch)
            }
        }
    }
}
