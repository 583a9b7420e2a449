//! Owns what a request says about where it belongs: the ARNs and names in its root, from which its
//! host and its stream follow. Refuses to read anything else of it.

use super::form::WireForm;
use super::read::walk::members;
use crate::domain::stream::StreamName;
use std::borrow::Cow;

/// The parts of a body that name things; whatever is not there, or not text, is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// `StreamName`.
    pub stream_name: Option<String>,
    /// `StreamARN`.
    pub stream_arn: Option<String>,
    /// `StreamId`.
    pub stream_id: Option<String>,
    /// `ConsumerARN`.
    pub consumer_arn: Option<String>,
    /// `ResourceARN`.
    pub resource_arn: Option<String>,
    /// `QueueARN`.
    pub queue_arn: Option<String>,
    /// `ChannelARN`.
    pub channel_arn: Option<String>,
}

impl Address {
    /// Reads it out of a body: nothing, if that is not understood. Of a name that is there twice
    /// the last text counts, as for a reader that overwrites.
    #[must_use]
    pub fn of(form: WireForm, body: &[u8]) -> Self {
        let mut address = Self::default();
        let read = members(form, body, |walk, key| {
            match address.member(key) {
                Some(slot) => *slot = walk.text()?.map(Cow::into_owned).or(slot.take()),
                None => walk.skip()?,
            }
            Ok(())
        });
        read.map(|()| address).unwrap_or_default()
    }

    /// The stream's name, by name or out of an ARN.
    #[must_use]
    pub fn stream(&self) -> Option<StreamName> {
        let named = self.stream_name.as_deref().map(StreamName::from);
        let arns = [&self.stream_arn, &self.consumer_arn, &self.resource_arn];
        named.or_else(|| arns.into_iter().flatten().find_map(|arn| StreamName::from_arn(arn)))
    }

    fn member(&mut self, key: &str) -> Option<&mut Option<String>> {
        Some(match key {
            "StreamName" => &mut self.stream_name,
            "StreamARN" => &mut self.stream_arn,
            "StreamId" => &mut self.stream_id,
            "ConsumerARN" => &mut self.consumer_arn,
            "ResourceARN" => &mut self.resource_arn,
            "QueueARN" => &mut self.queue_arn,
            "ChannelARN" => &mut self.channel_arn,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/orders";

    #[test]
    fn both_forms_say_the_same() {
        let json = format!(r#"{{"Limit":1,"StreamARN":"{ARN}","ShardId":["x"]}}"#);
        let mut cbor = vec![0xbf, 0x65];
        cbor.extend_from_slice(b"Limit\x01\x69StreamARN\x78\x34");
        cbor.extend_from_slice(ARN.as_bytes());
        cbor.extend_from_slice(b"\x67ShardId\x81\x61x\xff");
        let expected = Address { stream_arn: Some(ARN.to_owned()), ..Address::default() };
        assert_eq!(Address::of(WireForm::Json, json.as_bytes()), expected);
        assert_eq!(Address::of(WireForm::Cbor, &cbor), expected);
        assert_eq!(expected.stream(), Some("orders".into()));
    }

    /// Found by fuzzing: in CBOR a null name hid all others, and the forms differed in what is doubled.
    #[test]
    fn null_and_doubled_names_hide_no_other() {
        let check = |json: &[u8], cbor: &[u8], name: Option<&str>| {
            let name = name.map(str::to_owned);
            let expected =
                Address { stream_name: name, stream_id: Some("i".into()), ..Address::default() };
            assert_eq!(Address::of(WireForm::Json, json), expected);
            assert_eq!(Address::of(WireForm::Cbor, cbor), expected);
        };
        check(
            br#"{"StreamName":null,"StreamId":"i"}"#,
            b"\xa2\x6aStreamName\xf6\x68StreamId\x61i",
            None,
        );
        check(
            br#"{"StreamName":"a","StreamName":"b","StreamId":"i","StreamId":7}"#,
            b"\xa4\x6aStreamName\x61a\x6aStreamName\x61b\x68StreamId\x61i\x68StreamId\x07",
            Some("b"),
        );
    }

    #[test]
    fn what_cannot_be_read_names_nothing() {
        for body in [&b""[..], b"[]", b"{\"StreamName\":1}", b"\xbf", b"\xff", b"\x9b\xff\xff"] {
            assert_eq!(Address::of(WireForm::Json, body), Address::default());
            assert_eq!(Address::of(WireForm::Cbor, body), Address::default());
        }
    }
}
