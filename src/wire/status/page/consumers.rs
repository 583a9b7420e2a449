//! Owns the part of the page that shows consumers, the worst first, each with its shards behind it.
//! Refuses more rows than a page can bear; what is left out is counted and is in the JSON.

use super::Sight;
use super::rows::{Badge, Rows, ago, ranked, tally};
use super::spark::{self, Spark};
use crate::domain::lag::{Assessment, Status, evidence_text};
use crate::domain::snapshot::{ConsumerView, ShardView};
use crate::domain::time::Wall;
use crate::wire::status::figures;
use askama::Template;

const CONSUMERS_MAX: usize = 100;
/// The consumers in most trouble show so many of their shards …
const IN_FULL: usize = 10;
const SHARDS_MAX: usize = 32;
/// … and all others so many: a page that is drawn each second stays under half a megabyte.
const SHARDS_OF_OTHERS_MAX: usize = 4;

#[derive(Template)]
#[template(path = "page/consumers.html", config = "src/wire/status/askama.toml")]
pub(super) struct Consumers<'a> {
    rows: Rows<ConsumerRow<'a>>,
    tally: String,
}

impl<'a> Consumers<'a> {
    pub(super) fn new(sight: &'a Sight<'_>) -> Self {
        let all = &sight.snapshot.consumers;
        let rows = ranked(all, CONSUMERS_MAX, |view| &view.worst);
        let mut ranks = 0..;
        Self {
            rows: rows.map(|view| {
                let in_full = ranks.next().is_some_and(|rank: usize| rank < IN_FULL);
                let shards_max = if in_full { SHARDS_MAX } else { SHARDS_OF_OTHERS_MAX };
                ConsumerRow::new(view, shards_max, sight)
            }),
            tally: tally(all.iter().map(|view| view.worst.status)),
        }
    }
}

struct Verdict<'a> {
    badge: Badge,
    rule: String,
    reason: &'a str,
    evidence: Vec<String>,
    lag: String,
    velocity: String,
    catch_up: String,
    data_loss: String,
    retention_used: String,
}

impl<'a> From<&'a Assessment> for Verdict<'a> {
    fn from(verdict: &'a Assessment) -> Self {
        let evidence = verdict.evidence.iter();
        Self {
            badge: Badge::of(verdict.status),
            rule: verdict.rule.to_string().replace('_', " "),
            reason: &verdict.reason,
            evidence: evidence
                .map(|(name, value)| {
                    format!("{} {}", name.replace('_', " "), figures::plain(*value))
                })
                .collect(),
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
    worst_shard: &'a str,
    spark: Option<Spark>,
    shards_summary: String,
    shards: Rows<ShardRow<'a>>,
    has_checkpoints: bool,
}

impl<'a> ConsumerRow<'a> {
    fn new(view: &'a ConsumerView, shards_max: usize, sight: &Sight<'_>) -> Self {
        let now = sight.snapshot.now;
        let lag = view.worst.lag.map(|lag| lag.value.as_secs_f32());
        let earlier = sight.history.lags(&view.stream, &view.consumer);
        let series: Vec<_> =
            earlier.filter(|(at, _)| *at < now.mono).chain([(now.mono, lag)]).collect();
        let tally = tally(view.shards.iter().map(|shard| shard.assessment.status));
        let shards = ranked(&view.shards, shards_max, |shard| &shard.assessment);
        Self {
            name: view.consumer.as_str(),
            stream: view.stream.as_str(),
            worst: Verdict::from(&view.worst),
            worst_shard: view.worst_shard.as_str(),
            spark: spark::draw(&series),
            shards_summary: format!(
                "{}: {tally}",
                figures::count(view.shards.len(), "shard", "shards")
            ),
            has_checkpoints: view.shards.iter().any(|shard| shard.checkpoint.is_some()),
            shards: shards.map(|shard| ShardRow::new(shard, now.wall)),
        }
    }
}

struct ShardRow<'a> {
    name: &'a str,
    verdict: Verdict<'a>,
    /// Of a verdict that somebody may have to understand; that of the others is in the JSON.
    evidence: String,
    checkpoint: String,
    last_read: String,
}

impl<'a> ShardRow<'a> {
    fn new(view: &'a ShardView, now: Wall) -> Self {
        let checkpoint = view.checkpoint.map(|lag| {
            format!("{} ({})", figures::span(lag.value), lag.method.as_str().replace('_', " "))
        });
        let is_well = matches!(view.assessment.status, Status::Ok | Status::Idle);
        let evidence = &view.assessment.evidence;
        Self {
            name: view.shard.as_str(),
            verdict: Verdict::from(&view.assessment),
            evidence: if is_well { String::new() } else { evidence_text(evidence) },
            checkpoint: checkpoint.unwrap_or_else(|| figures::UNKNOWN.to_owned()),
            last_read: ago(view.last_observed, now),
        }
    }
}
