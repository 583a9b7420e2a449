//! Owns the tests of aggregates, with a decoder that is not ours. Refuses fixtures of our own
//! making where a published library made one.

use super::super::{Insertion, examine, unsplice};
use super::*;
use hex_simd::AsciiCase;
use md5::{Digest, Md5};
use proptest::prelude::*;
use prost::Message;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00";
const OPEN: [Aggregated; 2] = [Aggregated::Tags, Aggregated::Json];

fn hex(bytes: &[u8]) -> String {
    hex_simd::encode_to_string(bytes, AsciiCase::Lower)
}

/// The published format, for prost.
#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Record>,
}

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    tags: Vec<TagMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct TagMessage {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

fn sealed(message: &[u8]) -> Vec<u8> {
    [&MAGIC[..], message, &Md5::digest(message)].concat()
}

fn decoded(payload: &[u8]) -> AggregatedRecord {
    let message = &payload[4..payload.len() - 16];
    assert_eq!(sealed(message), payload, "magic or MD5");
    AggregatedRecord::decode(message).unwrap()
}

fn aggregate(records: Vec<Record>) -> Vec<u8> {
    let keys = vec!["one".to_owned(), "two".to_owned()];
    let hash_keys = vec!["1".to_owned()];
    let all =
        AggregatedRecord { partition_key_table: keys, explicit_hash_key_table: hash_keys, records };
    sealed(&all.encode_to_vec())
}

fn record(data: impl AsRef<[u8]>) -> Record {
    Record { partition_key_index: 1, data: data.as_ref().to_vec(), ..Record::default() }
}

fn tag(key: &str, value: &str) -> TagMessage {
    TagMessage { key: key.into(), value: Some(value.into()) }
}

/// An event so large that context is under a tenth of it.
fn event(more: &str) -> String {
    format!("{{\"a\":\"{}\"{more}}}", "x".repeat(1500))
}

fn context(text: &str) -> TraceContext {
    TraceContext::parse(text.as_bytes()).unwrap()
}

fn insertion(state: &str) -> Insertion {
    Insertion::new(&context(PARENT), &TraceState::parse(state))
}

/// Splices, and checks all that holds for every aggregate.
fn spliced(payload: &[u8], state: &str, mode: Aggregated) -> Result<Vec<u8>, Leave> {
    assert!(unsplice(payload) == payload, "took what is not ours");
    let spliced = splice(payload, &insertion(state), mode)?;
    assert!(unsplice(&spliced) == payload, "not undone");
    let seen = examine(&spliced);
    assert_eq!((seen.kind, seen.places), (Kind::Aggregate, Err(Leave::ContextPresent)));
    assert!(seen.contexts.contains(&(context(PARENT), TraceState::parse(state))));
    for mode in OPEN {
        assert_eq!(splice(&spliced, &insertion(state), mode), Err(Leave::ContextPresent));
    }
    let (before, after) = (decoded(payload), decoded(&spliced));
    assert_eq!(before.partition_key_table, after.partition_key_table);
    assert_eq!(before.explicit_hash_key_table, after.explicit_hash_key_table);
    assert_eq!(before.records.len(), after.records.len());
    for (before, after) in before.records.iter().zip(&after.records) {
        assert_eq!(before.partition_key_index, after.partition_key_index);
        assert_eq!(before.explicit_hash_key_index, after.explicit_hash_key_index);
    }
    Ok(spliced)
}

/// What aws-kinesis-agg 1.2.3 makes of three records and two keys.
const LIBRARY: &str = "f3899ac20a076f726465722d310a076f726465722d321227333430323832333636393230\
    3933383436333436333337343630373433313736383231313435351201301a2d08001a297b226576656e744964223a\
    2231222c226576656e7454797065223a224f72646572506c61636564227d1a10080110001a0a706c61696e20746578\
    741a0a080010011a04207b7d0af12012b3315e68f1f6d2c940415b6404";

#[test]
fn a_librarys_aggregate_gets_one_tag_where_all_would_be_too_many() {
    let payload = hex_simd::decode_to_vec(LIBRARY).unwrap();
    assert_eq!(user_records(&payload), Some(3));
    assert_eq!(examine(&payload).places, Ok(Places::Aggregate));
    let spliced = spliced(&payload, "", Aggregated::Tags).unwrap();
    // Up to the first record, its body of 45 bytes longer by 72, the tag, the two others.
    let tag = format!("\x22\x46\x12\x37{PARENT}\x0a\x0btraceparent");
    let first = &payload[68..68 + 45];
    let others = &payload[68 + 45..payload.len() - 16];
    let message = [&payload[4..67], &[0x75], first, tag.as_bytes(), others].concat();
    assert_eq!(hex(&spliced), hex(&sealed(&message)));
}

#[test]
fn each_user_record_is_tagged_and_keeps_its_data() {
    let hashed = Record { explicit_hash_key_index: Some(0), ..record(event("")) };
    let records = vec![record(event("")), hashed, record("text".repeat(400)), record("")];
    let after = decoded(&spliced(&aggregate(records.clone()), "a=1", Aggregated::Tags).unwrap());
    for (before, after) in records.iter().zip(after.records) {
        assert_eq!(after.data, before.data);
        assert_eq!(after.tags, [tag("traceparent", PARENT), tag("tracestate", "a=1")]);
    }
}

#[test]
fn json_goes_into_the_data_that_can_carry_it() {
    let lines = format!("{}\n{{}}\n", event(""));
    let data = [event(""), "text".into(), lines, "[]".into()];
    let payload = aggregate(data.iter().map(record).collect());
    let after = decoded(&spliced(&payload, "", Aggregated::Json).unwrap());
    for (before, after) in data.iter().zip(after.records) {
        let expected = json::splice(before.as_bytes(), &insertion(""));
        assert_eq!(after.data, expected.unwrap_or(before.clone().into_bytes()));
        assert_eq!(after.tags, []);
    }
    let small = aggregate(vec![record("text"), record("{}"), record("{}")]);
    let after = decoded(&spliced(&small, "", Aggregated::Json).unwrap());
    let carrying: Vec<_> = after.records.iter().map(|record| record.data.len() > 4).collect();
    assert_eq!(carrying, [false, true, false]);
    let none = aggregate(vec![record("text"), record("[]")]);
    assert_eq!(spliced(&none, "", Aggregated::Json), Err(Leave::NotJson));
}

#[test]
fn a_record_with_context_of_its_own_is_left_and_told() {
    let own = Record {
        tags: vec![tag("x", "y"), tag("traceparent", OTHER), tag("tracestate", "b=2")],
        ..record(event(""))
    };
    let inside = record(event(&format!(",\"traceparent\":\"{PARENT}\"")));
    let datadog = record("{\"_datadog\":{\"traceparent\":\"".to_owned() + OTHER + "\"}}");
    let odd = Record { tags: vec![tag("tracestate", "b=2")], ..record(event("")) };
    let untouched = vec![own.clone(), inside.clone(), datadog, odd, own, inside];
    let payload = aggregate([untouched.clone(), vec![record(event(""))]].concat());
    let seen = examine(&payload);
    let told =
        [(context(OTHER), TraceState::parse("b=2")), (context(PARENT), TraceState::default())];
    assert_eq!(seen.contexts, told);
    assert_eq!((seen.foreign, seen.places), (Some(context(OTHER)), Ok(Places::Aggregate)));
    for mode in OPEN {
        let after = decoded(&spliced(&payload, "", mode).unwrap());
        assert_eq!(after.records[..6], untouched);
    }
    let payload = aggregate(untouched);
    assert_eq!(examine(&payload).places, Err(Leave::ContextPresent));
    assert_eq!(spliced(&payload, "", Aggregated::Tags), Err(Leave::ContextPresent));
}

#[test]
fn where_a_sidecar_was_no_other_adds() {
    let spliced_elsewhere = json::splice(b"{\"a\":1}", &insertion("")).unwrap();
    let payload = aggregate(vec![record(&spliced_elsewhere), record(event(""))]);
    assert_eq!(examine(&payload).places, Err(Leave::ContextPresent));
    assert_eq!(splice(&payload, &insertion(""), Aggregated::Tags), Err(Leave::ContextPresent));
}

#[test]
fn off_means_off() {
    let payload = aggregate(vec![record("{}")]);
    assert_eq!(spliced(&payload, "", Aggregated::Off), Err(Leave::Aggregate));
    assert_eq!(json::splice(&payload, &insertion("")), Err(Leave::Aggregate));
}

/// Left as it came, for this reason; the number of user records that a consumer will see.
fn check_left(payload: &[u8], reason: Leave, records: Option<usize>) {
    let shown = hex(payload);
    let seen = examine(payload);
    assert_eq!((seen.kind, seen.places), (Kind::Aggregate, Err(reason)), "{shown}");
    assert_eq!(user_records(payload), records, "{shown}");
    assert_eq!(unsplice(payload), payload, "{shown}");
    for mode in OPEN {
        assert_eq!(splice(payload, &insertion(""), mode), Err(reason), "{shown}");
    }
}

#[test]
fn what_a_consumer_would_not_take_apart() {
    let check = |message: &[u8]| check_left(&sealed(message), Leave::AggregateBroken, None);
    check(b"");
    check(b"\x0a\x01k"); // no record
    check(b"\x1a\x04\x08\0\x1a\0"); // no key
    check(b"\x0a\x01k\x1a\x04\x08\x01\x1a\0"); // key out of range
    check(b"\x0a\x01k\x1a\x06\x08\0\x10\0\x1a\0"); // hash key out of range
    check(b"\x0a\x01k\x1a\x02\x08\0"); // no data
    check(b"\x0a\x01k\x1a\x02\x1a\0"); // no index
    check(b"\x0a\x01k\x1a\x06\x08\0\x1a\0\x1a\0"); // two data
    check(b"\x0a\x01k\x1a\x08\x08\0\x1a\0\x22\x02\x12\0"); // a tag without a key
    check(b"\x0a\x01k\x1a\x05\x08\0\x1a\0"); // a length that leads outside
    check(b"\x08\x01\x1a\x04\x08\0\x1a\0"); // a key of another type
    check(b"\x0a\x01k\x1a\x08\x08\0\x1a\x04\xf3\x89\x9a\xc2"); // an aggregate
    let mut stale = aggregate(vec![record("{}")]);
    let data = stale.windows(2).position(|pair| pair == b"{}").unwrap();
    stale[data + 1] = b' ';
    check_left(&stale, Leave::AggregateBroken, None);
    check_left(&aggregate(vec![record("{}")])[..30], Leave::AggregateBroken, None);
    check_left(&MAGIC, Leave::AggregateBroken, None);
}

#[test]
fn a_strange_encoding_is_left() {
    let check = |message: &[u8]| {
        AggregatedRecord::decode(message).unwrap();
        check_left(&sealed(message), Leave::AggregateForm, Some(1));
    };
    check(b"\x0a\x01k\x1a\x86\0\x08\0\x1a\x02{}"); // the record's length
    check(b"\x0a\x01k\x1a\x07\x08\0\x1a\x82\0{}"); // the data's length
    check(b"\x0a\x01k\x9a\0\x06\x08\0\x1a\x02{}"); // a field's tag
    check(b"\x0a\x81\0k\x1a\x06\x08\0\x1a\x02{}"); // the key's length
}

#[test]
fn unknown_fields_and_their_order_stay() {
    let record = b"\x3a\x01u\x1a\x02{}\x08\0\x45\x01\x02\x03\x04";
    let message = [b"\x4a\x01u\x1a\x0e".as_slice(), record, b"\x50\x07\x0a\x01k"].concat();
    let tag = format!("\x22\x46\x12\x37{PARENT}\x0a\x0btraceparent");
    let expected =
        [b"\x4a\x01u\x1a\x56".as_slice(), record, tag.as_bytes(), b"\x50\x07\x0a\x01k"].concat();
    assert_eq!(spliced(&sealed(&message), "", Aggregated::Tags), Ok(sealed(&expected)));
    spliced(&sealed(&message), "", Aggregated::Json).unwrap();
}

/// Our tag in the order in which serialisers write it is a producer's own.
#[test]
fn a_producers_tag_is_not_taken() {
    let own = Record { tags: vec![tag("traceparent", PARENT)], ..record(event("")) };
    let payload = aggregate(vec![own]);
    assert_eq!(unsplice(&payload), payload);
    assert_eq!(examine(&payload).contexts, [(context(PARENT), TraceState::default())]);
}

fn user_record() -> impl Strategy<Value = Record> {
    let data = prop_oneof![
        4 => Just(event("")),
        2 => "[ \n]{0,2}\\{\"a\":[0-9]\\}\n?",
        1 => Just("{}\n{\"b\":2}".to_owned()),
        1 => Just(format!("{{\"traceparent\":\"{OTHER}\"}}")),
        1 => Just(format!("{{\"traceparent\":\"{PARENT}\"}}")),
        1 => "[a-z]{0,9}",
    ];
    let tags = prop_oneof![
        4 => Just(Vec::new()),
        1 => Just(vec![tag("traceparent", PARENT)]),
        1 => Just(vec![tag("a", "b"), tag("traceparent", OTHER), tag("c", "")]),
        1 => Just(vec![tag("tracestate", "")]),
    ];
    (data, tags, 0..2_u64, proptest::option::of(Just(0))).prop_map(|(data, tags, key, hash_key)| {
        Record {
            data: data.into_bytes(),
            tags,
            partition_key_index: key,
            explicit_hash_key_index: hash_key,
        }
    })
}

proptest! {
    #[test]
    fn unsplice_undoes_splice(
        records in proptest::collection::vec(user_record(), 1..8),
        state in "(k=[!-+./0-9:;<>-~]{1,9})?",
    ) {
        let payload = aggregate(records.clone());
        prop_assert_eq!(user_records(&payload), Some(records.len()));
        for mode in OPEN {
            let _ = spliced(&payload, &state, mode);
        }
    }

    #[test]
    fn any_message_is_looked_at(message in proptest::collection::vec(any::<u8>(), 0..60)) {
        let payload = sealed(&message);
        prop_assert_eq!(unsplice(&payload), payload.as_slice());
        let _ = splice(&payload, &insertion(""), Aggregated::Tags);
    }
}

#[test]
fn its_user_records_are_events() {
    let named = |name: &str| record(event(&format!(",\"eventType\":\"{name}\"")));
    let plain = aggregate(vec![named("A"), record("opaque"), named("B")]);
    let told = |payload: &[u8]| -> Vec<(String, String)> {
        let events = super::super::events(payload, &examine(payload));
        let text = |event: super::super::Event| {
            (event.facts.event_type.unwrap(), event.context.0.to_string())
        };
        events.into_iter().map(text).collect()
    };
    assert_eq!(told(&plain), []);
    for mode in OPEN {
        let carrying = splice(&plain, &insertion(""), mode).unwrap();
        let expected = ["A", "B"].map(|name| (name.to_owned(), PARENT.to_owned()));
        assert_eq!(told(&carrying), expected, "{mode:?}");
    }
}
