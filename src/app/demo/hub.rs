//! Owns what the demo asks its hub: the story of one saga from its first command to its compensation,
//! over all services that had a part in it. Refuses to call a story whole that lacks a step.

use super::pages;
use super::services::COMMANDS;
use super::services::ORDER_SERVICE;
use super::services::ORDERS;
use super::services::SAGA;
use super::services::book::Sagas;
use serde_json::Value;
use std::net::SocketAddr;

/// Sagas that the hub gives at once.
const SAGAS_MAX: u64 = 1_000;

/// What the hub said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HubStory {
    /// The newest saga that was taken back: its id and its steps.
    pub compensated: Option<(String, Vec<String>)>,
    /// Sagas that the hub saw end.
    pub sagas: Sagas,
    /// What it did not tell, each in a sentence.
    pub lacks: Vec<String>,
}

/// Asks the hub, when everything has ended; `sagas` is what really happened.
pub(super) async fn ask(admin: Option<SocketAddr>, sagas: Sagas) -> HubStory {
    let Some(admin) = admin else { return HubStory::lacking("the hub does not listen") };
    let all = json(admin, &format!("/api/v1/sagas?limit={SAGAS_MAX}")).await;
    let Some(all) = all else { return HubStory::lacking("the hub did not answer for its sagas") };
    let mut story = counted(&all, sagas);
    let newest = list(&all, "sagas").iter().find(|saga| text(saga, "state") == "compensated");
    let Some(saga) = newest else {
        if sagas.compensated > 0 {
            story.lacks.push("the hub knows no saga that was taken back".to_owned());
        }
        return story;
    };
    let id = text(saga, "saga_id").to_owned();
    let steps = list(saga, "steps");
    let names: Vec<String> = steps.iter().map(|step| text(step, "step").to_owned()).collect();
    let ends = (names.first().map(String::as_str), names.last().map(String::as_str));
    if ends != (Some("RESERVE_INVENTORY"), Some("RELEASE_INVENTORY")) {
        story.lacks.push(format!("{id} goes {} at the hub", names.join(", ")));
    }
    let trace_id = steps.first().map(|step| text(step, "trace_id")).unwrap_or_default();
    match json(admin, &format!("/api/v1/traces?trace_id={trace_id}")).await {
        Some(traces) => story.lacks.extend(gaps(&traces, steps).map(|gap| format!("{id}: {gap}"))),
        None => story.lacks.push("the hub did not answer for its traces".to_owned()),
    }
    story.compensated = Some((id, names));
    story
}

impl HubStory {
    fn lacking(why: &str) -> Self {
        Self { lacks: vec![why.to_owned()], ..Self::default() }
    }
}

async fn json(admin: SocketAddr, path: &str) -> Option<Value> {
    serde_json::from_str(&pages::page(admin, path).await?).ok()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// How many ended which way; of more than the hub gives at once nothing is compared.
fn counted(all: &Value, really: Sagas) -> HubStory {
    let ended = |state: &str| {
        list(all, "sagas").iter().filter(|saga| text(saga, "state") == state).count() as u64
    };
    let seen = Sagas {
        started: list(all, "sagas").len() as u64,
        completed: ended("completed"),
        compensated: ended("compensated"),
    };
    let mut lacks = Vec::new();
    if really.started <= SAGAS_MAX && seen != really {
        let Sagas { started, completed, compensated } = seen;
        lacks.push(format!(
            "the hub counts {completed} + {compensated} of {started} sagas, and there were {} + {} of {}",
            really.completed, really.compensated, really.started
        ));
    }
    HubStory { compensated: None, sagas: seen, lacks }
}

/// What one trace lacks of the order and of its saga's steps.
fn gaps<'a>(traces: &'a Value, steps: &'a [Value]) -> impl Iterator<Item = String> {
    let hops: Vec<&Value> =
        list(traces, "traces").iter().flat_map(|story| list(story, "hops")).collect();
    let told = move |producer: &str, stream: &str, span_id: Option<&str>| {
        hops.iter().any(|hop| {
            hop.get("producer").is_some_and(|sending| text(sending, "service") == producer)
                && text(hop, "stream") == stream
                && text(hop, "consumer") == SAGA
                && span_id.is_none_or(|span_id| text(hop, "span_id") == span_id)
        })
    };
    let order = (!told(ORDER_SERVICE, ORDERS, None))
        .then(|| format!("its trace lacks the order from {ORDER_SERVICE} to {SAGA}"));
    let untold = move |step: &&Value| !told(SAGA, COMMANDS, Some(text(step, "span_id")));
    let steps = steps.iter().filter(untold);
    order.into_iter().chain(steps.map(|step| format!("its trace lacks {}", text(step, "step"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hop(producer: &str, stream: &str, span_id: &str, consumer: Option<&str>) -> Value {
        json!({"producer": {"service": producer}, "stream": stream, "span_id": span_id, "consumer": consumer})
    }

    #[test]
    fn a_step_that_nobody_read_is_a_gap() {
        let steps =
            [json!({"step": "PAY", "span_id": "a"}), json!({"step": "UNDO", "span_id": "b"})];
        let check = |hops: Vec<Value>, expected: &[&str]| {
            let traces = json!({"traces": [{"hops": hops}]});
            assert_eq!(gaps(&traces, &steps).collect::<Vec<_>>(), expected);
        };
        let order = hop(ORDER_SERVICE, ORDERS, "o", Some(SAGA));
        let pay = hop(SAGA, COMMANDS, "a", Some(SAGA));
        let undo = |reader| hop(SAGA, COMMANDS, "b", reader);
        check(vec![order.clone(), pay.clone(), undo(Some(SAGA))], &[]);
        check(vec![order, pay, undo(None)], &["its trace lacks UNDO"]);
        let all = [
            "its trace lacks the order from order-service to saga",
            "its trace lacks PAY",
            "its trace lacks UNDO",
        ];
        check(vec![], &all);
    }

    #[test]
    fn sagas_are_compared_while_all_are_told() {
        let all = json!({"sagas": [{"state": "completed"}, {"state": "stuck"}]});
        let really = |started| Sagas { started, completed: 1, compensated: 1 };
        let lack = "the hub counts 1 + 0 of 2 sagas, and there were 1 + 1 of 2";
        assert_eq!(counted(&all, really(2)).lacks, [lack]);
        assert_eq!(counted(&all, really(SAGAS_MAX + 1)).lacks, [""; 0]);
        let seen = Sagas { started: 2, completed: 1, compensated: 0 };
        assert_eq!(counted(&all, seen), HubStory { sagas: seen, ..HubStory::default() });
    }
}
