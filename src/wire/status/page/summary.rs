//! Owns what stands first on the page: what is wrong, in one sentence and then one row a trouble, or
//! what to do where nothing has been seen yet. Refuses to name one trouble twice.

use super::Sight;
use super::rows::{Badge, Rows, Tone, tone};
use crate::domain::alert::{AlertState, AlertView, Labels};
use crate::domain::snapshot::{ConsumerView, Snapshot};
use crate::domain::time::Wall;
use crate::wire::exposition::state_name;
use crate::wire::status::Role;
use crate::wire::status::figures;
use askama::Template;
use std::cmp::Reverse;
use std::time::Duration;

const TROUBLES_MAX: usize = 50;
const RESOLVED_MAX: usize = 50;
/// What the bars of alerts cover.
const HOUR: Duration = Duration::from_secs(3_600);
/// The width of a bar's box, in its own units.
pub(super) const BAR_WIDTH: f64 = 120.0;

#[derive(Template)]
#[template(path = "page/summary.html", config = "src/wire/status/askama.toml")]
pub(super) struct Summary<'a> {
    headline: String,
    tone: Tone,
    /// Nothing has been seen: what to do, step by step.
    next: Option<Next<'a>>,
    refused: Vec<Refused<'a>>,
    troubles: Rows<Trouble<'a>>,
    resolved: Rows<Trouble<'a>>,
}

impl<'a> Summary<'a> {
    pub(super) fn new(sight: &'a Sight<'_>) -> Self {
        let (snapshot, now) = (sight.snapshot, sight.snapshot.now.wall);
        let mut alerts: Vec<Trouble<'_>> =
            snapshot.alerts.iter().map(|alert| Trouble::alert(alert, now)).collect();
        alerts.sort_by_key(|alert| Reverse((alert.badge.tone, alert.since_ms)));
        let (resolved, mut troubles): (Vec<_>, Vec<_>) =
            alerts.into_iter().partition(|trouble| trouble.badge.tone == Tone::Good);
        let unannounced = sight
            .snapshot
            .consumers
            .iter()
            .filter(|view| tone(view.worst.status) >= Tone::Warn && !is_known(snapshot, view));
        let mut consumers: Vec<_> = unannounced.map(Trouble::consumer).collect();
        consumers.sort_by_key(|trouble| Reverse(trouble.badge.tone));
        troubles.append(&mut consumers);
        let (headline, tone) = headline(snapshot);
        let empty = snapshot.consumers.is_empty() && snapshot.streams.is_empty();
        Self {
            headline,
            tone,
            next: empty.then(|| Next::new(sight)),
            refused: sight.counts.refused.iter().map(Refused::new).collect(),
            troubles: Rows::first(troubles.into_iter(), TROUBLES_MAX),
            resolved: Rows::first(resolved.into_iter(), RESOLVED_MAX),
        }
    }
}

/// Alerts that fire.
pub(super) fn firing(snapshot: &Snapshot) -> impl Iterator<Item = &AlertView> {
    snapshot.alerts.iter().filter(|alert| alert.state == AlertState::Firing)
}

/// Whether an alert says it already.
fn is_known(snapshot: &Snapshot, view: &ConsumerView) -> bool {
    let is = |labels: &Labels, name: &str, value: &str| {
        labels.get(name).is_some_and(|found| found == value)
    };
    snapshot.alerts.iter().filter(|alert| alert.state != AlertState::Resolved).any(|alert| {
        is(&alert.labels, "stream", view.stream.as_str())
            && is(&alert.labels, "consumer", view.consumer.as_str())
    })
}

fn headline(snapshot: &Snapshot) -> (String, Tone) {
    let firing = firing(snapshot).count();
    let tones = || snapshot.consumers.iter().map(|view| tone(view.worst.status));
    let (bad, warn) = (
        tones().filter(|tone| *tone == Tone::Bad).count(),
        tones().filter(|tone| *tone == Tone::Warn).count(),
    );
    let all = figures::count(snapshot.consumers.len(), "consumer", "consumers");
    let trouble = match (bad, warn) {
        (0, 0) => format!("{all}, none in trouble"),
        (0, behind) => format!("{behind} of {all} behind"),
        (bad, 0) => format!("{bad} of {all} in trouble"),
        (bad, behind) => format!("{bad} of {all} in trouble, {behind} behind"),
    };
    let alerts = match firing {
        0 => "No alert is firing".to_owned(),
        1 => "1 alert is firing".to_owned(),
        many => format!("{many} alerts are firing"),
    };
    let tone = match (firing, bad, warn) {
        (0, 0, 0) if snapshot.consumers.is_empty() => Tone::Calm,
        (0, 0, 0) => Tone::Good,
        (0, 0, _) => Tone::Warn,
        _ => Tone::Bad,
    };
    match snapshot.consumers.len() {
        0 => (format!("{alerts}; no consumer has been seen yet"), tone),
        _ => (format!("{alerts}; {trouble}"), tone),
    }
}

/// An action that AWS refuses, and what the page lacks for it.
struct Refused<'a> {
    action: &'a str,
    of: String,
    lacks: &'static str,
}

impl<'a> Refused<'a> {
    fn new((action, resources): &'a (String, f64)) -> Self {
        let lacks = match action.as_str() {
            "kinesis:DescribeStreamSummary" => "retention, open shards, the largest record",
            "kinesis:ListShards" => "which shards are children of which",
            "kinesis:ListStreams" => "streams that no sidecar sees",
            "kinesis:ListStreamConsumers" => "who is registered for fan-out",
            "kinesis:ListTagsForStream" => "streams chosen by their tags",
            "cloudwatch:GetMetricData" => "figures of CloudWatch",
            "cloudwatch:ListMetrics" => "figures of single shards and readers",
            "dynamodb:Scan" => "checkpoints of KCL",
            _ => "what it would tell",
        };
        let of = match *resources > 1.0 {
            true => format!(" ({resources} streams or tables)"),
            false => String::new(),
        };
        Self { action, of, lacks }
    }
}

/// What to do where nothing has been seen yet.
struct Next<'a> {
    role: Role,
    data_plane: &'a str,
    otlp: &'a str,
}

impl<'a> Next<'a> {
    fn new(sight: &'a Sight<'_>) -> Self {
        let first = |name: &str, otherwise: &'a str| {
            let found = sight.configuration.iter().find(|(key, _)| key == name);
            let value = found.map_or("none", |(_, value)| value.as_str());
            value.split(", ").next().filter(|at| *at != "none").unwrap_or(otherwise)
        };
        Self {
            role: sight.identity.role,
            data_plane: first("data plane", "127.0.0.1:4590"),
            otlp: first("otlp received", "[::]:4595"),
        }
    }
}

/// One row of what is wrong.
struct Trouble<'a> {
    key: String,
    badge: Badge,
    name: &'a str,
    labels: String,
    summary: &'a str,
    /// Why nobody is told; empty where somebody is.
    untold: &'a str,
    since: String,
    since_ms: u64,
    since_at: String,
    bar: Option<Bar>,
}

/// When an alert was on within the last hour.
struct Bar {
    x: String,
    width: String,
}

impl<'a> Trouble<'a> {
    fn alert(alert: &'a AlertView, now: Wall) -> Self {
        let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
        let others: Vec<String> = ["stream", "consumer", "shard"]
            .iter()
            .filter_map(|name| alert.labels.get(*name).map(|value| format!("{name} {value}")))
            .collect();
        let (tone, at) = match (alert.state, label("severity")) {
            (AlertState::Pending, _) => (Tone::Calm, alert.starts_at),
            (AlertState::Firing, "critical") => (Tone::Bad, alert.starts_at),
            (AlertState::Firing, _) => (Tone::Warn, alert.starts_at),
            (AlertState::Resolved, _) => (Tone::Good, alert.ends_at.unwrap_or(alert.starts_at)),
        };
        let identity: Vec<&str> = alert.labels.values().map(String::as_str).collect();
        Self {
            key: identity.join("/"),
            badge: Badge {
                text: [state_name(alert.state), label("severity")].join(" ").trim_end().to_owned(),
                tone,
            },
            name: label("alertname"),
            labels: others.join(", "),
            summary: alert.annotations.get("summary").map_or("", String::as_str),
            untold: alert.annotations.get("suppressed_by").map_or("", String::as_str),
            since: format!("{} ago", figures::span(now.since(at))),
            since_ms: at.as_ms(),
            since_at: figures::time_of_day(at),
            bar: bar(alert, now),
        }
    }

    fn consumer(view: &'a ConsumerView) -> Self {
        Self {
            key: format!("{}/{}", view.stream, view.consumer),
            badge: Badge::of(view.worst.status),
            name: view.consumer.as_str(),
            labels: format!("stream {}", view.stream),
            summary: &view.worst.reason,
            untold: "",
            since: String::new(),
            since_ms: 0,
            since_at: String::new(),
            bar: None,
        }
    }
}

fn bar(alert: &AlertView, now: Wall) -> Option<Bar> {
    let began = now.since(alert.starts_at).min(HOUR);
    let ended = alert.ends_at.map_or(Duration::ZERO, |at| now.since(at));
    let units = |time: Duration| time.as_secs_f64() / HOUR.as_secs_f64() * BAR_WIDTH;
    // A moment is a line that can be seen.
    let width = units(began.checked_sub(ended)?).max(2.0);
    let x = (BAR_WIDTH - units(began)).min(BAR_WIDTH - width);
    Some(Bar { x: format!("{x:.1}"), width: format!("{width:.1}") })
}
