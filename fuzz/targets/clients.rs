//! Owns how others write: puts in the style of each SDK, and answers and events as Kinesis gives
//! them. Refuses to use our own writers.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use kinescope::wire::kinesis::form::WireForm;
use minicbor::Encoder;
use minicbor::data::IanaTag;

/// A record as an application has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub key: String,
    pub payload: Vec<u8>,
}

/// Whose put it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Style {
    /// Spaces behind commas and colons, the stream first.
    Boto3,
    /// None, the records first.
    JavaScript,
    /// Slashes escaped.
    Php,
    /// CBOR with its lengths given in advance.
    Java,
    /// CBOR with maps and arrays left open.
    JavaOpen,
}

pub const STYLES: [Style; 5] =
    [Style::Boto3, Style::JavaScript, Style::Php, Style::Java, Style::JavaOpen];

impl Style {
    pub fn form(self) -> WireForm {
        match self {
            Self::Boto3 | Self::JavaScript | Self::Php => WireForm::Json,
            Self::Java | Self::JavaOpen => WireForm::Cbor,
        }
    }

    /// PutRecords; with `single` the PutRecord of the first.
    pub fn put(self, records: &[Sent], single: bool) -> Vec<u8> {
        let one = records.first().filter(|_| single);
        match self {
            Self::Boto3 => json(records, one, (", ", ": "), true),
            Self::JavaScript => json(records, one, (",", ":"), false),
            // Both quote no slash but those of base64, keys and names.
            Self::Php => {
                let body = String::from_utf8(json(records, one, (",", ":"), true));
                body.unwrap().replace('/', "\\/").into_bytes()
            }
            Self::Java => cbor(records, one, false),
            Self::JavaOpen => cbor(records, one, true),
        }
    }
}

fn json(records: &[Sent], one: Option<&Sent>, marks: (&str, &str), stream_first: bool) -> Vec<u8> {
    let (comma, colon) = marks;
    let members = |Sent { key, payload }: &Sent| {
        let data = base64_simd::STANDARD.encode_to_string(payload);
        let key = serde_json::to_string(key).unwrap();
        format!("\"Data\"{colon}\"{data}\"{comma}\"PartitionKey\"{colon}{key}")
    };
    let records = || {
        let records: Vec<String> =
            records.iter().map(|record| format!("{{{}}}", members(record))).collect();
        format!("\"Records\"{colon}[{}]", records.join(comma))
    };
    let records = one.map_or_else(records, members);
    let stream = format!("\"StreamName\"{colon}\"orders\"");
    let (first, second) = if stream_first { (stream, records) } else { (records, stream) };
    format!("{{{first}{comma}{second}}}").into_bytes()
}

fn cbor(records: &[Sent], one: Option<&Sent>, open: bool) -> Vec<u8> {
    let mut to = Encoder::new(Vec::new());
    let map = |to: &mut Encoder<Vec<u8>>, members| {
        if open { to.begin_map() } else { to.map(members) }.unwrap();
    };
    let end = |to: &mut Encoder<Vec<u8>>| {
        if open {
            to.end().unwrap();
        }
    };
    let members = |to: &mut Encoder<Vec<u8>>, Sent { key, payload }: &Sent| {
        to.str("PartitionKey").unwrap().str(key).unwrap();
        to.str("Data").unwrap().bytes(payload).unwrap();
    };
    match one {
        Some(record) => {
            map(&mut to, 3);
            members(&mut to, record);
        }
        None => {
            map(&mut to, 2);
            to.str("Records").unwrap();
            if open { to.begin_array() } else { to.array(records.len() as u64) }.unwrap();
            for record in records {
                map(&mut to, 2);
                members(&mut to, record);
                end(&mut to);
            }
            end(&mut to);
        }
    }
    to.str("StreamName").unwrap().str("orders").unwrap();
    end(&mut to);
    to.into_writer()
}

/// What GetRecords answers: `millis` behind, and the records in order.
pub fn answer(form: WireForm, payloads: &[Vec<u8>]) -> Bytes {
    match form {
        WireForm::Json => {
            let record = |(at, payload): (usize, &Vec<u8>)| {
                let data = base64_simd::STANDARD.encode_to_string(payload);
                format!(
                    r#"{{"ApproximateArrivalTimestamp":1.76400000{at}123E9,"Data":"{data}","PartitionKey":"Data","SequenceNumber":"49{at}"}}"#
                )
            };
            let records: Vec<String> = payloads.iter().enumerate().map(record).collect();
            let records = records.join(",");
            format!(
                r#"{{"MillisBehindLatest":1512,"NextShardIterator":"AA/=","Records":[{records}]}}"#
            )
            .into()
        }
        WireForm::Cbor => {
            let mut to = Encoder::new(Vec::new());
            to.begin_map().unwrap().str("Records").unwrap();
            to.array(payloads.len() as u64).unwrap();
            for (at, payload) in payloads.iter().enumerate() {
                to.map(4).unwrap().str("SequenceNumber").unwrap().str(&format!("49{at}")).unwrap();
                to.str("ApproximateArrivalTimestamp").unwrap().tag(IanaTag::Timestamp).unwrap();
                to.u64(1_764_000_000_123 + at as u64).unwrap();
                to.str("Data").unwrap().bytes(payload).unwrap();
                to.str("PartitionKey").unwrap().str("Data").unwrap();
            }
            to.str("NextShardIterator").unwrap().str("AA/=").unwrap();
            to.str("MillisBehindLatest").unwrap().u64(1_512).unwrap().end().unwrap();
            to.into_writer().into()
        }
    }
}

/// One SubscribeToShardEvent with these records.
pub fn event(payloads: &[Vec<u8>]) -> Bytes {
    let headers = [
        (":event-type", "SubscribeToShardEvent"),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    message(&headers, &answer(WireForm::Json, payloads))
}

/// A message of an event stream, by the SDKs' own writer.
pub fn message(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let header = |(name, value): &(&str, &str)| {
        Header::new((*name).to_owned(), HeaderValue::String((*value).to_owned().into()))
    };
    let headers = headers.iter().map(header).collect();
    let mut out = Vec::new();
    write_message_to(&Message::new_from_parts(headers, payload.to_vec()), &mut out).unwrap();
    out.into()
}
