//! Owns an event of PagerDuty's Events API v2. Refuses to outgrow its limits: what is cut says so.
//! Source: reference/alerts.md 1.4.

use super::text::{clean, cut, links, summary};
use super::{incident_id, is_firing};
use crate::domain::alert::AlertView;
use serde::Serialize;
use std::collections::BTreeMap;

/// Where events go, unless another address is configured.
pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";

const SUMMARY_CHARS_MAX: usize = 1_024;
/// PagerDuty takes 512 KB a request; details are a part of it.
const DETAILS_BYTES_MAX: usize = 256 * 1024;
const DETAIL_CHARS_MAX: usize = 4_096;

#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: String,
    client: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_url: &'a str,
    links: Vec<Link>,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct Link {
    href: String,
    text: String,
}

#[derive(Serialize)]
struct Payload<'a> {
    summary: String,
    source: String,
    severity: &'static str,
    timestamp: String,
    component: &'a str,
    group: &'a str,
    class: &'a str,
    custom_details: BTreeMap<String, String>,
}

/// The JSON to post for one alert: a trigger while it fires, else a resolve of the same incident.
#[must_use]
pub fn body(alert: &AlertView, routing_key: &str, external_url: &str) -> Vec<u8> {
    let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
    let source = ["stream", "consumer"].map(label).join("/");
    let link = |(text, href): (String, String)| Link { href, text: cut(&text, 100) };
    let event = Event {
        routing_key,
        event_action: if is_firing(alert) { "trigger" } else { "resolve" },
        dedup_key: incident_id(&alert.labels),
        client: "Kinescope",
        client_url: external_url,
        links: links(alert, external_url).into_iter().map(link).collect(),
        payload: Payload {
            summary: cut(&summary(alert), SUMMARY_CHARS_MAX),
            // It must not be empty.
            source: if source == "/" { "kinescope".to_owned() } else { source },
            severity: severity(label("severity")),
            timestamp: alert.starts_at.to_string(),
            component: label("stream"),
            group: label("consumer"),
            class: label("alertname"),
            custom_details: details(alert),
        },
    };
    // Text keys and plain values: nothing in it can fail to be JSON.
    serde_json::to_vec(&event).unwrap_or_default()
}

/// PagerDuty knows four; what a rule calls otherwise is taken for the one that wakes somebody.
fn severity(label: &str) -> &'static str {
    match label {
        "info" => "info",
        "warning" => "warning",
        "error" => "error",
        _ => "critical",
    }
}

fn details(alert: &AlertView) -> BTreeMap<String, String> {
    let mut details = BTreeMap::new();
    let (mut bytes, mut left_out) = (0, 0_usize);
    for (name, value) in alert.labels.iter().chain(&alert.annotations) {
        let value = cut(&clean(value), DETAIL_CHARS_MAX);
        bytes += name.len() + value.len();
        match bytes <= DETAILS_BYTES_MAX {
            true => drop(details.insert(name.clone(), value)),
            false => left_out += 1,
        }
    }
    if left_out > 0 {
        details.insert("left_out".to_owned(), format!("{left_out} details, for their size"));
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::AlertState;
    use crate::domain::time::Wall;
    use crate::wire::notify::examples::{alert, golden};

    #[test]
    fn trigger_and_resolve() {
        let url = "http://127.0.0.1:9590/";
        let firing = alert("c", AlertState::Firing, None);
        golden(&body(&firing, "R0UTE", url), include_str!("golden/pagerduty-trigger.json"));
        let resolved = alert("c", AlertState::Resolved, Some(Wall::from_ms(1_545_084_700_000)));
        golden(&body(&resolved, "R0UTE", url), include_str!("golden/pagerduty-resolve.json"));
    }

    #[test]
    fn limits_are_kept() {
        let mut view = alert("c", AlertState::Firing, None);
        view.annotations.insert("summary".to_owned(), "é".repeat(5_000));
        for n in 0..400 {
            view.annotations.insert(format!("detail_{n}"), "é".repeat(5_000));
        }
        let body = body(&view, "R0UTE", "");
        assert!(body.len() <= 512_000, "{}", body.len());
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["payload"]["summary"].as_str().unwrap().chars().count(), 1_024);
        assert!(body["payload"]["custom_details"]["left_out"].is_string());
    }
}
