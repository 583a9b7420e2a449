//! Owns where a put's members stand in CBOR, as the AWS SDKs for Java write it: maps, arrays and
//! strings of definite and of indefinite length. Refuses what the operation's shape is not.

use super::members::{Members, Record};
use super::{BodyFault, KeyForm, PutBody, Shape};
use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use std::borrow::Cow;
use std::ops::Range;

/// Deepest nesting that is followed in members that are stepped over.
const DEPTH_MAX: u32 = 128;

pub(super) fn locate(body: &[u8]) -> Result<PutBody, BodyFault> {
    let mut members = Members::default();
    let mut reader = Reader(Decoder::new(body));
    reader.map(|reader, key| {
        match key {
            "StreamName" => members.stream_name(reader.text()?.as_deref()),
            "StreamARN" => members.stream_arn(reader.text()?.as_deref()),
            "StreamId" => members.stream_id(reader.text()?.as_deref()),
            "DryRun" => members.dry_run(reader.flag()?),
            "Records" => {
                members.records();
                reader.array(|reader| {
                    let mut record = Record::default();
                    reader.map(|reader, key| reader.member(key, &mut record))?;
                    members.record(record);
                    Ok(())
                })?;
            }
            other => reader.member(other, &mut members.single)?,
        }
        Ok(())
    })?;
    if reader.0.position() == body.len() { members.finish() } else { Err(BodyFault::NotCbor) }
}

/// A byte string in chunks, joined.
pub(super) fn joined(chunks: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(chunks);
    // The chunks were stepped over when they were located: they cannot fault.
    decoder.bytes_iter().into_iter().flatten().map_while(Result::ok).flatten().copied().collect()
}

impl From<Error> for BodyFault {
    fn from(_: Error) -> Self {
        Self::NotCbor
    }
}

/// A cursor over CBOR, with an end of its own to each length.
struct Reader<'a>(Decoder<'a>);

impl<'a> Reader<'a> {
    /// Reads a map, member by member: `each` steps over the value.
    fn map(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        let members = self.0.map()?;
        self.items(members, |reader| {
            let key = reader.text()?.ok_or(BodyFault::NotCbor)?;
            each(reader, &key)
        })
    }

    /// Reads an array, element by element, likewise.
    fn array(
        &mut self,
        each: impl FnMut(&mut Self) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        let elements = self.0.array()?;
        self.items(elements, each)
    }

    /// As many items as were announced, or up to the break.
    fn items(
        &mut self,
        announced: Option<u64>,
        mut each: impl FnMut(&mut Self) -> Result<(), BodyFault>,
    ) -> Result<(), BodyFault> {
        let mut left = announced;
        loop {
            match &mut left {
                Some(0) => return Ok(()),
                Some(left) => *left -= 1,
                None if self.0.datatype()? == Type::Break => {
                    self.0.set_position(self.0.position() + 1);
                    return Ok(());
                }
                None => {}
            }
            each(self)?;
        }
    }

    /// Reads a record's member.
    fn member(&mut self, key: &str, record: &mut Record) -> Result<(), BodyFault> {
        match key {
            "Data" => record.data(self.data()?),
            "PartitionKey" => {
                let in_chunks = self.0.datatype()? == Type::StringIndef;
                let form = if in_chunks { KeyForm::Chunks } else { KeyForm::Plain };
                let bytes = self.text()?.map_or(0, |text| text.len());
                let end = self.0.position();
                // In chunks the last of them: still the same for the same key.
                record.partition_key(bytes, end.saturating_sub(bytes)..end, form);
            }
            "ExplicitHashKey" => {
                let digits = self.0.probe().str().map_or(0, str::len);
                self.skip(DEPTH_MAX)?;
                let end = self.0.position();
                record.explicit_hash_key(end.saturating_sub(digits)..end);
            }
            _ => self.skip(DEPTH_MAX)?,
        }
        Ok(())
    }

    /// A byte string: its shape, where its header stands, and its bytes or, header and all, chunks.
    fn data(&mut self) -> Result<Option<(Shape, usize, Range<usize>)>, BodyFault> {
        if self.null()? {
            return Ok(None);
        }
        let header_at = self.0.position();
        if self.0.datatype()? == Type::BytesIndef {
            self.0.skip()?;
            return Ok(Some((Shape::Chunks, header_at, header_at..self.0.position())));
        }
        let bytes = self.0.bytes()?.len();
        let end = self.0.position();
        Ok(Some((Shape::Bytes, header_at, end - bytes..end)))
    }

    fn text(&mut self) -> Result<Option<Cow<'a, str>>, BodyFault> {
        if self.null()? {
            return Ok(None);
        }
        if self.0.datatype()? == Type::StringIndef {
            return Ok(Some(Cow::Owned(self.0.str_iter()?.collect::<Result<String, Error>>()?)));
        }
        Ok(Some(Cow::Borrowed(self.0.str()?)))
    }

    fn flag(&mut self) -> Result<bool, BodyFault> {
        if self.0.datatype()? == Type::Bool {
            return Ok(self.0.bool()?);
        }
        self.skip(DEPTH_MAX)?;
        Ok(false)
    }

    /// Steps over a null if it is next: such a member is as one that is not there.
    fn null(&mut self) -> Result<bool, BodyFault> {
        let null = self.0.datatype()? == Type::Null;
        if null {
            self.0.null()?;
        }
        Ok(null)
    }

    /// Steps over one value. minicbor's own `skip` would take a break for a value, and its memory
    /// would grow with the nesting: here it is asked for flat values only.
    fn skip(&mut self, depth: u32) -> Result<(), BodyFault> {
        let deeper = depth.checked_sub(1).ok_or(BodyFault::NotCbor)?;
        match self.0.datatype()? {
            Type::Array | Type::ArrayIndef => self.array(|reader| reader.skip(deeper)),
            Type::Map | Type::MapIndef => {
                let members = self.0.map()?;
                self.items(members, |reader| {
                    reader.skip(deeper)?;
                    reader.skip(deeper)
                })
            }
            Type::Tag => {
                self.0.tag()?;
                self.skip(deeper)
            }
            Type::Break | Type::Unknown(_) => Err(BodyFault::NotCbor),
            Type::Bool
            | Type::Null
            | Type::Undefined
            | Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int
            | Type::F16
            | Type::F32
            | Type::F64
            | Type::Simple
            | Type::Bytes
            | Type::BytesIndef
            | Type::String
            | Type::StringIndef => Ok(self.0.skip()?),
        }
    }
}
