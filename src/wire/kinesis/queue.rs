//! Owns the bodies of ReceiveQueueRecords, and of ReceiveDeadLetterQueueRecords, which are alike: a
//! queue's records, their age and how often each was received. Refuses to change them, and to
//! speak of lag: a queue says nothing of what it has not handed out.
//! Source: reference/wire-and-proxy.md 1.1.

use super::form::WireForm;
use super::read::walk::members;
use super::read::{ReadRecord, record};
use crate::domain::time::Wall;
use std::borrow::Cow;
use std::time::Duration;

/// How long Kinesis waits for a record where the call does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(9);

/// What a receive says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveRequest {
    /// The queue's id, out of its ARN. Kinesis made it; a receive does not say the queue's name.
    pub queue: String,
    /// `QueueARN`, whole: the call's host follows from it.
    pub queue_arn: String,
    /// How long Kinesis may wait for a record before it answers.
    pub wait: Duration,
}

/// A receive's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiveAnswer {
    /// The records; their order means nothing.
    pub records: Vec<QueueRecord>,
}

/// One record that a queue handed out.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueRecord {
    /// `RecordId`: the same in every delivery and every queue.
    pub id: Option<String>,
    /// What it shares with the records of a shard; it has no sequence number.
    pub record: ReadRecord,
    /// `FirstReceiveTimestamp`.
    pub first_receive: Option<Wall>,
    /// `ReceiveCount`: receives that were not acknowledged, with this one.
    pub receive_count: Option<u64>,
}

impl ReceiveAnswer {
    /// The age at `now` of the record that arrived first; `None` where no record says when.
    #[must_use]
    pub fn oldest_age(&self, now: Wall) -> Option<Duration> {
        let oldest = self.records.iter().filter_map(|queued| queued.record.arrival).min()?;
        Some(now.since(oldest))
    }

    /// How many of the records had been received before.
    #[must_use]
    pub fn redelivered(&self) -> usize {
        let again = |queued: &&QueueRecord| queued.receive_count.is_some_and(|count| count > 1);
        self.records.iter().filter(again).count()
    }
}

/// What a receive says; `None` if the body is not one.
#[must_use]
pub fn receive_request(form: WireForm, body: &[u8]) -> Option<ReceiveRequest> {
    let (mut arn, mut wait_seconds) = (None, None);
    members(form, body, |walk, key| {
        match key {
            "QueueARN" => arn = walk.text()?,
            "WaitTimeSeconds" => wait_seconds = walk.count()?,
            _ => walk.skip()?,
        }
        Ok(())
    })?;
    let queue_arn = arn?.into_owned();
    let (prefix, path) = queue_arn.split_once(":queue/")?;
    let queue = path.split('/').next().filter(|id| !id.is_empty())?.to_owned();
    prefix.starts_with("arn:").then_some(())?;
    let wait = wait_seconds.map_or(WAIT_DEFAULT, Duration::from_secs);
    Some(ReceiveRequest { queue, queue_arn, wait })
}

/// Reads a receive's answer; `None` if it is not one.
#[must_use]
pub fn receive_answer(form: WireForm, body: &[u8]) -> Option<ReceiveAnswer> {
    let (mut records, mut scratch) = (None, Vec::new());
    members(form, body, |walk, key| {
        if key != "QueueRecords" {
            return walk.skip();
        }
        let read: &mut Vec<QueueRecord> = records.insert(Vec::new());
        walk.array(|walk| {
            let (mut id, mut first_receive, mut receive_count) = (None, None, None);
            let record = record(form, walk, &mut scratch, |walk, key| {
                match key {
                    "RecordId" => id = walk.text()?.map(Cow::into_owned),
                    "FirstReceiveTimestamp" => first_receive = walk.time()?,
                    "ReceiveCount" => receive_count = walk.count()?,
                    _ => walk.skip()?,
                }
                Ok(())
            })?;
            read.push(QueueRecord { id, record, first_receive, receive_count });
            Ok(())
        })
    })?;
    Some(ReceiveAnswer { records: records? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let arn = "arn:aws:kinesis:eu-west-1:111122223333:queue/q-1";
        let check = |body: String, seconds: Option<u64>| {
            let request = receive_request(WireForm::Json, body.as_bytes());
            let expected = seconds.map(|seconds| ReceiveRequest {
                queue: "q-1".into(),
                queue_arn: arn.into(),
                wait: Duration::from_secs(seconds),
            });
            assert_eq!(request, expected, "{body}");
        };
        check(format!(r#"{{"QueueARN":"{arn}"}}"#), Some(9));
        check(format!(r#"{{"WaitTimeSeconds":20,"Limit":3,"QueueARN":"{arn}"}}"#), Some(20));
        check(r#"{"QueueARN":"arn:aws:kinesis:eu-west-1:1:stream/s"}"#.into(), None);
        check(r#"{"QueueARN":"arn:aws:kinesis:eu-west-1:1:queue/"}"#.into(), None);
        check(r#"{"QueueName":"q-1"}"#.into(), None);
        let mut cbor = minicbor::Encoder::new(Vec::new());
        cbor.map(2).unwrap().str("WaitTimeSeconds").unwrap().u8(5).unwrap();
        cbor.str("QueueARN").unwrap().str(arn).unwrap();
        let request = receive_request(WireForm::Cbor, cbor.writer()).unwrap();
        assert_eq!((request.wait, &*request.queue_arn), (Duration::from_secs(5), arn));
    }

    #[test]
    fn age_and_redelivery() {
        let answer = receive_answer(
            WireForm::Json,
            br#"{"QueueRecords":[
                {"ReceiptHandle":"h","RecordId":"r1","Data":"e30=","ApproximateArrivalTimestamp":1764000010.5,
                 "FirstReceiveTimestamp":1764000011,"ReceiveCount":1},
                {"RecordId":"r2","Data":"","ApproximateArrivalTimestamp":1764000000,"ReceiveCount":3},
                {"RecordId":"r3"}]}"#,
        )
        .unwrap();
        let [first, second, third] = &answer.records[..] else { panic!("three records") };
        assert_eq!(first.id.as_deref(), Some("r1"));
        assert_eq!(first.first_receive, Some(Wall::from_ms(1_764_000_011_000)));
        assert_eq!((second.receive_count, third.receive_count), (Some(3), None));
        assert_eq!(answer.redelivered(), 1);
        let now = Wall::from_ms(1_764_000_060_000);
        assert_eq!(answer.oldest_age(now), Some(Duration::from_secs(60)));
        let silent = ReceiveAnswer { records: vec![third.clone()] };
        assert_eq!((silent.oldest_age(now), silent.redelivered()), (None, 0));
        let empty = receive_answer(WireForm::Json, br#"{"QueueRecords":[]}"#).unwrap();
        assert_eq!(empty.oldest_age(now), None);
        assert_eq!(receive_answer(WireForm::Json, br#"{"Records":[]}"#), None);
    }
}
