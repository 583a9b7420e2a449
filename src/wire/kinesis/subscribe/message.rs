//! Owns what one message of a subscription says, and the same message without our insertions.
//! Refuses to believe one whose checksum is wrong.

use super::frame::Message;
use crate::domain::stream::{SequenceNumber, ShardId};
use crate::wire::kinesis::form::WireForm;
use crate::wire::kinesis::read::{self, ReadRecord};
use crate::wire::kinesis::strip as records;
use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::Message as Frame;
use bytes::{Buf, Bytes};
use serde::Deserialize;
use std::borrow::Cow;
use std::time::Duration;

/// The event that holds records.
const RECORDS: &str = "SubscribeToShardEvent";

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// The subscription stands.
    InitialResponse,
    /// Records, or a sign of life without any, about every five seconds.
    Event(SubscribeEvent),
    /// The subscription has failed; over HTTP it is still a success.
    Exception {
        /// Its name, such as `ResourceInUseException`; `other` for what can't be a name.
        kind: String,
    },
    /// Nothing that we know.
    Other,
}

/// One SubscribeToShardEvent.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscribeEvent {
    /// `MillisBehindLatest`; `None` when absent. Missing is not zero.
    pub behind: Option<Duration>,
    /// `ContinuationSequenceNumber`: where the next subscription goes on.
    pub continuation: Option<SequenceNumber>,
    /// `ChildShards`: there are some once the shard is closed and read to its end.
    pub child_shards: Vec<ShardId>,
    /// The records, in order.
    pub records: Vec<ReadRecord>,
}

/// A message whose frame contradicts itself or its checksum.
#[derive(Debug, thiserror::Error)]
#[error("an event-stream message can't be read")]
pub struct Unreadable(#[source] aws_smithy_eventstream::error::Error);

/// Reads a message.
///
/// # Errors
/// The message is damaged; what follows it is not to be believed either.
pub fn decode(message: &Message) -> Result<Decoded, Unreadable> {
    let frame = read_message_from(&mut message.joined()).map_err(Unreadable)?;
    let header = |name| header(&frame, name);
    Ok(match (header(":message-type"), header(":event-type")) {
        (Some("event"), Some("initial-response")) => Decoded::InitialResponse,
        (Some("event"), Some(RECORDS)) => {
            event(frame.payload()).map_or(Decoded::Other, Decoded::Event)
        }
        (Some("exception"), _) => exception(header(":exception-type")),
        (Some("error"), _) => exception(header(":error-code")),
        (Some(_) | None, _) => Decoded::Other,
    })
}

fn header<'a>(frame: &'a Frame, name: &str) -> Option<&'a str> {
    let header = frame.headers().iter().find(|header| header.name().as_str() == name)?;
    header.value().as_string().ok().map(|text| text.as_str())
}

/// The name becomes a label: only what can be an error's name does.
fn exception(name: Option<&str>) -> Decoded {
    let sane = |name: &&str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    Decoded::Exception { kind: name.filter(sane).unwrap_or("other").to_owned() }
}

/// The records are read as those of GetRecords are, which have the same members.
fn event(payload: &[u8]) -> Option<SubscribeEvent> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow, rename = "ContinuationSequenceNumber")]
        continuation: Option<Cow<'a, str>>,
        #[serde(borrow, rename = "ChildShards")]
        child_shards: Option<Vec<RawShard<'a>>>,
    }
    #[derive(Deserialize)]
    struct RawShard<'a> {
        #[serde(borrow, rename = "ShardId")]
        shard: Cow<'a, str>,
    }
    let raw: Raw<'_> = serde_json::from_slice(payload).ok()?;
    let answer = read::records_answer(WireForm::Json, payload)?;
    let child_shards = raw.child_shards.unwrap_or_default();
    Some(SubscribeEvent {
        behind: answer.behind,
        continuation: raw.continuation.map(|text| SequenceNumber::from(&*text)),
        child_shards: child_shards.iter().map(|raw| ShardId::from(&*raw.shard)).collect(),
        records: answer.records,
    })
}

/// The message with every record as its producer wrote it; `None` when there is nothing of ours in
/// it, or it can't be read: then the original is to be passed on.
#[must_use]
pub fn strip(message: &Message) -> Option<Bytes> {
    replace(message, records::event)
}

/// The message with another payload: headers byte-equal, lengths and checksums made anew.
fn replace(message: &Message, change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Bytes> {
    let whole = message.joined();
    let frame = read_message_from(&mut whole.clone()).ok()?;
    if header(&frame, ":event-type") != Some(RECORDS) {
        return None;
    }
    let payload = change(frame.payload())?;
    let headers_bytes = whole.get(4..8)?.get_u32();
    let headers = whole.get(12..)?.get(..headers_bytes as usize)?;
    let total_bytes = u32::try_from(16 + headers.len() + payload.len()).ok()?;
    let mut out = Vec::with_capacity(16 + headers.len() + payload.len());
    out.extend(total_bytes.to_be_bytes());
    out.extend(headers_bytes.to_be_bytes());
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend(headers);
    out.extend(payload);
    out.extend(crc32fast::hash(&out).to_be_bytes());
    Some(out.into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Framer;
    use super::*;
    use crate::domain::envelope::{Insertion, splice};
    use crate::domain::time::Wall;
    use crate::domain::trace::{TraceContext, TraceState};
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue};
    use proptest::prelude::*;

    /// A message as Kinesis writes it: by the SDKs' own writer.
    pub(in super::super) fn encode(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
        let text = |text: &str| HeaderValue::String(text.to_owned().into());
        let headers =
            headers.iter().map(|(name, value)| Header::new((*name).to_owned(), text(value)));
        let frame = Frame::new_from_parts(headers.collect(), payload.to_vec());
        let mut out = Vec::new();
        write_message_to(&frame, &mut out).unwrap();
        out.into()
    }

    const EVENT: &[(&str, &str)] = &[
        (":event-type", RECORDS),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];

    fn message(bytes: &Bytes) -> Message {
        let mut messages = Framer::default().push(bytes);
        assert_eq!(messages.len(), 1);
        messages.remove(0)
    }

    fn decoded(headers: &[(&str, &str)], payload: &str) -> Decoded {
        decode(&message(&encode(headers, payload.as_bytes()))).unwrap()
    }

    #[test]
    fn an_event_holds_records_lag_and_children() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let data = base64_simd::STANDARD
            .encode_to_string(format!("{{\"a\":1,\"traceparent\":\"{parent}\"}}"));
        let payload = format!(
            r#"{{"ChildShards":[{{"ShardId":"shardId-000000000001","ParentShards":["p"],
                "HashKeyRange":{{"StartingHashKey":"0","EndingHashKey":"1"}}}}],
                "ContinuationSequenceNumber":"50","MillisBehindLatest":1512,"Records":[
                {{"ApproximateArrivalTimestamp":1.548118964772E9,"Data":"{data}","PartitionKey":"p",
                "SequenceNumber":"49"}}]}}"#
        );
        let Decoded::Event(event) = decoded(EVENT, &payload) else { panic!("an event") };
        assert_eq!(event.behind, Some(Duration::from_millis(1512)));
        assert_eq!(event.continuation, Some("50".into()));
        assert_eq!(event.child_shards, ["shardId-000000000001".into()]);
        let [record] = event.records.as_slice() else { panic!("one record") };
        assert_eq!(record.arrival, Some(Wall::from_ms(1_548_118_964_772)));
        assert_eq!(record.contexts[0].0.to_string(), parent);
    }

    #[test]
    fn an_idle_event_still_tells_its_lag_and_missing_is_not_zero() {
        let check = |payload: &str, behind: Option<u64>| {
            let event = SubscribeEvent {
                behind: behind.map(Duration::from_millis),
                continuation: None,
                child_shards: vec![],
                records: vec![],
            };
            assert_eq!(decoded(EVENT, payload), Decoded::Event(event), "{payload}");
        };
        check(r#"{"Records":[],"MillisBehindLatest":0,"ChildShards":null}"#, Some(0));
        check(r#"{"Records":[],"ContinuationSequenceNumber":null}"#, None);
    }

    #[test]
    fn other_messages() {
        let exception = |kind: &str| Decoded::Exception { kind: kind.into() };
        let check = |headers: &[(&str, &str)], payload: &str, expected: Decoded| {
            assert_eq!(decoded(headers, payload), expected, "{headers:?}");
        };
        let kind = |kind: &'static str, of: &'static str, name: &'static str| {
            [(":message-type", kind), (of, name)]
        };
        check(&kind("event", ":event-type", "initial-response"), "", Decoded::InitialResponse);
        check(
            &kind("exception", ":exception-type", "ResourceInUseException"),
            r#"{"message":"taken"}"#,
            exception("ResourceInUseException"),
        );
        check(&kind("error", ":error-code", "InternalFailure"), "", exception("InternalFailure"));
        check(&kind("error", ":error-message", "boom"), "", exception("other"));
        check(&kind("exception", ":exception-type", "<script>"), "", exception("other"));
        check(&kind("event", ":event-type", "NewEvent"), "{}", Decoded::Other);
        check(EVENT, "not json", Decoded::Other);
        check(&[], "", Decoded::Other);
    }

    #[test]
    fn a_stripped_message_is_the_producers_with_valid_checksums() {
        let parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let insertion =
            Insertion::new(&TraceContext::parse(parent).unwrap(), &TraceState::default());
        let event = |payloads: [&[u8]; 3]| {
            let records = payloads.map(|payload| {
                let data = base64_simd::STANDARD.encode_to_string(payload);
                format!(r#"{{"Data":"{data}","PartitionKey":"p","SequenceNumber":"49"}}"#)
            });
            let records = records.join(",");
            let payload = format!(r#"{{"MillisBehindLatest":0,"Records":[{records}]}}"#);
            encode(EVENT, payload.as_bytes())
        };
        let (one, two) = (br#"{"a":1}"#.as_slice(), br#"{"eventId":"e"}"#.as_slice());
        let with = |payload| splice(payload, &insertion).unwrap();
        let original = event([one, b"plain", two]);
        let spliced = event([&with(one), b"plain", &with(two)]);
        let stripped = strip(&message(&spliced));
        assert_eq!(stripped.as_ref(), Some(&original));
        let told = decode(&message(&stripped.unwrap())).unwrap();
        assert!(matches!(&told, Decoded::Event(event) if event.records.len() == 3), "{told:?}");
        assert_eq!(strip(&message(&original)), None);
    }

    #[test]
    fn only_sound_events_are_stripped() {
        let always = |_: &[u8]| Some(b"{}".to_vec());
        let check = |bytes: &Bytes, expected: Option<Bytes>| {
            assert_eq!(replace(&message(bytes), always), expected);
        };
        check(&encode(EVENT, b"{\"a\":1}"), Some(encode(EVENT, b"{}")));
        check(&encode(&[(":event-type", "initial-response")], b"{\"a\":1}"), None);
        let mut damaged = encode(EVENT, b"{\"a\":1}").to_vec();
        let at = damaged.len() - 6;
        damaged[at] ^= 1;
        check(&damaged.into(), None);
    }

    proptest! {
        #[test]
        fn any_change_behind_the_prelude_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = encode(EVENT, br#"{"Records":[]}"#).to_vec();
            let at = 12 + at.index(bytes.len() - 12);
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&message(&bytes.into())).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(
            headers in prop::collection::vec(any::<u8>(), 0..80),
            payload in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            // A sound frame around nonsense: what random bytes would never get to.
            let total = u32::try_from(16 + headers.len() + payload.len()).unwrap();
            let length = u32::try_from(headers.len()).unwrap();
            let mut bytes = [total.to_be_bytes(), length.to_be_bytes()].concat();
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            bytes.extend(headers.iter().chain(&payload));
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            let message = message(&bytes.into());
            let _ = (decode(&message), strip(&message));
        }
    }
}
