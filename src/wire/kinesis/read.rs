//! Owns the bodies of GetShardIterator and GetRecords in both wire forms, request and answer: whose iterator
//! it is, how far behind, which records with which contexts. Refuses to change them.

use super::form::WireForm;
use super::record;
use crate::domain::envelope::extract;
use crate::domain::stream::{SequenceNumber, ShardId, StreamName};
use crate::domain::time::Wall;
use crate::domain::trace::{TraceContext, TraceState};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;

/// Which shard a GetShardIterator call asks about.
#[must_use]
pub fn iterator_request(form: WireForm, body: &[u8]) -> Option<(StreamName, ShardId)> {
    if form == WireForm::Cbor {
        return None;
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Raw<'a> {
        #[serde(borrow)]
        stream_name: Option<Cow<'a, str>>,
        #[serde(borrow, rename = "StreamARN")]
        stream_arn: Option<Cow<'a, str>>,
        #[serde(borrow)]
        shard_id: Cow<'a, str>,
    }
    let raw: Raw<'_> = serde_json::from_slice(body).ok()?;
    Some((stream(raw.stream_name, raw.stream_arn)?, ShardId::from(&*raw.shard_id)))
}

/// The iterator that a GetShardIterator answer gives.
#[must_use]
pub fn iterator_answer(form: WireForm, body: &[u8]) -> Option<String> {
    if form == WireForm::Cbor {
        return None;
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Raw {
        shard_iterator: String,
    }
    serde_json::from_slice::<Raw>(body).ok().map(|raw| raw.shard_iterator)
}

/// What a GetRecords call says: its iterator, and the stream if it names one.
#[must_use]
pub fn records_request(form: WireForm, body: &[u8]) -> Option<(String, Option<StreamName>)> {
    if form == WireForm::Cbor {
        return None;
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Raw<'a> {
        shard_iterator: String,
        #[serde(borrow, rename = "StreamARN")]
        stream_arn: Option<Cow<'a, str>>,
    }
    let raw: Raw<'_> = serde_json::from_slice(body).ok()?;
    Some((raw.shard_iterator, stream(None, raw.stream_arn)))
}

fn stream(name: Option<Cow<'_, str>>, arn: Option<Cow<'_, str>>) -> Option<StreamName> {
    name.map(|name| StreamName::from(&*name)).or_else(|| StreamName::from_arn(&arn?))
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
}

/// One record that was delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRecord {
    /// `SequenceNumber`.
    pub sequence: Option<SequenceNumber>,
    /// `ApproximateArrivalTimestamp`.
    pub arrival: Option<Wall>,
    /// The contexts in its envelope; an aggregate or a batch of lines has several.
    pub contexts: Vec<(TraceContext, TraceState)>,
    /// The label `verdict`: `linked`, or why there is no context.
    pub verdict: &'static str,
}

/// Reads a GetRecords answer; `None` if it is not one.
#[must_use]
pub fn records_answer(form: WireForm, body: &[u8]) -> Option<RecordsAnswer> {
    if form == WireForm::Cbor {
        return None;
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Raw<'a> {
        millis_behind_latest: Option<u64>,
        next_shard_iterator: Option<String>,
        #[serde(borrow)]
        records: Vec<RawRecord<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct RawRecord<'a> {
        #[serde(borrow)]
        sequence_number: Option<Cow<'a, str>>,
        #[serde(borrow)]
        approximate_arrival_timestamp: Option<&'a RawValue>,
        #[serde(borrow)]
        data: Option<Cow<'a, str>>,
    }
    let raw: Raw<'_> = serde_json::from_slice(body).ok()?;
    let mut scratch = Vec::new();
    let mut read = |raw: RawRecord<'_>| {
        let data = raw.data.unwrap_or_default();
        let payload = record::decode(data.as_bytes(), &mut scratch);
        let contexts: Vec<_> = payload.and_then(extract).into_iter().collect();
        ReadRecord {
            sequence: raw.sequence_number.map(|text| SequenceNumber::from(&*text)),
            arrival: raw
                .approximate_arrival_timestamp
                .and_then(|number| Wall::from_seconds_f64(number.get().parse().ok()?)),
            verdict: match (contexts.is_empty(), payload) {
                (false, _) => "linked",
                (true, Some(_)) => "no_context",
                (true, None) => "not_base64",
            },
            contexts,
        }
    };
    Some(RecordsAnswer {
        behind: raw.millis_behind_latest.map(Duration::from_millis),
        next: raw.next_shard_iterator,
        records: raw.records.into_iter().map(&mut read).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let arn = "arn:aws:kinesis:us-east-1:1:stream/s";
        let place = Some(("s".into(), "shardId-000000000001".into()));
        let check = |body: &str, expected| {
            assert_eq!(iterator_request(WireForm::Json, body.as_bytes()), expected, "{body}")
        };
        check(
            r#"{"StreamName":"s","ShardId":"shardId-000000000001","ShardIteratorType":"LATEST"}"#,
            place.clone(),
        );
        check(
            &format!(r#"{{"ShardId":"shardId-000000000001","StreamARN":"{arn}","Timestamp":1.5}}"#),
            place,
        );
        check(r#"{"ShardId":"x"}"#, None);
        check("no", None);
        assert_eq!(
            records_request(WireForm::Json, br#"{"ShardIterator":"AAA=","Limit":5}"#),
            Some(("AAA=".into(), None))
        );
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
        assert_eq!(answer, RecordsAnswer { behind: None, next: None, records: vec![] });
        assert_eq!(
            records_answer(WireForm::Json, br#"{"__type":"ExpiredIteratorException"}"#),
            None
        );
    }
}
