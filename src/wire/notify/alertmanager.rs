//! Owns the body of Alertmanager's `POST /api/v2/alerts`. Refuses alerts without labels, ends before
//! their starts and starts that are yet to come, all of which Alertmanager refuses or misreads.
//! Source: reference/alerts.md 1.1.

use super::is_firing;
use crate::domain::alert::{AlertState, AlertView, Labels};
use crate::domain::time::Wall;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The path behind Alertmanager's address.
pub const PATH: &str = "/api/v2/alerts";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    labels: &'a Labels,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

/// The JSON to post for these alerts at `now`. One that fires ends, as far as Alertmanager knows,
/// after `lifetime`, unless it is told again.
#[must_use]
pub fn body<'a>(
    alerts: impl IntoIterator<Item = &'a AlertView>,
    external_url: &str,
    now: Wall,
    lifetime: Duration,
) -> Vec<u8> {
    let told = |view: &&AlertView| view.state != AlertState::Pending && !view.labels.is_empty();
    let alert = |view: &'a AlertView| {
        // Annotations are repeated with the end: Alertmanager tells what it was told last.
        let starts_at = view.starts_at.min(now);
        let ends_at = match is_firing(view) {
            true => now.plus(lifetime),
            false => view.ends_at.unwrap_or(now).max(starts_at),
        };
        Alert {
            labels: &view.labels,
            annotations: &view.annotations,
            starts_at: starts_at.to_string(),
            ends_at: ends_at.to_string(),
            generator_url: external_url,
        }
    };
    let alerts: Vec<Alert<'_>> = alerts.into_iter().filter(told).map(alert).collect();
    // Text keys and plain values: nothing in it can fail to be JSON.
    serde_json::to_vec(&alerts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::notify::examples::{alert, golden};

    const LIFETIME: Duration = Duration::from_secs(240);

    #[test]
    fn firing_and_resolved() {
        let now = Wall::from_ms(1_545_084_710_000);
        let end = Some(Wall::from_ms(1_545_084_700_000));
        let alerts = [
            alert("c", AlertState::Firing, None),
            alert("d", AlertState::Resolved, end),
            alert("e", AlertState::Pending, None),
        ];
        let body = body(&alerts, "http://127.0.0.1:9590/", now, LIFETIME);
        golden(&body, include_str!("golden/alertmanager.json"));
    }

    #[test]
    fn times_that_alertmanager_would_refuse() {
        let early = Wall::from_ms(1_545_084_600_000);
        let alerts = [
            alert("c", AlertState::Firing, None),
            alert("d", AlertState::Resolved, Some(Wall::from_ms(5))),
        ];
        let body = body(&alerts, "", early, LIFETIME);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        for alert in body.as_array().unwrap() {
            let time = |name: &str| alert[name].as_str().unwrap().to_owned();
            assert!(time("startsAt") <= early.to_string() && time("startsAt") <= time("endsAt"));
        }
    }
}
