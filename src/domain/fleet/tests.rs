//! Tests of stories: spans as the data plane makes them, and what is told of them.

use super::*;
use crate::domain::stream::StreamName;
use crate::domain::time::Wall;
use crate::domain::trace::{Flags, Kind, Link, Status, TraceState, Value};
use std::time::Duration;

pub(super) fn now() -> Moment {
    Moment { wall: wall(0), mono: Duration::ZERO }
}

pub(super) fn wall(ms: i64) -> Wall {
    Wall::from_ms(1_700_000_000_000_u64.saturating_add_signed(ms))
}

pub(super) fn context((trace, span): (u8, u8)) -> TraceContext {
    let trace_id = TraceId::new([trace; 16]).unwrap();
    TraceContext { trace_id, span_id: SpanId::new([span; 8]).unwrap(), flags: Flags::new(1) }
}

pub(super) fn span(
    operation: &'static str,
    stream: &str,
    id: (u8, u8),
    from: i64,
    to: i64,
) -> Span {
    let mut attributes: Vec<Attribute> =
        vec![(attribute::SYSTEM, SYSTEM.into()), (attribute::OPERATION, operation.into())];
    if !stream.is_empty() {
        attributes.push((attribute::STREAM, stream.to_owned().into()));
    }
    Span {
        name: operation.into(),
        kind: match operation {
            "send" => Kind::Producer,
            "process" => Kind::Consumer,
            _ => Kind::Client,
        },
        context: context(id),
        tracestate: TraceState::default(),
        parent: None,
        start: wall(from),
        end: wall(to),
        attributes,
        links: vec![],
        status: Status::Unset,
    }
}

pub(super) fn link(to: (u8, u8), sequence: &str, in_stream_ms: Option<i64>) -> Link {
    let mut attributes = vec![(attribute::SEQUENCE, Value::from(sequence.to_owned()))];
    attributes.extend(in_stream_ms.map(|ms| (attribute::TIME_IN_STREAM_MS, Value::Int(ms))));
    Link { context: context(to), tracestate: TraceState::default(), attributes }
}

fn with(mut span: Span, name: &'static str, value: impl Into<Value>) -> Span {
    span.attributes.push((name, value.into()));
    span
}

fn linked(span: Span, links: Vec<Link>) -> Span {
    Span { links, ..span }
}

pub(super) fn all() -> Query {
    Query { trace_id: None, event_type: None, stream: None, slower_than: None, limit: 100 }
}

fn fleet(spans: &[(&str, Span)]) -> Fleet {
    let mut fleet = Fleet::new(FleetLimits::default());
    for (service, span) in spans {
        fleet.take(&Arc::from(*service), span, now());
    }
    fleet
}

/// A step in one line: `orders -20-> stream/shard (40) -> mail: 2 records 3 times; work 5 ms`.
fn line(hop: &Hop) -> String {
    let ms = |time: Duration| time.as_millis();
    let or = |text: Option<String>| text.unwrap_or_else(|| "?".into());
    let producer = or(hop.producer.as_ref().map(|sending| {
        let took = or(sending.took.map(|took| ms(took).to_string()));
        format!("{} -{took}->", sending.service)
    }));
    let stream = or(hop.stream.as_ref().map(ToString::to_string));
    let shards: Vec<&str> = hop.shards.iter().map(|shard| shard.as_str()).collect();
    let lay = or(hop.time_in_stream.map(|time| {
        let about = if time.inferred { "~" } else { "" };
        format!("{about}{}", ms(time.longest))
    }));
    let consumer = or(hop.consumer.as_ref().map(ToString::to_string));
    let delivery =
        or(hop.delivery.map(|delivery| format!("{}/{}", delivery.records, delivery.deliveries)));
    let work = hop.processing.map(|work| {
        format!(
            " work {} {} errors {}",
            work.spans,
            or(work.longest.map(|l| ms(l).to_string())),
            work.errors
        )
    });
    format!(
        "{producer} {stream}/{} ({lay}) -> {consumer} {delivery}{}",
        shards.join("+"),
        work.unwrap_or_default()
    )
}

fn told(fleet: &Fleet, query: &Query) -> Vec<(u8, Vec<String>)> {
    let stories = fleet.stories(query);
    let lines = |story: &Story| story.hops.iter().map(line).collect();
    stories.iter().map(|story| (story.trace_id.bytes()[0], lines(story))).collect()
}

fn check(spans: &[(&str, Span)], expected: &[(u8, &[&str])]) {
    let expected: Vec<(u8, Vec<String>)> = expected
        .iter()
        .map(|(id, lines)| (*id, lines.iter().map(|line| (*line).to_owned()).collect()))
        .collect();
    assert_eq!(told(&fleet(spans), &all()), expected);
}

fn received(links: Vec<Link>) -> Span {
    let span = span("receive", "orders", (9, 1), 50, 60);
    linked(with(span, attribute::SHARD, "shard-1"), links)
}

/// A link for each type of event, and one delivery of the record that holds them.
#[test]
fn several_events_of_a_record_are_one_delivery() {
    let named = |name: &str| {
        let mut link = link((1, 1), "49", None);
        link.attributes.push((attribute::EVENT_TYPE, name.to_owned().into()));
        link
    };
    let put = span("send", "orders", (1, 1), 0, 20);
    let spans = [("shop", put), ("mail", received(vec![named("A"), named("B")]))];
    check(&spans, &[(1, &["shop -20-> orders/shard-1 (~40) -> mail 1/1"])]);
    let of = |name: &str| Query { event_type: Some(name.to_owned()), ..all() };
    assert_eq!(["A", "B", "C"].map(|name| fleet(&spans).stories(&of(name)).len()), [1, 1, 0]);
}

#[test]
fn a_record_from_its_put_to_the_work_on_it() {
    let put = with(span("send", "orders", (1, 1), 0, 20), attribute::EVENT_TYPE, "ORDER_CREATED");
    let read = received(vec![link((1, 1), "49", Some(35))]);
    let work = linked(span("process", "orders", (8, 1), 60, 75), vec![link((1, 1), "49", None)]);
    let fleet = fleet(&[("shop", put), ("mail", read), ("mail", work)]);
    let [story] = &fleet.stories(&all())[..] else { panic!("one story") };
    assert_eq!(
        line(&story.hops[0]),
        "shop -20-> orders/shard-1 (35) -> mail 1/1 work 1 15 errors 0"
    );
    assert_eq!((story.began, story.took), (Some(wall(0)), Some(Duration::from_millis(75))));
    assert_eq!(story.hops[0].event_types, [Arc::from("ORDER_CREATED")]);
    assert_eq!((&story.missing[..], story.cut), (&[][..], false));
}

#[test]
fn partial_stories_are_told_as_partial() {
    let put = span("send", "orders", (1, 1), 0, 20);
    let read = received(vec![link((2, 2), "49", Some(35))]);
    let spans = [("shop", put.clone()), ("mail", read)];
    check(
        &spans,
        &[(2, &["? orders/shard-1 (35) -> mail 1/1"]), (1, &["shop -20-> orders/ (?) -> ? ?"])],
    );
    let stories = fleet(&spans).stories(&all());
    assert_eq!(
        stories.iter().map(|s| &s.missing[..]).collect::<Vec<_>>(),
        [[Missing::Producer], [Missing::Consumer]]
    );
    assert_eq!(stories[0].took, None, "nobody knows when it began");
    // What Kinesis refused nobody will read, and nobody is missed.
    let failed = with(put, attribute::ERROR, "throttled");
    assert_eq!(fleet(&[("shop", failed)]).stories(&all())[0].missing, []);
}

#[test]
fn a_replay_is_counted_and_lasts_no_longer() {
    let put = span("send", "orders", (1, 1), 0, 20);
    let again = Span {
        context: context((9, 2)),
        end: wall(90_000),
        ..received(vec![link((1, 1), "49", Some(89_990))])
    };
    let read = received(vec![link((1, 1), "49", Some(50)), link((1, 1), "50", Some(40))]);
    let spans = [("shop", put), ("mail", again), ("mail", read)];
    check(&spans, &[(1, &["shop -20-> orders/shard-1 (50) -> mail 2/3"])]);
    assert_eq!(fleet(&spans).stories(&all())[0].took, Some(Duration::from_millis(60)));
}

#[test]
fn one_link_may_stand_for_many_records() {
    let many = |count| Link {
        attributes: vec![
            (attribute::SEQUENCE_FIRST, "49".into()),
            (attribute::SEQUENCE_LAST, "60".into()),
            (attribute::RECORDS, Value::Int(count)),
            (attribute::TIME_IN_STREAM_MS, Value::Int(7)),
        ],
        ..link((1, 1), "", None)
    };
    let again = Span { context: context((9, 2)), ..received(vec![many(12)]) };
    let spans = [("mail", received(vec![many(12)])), ("mail", again)];
    check(&spans, &[(1, &["? orders/shard-1 (7) -> mail 12/24"])]);
}

#[test]
fn of_a_put_told_by_several_spans_the_first_is_the_one_in_its_records() {
    let part = |id, part| {
        let rest = linked(span("send", "orders", id, 0, 20), vec![link((2, part as u8), "", None)]);
        with(rest, attribute::PART, Value::Int(part))
    };
    check(
        &[("shop", part((1, 1), 1)), ("shop", part((1, 2), 2))],
        &[
            (2, &["shop -20-> orders/ (?) -> ? ?", "shop -20-> orders/ (?) -> ? ?"]),
            (1, &["shop -20-> orders/ (?) -> ? ?"]),
        ],
    );
}

#[test]
fn a_span_that_comes_twice_counts_once() {
    let read = received(vec![link((1, 1), "49", Some(50))]);
    let mut fleet = fleet(&[("mail", read.clone())]);
    assert_eq!(fleet.take(&Arc::from("mail"), &read, now()), Taken::Duplicate);
    assert_eq!(told(&fleet, &all()), [(1, vec!["? orders/shard-1 (50) -> mail 1/1".into()])]);
    assert_eq!(fleet.services()[0].calls, 1);
}

#[test]
fn clocks_that_disagree_are_unknown_and_never_negative() {
    let put = span("send", "orders", (1, 1), 100, 120);
    let early = |in_stream| Span { end: wall(60), ..received(vec![link((1, 1), "49", in_stream)]) };
    let back = linked(span("process", "orders", (8, 1), 99, 60), vec![link((1, 1), "49", None)]);
    for in_stream in [Some(-5), None] {
        let spans = [("shop", put.clone()), ("mail", early(in_stream)), ("mail", back.clone())];
        check(&spans, &[(1, &["shop -20-> orders/shard-1 (?) -> mail 1/1 work 1 ? errors 0"])]);
    }
    let set_back = Span { end: wall(90), ..put };
    check(&[("shop", set_back)], &[(1, &["shop -?-> orders/ (?) -> ? ?"])]);
}

#[test]
fn time_in_stream_is_reckoned_where_no_link_tells_it() {
    let put = span("send", "orders", (1, 1), 0, 20);
    let read = received(vec![link((1, 1), "49", None)]);
    check(
        &[("shop", put), ("mail", read)],
        &[(1, &["shop -20-> orders/shard-1 (~40) -> mail 1/1"])],
    );
}

#[test]
fn one_trace_through_two_streams_and_a_relay_of_its_context() {
    let first = span("send", "orders", (1, 1), 0, 20);
    let read = received(vec![link((1, 1), "49", Some(30))]);
    // The saga service puts in the same trace, and a relay copies the record with its context.
    let second = span("send", "commands", (1, 2), 70, 80);
    let relay = Span { kind: Kind::Client, ..span("send", "copies", (1, 3), 75, 85) };
    let relay = linked(relay, vec![link((1, 1), "", None)]);
    check(
        &[("saga", second), ("relay", relay), ("saga", read), ("shop", first)],
        &[(
            1,
            &[
                "shop -20-> orders/shard-1 (30) -> saga 1/1",
                "saga -10-> commands/ (?) -> ? ?",
                "relay -10-> copies/ (?) -> ? ?",
            ],
        )],
    );
}

#[test]
fn what_work_on_a_record_caused_belongs_to_its_story() {
    let put = span("send", "orders", (1, 1), 0, 20);
    let work = linked(span("process", "orders", (8, 1), 60, 75), vec![link((1, 1), "49", None)]);
    let caused =
        Span { parent: Some(context((8, 1)).span_id), ..span("send", "mails", (8, 2), 61, 63) };
    // Below the record of that put, by somebody who reports no work.
    let further =
        Span { parent: Some(context((8, 2)).span_id), ..span("send", "copies", (8, 3), 64, 65) };
    let spans = [("shop", put), ("mail", work), ("mail", caused), ("relay", further)];
    check(
        &spans,
        &[(
            1,
            &[
                "shop -20-> orders/ (?) -> mail ? work 1 15 errors 0",
                "mail -2-> mails/ (?) -> ? ?",
                "relay -1-> copies/ (?) -> ? ?",
            ],
        )],
    );
    let by_id = Query { trace_id: Some(context((8, 1)).trace_id), ..all() };
    assert_eq!(told(&fleet(&spans), &by_id).len(), 1, "found by the further trace too");
}

#[test]
fn work_reported_without_its_stream_finds_it() {
    let put = span("send", "orders", (1, 1), 0, 20);
    let read = received(vec![link((1, 1), "49", Some(30))]);
    let work = linked(span("process", "", (8, 1), 60, 75), vec![link((1, 1), "49", None)]);
    check(
        &[("mail", work), ("shop", put), ("mail", read)],
        &[(1, &["shop -20-> orders/shard-1 (30) -> mail 1/1 work 1 15 errors 0"])],
    );
}

/// A queue hands out what was put to a stream that it does not name. Where the same record was put to
/// two, nobody knows to which of them it belongs.
#[test]
fn what_a_queue_handed_out_belongs_to_its_put() {
    let put = span("send", "orders", (1, 1), 0, 20);
    let queued =
        with(span("receive", "mail-queue", (9, 1), 50, 60), attribute::QUEUE, Value::Bool(true));
    let queued = linked(queued, vec![link((1, 1), "r1", Some(30))]);
    let spans = [("mail", queued), ("shop", put)];
    check(&spans, &[(1, &["shop -20-> orders/ (30) -> mail 1/1"])]);
    let edges = fleet(&spans).services();
    assert_eq!(
        edges.iter().map(|edge| edge.stream.as_str()).collect::<Vec<_>>(),
        ["mail-queue", "orders"]
    );
    let relay = Span { kind: Kind::Client, ..span("send", "copies", (1, 3), 75, 85) };
    let relay = linked(relay, vec![link((1, 1), "", None)]);
    let [queued, put] = spans;
    check(
        &[queued, put, ("relay", relay)],
        &[(
            1,
            &[
                "? ?/ (30) -> mail 1/1",
                "shop -20-> orders/ (?) -> ? ?",
                "relay -10-> copies/ (?) -> ? ?",
            ],
        )],
    );
}

#[test]
fn queries() {
    let typed = |id, name: &str, ms| {
        with(span("send", name, id, ms, ms + 10), attribute::EVENT_TYPE, name.to_uppercase())
    };
    let read = received(vec![link((2, 2), "49", Some(5_000))]);
    let fleet = fleet(&[
        ("shop", typed((1, 1), "orders", 0)),
        ("shop", typed((2, 2), "orders", 10)),
        ("shop", typed((3, 3), "mails", 20)),
        ("mail", read),
    ]);
    let check = |query: Query, expected: &[u8]| {
        let found: Vec<u8> = told(&fleet, &query).iter().map(|(id, _)| *id).collect();
        assert_eq!(found, expected, "{query:?}");
    };
    check(all(), &[3, 2, 1]);
    check(Query { limit: 2, ..all() }, &[3, 2]);
    check(Query { limit: 0, ..all() }, &[]);
    check(Query { trace_id: Some(context((2, 1)).trace_id), ..all() }, &[2]);
    check(Query { trace_id: Some(context((7, 1)).trace_id), ..all() }, &[]);
    check(Query { event_type: Some("ORDERS".into()), ..all() }, &[2, 1]);
    check(Query { event_type: Some("orders".into()), ..all() }, &[]);
    check(Query { stream: Some(StreamName::from("mails")), ..all() }, &[3]);
    check(Query { slower_than: Some(Duration::from_secs(4)), ..all() }, &[2]);
    check(Query { slower_than: Some(Duration::from_secs(5)), ..all() }, &[]);
    let both = Some(StreamName::from("mails"));
    check(Query { event_type: Some("ORDERS".into()), stream: both, ..all() }, &[]);
}

#[test]
fn the_map_says_who_writes_and_who_reads() {
    let puts = |id| with(span("send", "orders", id, 0, 20), attribute::RECORDS, Value::Int(500));
    let failed = with(puts((1, 2)), attribute::FAILED, Value::Int(3));
    // One read of many records, told by two spans.
    let part = |id, part| {
        with(Span { context: context(id), ..received(vec![]) }, attribute::PART, Value::Int(part))
    };
    let fleet = fleet(&[
        ("shop", puts((1, 1))),
        ("shop", failed),
        ("mail", part((9, 1), 1)),
        ("mail", part((9, 2), 2)),
        ("mail", span("process", "orders", (8, 1), 0, 1)),
    ]);
    let edges: Vec<_> = fleet
        .services()
        .into_iter()
        .map(|edge| {
            (
                edge.service.to_string(),
                edge.direction.as_str(),
                edge.calls,
                edge.failed_calls,
                edge.records,
            )
        })
        .collect();
    assert_eq!(edges, [("mail".into(), "reads", 1, 0, 1), ("shop".into(), "writes", 2, 1, 1_000)]);
}

#[test]
fn the_map_is_bounded() {
    let mut fleet = Fleet::new(FleetLimits { edges_max: 2, ..FleetLimits::default() });
    for (number, stream) in (1..).zip(["a", "b", "a", "c"]) {
        fleet.take(&Arc::from("shop"), &span("send", stream, (1, number), 0, 1), now());
    }
    let streams: Vec<String> =
        fleet.services().iter().map(|edge| edge.stream.to_string()).collect();
    assert_eq!((streams, fleet.forgotten().edges), (vec!["a".into(), "c".into()], 1));
}

#[test]
fn foreign_spans_are_left_alone() {
    let mut fleet = Fleet::new(FleetLimits::default());
    let kafka = Span {
        attributes: vec![(attribute::SYSTEM, "kafka".into())],
        ..span("send", "x", (1, 1), 0, 1)
    };
    let settle = Span { attributes: vec![], ..span("send", "x", (1, 1), 0, 1) };
    for span in [kafka, settle] {
        assert_eq!(fleet.take(&Arc::from("shop"), &span, now()), Taken::Foreign);
    }
    assert_eq!(fleet.held(), Held { traces: 0, entries: 0 });
}

#[test]
fn saga_steps_of_a_read_are_dated_by_their_arrival() {
    let mut step = link((1, 1), "49", Some(35));
    step.attributes.push((attribute::SAGA_ID, "#00".into()));
    step.attributes.push((attribute::EVENT_TYPE, "RESERVE_INVENTORY".into()));
    let read = received(vec![step, link((1, 2), "50", Some(1))]);
    let steps = saga_steps(&Arc::from("stock"), &read);
    let [step] = &steps[..] else { panic!("one record is a saga's") };
    assert_eq!((step.at, step.trace), (wall(25), Some(context((1, 1)))));
    assert_eq!(
        (step.saga_id.as_str(), &*step.step, &*step.service),
        ("#00", "RESERVE_INVENTORY", "stock")
    );
}
