//! Owns SubscribeToShard: what its request asks, and its answer's event stream: where a message
//! ends, what it says, and the same message without our insertions. Refuses to hold the stream up:
//! what is broken is said to be, and passes.
//! Source: reference/wire-and-proxy.md 1.5.

mod frame;
mod message;

pub use frame::{Broken, Framer, Message};
pub use message::{Decoded, SubscribeEvent, Unreadable, decode, strip};

use super::form::WireForm;
use crate::domain::stream::{SequenceNumber, ShardId, StreamName};
use crate::domain::time::Wall;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The `Content-Type` of an answer that is an event stream.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// What a SubscribeToShard call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// `ConsumerARN`.
    pub consumer_arn: String,
    /// The stream that the consumer is registered with, out of its ARN.
    pub stream: Option<StreamName>,
    /// The consumer's registered name, out of its ARN.
    pub consumer_name: Option<String>,
    /// The shard.
    pub shard: ShardId,
    /// Where to begin.
    pub starting: Starting,
}

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starting {
    /// With what arrives from now on.
    Latest,
    /// With the oldest record that is kept.
    TrimHorizon,
    /// With this record.
    AtSequence(SequenceNumber),
    /// Behind this record: how a reader goes on.
    AfterSequence(SequenceNumber),
    /// With the first record that arrived then or later.
    AtTimestamp(Wall),
    /// Said in a way that we do not know.
    Other,
}

/// Reads a request; `None` if it names no consumer and shard, or is not JSON, which every SDK
/// sends here, those that speak CBOR elsewhere too.
#[must_use]
pub fn request(form: WireForm, body: &[u8]) -> Option<SubscribeRequest> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(rename = "ConsumerARN")]
        consumer_arn: String,
        #[serde(borrow, rename = "ShardId")]
        shard: Cow<'a, str>,
        #[serde(borrow, rename = "StartingPosition")]
        starting: Option<RawStarting<'a>>,
    }
    #[derive(Deserialize)]
    struct RawStarting<'a> {
        #[serde(borrow, rename = "Type")]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow, rename = "SequenceNumber")]
        sequence: Option<Cow<'a, str>>,
        #[serde(borrow, rename = "Timestamp")]
        timestamp: Option<&'a RawValue>,
    }
    if form == WireForm::Cbor {
        return None;
    }
    let raw: Raw<'_> = serde_json::from_slice(body).ok()?;
    let begin = |raw: RawStarting<'_>| {
        let sequence = || raw.sequence.as_deref().map(SequenceNumber::from);
        Some(match raw.kind.as_deref()? {
            "LATEST" => Starting::Latest,
            "TRIM_HORIZON" => Starting::TrimHorizon,
            "AT_SEQUENCE_NUMBER" => Starting::AtSequence(sequence()?),
            "AFTER_SEQUENCE_NUMBER" => Starting::AfterSequence(sequence()?),
            "AT_TIMESTAMP" => {
                let seconds = raw.timestamp?.get().parse().ok()?;
                Starting::AtTimestamp(Wall::from_seconds_f64(seconds)?)
            }
            _ => Starting::Other,
        })
    };
    Some(SubscribeRequest {
        stream: StreamName::from_arn(&raw.consumer_arn),
        consumer_name: consumer_name(&raw.consumer_arn),
        consumer_arn: raw.consumer_arn,
        shard: ShardId::from(&*raw.shard),
        starting: raw.starting.and_then(begin).unwrap_or(Starting::Other),
    })
}

/// `NAME` of `arn:…:stream/STREAM/consumer/NAME:CREATED`.
fn consumer_name(arn: &str) -> Option<String> {
    let (_, rest) = arn.split_once("/consumer/")?;
    let name = rest.split(':').next().filter(|name| !name.is_empty())?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/mail:1542398";

    #[test]
    fn requests() {
        let check = |starting: &str, expected: Starting| {
            let body = format!(
                r#"{{"StartingPosition":{starting},"ConsumerARN":"{ARN}","ShardId":"s1"}}"#
            );
            let expected = SubscribeRequest {
                consumer_arn: ARN.into(),
                stream: Some("orders".into()),
                consumer_name: Some("mail".into()),
                shard: "s1".into(),
                starting: expected,
            };
            assert_eq!(request(WireForm::Json, body.as_bytes()), Some(expected), "{starting}");
        };
        check(r#"{"Type":"LATEST"}"#, Starting::Latest);
        check(r#"{"Type":"TRIM_HORIZON"}"#, Starting::TrimHorizon);
        check(
            r#"{"Type":"AT_SEQUENCE_NUMBER","SequenceNumber":"49"}"#,
            Starting::AtSequence("49".into()),
        );
        check(
            r#"{"SequenceNumber":"49","Type":"AFTER_SEQUENCE_NUMBER"}"#,
            Starting::AfterSequence("49".into()),
        );
        check(
            r#"{"Type":"AT_TIMESTAMP","Timestamp":1548118964.772}"#,
            Starting::AtTimestamp(Wall::from_ms(1_548_118_964_772)),
        );
        check(r#"{"Type":"AT_TIMESTAMP","Timestamp":"today"}"#, Starting::Other);
        check(r#"{"Type":"AFTER_SEQUENCE_NUMBER"}"#, Starting::Other);
        check(r#"{"Type":"YESTERDAY"}"#, Starting::Other);
        check("{}", Starting::Other);
        check("null", Starting::Other);
    }

    #[test]
    fn what_is_no_request_is_left_alone() {
        let check = |form, body: &str| assert_eq!(request(form, body.as_bytes()), None, "{body}");
        check(WireForm::Json, r#"{"ShardId":"s1"}"#);
        check(WireForm::Json, &format!(r#"{{"ConsumerARN":"{ARN}"}}"#));
        check(WireForm::Json, "no");
        check(WireForm::Cbor, &format!(r#"{{"ConsumerARN":"{ARN}","ShardId":"s1"}}"#));
    }

    #[test]
    fn an_arn_of_another_shape_names_nothing() {
        let body = br#"{"ConsumerARN":"mine","ShardId":"s1"}"#;
        let request = request(WireForm::Json, body).unwrap();
        assert_eq!((request.stream, request.consumer_name), (None, None));
    }
}
