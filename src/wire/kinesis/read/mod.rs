//! Owns the bodies of GetShardIterator and GetRecords in both wire forms, request and answer: whose iterator
//! it is, how far behind, which records with which contexts. Refuses to change them.

#[cfg(test)]
mod laws;
pub(super) mod payload;
pub(super) mod walk;

use super::form::WireForm;
use crate::domain::envelope::Kind;
use crate::domain::stream::{SequenceNumber, ShardId, StreamName};
use crate::domain::time::Wall;
use crate::domain::trace::{TraceContext, TraceState};
use std::borrow::Cow;
use std::time::Duration;
use walk::{Broken, Walk, members};

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

/// A GetRecords answer.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordsAnswer {
    /// `MillisBehindLatest`; `None` when absent. Missing is not zero.
    pub behind: Option<Duration>,
    /// `NextShardIterator`; `None` when the shard is closed and read to its end.
    pub next: Option<String>,
    /// The records, in order.
    pub records: Vec<ReadRecord>,
    /// `ChildShards`, which Kinesis names at a shard's end: where its readers go on.
    pub child_shards: Vec<ShardId>,
}

/// One record that was delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRecord {
    /// `SequenceNumber`.
    pub sequence: Option<SequenceNumber>,
    /// `ApproximateArrivalTimestamp`.
    pub arrival: Option<Wall>,
    /// The contexts in its envelope; an aggregate or a batch of lines has several. Where there is
    /// none, another tracer's stands in.
    pub contexts: Vec<(TraceContext, TraceState)>,
    /// What its payload is; [`Kind::Empty`] where there is none, [`Kind::Opaque`] where it could
    /// not be decoded.
    pub kind: Kind,
    /// The label `verdict`: `linked`, or why there is no context.
    pub verdict: &'static str,
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

/// The iterator that a GetShardIterator answer gives.
#[must_use]
pub fn iterator_answer(form: WireForm, body: &[u8]) -> Option<String> {
    let mut iterator = None;
    members(form, body, |walk, key| {
        match key {
            "ShardIterator" => iterator = walk.text()?,
            _ => walk.skip()?,
        }
        Ok(())
    })?;
    iterator.map(Cow::into_owned)
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

/// Reads a GetRecords answer, or the payload of a SubscribeToShardEvent, which has the same members
/// but no `NextShardIterator`; `None` if it is neither.
#[must_use]
pub fn records_answer(form: WireForm, body: &[u8]) -> Option<RecordsAnswer> {
    let (mut behind, mut next, mut records) = (None, None, None);
    let (mut child_shards, mut scratch) = (Vec::new(), Vec::new());
    members(form, body, |walk, key| {
        match key {
            "MillisBehindLatest" => behind = walk.count()?,
            "NextShardIterator" => next = walk.text()?,
            "Records" => {
                let read: &mut Vec<ReadRecord> = records.insert(Vec::new());
                walk.array(|walk| {
                    read.push(record(form, walk, &mut scratch, |walk, _| walk.skip())?);
                    Ok(())
                })?;
            }
            "ChildShards" => child_shards = children(walk)?,
            _ => walk.skip()?,
        }
        Ok(())
    })?;
    Some(RecordsAnswer {
        behind: behind.map(Duration::from_millis),
        next: next.map(Cow::into_owned),
        records: records?,
        child_shards,
    })
}

/// One record; `other` gets the members that only some records have.
pub(super) fn record<'a>(
    form: WireForm,
    walk: &mut Walk<'a>,
    scratch: &mut Vec<u8>,
    mut other: impl FnMut(&mut Walk<'a>, &str) -> Result<(), Broken>,
) -> Result<ReadRecord, Broken> {
    let (mut sequence, mut arrival, mut data) = (None, None, None);
    walk.object(|walk, key| {
        match key {
            "SequenceNumber" => sequence = walk.text()?,
            "ApproximateArrivalTimestamp" => arrival = walk.time()?,
            "Data" => data = walk.blob()?,
            _ => other(walk, key)?,
        }
        Ok(())
    })?;
    let content = data.map_or(Cow::Borrowed(&[][..]), |data| data.content);
    let (kind, contexts, verdict) = payload::contexts(form, &content, scratch);
    let sequence = sequence.map(|text| SequenceNumber::from(&*text));
    Ok(ReadRecord { sequence, arrival, contexts, kind, verdict })
}

fn children(walk: &mut Walk<'_>) -> Result<Vec<ShardId>, Broken> {
    let mut shards = Vec::new();
    if walk.is_null()? {
        return walk.skip().map(|()| shards);
    }
    walk.array(|walk| {
        walk.object(|walk, key| {
            match key {
                "ShardId" => shards.extend(walk.text()?.map(|shard| ShardId::from(&*shard))),
                _ => walk.skip()?,
            }
            Ok(())
        })
    })?;
    Ok(shards)
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
        assert_eq!(
            iterator_answer(WireForm::Json, br#"{"ShardIterator":"AAA\/="}"#).as_deref(),
            Some("AAA/=")
        );
    }

    #[test]
    fn answers() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let data = base64_simd::STANDARD
            .encode_to_string(format!("{{\"a\":1,\"traceparent\":\"{parent}\"}}"));
        let body = format!(
            r#"{{"MillisBehindLatest":1512,"NextShardIterator":"next","Records":[
                {{"ApproximateArrivalTimestamp":1.548118964772E9,"Data":"{data}","PartitionKey":"p","SequenceNumber":"49"}},
                {{"ApproximateArrivalTimestamp":1548118964,"Data":"AAAA","SequenceNumber":"50","New":[]}}]}}"#
        );
        let answer = records_answer(WireForm::Json, body.as_bytes()).unwrap();
        assert_eq!(answer.behind, Some(Duration::from_millis(1512)));
        assert_eq!(answer.next.as_deref(), Some("next"));
        let [one, two] = &answer.records[..] else { panic!("two records") };
        assert_eq!(one.arrival, Some(Wall::from_ms(1_548_118_964_772)));
        assert_eq!(
            one.contexts.first().map(|(context, _)| context.to_string()).as_deref(),
            Some(parent)
        );
        assert_eq!((one.verdict, two.verdict), ("linked", "no_context"));
        assert_eq!(two.sequence, Some("50".into()));
    }

    #[test]
    fn missing_is_not_zero() {
        let answer =
            records_answer(WireForm::Json, br#"{"Records":[],"NextShardIterator":null}"#).unwrap();
        assert_eq!(
            answer,
            RecordsAnswer { behind: None, next: None, records: vec![], child_shards: vec![] }
        );
        assert_eq!(
            records_answer(WireForm::Json, br#"{"__type":"ExpiredIteratorException"}"#),
            None
        );
    }
}
