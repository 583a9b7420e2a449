//! Owns what a request says about where it belongs: the ARNs and names in its root, from which its
//! host and its stream follow. Refuses to read anything else of it.

use super::form::WireForm;
use crate::domain::stream::StreamName;
use serde::Deserialize;
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
    /// Reads it out of a body.
    #[must_use]
    pub fn of(form: WireForm, body: &[u8]) -> Self {
        match form {
            WireForm::Json => Self::of_json(body),
            WireForm::Cbor => Self::of_cbor(body).unwrap_or_default(),
        }
    }

    /// The stream's name, by name or out of an ARN.
    #[must_use]
    pub fn stream(&self) -> Option<StreamName> {
        let named = self.stream_name.as_deref().map(StreamName::from);
        let arns = [&self.stream_arn, &self.consumer_arn, &self.resource_arn];
        named.or_else(|| arns.into_iter().flatten().find_map(|arn| StreamName::from_arn(arn)))
    }

    fn of_json(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Raw<'a> {
            #[serde(borrow, rename = "StreamName")]
            stream_name: Option<Cow<'a, str>>,
            #[serde(borrow, rename = "StreamARN")]
            stream_arn: Option<Cow<'a, str>>,
            #[serde(borrow, rename = "StreamId")]
            stream_id: Option<Cow<'a, str>>,
            #[serde(borrow, rename = "ConsumerARN")]
            consumer_arn: Option<Cow<'a, str>>,
            #[serde(borrow, rename = "ResourceARN")]
            resource_arn: Option<Cow<'a, str>>,
            #[serde(borrow, rename = "QueueARN")]
            queue_arn: Option<Cow<'a, str>>,
            #[serde(borrow, rename = "ChannelARN")]
            channel_arn: Option<Cow<'a, str>>,
        }
        let Ok(raw) = serde_json::from_slice::<Raw<'_>>(body) else { return Self::default() };
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        Self {
            stream_name: owned(raw.stream_name),
            stream_arn: owned(raw.stream_arn),
            stream_id: owned(raw.stream_id),
            consumer_arn: owned(raw.consumer_arn),
            resource_arn: owned(raw.resource_arn),
            queue_arn: owned(raw.queue_arn),
            channel_arn: owned(raw.channel_arn),
        }
    }

    fn of_cbor(body: &[u8]) -> Option<Self> {
        let mut address = Self::default();
        let mut decoder = minicbor::Decoder::new(body);
        let mut left = decoder.map().ok()?;
        loop {
            match &mut left {
                Some(0) => return Some(address),
                Some(left) => *left -= 1,
                None if decoder.datatype().ok()? == minicbor::data::Type::Break => {
                    return Some(address);
                }
                None => {}
            }
            let key = text(&mut decoder)?;
            let slot = match key.as_str() {
                "StreamName" => &mut address.stream_name,
                "StreamARN" => &mut address.stream_arn,
                "StreamId" => &mut address.stream_id,
                "ConsumerARN" => &mut address.consumer_arn,
                "ResourceARN" => &mut address.resource_arn,
                "QueueARN" => &mut address.queue_arn,
                "ChannelARN" => &mut address.channel_arn,
                _ => {
                    decoder.skip().ok()?;
                    continue;
                }
            };
            *slot = Some(text(&mut decoder)?);
        }
    }
}

/// A text, whole or in chunks.
fn text(decoder: &mut minicbor::Decoder<'_>) -> Option<String> {
    decoder.str_iter().ok()?.collect::<Result<String, _>>().ok()
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

    #[test]
    fn what_cannot_be_read_names_nothing() {
        for body in [&b""[..], b"[]", b"{\"StreamName\":1}", b"\xbf", b"\xff", b"\x9b\xff\xff"] {
            assert_eq!(Address::of(WireForm::Json, body), Address::default());
            assert_eq!(Address::of(WireForm::Cbor, body), Address::default());
        }
    }
}
