//! Owns what a GetShardIterator and a GetRecords call say: which stream and shard, from where on, and
//! whether it is meant. Refuses to guess a stream that the call does not name.

use super::walk::{Broken, Walk, members};
use crate::domain::stream::{ShardId, StreamName};
use crate::wire::kinesis::form::WireForm;
use std::borrow::Cow;

/// What a GetShardIterator call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IteratorRequest {
    /// The stream by its name, out of its ARN, or by its id where nothing else names it.
    pub stream: Option<StreamName>,
    /// The shard.
    pub shard: ShardId,
    /// `StreamARN`, whole: the call's host follows from it.
    pub stream_arn: Option<String>,
    /// `DryRun` was true: no read will follow.
    pub dry_run: bool,
    /// `ShardIteratorType`.
    pub starts_at: ShardIteratorType,
}

/// What a GetRecords call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsRequest {
    /// `ShardIterator`: opaque.
    pub iterator: String,
    /// The stream, if the call names it, as in [`IteratorRequest`].
    pub stream: Option<StreamName>,
    /// `StreamARN`, whole.
    pub stream_arn: Option<String>,
    /// `DryRun` was true: not a read.
    pub dry_run: bool,
}

/// Where in its shard an iterator begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShardIteratorType {
    /// At a sequence number.
    AtSequenceNumber,
    /// Behind a sequence number.
    AfterSequenceNumber,
    /// At the oldest record that is kept.
    TrimHorizon,
    /// Behind the newest record: what is older is left out on purpose.
    Latest,
    /// At a time.
    AtTimestamp,
    /// None of these: absent, or newer than this version.
    Other,
}

impl ShardIteratorType {
    const ALL: [Self; 5] = [
        Self::AtSequenceNumber,
        Self::AfterSequenceNumber,
        Self::TrimHorizon,
        Self::Latest,
        Self::AtTimestamp,
    ];

    /// Kinesis' word for it; `other` for none.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtSequenceNumber => "AT_SEQUENCE_NUMBER",
            Self::AfterSequenceNumber => "AFTER_SEQUENCE_NUMBER",
            Self::TrimHorizon => "TRIM_HORIZON",
            Self::Latest => "LATEST",
            Self::AtTimestamp => "AT_TIMESTAMP",
            Self::Other => "other",
        }
    }

    /// From Kinesis' word.
    #[must_use]
    pub fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|known| known.as_str() == word).unwrap_or(Self::Other)
    }
}

/// What a GetShardIterator call asks about; `None` if the body is not one.
#[must_use]
pub fn iterator_request(form: WireForm, body: &[u8]) -> Option<IteratorRequest> {
    let (mut named, mut shard, mut starts_at) = (Named::default(), None, ShardIteratorType::Other);
    members(form, body, |walk, key| {
        match key {
            "ShardId" => shard = walk.text()?,
            "ShardIteratorType" => {
                starts_at = walk.text()?.map_or(starts_at, |word| ShardIteratorType::of(&word));
            }
            _ => named.member(walk, key)?,
        }
        Ok(())
    })?;
    Some(IteratorRequest {
        stream: named.stream(),
        shard: ShardId::from(&*shard?),
        stream_arn: named.arn.map(Cow::into_owned),
        dry_run: named.dry_run,
        starts_at,
    })
}

/// What a GetRecords call says; `None` if the body is not one.
#[must_use]
pub fn records_request(form: WireForm, body: &[u8]) -> Option<RecordsRequest> {
    let (mut named, mut iterator) = (Named::default(), None);
    members(form, body, |walk, key| {
        match key {
            "ShardIterator" => iterator = walk.text()?,
            _ => named.member(walk, key)?,
        }
        Ok(())
    })?;
    Some(RecordsRequest {
        iterator: iterator?.into_owned(),
        stream: named.stream(),
        stream_arn: named.arn.map(Cow::into_owned),
        dry_run: named.dry_run,
    })
}

/// The members that say which stream a call is about, and whether it is meant.
#[derive(Debug, Default)]
struct Named<'a> {
    name: Option<Cow<'a, str>>,
    arn: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    dry_run: bool,
}

impl<'a> Named<'a> {
    fn member(&mut self, walk: &mut Walk<'a>, key: &str) -> Result<(), Broken> {
        match key {
            "StreamName" => self.name = walk.text()?,
            "StreamARN" => self.arn = walk.text()?,
            "StreamId" => self.id = walk.text()?,
            "DryRun" => self.dry_run = walk.flag()?,
            _ => walk.skip()?,
        }
        Ok(())
    }

    fn stream(&self) -> Option<StreamName> {
        let given = |name: &Option<Cow<'a, str>>| {
            name.as_deref().filter(|name| !name.is_empty()).map(StreamName::from)
        };
        given(&self.name)
            .or_else(|| StreamName::from_arn(self.arn.as_deref()?))
            .or_else(|| given(&self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let arn = "arn:aws:kinesis:us-east-1:1:stream/s";
        let place = Some(("s".into(), "shardId-000000000001".into()));
        let check = |body: &str, expected| {
            let request = iterator_request(WireForm::Json, body.as_bytes());
            let named = request.and_then(|request| Some((request.stream?, request.shard)));
            assert_eq!(named, expected, "{body}");
        };
        check(
            r#"{"StreamName":"s","ShardId":"shardId-000000000001","ShardIteratorType":"LATEST"}"#,
            place.clone(),
        );
        check(
            &format!(r#"{{"ShardId":"shardId-000000000001","StreamARN":"{arn}","Timestamp":1.5}}"#),
            place.clone(),
        );
        check(r#"{"StreamName":null,"StreamId":"s","ShardId":"shardId-000000000001"}"#, place);
        check(r#"{"ShardId":"x"}"#, None);
        check("no", None);
        let plain = RecordsRequest {
            iterator: "AAA=".into(),
            stream: None,
            stream_arn: None,
            dry_run: false,
        };
        let check = |body: &str, expected| {
            assert_eq!(records_request(WireForm::Json, body.as_bytes()), expected, "{body}");
        };
        check(r#"{"ShardIterator":"AAA=","Limit":5}"#, Some(plain.clone()));
        check(
            &format!(r#"{{"StreamARN":"{arn}","ShardIterator":"AAA=","DryRun":true}}"#),
            Some(RecordsRequest {
                stream: Some("s".into()),
                stream_arn: Some(arn.into()),
                dry_run: true,
                ..plain
            }),
        );
        check(r#"{"ShardIterator":"AAA="} {}"#, None);
        check(r#"{"Limit":5}"#, None);
    }

    #[test]
    fn cbor_requests_of_definite_and_indefinite_length() {
        let check = |body: &[u8], expected: Option<(&str, ShardIteratorType, bool)>| {
            let request = iterator_request(WireForm::Cbor, body);
            let seen = request.as_ref().map(|request| {
                let stream = request.stream.as_ref().map_or("", StreamName::as_str);
                (stream, request.starts_at, request.dry_run)
            });
            assert_eq!(seen, expected);
        };
        check(
            b"\xa3\x6aStreamName\x61s\x67ShardId\x61x\x71ShardIteratorType\x66LATEST",
            Some(("s", ShardIteratorType::Latest, false)),
        );
        check(
            b"\xbf\x66DryRun\xf5\x67ShardId\x7f\x61x\x60\x61y\xff\x68StreamId\x61i\
              \x71ShardIteratorType\x63NEW\x69Timestamp\xc1\x1b\0\0\x01\x9a\0\0\0\0\xff",
            Some(("i", ShardIteratorType::Other, true)),
        );
        check(b"\xa1\x67ShardId\x61x\x00", None);
        check(b"\xa1\x67ShardId\x61", None);
        let records = records_request(WireForm::Cbor, b"\xbf\x6dShardIterator\x61i\xff").unwrap();
        assert_eq!((&*records.iterator, records.stream), ("i", None));
    }
}
