//! Owns the alerts that the golden files show, and how a body is compared with one.

use crate::domain::alert::{AlertState, AlertView, Notice, NoticeReason};
use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

pub(super) fn alert(consumer: &str, state: AlertState, ends_at: Option<Wall>) -> AlertView {
    AlertView {
        labels: map([
            ("alertname", "KinesisConsumerLagHigh"),
            ("consumer", consumer),
            ("severity", "warning"),
            ("stream", "orders"),
        ]),
        annotations: map([
            ("summary", "mail is \"75 s\" behind\u{7} on <orders>"),
            ("description", "it falls behind (worst shard: s-1)"),
            ("value", "75 s"),
            ("threshold", "above 60 s for 60 s"),
            ("runbook_url", "https://runbooks.example/KinesisConsumerLagHigh"),
            ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ]),
        state,
        starts_at: Wall::from_ms(1_545_084_650_987),
        ends_at,
    }
}

pub(super) fn notice(alerts: Vec<AlertView>) -> Notice {
    let group_labels = map([("alertname", "KinesisConsumerLagHigh"), ("stream", "orders")]);
    let group_key = r#"{}:{alertname="KinesisConsumerLagHigh", stream="orders"}"#.to_owned();
    let (reason, at) = (NoticeReason::First, Moment::default());
    Notice { id: 7, group_key, group_labels, reason, alerts, at }
}

pub(super) fn golden(body: &[u8], golden: &str) {
    let parse = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
    let is = parse(body);
    assert_eq!(is, parse(golden.as_bytes()), "\n{}", serde_json::to_string_pretty(&is).unwrap());
}

#[test]
fn numbers_are_the_same_everywhere() {
    let firing = notice(vec![alert("c", AlertState::Firing, None)]);
    let id = super::incident_id(&firing.alerts[0].labels);
    assert_eq!(id, super::incident_id(&alert("c", AlertState::Resolved, None).labels));
    assert_eq!(id.len(), 32);
    let message = super::message_id(&firing);
    let of = |notice: &Notice| super::message_id(notice);
    assert_eq!(message, of(&firing.clone()));
    assert!(message.starts_with("msg_") && !message.contains('.'));
    let later = Moment { wall: Wall::from_ms(9), ..firing.at };
    assert_ne!(message, of(&Notice { at: later, ..firing.clone() }));
    assert_ne!(message, of(&notice(vec![alert("c", AlertState::Resolved, None)])));
}
