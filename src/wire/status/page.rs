//! Owns the status page: one self-contained HTML document for a person, its style and script
//! inside and named by hash in its policy. Refuses to show more rows than a page can bear; what
//! is left out is counted on it and is in the JSON.

use crate::domain::alert::{AlertState, AlertView};
use crate::domain::lag::{Assessment, Lag, Status};
use crate::domain::snapshot::{ConsumerView, ShardView, Snapshot, StreamView};
use crate::domain::time::Wall;
use crate::wire::exposition::state_name;
use crate::wire::status::Identity;
use crate::wire::status::figures;
use crate::wire::status::loads::{LoadRow, busiest};
use askama::Template;
use sha2::Digest;
use std::cmp::Reverse;
use std::time::Duration;

/// A page is built anew every two seconds for each who looks: rows beyond these help nobody.
const CONSUMERS_MAX: usize = 100;
const STREAMS_MAX: usize = 100;
const SHARDS_MAX: usize = 32;
const LOADS_MAX: usize = 20;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page as HTML.
///
/// # Errors
/// When the template cannot be filled, which no snapshot should cause.
pub fn html(snapshot: &Snapshot, identity: &Identity) -> Result<String, askama::Error> {
    let now = snapshot.now.wall;
    let consumers = ranked(&snapshot.consumers, CONSUMERS_MAX, |view| &view.worst);
    Page {
        title: title(snapshot, identity),
        style: STYLE,
        script: SCRIPT,
        identity,
        as_of: now.to_string(),
        alerts: snapshot.alerts.iter().map(|alert| AlertRow::new(alert, now)).collect(),
        consumers: consumers.map(|view| ConsumerRow::new(view, now)),
        streams: Rows::first(snapshot.streams.iter(), STREAMS_MAX)
            .map(|view| StreamRow::new(view, now)),
        loads: Rows::first(busiest(&snapshot.loads).into_iter(), LOADS_MAX),
    }
    .render()
}

/// The `Content-Security-Policy` under which the page works: nothing but its own style and script,
/// and asking its own origin again.
#[must_use]
pub fn content_security_policy() -> String {
    let hash =
        |text: &str| base64_simd::STANDARD.encode_to_string(sha2::Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

#[derive(Template)]
#[template(path = "page.html", config = "src/wire/status/askama.toml")]
struct Page<'a> {
    title: String,
    style: &'static str,
    script: &'static str,
    identity: &'a Identity,
    as_of: String,
    alerts: Vec<AlertRow<'a>>,
    consumers: Rows<ConsumerRow<'a>>,
    streams: Rows<StreamRow<'a>>,
    loads: Rows<LoadRow<'a>>,
}

/// As many rows as fit, and how many more there are.
struct Rows<T> {
    shown: Vec<T>,
    more: usize,
}

impl<T> Rows<T> {
    fn first(rows: impl ExactSizeIterator<Item = T>, max: usize) -> Self {
        Self { more: rows.len().saturating_sub(max), shown: rows.take(max).collect() }
    }

    fn map<U>(self, row: impl FnMut(T) -> U) -> Rows<U> {
        Rows { shown: self.shown.into_iter().map(row).collect(), more: self.more }
    }
}

/// The worst first; equals stay in the order of their names.
fn ranked<T>(all: &[T], max: usize, verdict: fn(&T) -> &Assessment) -> Rows<&T> {
    let mut rows: Vec<&T> = all.iter().collect();
    rows.sort_by_key(|row| {
        let verdict = verdict(row);
        Reverse((verdict.status, verdict.lag.map(|lag| lag.value)))
    });
    Rows::first(rows.into_iter(), max)
}

/// How a status or an alert looks; its text says the same.
const fn tone(status: Status) -> &'static str {
    match status {
        Status::Ok | Status::Idle => "good",
        Status::Released | Status::Unknown => "calm",
        Status::Rewound | Status::Lagging => "warn",
        Status::FallingBehind | Status::Stalled | Status::Stopped | Status::LosingData => "bad",
    }
}

fn words(status: Status) -> String {
    status.as_str().replace('_', " ")
}

fn ago(at: Wall, now: Wall) -> String {
    format!("{} ago", figures::span(now.since(at)))
}

/// Says in the browser's tab what is wrong.
fn title(snapshot: &Snapshot, identity: &Identity) -> String {
    let firing = snapshot.alerts.iter().filter(|alert| alert.state == AlertState::Firing).count();
    let subject = format!("{} · Kinescope", identity.service);
    if firing == 0 { subject } else { format!("({firing} firing) {subject}") }
}

struct Verdict<'a> {
    status: String,
    tone: &'static str,
    rule: u8,
    reason: &'a str,
    lag: String,
    velocity: String,
    catch_up: String,
    data_loss: String,
    retention_used: String,
}

impl<'a> From<&'a Assessment> for Verdict<'a> {
    fn from(verdict: &'a Assessment) -> Self {
        Self {
            status: words(verdict.status),
            tone: tone(verdict.status),
            rule: verdict.rule.number(),
            reason: &verdict.reason,
            lag: figures::lag(verdict.lag),
            velocity: figures::velocity(verdict.velocity),
            catch_up: figures::span_or_unknown(verdict.catch_up),
            data_loss: figures::span_or_unknown(verdict.data_loss),
            retention_used: figures::share(verdict.retention_used),
        }
    }
}

struct ConsumerRow<'a> {
    name: &'a str,
    stream: &'a str,
    worst: Verdict<'a>,
    shards_summary: String,
    shards: Rows<ShardRow<'a>>,
}

impl<'a> ConsumerRow<'a> {
    fn new(view: &'a ConsumerView, now: Wall) -> Self {
        let counts: Vec<String> = Status::ALL
            .into_iter()
            .rev()
            .filter_map(|status| {
                let has = |shard: &&ShardView| shard.assessment.status == status;
                let count = view.shards.iter().filter(has).count();
                (count > 0).then(|| format!("{count} {}", words(status)))
            })
            .collect();
        let noun = if view.shards.len() == 1 { "shard" } else { "shards" };
        Self {
            name: view.consumer.as_str(),
            stream: view.stream.as_str(),
            worst: Verdict::from(&view.worst),
            shards_summary: format!("{} {noun}: {}", view.shards.len(), counts.join(", ")),
            shards: ranked(&view.shards, SHARDS_MAX, |shard| &shard.assessment)
                .map(|shard| ShardRow::new(shard, now)),
        }
    }
}

struct ShardRow<'a> {
    name: &'a str,
    verdict: Verdict<'a>,
    last_read: String,
}

impl<'a> ShardRow<'a> {
    fn new(view: &'a ShardView, now: Wall) -> Self {
        Self {
            name: view.shard.as_str(),
            verdict: Verdict::from(&view.assessment),
            last_read: ago(view.last_observed, now),
        }
    }
}

struct StreamRow<'a> {
    name: &'a str,
    state: String,
    open_shards: String,
    retention: String,
    records_in: String,
    bytes_in: String,
    iterator_age: String,
    read_throttles: String,
    write_throttles: String,
    cloudwatch_as_of: String,
}

impl<'a> StreamRow<'a> {
    fn new(view: &'a StreamView, now: Wall) -> Self {
        let unknown = || figures::UNKNOWN.to_owned();
        let told = view.description.as_ref();
        let metrics = &view.cloudwatch;
        let points = [
            metrics.incoming_records,
            metrics.incoming_bytes,
            metrics.iterator_age,
            metrics.read_throttles,
            metrics.write_throttles,
        ];
        // The oldest figure of the row decides what the row is as of.
        let as_of = points.iter().flatten().map(|point| point.at.plus(point.period)).min();
        let age = metrics.iterator_age.and_then(|point| {
            let value = Duration::try_from_secs_f64(point.value / 1_000.0).ok()?;
            Some(Lag { value, inferred: false })
        });
        Self {
            name: view.stream.as_str(),
            state: told.map_or_else(unknown, |told| format!("{}, {}", told.status, told.mode)),
            open_shards: told.map_or_else(unknown, |told| told.open_shards.to_string()),
            retention: figures::span_or_unknown(told.map(|told| told.retention)),
            records_in: figures::rate(metrics.incoming_records, ""),
            bytes_in: figures::rate(metrics.incoming_bytes, "B"),
            iterator_age: figures::lag(age),
            read_throttles: figures::rate(metrics.read_throttles, ""),
            write_throttles: figures::rate(metrics.write_throttles, ""),
            cloudwatch_as_of: as_of.map_or_else(unknown, |at| ago(at, now)),
        }
    }
}

struct AlertRow<'a> {
    state: String,
    tone: &'static str,
    name: &'a str,
    labels: String,
    summary: &'a str,
    since: String,
}

impl<'a> AlertRow<'a> {
    fn new(alert: &'a AlertView, now: Wall) -> Self {
        let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
        let others: Vec<String> = ["stream", "consumer", "shard"]
            .iter()
            .filter_map(|name| alert.labels.get(*name).map(|value| format!("{name} {value}")))
            .collect();
        let (tone, at) = match alert.state {
            AlertState::Pending => ("warn", alert.starts_at),
            AlertState::Firing => ("bad", alert.starts_at),
            AlertState::Resolved => ("good", alert.ends_at.unwrap_or(alert.starts_at)),
        };
        Self {
            state: [state_name(alert.state), label("severity")].join(" ").trim_end().to_owned(),
            tone,
            name: label("alertname"),
            labels: others.join(", "),
            summary: alert.annotations.get("summary").map_or("", String::as_str),
            since: ago(at, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::sample;

    fn page(snapshot: &Snapshot) -> String {
        html(snapshot, &sample::identity()).unwrap()
    }

    #[test]
    fn says_whose_figures_it_shows_and_how_sure_they_are() {
        let page = page(&sample::snapshot());
        for expected in [
            "what this sidecar saw of this pod",
            "service <strong>inventory</strong>",
            "<span class=\"badge bad\">stopped</span> no read for 72 s, 14 times its usual 5 s",
            "≈ 1 min 24 s",
            "23 h 58 min",
            "2 shards: 1 stopped, 1 ok",
            "ACTIVE, PROVISIONED",
            "125 /s",
            "150 kB/s",
            "(1 firing) inventory",
            "<td class=\"number\">—</td>",
        ] {
            assert!(page.contains(expected), "{expected} is not on the page:\n{page}");
        }
    }

    #[test]
    fn names_are_escaped_wherever_they_stand() {
        let evil = "<script>alert(1)</script>\"'";
        let mut snapshot = sample::snapshot();
        let mut identity = sample::identity();
        identity.service = evil.to_owned();
        identity.region = evil.to_owned();
        identity.revision = evil.to_owned();
        for consumer in &mut snapshot.consumers {
            consumer.consumer = evil.into();
            consumer.stream = evil.into();
            consumer.worst.reason = evil.to_owned();
            for shard in &mut consumer.shards {
                shard.shard = evil.into();
                shard.assessment.reason = evil.to_owned();
            }
        }
        for stream in &mut snapshot.streams {
            stream.stream = evil.into();
            if let Some(description) = &mut stream.description {
                description.mode = evil.to_owned();
                description.status = evil.to_owned();
            }
        }
        for alert in &mut snapshot.alerts {
            alert.labels.values_mut().for_each(|value| evil.clone_into(value));
            alert.annotations.values_mut().for_each(|value| evil.clone_into(value));
        }
        let page = html(&snapshot, &identity).unwrap();
        assert!(page.contains("&#60;script&#62;"), "{page}");
        assert!(!page.contains("<script>alert") && !page.contains("\"'"), "{page}");
    }

    #[test]
    fn an_empty_process_says_so() {
        let page = page(&Snapshot::default());
        for expected in ["No alert is", "No consumer has read", "No stream has been seen"] {
            assert!(page.contains(expected), "{page}");
        }
    }

    #[test]
    fn a_thousand_shards_fit_on_the_page_worst_first() {
        let mut snapshot = sample::snapshot();
        let consumer = &mut snapshot.consumers[0];
        let calm = consumer.shards[0].assessment.clone();
        let stopped = consumer.shards[1].assessment.clone();
        consumer.shards =
            (0..1_000).map(|n| sample::shard(&format!("s-{n}"), calm.clone(), 0)).collect();
        consumer.shards[777].assessment = stopped;
        let page = page(&snapshot);
        assert!(page.contains("968 more") && page.contains("1000 shards: 1 stopped, 999 ok"));
        let at = |name: &str| page.find(&format!("<code>{name}</code>"));
        assert!(at("s-777").is_some() && at("s-777") < at("s-0"), "the worst comes first");
        assert_eq!(at("s-31"), None);
    }

    #[test]
    fn the_policy_names_what_the_page_holds() {
        let page = page(&Snapshot::default());
        let between = |open: &str, close: &str| {
            let (_, rest) = page.split_once(open).unwrap();
            rest.split_once(close).unwrap().0.to_owned()
        };
        for text in [between("<style>", "</style>"), between("<script>", "</script>")] {
            let hash = base64_simd::STANDARD.encode_to_string(sha2::Sha256::digest(&text));
            assert!(content_security_policy().contains(&format!("'sha256-{hash}'")));
        }
        assert!(!page.contains("style="), "the policy forbids style attributes");
    }
}
