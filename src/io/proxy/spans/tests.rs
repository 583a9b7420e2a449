//! Owns the tests of the data plane's spans: what a backend sees.

use super::super::disclosed::{Disclosed, SagaKey, Told};
use super::super::exchange::{Answer, Facts};
use super::*;
use crate::domain::envelope::{Event, Kind as Payload, facts};
use crate::domain::trace::{Flags, Format, Kind, Status, TraceContext, TraceState};
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::operation::Operation;
use crate::wire::kinesis::outcome::PutOutcome;
use crate::wire::kinesis::read::ReadRecord;
use std::time::Duration;

use super::super::exchange::PutFacts;

mod events;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// 2026-11-22T19:57:00Z.
const NOW_MS: u64 = 1_795_377_420_000;

type Context = (TraceContext, TraceState);

fn context(span: u64, flags: u8) -> Context {
    let text = format!("00-{TRACE}-{span:016x}-{flags:02x}");
    (TraceContext::parse(text.as_bytes()).unwrap(), TraceState::parse("a=1"))
}

fn at(ms: u64) -> Moment {
    Moment { wall: Wall::from_ms(NOW_MS + ms), mono: Duration::from_millis(ms) }
}

fn exchange(operation: Operation) -> Exchange {
    Exchange {
        operation,
        consumer: "mail".into(),
        server: "kinesis.us-east-1.amazonaws.com:443".into(),
        started: at(0),
        ended: at(7),
        facts: Facts::Iterator { stream: "orders".into(), shard: "s".into() },
        resent: None,
        answer: Answer::Fault(Fault::UpstreamReset),
    }
}

/// A put whose send span is 0xa below 0xb.
fn put(verdicts: &[&'static str]) -> PutFacts {
    let (own, state) = context(0xa, 3);
    PutFacts {
        stream: Some("orders".into()),
        context: own,
        state: state.clone(),
        carried: (own, state),
        parent: Some(context(0xb, 3).0.span_id),
        verdicts: verdicts.to_vec(),
        injected_bytes: 0,
        attempt: None,
        trying: None,
        own: vec![],
        each: Default::default(),
        event: None,
        placing: Default::default(),
        originals: None,
    }
}

fn stored(places: &[(&str, &str)], failed: &[(usize, &str)]) -> PutOutcome {
    PutOutcome {
        stored: places.iter().map(|(shard, seq)| ((*shard).into(), (*seq).into())).collect(),
        failed: failed.iter().map(|(place, code)| (*place, (*code).into())).collect(),
    }
}

fn record(sequence: &str, age: Duration, contexts: &[Context]) -> ReadRecord {
    ReadRecord {
        sequence: Some(sequence.into()),
        arrival: Some(at(7).wall.minus(age)),
        contexts: contexts.to_vec(),
        events: vec![],
        kind: Payload::Empty,
        verdict: "linked",
    }
}

/// The send spans of a put whose records carry what `facts` say.
fn send(exchange: &Exchange, facts: &PutFacts, ending: &Ending, outcome: &PutOutcome) -> Span {
    let fresh = || context(9, 0).0.span_id;
    let spans =
        spans_of_put(exchange, facts, (&facts.own, &nothing), (ending, outcome), LINKS_MAX, fresh);
    spans.into_iter().next().unwrap()
}

fn nothing(_: usize) -> Told {
    Told::default()
}

fn received(links_max: usize, parent: Option<&Context>, records: &[ReadRecord]) -> Vec<Span> {
    let exchange = exchange(Operation::GetRecords);
    let (stream, shard) = ("orders".into(), "shardId-000000000003".into());
    let above = parent.map(|(context, state)| Parent {
        context: *context,
        state: state.clone(),
        format: Format::TraceContext,
        undecided: false,
    });
    let of = Delivery {
        stream: Some(&stream),
        shard: Some(&shard),
        is_queue: false,
        parent: above.as_ref(),
    };
    let own_id = context(0xf1, 0).0.span_id;
    let own = match parent {
        Some((above, state)) => (above.child(own_id, above.flags.sampled()), state.clone()),
        None => {
            let flags = Flags::SAMPLED_RANDOM;
            let root = TraceContext { span_id: own_id, flags, ..context(1, 0).0 };
            (root, TraceState::default())
        }
    };
    let mut ids = 0xf1;
    let fresh = || {
        ids += 1;
        context(ids, 0).0.span_id
    };
    let ending = Ending { request_id: Some("r-1".into()), status: Some(200), error: None };
    let disclosed = Disclosed::of(&["eventType", "sagaId"], SagaKey::of_chance([1; 32]));
    let records = (records, &disclosed);
    receive(&Call::of(&exchange), &of, own, records, &ending, (links_max, fresh))
}

/// Attributes as `name=value` words, without those that each span has.
fn told(attributes: &[Attribute]) -> String {
    const COMMON: [&str; 5] = [
        "messaging.system",
        "messaging.operation.type",
        "messaging.destination.name",
        "aws.kinesis.stream_name",
        "server.address",
    ];
    let words =
        attributes.iter().filter(|(name, _)| !COMMON.contains(name)).map(|(name, value)| {
            let value = match value {
                Value::Text(text) => text.to_string(),
                Value::Int(number) => number.to_string(),
                Value::Float(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
            };
            let name = name.trim_start_matches("messaging.").trim_start_matches("kinescope.");
            format!("{name}={value}")
        });
    words.collect::<Vec<_>>().join(" ")
}

fn links_told(span: &Span) -> Vec<String> {
    let link = |link: &Link| {
        let flags = link.context.flags.byte();
        format!("{}/{flags} {}", &link.context.span_id.to_string()[13..], told(&link.attributes))
    };
    span.links.iter().map(link).collect()
}

#[test]
fn a_receive_by_the_conventions() {
    let parent = context(0xb, 1);
    let records = [
        record("10", Duration::from_millis(5), &[context(1, 3)]),
        record("11", Duration::from_millis(9), &[context(2, 3)]),
        record("12", Duration::from_millis(3), &[context(1, 3)]),
        record("13", Duration::from_millis(3), &[]),
    ];
    let [span] = &received(128, Some(&parent), &records)[..] else { panic!("one span") };
    assert_eq!((span.name.as_str(), span.kind), ("receive orders", Kind::Client));
    assert_eq!((span.context.flags, span.parent), (parent.0.flags, Some(parent.0.span_id)));
    assert_eq!((span.start, span.end), (at(0).wall, at(7).wall));
    assert_eq!(
        told(&span.attributes),
        "operation.name=receive server.port=443 aws.request_id=r-1 http.response.status_code=200 \
         batch.message_count=4 destination.partition.id=shardId-000000000003 \
         consumer.group.name=mail"
    );
    let shard = "destination.partition.id=shardId-000000000003";
    assert_eq!(
        links_told(span),
        [
            format!(
                "001/3 message.id.first=10 message.id.last=12 batch.message_count=2 {shard} \
                 time_in_stream_ms=5"
            ),
            format!("002/3 message.id=11 {shard} time_in_stream_ms=9"),
        ]
    );
    assert_eq!(received(128, Some(&parent), &[]), [], "an empty poll");
}

#[test]
fn an_unsampled_producer_and_an_old_record_are_links_as_any() {
    let old = Duration::from_secs(6 * 86_400);
    let [span] = &received(128, None, &[record("10", old, &[context(1, 2)])])[..] else {
        panic!("one span")
    };
    assert!(span.context.flags.sampled() && span.parent.is_none());
    assert_eq!(span.start, at(0).wall, "a replay happens now");
    assert!(links_told(span)[0].starts_with("001/2 message.id=10 "), "{:?}", links_told(span));
    assert!(links_told(span)[0].ends_with("time_in_stream_ms=518400000"));
}

#[test]
fn a_record_from_the_future_has_no_time_in_stream() {
    let mut ahead = record("10", Duration::ZERO, &[context(1, 3)]);
    ahead.arrival = Some(at(8).wall);
    let spans = received(128, None, &[ahead]);
    assert!(!links_told(&spans[0])[0].contains("time_in_stream"), "{:?}", links_told(&spans[0]));
}

#[test]
fn a_link_tells_how_long_ago_its_event_says_that_it_was_made() {
    let event = |payload: &str| Event { context: context(1, 3), facts: facts(payload.as_bytes()) };
    let links = |payloads: &[&str]| {
        let mut read = record("10", Duration::from_millis(5), &[context(1, 3)]);
        read.events = payloads.iter().map(|payload| event(payload)).collect();
        let spans = received(128, None, &[read]);
        links_told(&spans[0]).join(", ")
    };
    let at_ms = at(0).wall.as_ms();
    let ago = |ms: u64| format!("{{\"timestamp\":{}}}", at_ms - ms);
    assert!(links(&[&ago(2_000)]).ends_with(" time_in_stream_ms=5 end_to_end_ms=2007"));
    let longest = links(&[&ago(1_000), &ago(3_000)]);
    assert!(longest.ends_with(" end_to_end_ms=3007"), "{longest}");
    assert!(!links(&["{\"timestamp\":9999999999999}"]).contains("end_to_end"), "the future");
    assert!(!links(&["{\"a\":1}"]).contains("end_to_end"));
}

#[test]
fn links_beyond_a_limit_go_on_on_further_spans() {
    let records: Vec<ReadRecord> =
        (1..=300).map(|id| record("10", Duration::ZERO, &[context(id, 3)])).collect();
    let check = |links_max: usize, parent: Option<&Context>, expected: &[usize]| {
        let spans = received(links_max, parent, &records);
        let links: Vec<usize> = spans.iter().map(|span| span.links.len()).collect();
        assert_eq!(links, expected);
        let all: Vec<u64> = spans
            .iter()
            .flat_map(|span| &span.links)
            .map(|link| u64::from_be_bytes(link.context.span_id.bytes()))
            .collect();
        assert_eq!(all, (1..=300).collect::<Vec<_>>(), "every context, once");
        let first = &spans[0];
        let above = parent.map(|(context, _)| context.span_id);
        assert_eq!(first.parent, above);
        for (part, span) in spans.iter().enumerate().skip(1) {
            assert_eq!(span.context.trace_id, first.context.trace_id, "one trace");
            assert_eq!(span.parent, above.or(Some(first.context.span_id)));
            assert_ne!(span.context.span_id, first.context.span_id);
            let end = format!("part={} parts={}", part + 1, expected.len());
            assert!(told(&span.attributes).ends_with(&end), "{}", told(&span.attributes));
        }
    };
    check(1_000, None, &[300]);
    check(300, None, &[300]);
    check(128, None, &[128, 128, 44]);
    check(128, Some(&context(0xb, 3)), &[128, 128, 44]);
    check(299, None, &[299, 1]);
}

#[test]
fn an_aggregate_links_to_each_of_its_contexts() {
    let contexts = [context(1, 3), context(2, 3), context(1, 3)];
    let spans = received(128, None, &[record("10", Duration::ZERO, &contexts)]);
    let links = links_told(&spans[0]);
    assert_eq!(links.len(), 2);
    assert!(links[0].starts_with("001/3 message.id=10 batch.message_count=2 "), "{links:?}");
}

#[test]
fn a_send_whose_context_is_in_the_records_is_their_producer() {
    let check = |facts: PutFacts, expected: Kind| {
        let outcome = stored(&[("s1", "10")], &[]);
        let span = send(&exchange(Operation::PutRecords), &facts, &Ending::default(), &outcome);
        assert_eq!(span.kind, expected, "{facts:?}");
    };
    check(put(&["injected", "present"]), Kind::Producer);
    check(put(&["present"]), Kind::Client);
    check(put(&["taken_back"]), Kind::Client);
    // A retry's records carry the context of the first try.
    check(PutFacts { carried: context(0xc, 3), ..put(&["injected"]) }, Kind::Client);
    let again = vec![Carried { record: 0, context: context(0xc, 3), created: false }];
    check(PutFacts { own: again.clone(), ..put(&["injected"]) }, Kind::Client);
    check(PutFacts { own: again, ..put(&["injected"; 2]) }, Kind::Producer);
}

#[test]
fn a_send_by_the_conventions() {
    let check =
        |operation: Operation, outcome: PutOutcome, error: Option<&str>, expected: &str, failed| {
            let ending = Ending { error: error.map(Into::into), ..Ending::default() };
            let verdicts = ["injected"; 3];
            let records = if operation == Operation::PutRecords { 3 } else { 1 };
            let span = send(&exchange(operation), &put(&verdicts[..records]), &ending, &outcome);
            assert_eq!(
                (span.name.as_str(), span.parent),
                ("send orders", Some(context(0xb, 3).0.span_id))
            );
            assert_eq!(
                told(&span.attributes),
                format!("operation.name=send server.port=443 {expected}")
            );
            let status = match &span.status {
                Status::Unset => None,
                Status::Error(text) => Some(text.as_str()),
            };
            assert_eq!(status, failed);
            assert_eq!(span.links, []);
        };
    let many = Operation::PutRecords;
    check(
        Operation::PutRecord,
        stored(&[("s1", "10")], &[]),
        None,
        "destination.partition.id=s1 message.id=10",
        None,
    );
    check(
        many,
        stored(&[("s1", "10"), ("s1", "11"), ("s1", "12")], &[]),
        None,
        "batch.message_count=3 destination.partition.id=s1",
        None,
    );
    check(
        many,
        stored(&[("s1", "10"), ("s2", "11")], &[(1, "Throttled")]),
        None,
        "batch.message_count=3 error.type=Throttled records.failed=1",
        Some("Kinesis answered Throttled for 1 of 3 records"),
    );
    check(
        many,
        PutOutcome::default(),
        Some("Denied"),
        "error.type=Denied batch.message_count=3",
        Some("Kinesis answered Denied"),
    );
}

#[test]
fn create_spans_tell_each_records_fate() {
    let made =
        |record: usize, span, created| Carried { record, context: context(span, 3), created };
    let carried = [made(0, 1, true), made(1, 2, true), made(2, 3, false), made(3, 4, true)];
    let facts = PutFacts {
        carried: context(3, 3),
        ..put(&["injected", "injected", "present", "injected"])
    };
    let outcome = stored(&[("s1", "10"), ("s2", "12"), ("s1", "13")], &[(1, "Throttled")]);
    let fates = (&Ending::default(), &outcome);
    let mut ids = 0xf0;
    let fresh = || {
        ids += 1;
        context(ids, 0).0.span_id
    };
    let spans = spans_of_put(
        &exchange(Operation::PutRecords),
        &facts,
        (&carried, &nothing),
        fates,
        3,
        fresh,
    );
    let [first, second, third, sends @ ..] = &spans[..] else { panic!("{spans:?}") };
    let check = |span: &Span, id: u64, expected: &str, error: Option<&str>| {
        assert_eq!((span.name.as_str(), span.kind), ("create orders", Kind::Producer));
        assert_eq!((span.context, span.parent), (context(id, 3).0, facts.parent));
        assert_eq!(told(&span.attributes), format!("operation.name=create {expected}"));
        let expected = error.map_or(Status::Unset, |text| Status::Error(text.to_owned()));
        assert_eq!(span.status, expected);
    };
    check(first, 1, "destination.partition.id=s1 message.id=10", None);
    check(second, 2, "error.type=Throttled", Some("Kinesis answered Throttled"));
    check(third, 4, "destination.partition.id=s1 message.id=13", None);
    let links: Vec<Vec<String>> = sends.iter().map(links_told).collect();
    assert!(sends.iter().all(|span| span.kind == Kind::Client && span.name == "send orders"));
    assert_eq!(
        links,
        [
            vec![
                "001/3 message.id=10 destination.partition.id=s1",
                "002/3 error.type=Throttled records.failed=1",
                "003/3 message.id=12 destination.partition.id=s2",
            ],
            vec!["004/3 message.id=13 destination.partition.id=s1"],
        ]
    );
    // The whole call failed: so did each record.
    let ending = Ending { error: Some("Denied".into()), ..Ending::default() };
    let fates = (&ending, &PutOutcome::default());
    let exchange = exchange(Operation::PutRecords);
    let spans =
        spans_of_put(&exchange, &facts, (&carried, &nothing), fates, 9, || context(9, 0).0.span_id);
    assert!(
        spans.iter().all(|span| span.status == Status::Error("Kinesis answered Denied".into()))
    );
}

#[test]
fn a_body_that_was_not_understood_has_no_count() {
    let facts = PutFacts { stream: None, ..put(&["body_encoded"]) };
    let check = |outcome: PutOutcome, expected: &str| {
        let span = send(&exchange(Operation::PutRecords), &facts, &Ending::default(), &outcome);
        assert_eq!((span.name.as_str(), span.kind), ("send", Kind::Client));
        assert_eq!(
            told(&span.attributes),
            format!("operation.name=send server.port=443{expected}")
        );
    };
    check(PutOutcome::default(), "");
    check(stored(&[("s1", "10"), ("s2", "11")], &[]), " batch.message_count=2");
}

/// Set back by an hour, or ahead, between the call and its answer.
#[test]
fn a_calendar_that_is_set_meanwhile_changes_no_span() {
    for wall in [0, 7_200_000].map(Wall::from_ms) {
        let mut exchange = exchange(Operation::PutRecord);
        exchange.started.wall = Wall::from_ms(3_600_000);
        exchange.ended.wall = wall;
        let span = send(&exchange, &put(&["injected"]), &Ending::default(), &PutOutcome::default());
        assert_eq!((span.start.as_ms(), span.end.as_ms()), (3_600_000, 3_600_007));
    }
}

#[test]
fn the_server_is_kinesis() {
    let check = |server: &str, expected: (&str, Option<u16>)| {
        assert_eq!(address(server), expected, "{server}");
    };
    check("kinesis.eu-west-1.amazonaws.com", ("kinesis.eu-west-1.amazonaws.com", None));
    check("localhost:4566", ("localhost", Some(4566)));
    check("[::1]:4566", ("::1", Some(4566)));
    check("[::1]", ("::1", None));
    check("::1", ("::1", None));
}
