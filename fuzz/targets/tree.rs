//! Owns bodies as trees, read by serde_json or minicbor and not by the parsers under test, and
//! their twins: the same body as other clients would write it. Refuses a body that has none in the
//! other form, such as text where Kinesis has bytes.

use kinescope::wire::kinesis::form::WireForm;
use minicbor::data::{IanaTag, Type};
use minicbor::{Decoder, Encoder};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Deeper bodies have no twin.
const DEPTH_MAX: usize = 60;

/// A body, in order and with doubled members.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    /// The value of a member `Data`.
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// The body in each of the other ways to write it.
pub fn twins(form: WireForm, body: &[u8]) -> Vec<(WireForm, Vec<u8>)> {
    let Some(tree) = Tree::read(form, body) else { return Vec::new() };
    let mut twins =
        vec![(WireForm::Cbor, tree.to_cbor(false)), (WireForm::Cbor, tree.to_cbor(true))];
    twins.extend(
        [false, true].into_iter().filter_map(|odd| Some((WireForm::Json, tree.to_json(odd)?))),
    );
    twins
}

impl Tree {
    pub fn read(form: WireForm, body: &[u8]) -> Option<Self> {
        match form {
            WireForm::Json => serde_json::from_slice::<Self>(body).ok()?.with_bytes(),
            WireForm::Cbor => {
                let mut decoder = Decoder::new(body);
                let tree = Self::of_cbor(&mut decoder, "", DEPTH_MAX)?;
                (decoder.position() == body.len()).then_some(tree)
            }
        }
    }

    /// What is base64 in JSON as bytes.
    fn with_bytes(self) -> Option<Self> {
        Some(match self {
            Self::Map(members) => {
                let member = |(key, value): (String, Self)| {
                    let bytes = |text| base64_simd::STANDARD.decode_to_vec(text).ok();
                    let value = if let (Self::Text(text), "Data") = (&value, key.as_str()) {
                        Self::Bytes(bytes(text)?)
                    } else {
                        value.with_bytes()?
                    };
                    Some((key, value))
                };
                Self::Map(members.into_iter().map(member).collect::<Option<_>>()?)
            }
            Self::List(items) => {
                Self::List(items.into_iter().map(Self::with_bytes).collect::<Option<_>>()?)
            }
            plain @ (Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Bytes(_)) => plain,
        })
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "minicbor's enum: what it grows has no twin"
    )]
    fn of_cbor(decoder: &mut Decoder<'_>, key: &str, depth: usize) -> Option<Self> {
        let deeper = depth.checked_sub(1)?;
        Some(match decoder.datatype().ok()? {
            Type::Null => {
                decoder.null().ok()?;
                Self::Null
            }
            Type::Bool => Self::Bool(decoder.bool().ok()?),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => Self::Int(decoder.u64().ok()?.into()),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => Self::Int(decoder.i64().ok()?.into()),
            Type::F32 | Type::F64 => Self::Float(decoder.f64().ok().filter(|n| n.is_finite())?),
            Type::String | Type::StringIndef => {
                let text = decoder.str_iter().ok()?.collect::<Result<String, _>>().ok()?;
                (key != "Data").then_some(Self::Text(text))?
            }
            Type::Bytes | Type::BytesIndef => {
                let chunks = decoder.bytes_iter().ok()?.collect::<Result<Vec<_>, _>>().ok()?;
                (key == "Data").then_some(Self::Bytes(chunks.concat()))?
            }
            Type::Array | Type::ArrayIndef => {
                let mut left = decoder.array().ok()?;
                let mut items = Vec::new();
                while more(decoder, &mut left)? {
                    items.push(Self::of_cbor(decoder, "", deeper)?);
                }
                Self::List(items)
            }
            Type::Map | Type::MapIndef => {
                let mut left = decoder.map().ok()?;
                let mut members = Vec::new();
                while more(decoder, &mut left)? {
                    let key = decoder.str_iter().ok()?.collect::<Result<String, _>>().ok()?;
                    let value = Self::of_cbor(decoder, &key, deeper)?;
                    members.push((key, value));
                }
                Self::Map(members)
            }
            // A time is a bare number in JSON; what else is tagged has no twin.
            Type::Tag if key.ends_with("Timestamp") => {
                (decoder.tag().ok()? == IanaTag::Timestamp.tag()).then_some(())?;
                let number = Self::of_cbor(decoder, "", deeper)?;
                matches!(number, Self::Int(_) | Self::Float(_)).then_some(number)?
            }
            _ => return None,
        })
    }

    /// Lengths given in advance, or left open.
    pub fn to_cbor(&self, open: bool) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        self.write_cbor(&mut encoder, open).unwrap();
        encoder.into_writer()
    }

    fn write_cbor(
        &self,
        to: &mut Encoder<Vec<u8>>,
        open: bool,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        match self {
            Self::Null => to.null()?,
            Self::Bool(truth) => to.bool(*truth)?,
            Self::Int(number) => match u64::try_from(*number) {
                Ok(number) => to.u64(number)?,
                Err(_) => to.i64(i64::try_from(*number).unwrap_or(i64::MIN))?,
            },
            Self::Float(number) => to.f64(*number)?,
            Self::Text(text) => to.str(text)?,
            Self::Bytes(bytes) => to.bytes(bytes)?,
            Self::List(items) => {
                if open { to.begin_array() } else { to.array(items.len() as u64) }?;
                items.iter().try_for_each(|item| item.write_cbor(to, open))?;
                if open { to.end()? } else { to }
            }
            Self::Map(members) => {
                if open { to.begin_map() } else { to.map(members.len() as u64) }?;
                for (key, value) in members {
                    to.str(key)?;
                    value.write_cbor(to, open)?;
                }
                if open { to.end()? } else { to }
            }
        };
        Ok(())
    }

    /// Compact, or with white space and needless escapes.
    pub fn to_json(&self, odd: bool) -> Option<Vec<u8>> {
        let mut out = String::new();
        self.write_json(&mut out, odd);
        // A key that an escape was put into must read as the same key.
        serde_json::from_str::<serde::de::IgnoredAny>(&out).ok()?;
        Some(out.into_bytes())
    }

    fn write_json(&self, out: &mut String, odd: bool) {
        let text = |text: &str| {
            let quoted = serde_json::to_string(text).unwrap_or_default();
            if odd { quoted.replace('/', "\\/").replace('e', "\\u0065") } else { quoted }
        };
        let (comma, colon) = if odd { (" ,\n", " : ") } else { (",", ":") };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Self::Int(number) => out.push_str(&number.to_string()),
            // With its point: a whole number is another thing.
            Self::Float(number) => out.push_str(&format!("{number:?}")),
            Self::Text(plain) => out.push_str(&text(plain)),
            Self::Bytes(bytes) => {
                out.push_str(&text(&base64_simd::STANDARD.encode_to_string(bytes)));
            }
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    out.push_str(if place > 0 { comma } else { "" });
                    item.write_json(out, odd);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (place, (key, value)) in members.iter().enumerate() {
                    out.push_str(if place > 0 { comma } else { "" });
                    out.push_str(&text(key));
                    out.push_str(colon);
                    value.write_json(out, odd);
                }
                out.push('}');
            }
        }
    }
}

/// Whether another item follows.
fn more(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Option<bool> {
    match left {
        Some(0) => Some(false),
        Some(left) => {
            *left -= 1;
            Some(true)
        }
        None if decoder.datatype().ok()? == Type::Break => {
            decoder.set_position(decoder.position() + 1);
            Some(false)
        }
        None => Some(true),
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Int(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Int(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(Tree::Map(map))
    }
}
