//! Owns the tests of what spans tell of events: their types and sagas, and where that stands.

use super::*;
use crate::domain::envelope::{Event, Facts as Named};
use crate::domain::saga::SagaId;

fn event(context: &Context, name: &str, saga: &str) -> Event {
    let (event_type, saga_id) = (Some(name.into()), Some(saga.into()));
    Event {
        context: context.clone(),
        facts: Named { event_type, event_id: None, saga_id, made: None },
    }
}

/// Each link's context, records, event type and saga.
fn shown(span: &Span) -> Vec<String> {
    let said = |attributes: &[Attribute], name: &str| {
        let found = attributes.iter().find(|(key, _)| *key == name);
        found.map_or("-".to_owned(), |(_, value)| match value {
            Value::Text(text) => text.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(_) | Value::Bool(_) => "?".to_owned(),
        })
    };
    let links =
        span.links.iter().map(|link| (format!("{}", link.context.span_id), &link.attributes));
    let own = ("own".to_owned(), &span.attributes);
    let line = |(context, attributes): (String, &Vec<Attribute>)| {
        let named = ["messaging.batch.message_count", "kinescope.event.type", "kinescope.saga.id"];
        let [records, name, saga] = named.map(|key| said(attributes, key));
        format!("{} {records} {name} {saga}", context.trim_start_matches('0'))
    };
    std::iter::once(own).chain(links).map(line).collect()
}

#[test]
fn links_tell_events_apart_and_records_once() {
    let (a, b) = (context(0xa, 3), context(0xb, 3));
    let one = |sequence: &str, context: &Context, name: &str, saga: &str| ReadRecord {
        events: vec![event(context, name, saga)],
        ..record(sequence, Duration::ZERO, std::slice::from_ref(context))
    };
    let records = [
        one("1", &a, "PAY", "s1"),
        one("2", &a, "PAY", "s1"),
        one("3", &a, "PAY", "s2"),
        one("4", &b, "SHIP", "s1"),
        record("5", Duration::ZERO, std::slice::from_ref(&b)),
        // An aggregate.
        ReadRecord {
            events: vec![event(&a, "PAY", "s1"), event(&a, "PAY", "s1"), event(&a, "SHIP", "s1")],
            ..record("6", Duration::ZERO, &[a.clone(), b.clone()])
        },
    ];
    let spans = received(LINKS_MAX, None, &records);
    let expected =
        ["own 6 - -", "a 3 PAY s1", "a - PAY s2", "b - SHIP s1", "b 2 - -", "a - SHIP s1"];
    assert_eq!(shown(&spans[0]), expected);
}

#[test]
fn a_single_put_tells_its_event_where_its_context_is() {
    let pay =
        |_| Told { event_type: Some("PAY".into()), event_id: None, saga_id: SagaId::told("s1") };
    let check = |facts: &PutFacts, operation, expected: &[&[&str]]| {
        let carried = (&*facts.own, &pay as &dyn Fn(usize) -> Told);
        let (ending, outcome) = (Ending::default(), stored(&[("s", "1")], &[]));
        let fresh = || context(9, 0).0.span_id;
        let came = (&ending, &outcome);
        let spans = spans_of_put(&exchange(operation), facts, carried, came, 9, fresh);
        assert_eq!(spans.iter().map(shown).collect::<Vec<_>>(), expected);
    };
    let single = Operation::PutRecord;
    check(&put(&["injected"]), single, &[&["own - PAY s1"]]);
    let kept = vec![Carried { record: 0, context: context(0xc, 3), created: false }];
    check(
        &PutFacts { own: kept, ..put(&["context_present"]) },
        single,
        &[&["own - PAY -", "c - PAY s1"]],
    );
    // A retry's record has the first try's.
    let again = PutFacts { carried: context(0xd, 3), ..put(&["injected"]) };
    check(&again, single, &[&["own - PAY -", "d - PAY s1"]]);
    // Of several the send span tells nothing; a create span does.
    check(&put(&["injected"; 2]), Operation::PutRecords, &[&["own 1 - -"]]);
    let created = vec![Carried { record: 1, context: context(0xe, 3), created: true }];
    check(
        &PutFacts { own: created, ..put(&["injected"; 2]) },
        Operation::PutRecords,
        &[&["own - PAY s1"], &["own 1 - -", "e - - -"]],
    );
}
