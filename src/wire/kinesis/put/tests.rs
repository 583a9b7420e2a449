//! Owns the examples of puts: bodies of every client in both forms, and each verdict once.

use super::*;
use crate::domain::envelope::aggregate::Aggregated;
use crate::domain::envelope::{Examined, Insertion, Kind, Leave, Place, Places, unsplice};
use crate::domain::trace::{TraceContext, TraceState};
use crate::wire::kinesis::record::Verdict;
use bytes::Bytes;
use minicbor::Encoder;
use std::collections::HashMap;

pub(super) const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(super) fn insertion() -> Insertion {
    let context = TraceContext::parse(PARENT.as_bytes()).unwrap();
    Insertion::new(&context, &TraceState::default())
}

pub(super) fn encode(payload: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(payload)
}

pub(super) fn put(form: WireForm, body: &[u8], law: SizeLaw) -> Result<Spliced, BodyFault> {
    let body = Bytes::copy_from_slice(body);
    let located = locate(form, &body)?;
    let looks = look(&body, &located);
    let insertions = Insertions { common: insertion(), own: HashMap::new() };
    let plan = Plan::Inject { insertions: &insertions, law, aggregated: Aggregated::Tags };
    Ok(splice(&body, &located, &looks, &plan))
}

pub(super) fn payloads(form: WireForm, body: &[u8]) -> Vec<Vec<u8>> {
    let located = locate(form, body).unwrap();
    let payload = |slot: &Slot| slot.payload(body, &mut Vec::new()).unwrap().to_vec();
    located.records.iter().map(payload).collect()
}

/// A record as a client has it: partition key and payload.
pub(super) type Sent = (Option<String>, Vec<u8>);

/// PutRecords as the AWS SDKs for Java write it.
pub(super) fn java(records: &[Sent], indefinite: bool) -> Vec<u8> {
    let mut body = Vec::new();
    let mut e = Encoder::new(&mut body);
    let map = |e: &mut Encoder<&mut Vec<u8>>, members| {
        if indefinite { e.begin_map().map(drop) } else { e.map(members).map(drop) }.unwrap();
    };
    let end = |e: &mut Encoder<&mut Vec<u8>>| {
        if indefinite {
            e.end().unwrap();
        }
    };
    map(&mut e, 2);
    e.str("Records").unwrap();
    if indefinite { e.begin_array() } else { e.array(records.len() as u64) }.unwrap();
    for (key, payload) in records {
        map(&mut e, 1 + u64::from(key.is_some()));
        e.str("Data").unwrap().bytes(payload).unwrap();
        if let Some(key) = key {
            e.str("PartitionKey").unwrap().str(key).unwrap();
        }
        end(&mut e);
    }
    end(&mut e);
    e.str("StreamName").unwrap().str("s").unwrap();
    end(&mut e);
    body
}

/// The same in JSON: as the JavaScript SDK writes it, or as boto3 does.
pub(super) fn json(records: &[Sent], boto3: bool) -> Vec<u8> {
    let (comma, colon) = if boto3 { (", ", ": ") } else { (",", ":") };
    let record = |(key, payload): &Sent| {
        let key = key.as_ref().map(|key| {
            format!("{comma}\"PartitionKey\"{colon}{}", serde_json::to_string(key).unwrap())
        });
        format!("{{\"Data\"{colon}\"{}\"{}}}", encode(payload), key.unwrap_or_default())
    };
    let records: Vec<String> = records.iter().map(record).collect();
    let records = format!("\"Records\"{colon}[{}]", records.join(comma));
    let stream = format!("\"StreamName\"{colon}\"s\"");
    if boto3 {
        format!("{{{stream}{comma}{records}}}").into()
    } else {
        format!("{{{records}{comma}{stream}}}").into()
    }
}

#[test]
fn verdict_of_every_payload() {
    let check = |payload: &[u8], verdict: &str| {
        let sent = [(Some("p".to_owned()), payload.to_vec())];
        for (form, body) in
            [(WireForm::Json, json(&sent, true)), (WireForm::Cbor, java(&sent, true))]
        {
            let spliced = put(form, &body, SizeLaw::default()).unwrap();
            assert_eq!(spliced.verdicts.iter().map(Verdict::as_str).collect::<Vec<_>>(), [verdict]);
            let new = spliced.body.to_bytes();
            assert_eq!(new != body, verdict == "injected", "{verdict}");
            assert_eq!(unsplice(&payloads(form, &new)[0]), payload);
        }
    };
    check(b"{\"a\":1}", "injected");
    check(b"{}", "injected");
    check(b" \n  {\"a\":\"long enough to have groups behind the insertion\"} ", "injected");
    check(b"", "empty");
    check(b"[1]", "not_object");
    check(b"17", "not_object");
    check(b"{\"a\":", "not_json");
    check(format!("{{\"traceparent\":\"{PARENT}\"}}").as_bytes(), "context_present");
    check(b"{\"traceparent\":\"\"}", "context_invalid");
}

#[test]
fn json_of_every_client() {
    let data = encode(b"{\"a\":1}");
    let check = |body: String, stream: Option<&str>, verdicts: &[&str]| {
        let body = body.as_bytes();
        let located = locate(WireForm::Json, body).unwrap();
        assert_eq!(located.stream.as_ref().map(StreamName::as_str), stream);
        let spliced = put(WireForm::Json, body, SizeLaw::default()).unwrap();
        assert_eq!(spliced.verdicts.iter().map(Verdict::as_str).collect::<Vec<_>>(), verdicts);
        assert!(serde_json::from_slice::<serde_json::Value>(&spliced.body.to_bytes()).is_ok());
    };
    check(
        format!(r#"{{"StreamName": "s", "Data": "{data}", "PartitionKey": "p"}}"#),
        Some("s"),
        &["injected"],
    );
    check(
        format!(
            r#"{{"Records":[{{"Data":"{data}","PartitionKey":"Data"}},{{"PartitionKey":"p","Data":"{data}"}}],"StreamName":"s"}}"#
        ),
        Some("s"),
        &["injected", "injected"],
    );
    check(
        format!(
            r#"{{"StreamARN":"arn:aws:kinesis:us-east-1:1:stream/t","Data":"{data}","PartitionKey":null,"StreamName":null}}"#
        ),
        Some("t"),
        &["injected"],
    );
    check(r#"{"Records":[],"StreamName":"s"}"#.into(), Some("s"), &[]);
    check(r#"{"Records":[{"PartitionKey":"p"}],"Data":"e30="}"#.into(), None, &["empty"]);
    check(r#"{"StreamName":"s","PartitionKey":"p"}"#.into(), Some("s"), &[]);
    check(r#"{"StreamName":"s","Data":"?"}"#.into(), Some("s"), &["not_base64"]);
    // PHP escapes slashes.
    let payload: &[u8] = b"{\"a\":\"???\\u00ff??????\"}";
    let escaped = encode(payload).replace('/', "\\/");
    assert!(escaped.contains("\\/"), "the payload has no slash to escape");
    check(format!(r#"{{"Data":"{escaped}"}}"#), None, &["injected"]);
}

#[test]
fn escaped_base64_is_written_without_escapes() {
    let payload = format!("{{\"a\":\"{}\"}}", "???".repeat(60_000)).into_bytes();
    let escaped = encode(&payload).replacen('/', "\\/", 4).replacen('P', "\\u0050", 1);
    let body = format!(r#"{{"Data":"{escaped}","ExplicitHashKey":"1"}}"#);
    let spliced = put(WireForm::Json, body.as_bytes(), SizeLaw::default()).unwrap();
    assert_eq!(spliced.verdicts, [Verdict::Injected]);
    let new = spliced.body.to_bytes();
    assert_eq!(unsplice(&payloads(WireForm::Json, &new)[0]), payload);
    assert!(new.ends_with(b"\",\"ExplicitHashKey\":\"1\"}"));
    assert!(!new.contains(&b'\\'));
}

/// As Kinesis finds a record's shard, whatever form its key is written in.
#[test]
fn the_hash_key_of_a_record() {
    let md5_of_a = Some(0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    let check = |form: WireForm, body: &[u8], expected: Option<u128>| {
        let located = locate(form, body).unwrap();
        assert_eq!(hash_key(body, &located, 0), expected, "{}", String::from_utf8_lossy(body));
        let plain = plain_key(body, &located, 0).map(crate::domain::capacity::hash_of_key);
        assert!(plain.is_none() || plain == expected);
    };
    let json = |members: &str, expected| {
        let body = format!(r#"{{"Records":[{{"Data":"e30="{members}}}],"StreamName":"s"}}"#);
        check(WireForm::Json, body.as_bytes(), expected);
    };
    json(r#","PartitionKey":"a""#, md5_of_a);
    json(r#","PartitionKey":"\u0061""#, md5_of_a);
    json(r#","PartitionKey":"a","ExplicitHashKey":"12""#, Some(12));
    json(r#","ExplicitHashKey": "0","PartitionKey":"a""#, Some(0));
    json(r#","PartitionKey":"a","ExplicitHashKey":null"#, md5_of_a);
    json(r#","PartitionKey":"a","ExplicitHashKey":"x""#, None);
    json("", None);
    let cbor = |write: &dyn Fn(&mut Encoder<&mut Vec<u8>>), expected| {
        let mut body = Vec::new();
        let mut e = Encoder::new(&mut body);
        e.begin_map().unwrap().str("Data").unwrap().bytes(b"{}").unwrap();
        write(&mut e);
        e.end().unwrap();
        check(WireForm::Cbor, &body, expected);
    };
    let text = |e: &mut Encoder<&mut Vec<u8>>, texts: &[&str]| {
        for text in texts {
            e.str(text).unwrap();
        }
    };
    cbor(&|e| text(e, &["PartitionKey", "a"]), md5_of_a);
    cbor(&|e| text(e, &["PartitionKey", "a", "ExplicitHashKey", "12"]), Some(12));
    let chunks = |e: &mut Encoder<&mut Vec<u8>>| {
        e.str("PartitionKey").unwrap().begin_str().unwrap().str("a").unwrap().str("").unwrap();
        e.end().unwrap();
    };
    cbor(&chunks, None);
}

/// A put whose lengths are all left open, and whose strings come in chunks.
#[test]
fn cbor_in_chunks() {
    let mut body = Vec::new();
    let mut e = Encoder::new(&mut body);
    e.begin_map().unwrap();
    e.begin_str().unwrap().str("Stream").unwrap().str("ARN").unwrap().end().unwrap();
    e.str("arn:aws:kinesis:us-east-1:1:stream/t").unwrap();
    e.str("StreamId").unwrap().str("abc").unwrap();
    e.str("DryRun").unwrap().bool(true).unwrap();
    e.str("Unknown").unwrap().begin_array().unwrap().array(2).unwrap().begin_map().unwrap();
    e.end().unwrap().tag(minicbor::data::Tag::new(1)).unwrap().u64(1_767_225_600_123).unwrap();
    e.f64(0.5).unwrap().end().unwrap();
    e.str("PartitionKey").unwrap();
    e.begin_str().unwrap().str("p").unwrap().str("é").unwrap().end().unwrap();
    e.str("Data").unwrap().begin_bytes().unwrap();
    e.bytes(b"{\"a\"").unwrap().bytes(b":1}").unwrap().end().unwrap();
    e.str("SequenceNumberForOrdering").unwrap().str("7").unwrap().end().unwrap();
    let located = locate(WireForm::Cbor, &body).unwrap();
    assert_eq!(located.stream.as_ref().map(StreamName::as_str), Some("t"));
    assert_eq!(located.stream_arn.as_deref(), Some("arn:aws:kinesis:us-east-1:1:stream/t"));
    assert_eq!(located.stream_id.as_deref(), Some("abc"));
    assert!(located.dry_run);
    assert_eq!((located.len(), located.records[0].partition_key_bytes), (1, 3));
    let looks = look(&body, &located);
    assert_eq!((looks[0].payload_bytes(), looks[0].kind()), (7, Some(Kind::Object)));
    assert_eq!(record_bytes(&body, &located, 0).map(<[u8]>::len), Some(2 + 5 + 4));
    let spliced = put(WireForm::Cbor, &body, SizeLaw::default()).unwrap();
    assert_eq!(spliced.verdicts, [Verdict::Chunked]);
    assert_eq!(spliced.body.to_bytes(), body);
    for end in 0..body.len() {
        assert_eq!(locate(WireForm::Cbor, &body[..end]), Err(BodyFault::NotCbor), "{end}");
    }
    body.push(0xf6);
    assert_eq!(locate(WireForm::Cbor, &body), Err(BodyFault::NotCbor));
}

/// The length of a byte string is written in one, two, three or five bytes.
#[test]
fn length_headers_grow() {
    let growth = insertion().bytes(false).len();
    for bytes in [7, 23, 24, 255 - growth, 256 - growth, 255, 256, 65_535 - growth, 65_535, 65_536]
    {
        let payload = format!("{{\"a\":\"{}\"}}", "x".repeat(bytes.max(8) - 8)).into_bytes();
        let sent = [(None, payload), (Some("k".into()), b"{}".to_vec())];
        for indefinite in [false, true] {
            let spliced =
                put(WireForm::Cbor, &java(&sent, indefinite), SizeLaw::default()).unwrap();
            let naive =
                |payload: &[u8]| crate::domain::envelope::splice(payload, &insertion()).unwrap();
            let expected: Vec<Sent> =
                sent.iter().map(|(key, payload)| (key.clone(), naive(payload))).collect();
            assert_eq!(spliced.body.to_bytes(), java(&expected, indefinite), "{bytes}");
        }
    }
}

#[test]
fn bodies_not_understood() {
    let check = |form, body: &[u8], fault: &str| {
        let seen = locate(form, body).map(drop).map_err(BodyFault::as_str);
        assert_eq!(seen, Err(fault), "{}", String::from_utf8_lossy(body));
    };
    for body in ["", "[]", r#"{"Data":"e30="#, r#"{"Data":17}"#, r#"{"Records":{}}"#] {
        check(WireForm::Json, body.as_bytes(), "body_not_json");
    }
    for body in [
        r#"{"Data":"e30=","Data":"e30="}"#,
        r#"{"Records":[{"Data":"e30=","PartitionKey":"a","PartitionKey":"b"}]}"#,
        r#"{"Data":"e30=","PartitionKey":"a","\u0050artitionKey":null}"#,
        r#"{"StreamName":"a","StreamName":"b","Data":"e30="}"#,
        r#"{"StreamId":"a","StreamId":"b","Data":"e30="}"#,
        r#"{"Records":[],"Records":[]}"#,
    ] {
        check(WireForm::Json, body.as_bytes(), "body_duplicate_keys");
    }
    let doubled = b"\xa2\x64Data\x41{\x64Data\x41}";
    check(WireForm::Cbor, doubled, "body_duplicate_keys");
    let deep = [&b"\xa1\x61x"[..], &[0x9f; 100_000]].concat();
    let tagged = [&b"\xa1\x61x"[..], &[0xc1; 100_000], b"\x01"].concat();
    for body in [
        b"",
        &b"\xa0\xa0"[..],
        b"\x80",
        b"\xa1\x64Data\x61x",
        b"\xa1\x64Data\xff",
        b"\xa1\x01\x01",
        b"\xbf\x61x\xff",
        b"\xbf\x61x\x9f\x01",
        b"\xa1\x61x\xbf\x01\xff",
        b"\xa1\x61x\xfc",
        b"\xa1\x64Data\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x67Records\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        &deep,
        &tagged,
    ] {
        check(WireForm::Cbor, body, "body_not_cbor");
    }
}

#[test]
fn size_laws_keep_the_record_as_it_came() {
    let verdicts = |key: &str, record_bytes_max, request_bytes_max| {
        let sent = [(Some(key.to_owned()), b"{}".to_vec()), (Some("p".into()), b"{}".to_vec())];
        let law = SizeLaw { record_bytes_max, request_bytes_max };
        let of = |form, body: Vec<u8>| {
            put(form, &body, law).unwrap().verdicts.iter().map(Verdict::as_str).collect::<Vec<_>>()
        };
        let verdicts = of(WireForm::Json, json(&sent, false));
        assert_eq!(of(WireForm::Cbor, java(&sent, false)), verdicts);
        verdicts
    };
    let growth = insertion().bytes(true).len();
    assert_eq!(verdicts("pp", 3 + growth, 1_000), ["record_too_large", "injected"]);
    assert_eq!(verdicts("p", 1_000, 3 + 3 + growth), ["injected", "request_too_large"]);
    // What comes behind counts from the start.
    assert_eq!(verdicts("p", 1_000, 3 + 2 + growth), ["request_too_large"; 2]);
}

/// What a look finds is given here, so that each arm of a splice is seen whatever the payload is.
fn with(places: Places, form: WireForm, payload: &[u8], aggregated: Aggregated) -> Spliced {
    let sent = [(None, payload.to_vec())];
    let body: Bytes = match form {
        WireForm::Json => json(&sent, false).into(),
        WireForm::Cbor => java(&sent, false).into(),
    };
    let examined =
        Examined { kind: Kind::Opaque, contexts: Vec::new(), foreign: None, places: Ok(places) };
    let looks = [Look { payload_bytes: payload.len(), examined: Ok(examined) }];
    let insertions = Insertions { common: insertion(), own: HashMap::new() };
    let plan = Plan::Inject { insertions: &insertions, law: SizeLaw::default(), aggregated };
    splice(&body, &locate(form, &body).unwrap(), &looks, &plan)
}

#[test]
fn many_places_in_one_record() {
    let lines = b"{}\n{\"a\":1}\n  {\"b\":2}\n{}";
    for ats in [&[][..], &[1], &[1, 4], &[1, 4, 14, 22], &[0, 1, 2, 3, 4, 23], &[23, 23]] {
        let places: Vec<Place> =
            ats.iter().map(|at| Place { at: *at, empty: at % 2 == 1 }).collect();
        let mut expected = lines.to_vec();
        for place in places.iter().rev() {
            expected.splice(place.at..place.at, insertion().bytes(place.empty).iter().copied());
        }
        for form in [WireForm::Json, WireForm::Cbor] {
            let spliced = with(Places::Many(places.clone()), form, lines, Aggregated::Off);
            assert_eq!(spliced.verdicts, [Verdict::Injected]);
            assert_eq!(payloads(form, &spliced.body.to_bytes()), [&expected[..]], "{ats:?}");
            assert_eq!(spliced.injected_bytes, expected.len() - lines.len());
        }
    }
    for ats in [&[24][..], &[1, 25], &[4, 1]] {
        let places = ats.iter().map(|at| Place { at: *at, empty: false }).collect();
        for form in [WireForm::Json, WireForm::Cbor] {
            let places: Places = Places::Many(Vec::clone(&places));
            let spliced = with(places, form, lines, Aggregated::Off);
            assert_eq!(spliced.verdicts, [Verdict::NotBase64], "{ats:?}");
            assert_eq!(payloads(form, &spliced.body.to_bytes()), [lines], "{ats:?}");
        }
    }
}

#[test]
fn aggregates_by_policy() {
    for form in [WireForm::Json, WireForm::Cbor] {
        let spliced = with(Places::Aggregate, form, b"no aggregate", Aggregated::Off);
        assert_eq!(spliced.verdicts, [Verdict::AggregateOff]);
        let spliced = with(Places::Aggregate, form, b"no aggregate", Aggregated::Tags);
        assert!(matches!(spliced.verdicts[..], [Verdict::Left(_)]));
        assert_eq!(spliced.injected_bytes, 0);
    }
}

#[test]
fn observing_changes_nothing() {
    let sent = [(None, b"{}".to_vec()), (None, b"[]".to_vec())];
    let body = Bytes::from(json(&sent, false));
    let located = locate(WireForm::Json, &body).unwrap();
    let spliced = splice(&body, &located, &look(&body, &located), &Plan::Observe);
    assert_eq!(spliced.verdicts, [Verdict::Observed, Verdict::Left(Leave::NotObject)]);
    assert_eq!(spliced.body.to_bytes(), body);
}

#[test]
fn records_as_they_were_sent() {
    let sent = [(Some("k".into()), b"{\"a\":1}".to_vec()), (None, b"x".to_vec())];
    let check = |form, body: &[u8], expected: [&[u8]; 2]| {
        let located = locate(form, body).unwrap();
        let seen = [0, 1, 2].map(|record| record_bytes(body, &located, record));
        assert_eq!(seen, [Some(expected[0]), Some(expected[1]), None]);
    };
    check(WireForm::Json, &json(&sent, true), [b"eyJhIjoxfQ==", b"eA=="]);
    check(WireForm::Cbor, &java(&sent, true), [b"{\"a\":1}", b"x"]);
}
