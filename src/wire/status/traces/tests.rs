//! Tests of the two documents against golden ones, and of every question that is refused.

use super::*;
use crate::domain::fleet::{FleetLimits, SYSTEM, attribute};
use crate::domain::saga::{SagaId, SagaLimits, SagaStep, SagaWords};
use crate::domain::time::Wall;
use crate::domain::trace::{Attribute, Kind, Link, Span, Status, TraceContext, TraceState, Value};

fn context(span: &str) -> TraceContext {
    let text = format!("00-0af7651916cd43dd8448eb211c80319c-{span}-01");
    TraceContext::parse(text.as_bytes()).unwrap()
}

pub(in crate::wire::status) fn now(ms: u64) -> Moment {
    Moment { wall: Wall::from_ms(1_795_377_600_000 + ms), mono: Duration::from_millis(ms) }
}

fn span(operation: &'static str, id: &str, from: u64, to: u64, said: Vec<Attribute>) -> Span {
    let mut attributes: Vec<Attribute> = vec![
        (attribute::SYSTEM, SYSTEM.into()),
        (attribute::OPERATION, operation.into()),
        (attribute::STREAM, "orders".into()),
    ];
    attributes.extend(said);
    Span {
        name: format!("{operation} orders"),
        kind: if operation == "send" { Kind::Producer } else { Kind::Client },
        context: context(id),
        tracestate: TraceState::default(),
        parent: None,
        start: now(from).wall,
        end: now(to).wall,
        attributes,
        links: vec![],
        status: Status::Unset,
    }
}

pub(in crate::wire::status) fn fleet() -> Fleet {
    let said =
        vec![(attribute::EVENT_TYPE, "ORDER_CREATED".into()), (attribute::RECORDS, Value::Int(1))];
    let put = span("send", "b7ad6b7169203331", 0, 20, said);
    let unread = span("send", "b7ad6b7169203332", 30, 40, vec![]);
    let link = Link {
        context: context("b7ad6b7169203331"),
        tracestate: TraceState::default(),
        attributes: vec![
            (attribute::SEQUENCE, "49".into()),
            (attribute::TIME_IN_STREAM_MS, Value::Int(230)),
        ],
    };
    let shard = vec![(attribute::SHARD, "shardId-000000000001".into())];
    let mut read = span("receive", "00f067aa0ba902b7", 200, 250, shard);
    read.links = vec![link.clone()];
    let mut work = span("process", "00f067aa0ba902b8", 250, 262, vec![]);
    work.links = vec![link];
    let mut fleet = Fleet::new(FleetLimits::default());
    for (service, span) in [("shop", put), ("shop", unread), ("mail", read), ("mail", work)] {
        fleet.take(&Arc::from(service), &span, now(1_000));
    }
    fleet
}

fn pretty(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap();
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}

#[test]
fn traces_read_as_the_golden_json() {
    let body = json(&fleet(), &query("").unwrap(), Role::Hub, now(2_000));
    assert_eq!(pretty(&body), include_str!("traces.json"));
}

pub(in crate::wire::status) fn sagas() -> Sagas {
    let mut sagas = Sagas::new(SagaWords::default(), SagaLimits::default());
    let steps = [
        "RESERVE_INVENTORY",
        "PROCESS_PAYMENT",
        "SHIP_ORDER",
        "REFUND_PAYMENT",
        "RELEASE_INVENTORY",
    ];
    for (saga, count) in [("saga-1", 5), ("saga-2", 1)] {
        for (second, step) in steps.iter().take(count).enumerate() {
            let at = now(1_000 * second as u64);
            let step = SagaStep {
                saga_id: SagaId::hashed(saga, &[1; 32]).unwrap(),
                step: Arc::from(*step),
                service: "saga".into(),
                stream: Some("commands".into()),
                at: at.wall,
                trace: (saga == "saga-2").then(|| context("b7ad6b7169203331")),
            };
            sagas.take(step, at);
        }
    }
    sagas
}

#[test]
fn sagas_read_as_the_golden_json() {
    let sagas = sagas();
    let body = sagas_json(&sagas, saga_query("").unwrap(), Role::Hub, now(310_000));
    assert_eq!(pretty(&body), include_str!("sagas.json"));
    let none = sagas_json(&sagas, saga_query("state=running").unwrap(), Role::Hub, now(310_000));
    assert!(pretty(&none).contains("\"sagas\": []"));
}

#[test]
fn an_answer_is_bounded_and_says_what_did_not_fit() {
    let check = |steps: &[usize], told: usize, left_out: usize| {
        let (fits, left) = fitting(steps, |steps| *steps);
        assert_eq!((fits.len(), left), (told, left_out), "{steps:?}");
    };
    check(&[], 0, 0);
    check(&[1, STEPS_MAX - 1], 2, 0);
    check(&[1, STEPS_MAX, 1], 1, 2);
    check(&[STEPS_MAX + 1, 1], 1, 1);
}

#[test]
fn questions_are_read() {
    let all = Query {
        trace_id: None,
        event_type: None,
        stream: None,
        slower_than: None,
        limit: LIMIT_DEFAULT,
    };
    let check = |text: &str, expected: Query| assert_eq!(query(text), Ok(expected), "{text}");
    check("", all.clone());
    check("stream=&limit=&", all.clone());
    check("limit=1000", Query { limit: 1_000, ..all.clone() });
    let stream = Some("orders-eu.1_x".into());
    check("stream=orders%2Deu.1_x", Query { stream, ..all.clone() });
    let trace_id = Some(context("b7ad6b7169203331").trace_id);
    check("trace_id=0af7651916cd43dd8448eb211c80319c", Query { trace_id, ..all.clone() });
    let (event_type, slower_than) =
        (Some("ORDER CREATED é".into()), Some(Duration::from_millis(1_500)));
    let both = Query { event_type, slower_than, ..all };
    check("event_type=ORDER+CREATED%20%C3%A9&slower_than_ms=1500", both);
    assert_eq!(saga_query("state=stuck&limit=1"), Ok((Some(SagaState::Stuck), 1)));
}

#[test]
fn a_question_that_is_not_understood_names_its_field() {
    let check = |text: &str, field: &str, beginning: &str| {
        let fault = query(text).unwrap_err();
        assert_eq!(fault.field, field, "{text}");
        assert!(fault.expected.starts_with(beginning), "{text}: {fault}");
    };
    check("trace_id=0AF7651916cd43dd8448eb211c80319c", "trace_id", "must be 32");
    check("trace_id=00000000000000000000000000000000", "trace_id", "must be 32");
    check("stream=arn:aws:kinesis:eu-west-1:1:stream/o", "stream", "must be a stream");
    check("slower_than_ms=-1", "slower_than_ms", "must be a whole");
    check("slower_than_ms=1.5", "slower_than_ms", "must be a whole");
    check("limit=0", "limit", "must be a whole");
    check("limit=1001", "limit", "must be a whole");
    check("limit=1&limit=2", "limit", "is given twice");
    check("event_type=%ff", "event_type", "is not UTF-8");
    check(&format!("event_type={}", "x".repeat(257)), "event_type", "must have");
    check("streams=orders", "streams", "is not known");
    check(&"é".repeat(100), &"é".repeat(64), "is not known");
    let fault = saga_query("state=done").unwrap_err();
    let body: serde_json::Value = serde_json::from_slice(&fault.json()).unwrap();
    assert_eq!(body["error"]["field"], "state");
    let message = "state: must be running, compensating, completed, compensated, stuck or unknown";
    assert_eq!(body["error"]["message"], message);
}
