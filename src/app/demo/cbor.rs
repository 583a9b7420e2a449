//! Owns a CBOR document as a tree, as far as rpc-v2-cbor requests need one. Refuses to nest deeply.

use aws_smithy_cbor::Decoder;
use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::decode::DeserializeError;

/// A GetMetricData request nests six deep.
const DEPTH_MAX: u8 = 16;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    /// An object, in the order written.
    Map(Vec<(String, Tree)>),
    /// An array.
    List(Vec<Tree>),
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// Seconds since the epoch.
    Time(f64),
    /// What no request of ours holds: bytes, fractions, yes and no, null.
    Other,
}

impl Tree {
    /// Reads one value.
    ///
    /// # Errors
    /// When the bytes are not CBOR, are broken off, or nest too deeply.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DeserializeError> {
        Self::read(&mut Decoder::new(bytes), 0)
    }

    /// The member of this name; `None` also where this is no map.
    #[must_use]
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text, if this is one.
    #[must_use]
    pub(super) fn text(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }

    /// The items; none where this is no list.
    #[must_use]
    pub(super) fn items(&self) -> &[Self] {
        let Self::List(items) = self else { return &[] };
        items
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "not our enum; the rest is skipped alike")]
    fn read(decoder: &mut Decoder<'_>, depth: u8) -> Result<Self, DeserializeError> {
        if depth > DEPTH_MAX {
            return Err(DeserializeError::custom("nested too deeply", decoder.position()));
        }
        Ok(match decoder.datatype()? {
            Type::Map | Type::MapIndef => {
                let mut members = Vec::new();
                let length = decoder.map()?;
                while !ended(decoder, length, members.len())? {
                    let key = decoder.string()?;
                    members.push((key, Self::read(decoder, depth + 1)?));
                }
                Self::Map(members)
            }
            Type::Array | Type::ArrayIndef => {
                let mut items = Vec::new();
                let length = decoder.list()?;
                while !ended(decoder, length, items.len())? {
                    items.push(Self::read(decoder, depth + 1)?);
                }
                Self::List(items)
            }
            Type::String | Type::StringIndef => Self::Text(decoder.string()?),
            Type::Tag => Self::Time(decoder.timestamp()?.as_secs_f64()),
            Type::U8 | Type::U16 | Type::U32 | Type::I8 | Type::I16 | Type::I32 | Type::I64 => {
                Self::Int(decoder.long()?)
            }
            _ => {
                decoder.skip()?;
                Self::Other
            }
        })
    }
}

/// Whether a map or a list of this length (none: until a break) has no more to read.
fn ended(
    decoder: &mut Decoder<'_>,
    length: Option<u64>,
    read: usize,
) -> Result<bool, DeserializeError> {
    if let Some(length) = length {
        return Ok(read as u64 >= length);
    }
    let over = matches!(decoder.datatype()?, Type::Break);
    if over {
        decoder.skip()?;
    }
    Ok(over)
}
