//! Owns the bodies of GetShardIterator and GetRecords in both wire forms, request and answer: whose iterator
//! it is, how far behind, which records with which contexts. Refuses to change them.

#[cfg(test)]
mod laws;
pub(super) mod payload;
mod request;
pub(super) mod walk;

pub use request::{
    IteratorRequest, RecordsRequest, ShardIteratorType, iterator_request, records_request,
};

use super::form::WireForm;
use crate::domain::envelope::{Event, Kind};
use crate::domain::stream::{SequenceNumber, ShardId};
use crate::domain::time::Wall;
use crate::domain::trace::{TraceContext, TraceState};
use payload::Payload;
use std::borrow::Cow;
use std::time::Duration;
use walk::{Broken, Walk, members};

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
    /// Its events that carry one of these and call themselves anything.
    pub events: Vec<Event>,
    /// What its payload is; [`Kind::Empty`] where there is none, [`Kind::Opaque`] where it could
    /// not be decoded.
    pub kind: Kind,
    /// The label `verdict`: `linked`, or why there is no context.
    pub verdict: &'static str,
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
    let Payload { kind, contexts, events, verdict } = payload::look(form, &content, scratch);
    let sequence = sequence.map(|text| SequenceNumber::from(&*text));
    Ok(ReadRecord { sequence, arrival, contexts, events, kind, verdict })
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
    fn iterators() {
        assert_eq!(
            iterator_answer(WireForm::Json, br#"{"ShardIterator":"AAA\/="}"#).as_deref(),
            Some("AAA/=")
        );
        let answer = iterator_answer(WireForm::Cbor, b"\xa1\x6dShardIterator\x61i");
        assert_eq!(answer.as_deref(), Some("i"));
    }

    /// As emulators answer CBOR: data as base64 in a text string.
    #[test]
    fn base64_in_cbor() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let data =
            base64_simd::STANDARD.encode_to_string(format!("{{\"traceparent\":\"{parent}\"}}"));
        let mut to = minicbor::Encoder::new(Vec::new());
        to.map(1).unwrap().str("Records").unwrap().array(2).unwrap();
        to.map(1).unwrap().str("Data").unwrap().str(&data).unwrap();
        to.map(1).unwrap().str("Data").unwrap().str("no base64").unwrap();
        let answer = records_answer(WireForm::Cbor, &to.into_writer()).unwrap();
        let verdicts: Vec<_> = answer.records.iter().map(|record| record.verdict).collect();
        assert_eq!(verdicts, ["linked", "no_context"]);
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
    fn times_in_milliseconds_and_seconds() {
        let check = |time: &[u8], expected_ms: Option<u64>| {
            let body =
                [b"\xa1\x67Records\x81\xa1\x78\x1bApproximateArrivalTimestamp", time].concat();
            let answer = records_answer(WireForm::Cbor, &body).unwrap();
            let arrival = answer.records.first().unwrap().arrival;
            assert_eq!(arrival, expected_ms.map(Wall::from_ms), "{time:02x?}");
        };
        let now_ms = 1_764_000_000_123_u64;
        let number = |head: &[u8], bytes: [u8; 8]| [head, &bytes].concat();
        check(&number(b"\xc1\x1b", now_ms.to_be_bytes()), Some(now_ms));
        check(&number(b"\x1b", now_ms.to_be_bytes()), Some(now_ms));
        check(&number(b"\x1b", 1_764_000_000_u64.to_be_bytes()), Some(1_764_000_000_000));
        check(&number(b"\xc1\xfb", 1_764_000_000.123_f64.to_be_bytes()), Some(now_ms));
        check(&number(b"\xfb", (now_ms as f64).to_be_bytes()), Some(now_ms));
        check(&number(b"\x1b", u64::MAX.to_be_bytes()), None);
        check(&number(b"\xfb", f64::NAN.to_be_bytes()), None);
        check(b"\xc0\x6a2026-11-22", None);
        check(b"\x20", None);
        check(b"\xf6", None);
        check(b"\xf9\x3c\x00", None);
        let json = br#"{"Records":[{"ApproximateArrivalTimestamp":1764000000123}]}"#;
        let answer = records_answer(WireForm::Json, json).unwrap();
        assert_eq!(answer.records.first().unwrap().arrival, Some(Wall::from_ms(now_ms)));
    }

    #[test]
    fn the_end_of_a_shard_names_its_children() {
        let child = r#"{"ParentShards":["a"],"ShardId":"b","HashKeyRange":{}}"#;
        let body = format!(r#"{{"Records":[],"ChildShards":[{child}]}}"#);
        let answer = records_answer(WireForm::Json, body.as_bytes()).unwrap();
        assert_eq!((answer.next, answer.child_shards), (None, vec!["b".into()]));
        let open = records_answer(WireForm::Json, br#"{"Records":[],"ChildShards":null}"#);
        assert_eq!(open.unwrap().child_shards, []);
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
