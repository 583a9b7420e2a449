//! Owns the body of a webhook, version 4 as Alertmanager sends it, so that whatever reads those
//! reads ours. Refuses to leave a field out. Source: reference/alerts.md 1.3.

use crate::domain::alert::fingerprint::fingerprint;
use crate::domain::alert::{AlertState, AlertView, Labels, Notice};
use serde::Serialize;
use std::collections::BTreeMap;

/// Go's zero time: what Alertmanager writes for an end that has not come.
const NO_END: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: u32,
    receiver: &'a str,
    status: &'static str,
    #[serde(rename = "notification_reason")]
    notification_reason: &'static str,
    group_labels: &'a Labels,
    common_labels: Labels,
    common_annotations: BTreeMap<String, String>,
    route_labels: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<Alert<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: &'a Labels,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

/// The JSON to post for `notice` to the receiver of this name. `external_url` is where a person
/// finds our status page; empty if nowhere.
#[must_use]
pub fn body(notice: &Notice, receiver: &str, external_url: &str) -> Vec<u8> {
    let alerts: Vec<Alert> =
        notice.alerts.iter().filter_map(|view| alert(view, external_url)).collect();
    let firing = alerts.iter().any(|alert| alert.status == "firing");
    let message = Message {
        version: "4",
        group_key: &notice.group_key,
        truncated_alerts: 0,
        receiver,
        status: if firing { "firing" } else { "resolved" },
        notification_reason: notice.reason.as_str(),
        group_labels: &notice.group_labels,
        common_labels: common(alerts.iter().map(|alert| alert.labels)),
        common_annotations: common(alerts.iter().map(|alert| alert.annotations)),
        // We have one route, and it has no labels.
        route_labels: BTreeMap::new(),
        external_url,
        alerts,
    };
    // Text keys and plain values: nothing in it can fail to be JSON.
    serde_json::to_vec(&message).unwrap_or_default()
}

fn alert<'a>(view: &'a AlertView, generator_url: &'a str) -> Option<Alert<'a>> {
    let status = match view.state {
        // Alertmanager knows no such state: nobody is told of a pending alert.
        AlertState::Pending => return None,
        AlertState::Firing => "firing",
        AlertState::Resolved => "resolved",
    };
    Some(Alert {
        status,
        labels: &view.labels,
        annotations: &view.annotations,
        starts_at: view.starts_at.to_string(),
        ends_at: view.ends_at.map_or_else(|| NO_END.to_owned(), |end| end.to_string()),
        generator_url,
        fingerprint: format!("{:016x}", fingerprint(&view.labels)),
    })
}

/// What all the maps agree on.
fn common<'a>(
    mut maps: impl Iterator<Item = &'a BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut common = maps.next().cloned().unwrap_or_default();
    for map in maps {
        common.retain(|name, value| map.get(name) == Some(value));
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::NoticeReason;
    use crate::domain::time::{Moment, Wall};

    fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn alert(consumer: &str, state: AlertState, ends_at: Option<Wall>) -> AlertView {
        AlertView {
            labels: map([
                ("alertname", "KinesisConsumerLagHigh"),
                ("consumer", consumer),
                ("stream", "s"),
            ]),
            annotations: map([("summary", "\"behind\"\u{7}<b>"), ("value", consumer)]),
            state,
            starts_at: Wall::from_ms(1_545_084_650_987),
            ends_at,
        }
    }

    fn check(alerts: Vec<AlertView>, reason: NoticeReason, golden: &str) {
        let notice = Notice {
            id: 7,
            group_key: r#"{}:{alertname="KinesisConsumerLagHigh", stream="s"}"#.to_owned(),
            group_labels: map([("alertname", "KinesisConsumerLagHigh"), ("stream", "s")]),
            reason,
            alerts,
            at: Moment::default(),
        };
        let body = body(&notice, "hook", "http://127.0.0.1:9590/");
        let parse = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
        assert_eq!(parse(&body), parse(golden.as_bytes()));
    }

    #[test]
    fn firing() {
        let end = Some(Wall::from_ms(1_545_084_700_000));
        check(
            vec![
                alert("c", AlertState::Firing, None),
                alert("d", AlertState::Resolved, end),
                alert("e", AlertState::Pending, None),
            ],
            NoticeReason::First,
            include_str!("golden/firing.json"),
        );
    }

    #[test]
    fn resolved() {
        let end = Some(Wall::from_ms(1_545_084_700_000));
        check(
            vec![alert("c", AlertState::Resolved, end)],
            NoticeReason::AllResolved,
            include_str!("golden/resolved.json"),
        );
    }
}
