//! Owns the part of the page that shows streams: what passed through this process, what the control
//! plane said and what CloudWatch said, side by side and never mixed. Refuses to show columns of
//! which nothing is known in any row.

use super::Sight;
use super::rows::{Rows, ago};
use crate::domain::lag::Lag;
use crate::domain::snapshot::{CloudWatchView, StreamView};
use crate::domain::time::Wall;
use crate::wire::status::counts::StreamCounts;
use crate::wire::status::figures;
use askama::Template;
use std::time::Duration;

const STREAMS_MAX: usize = 100;

#[derive(Template)]
#[template(path = "page/streams.html", config = "src/wire/status/askama.toml")]
pub(super) struct Streams<'a> {
    rows: Rows<StreamRow<'a>>,
    has_traffic: bool,
    has_cloudwatch: bool,
}

impl<'a> Streams<'a> {
    pub(super) fn new(sight: &'a Sight<'_>) -> Self {
        let all = &sight.snapshot.streams;
        let now = sight.snapshot.now.wall;
        let rows = Rows::first(all.iter(), STREAMS_MAX).map(|view| StreamRow {
            name: view.stream.as_str(),
            told: Told::new(view),
            traffic: Traffic::new(view, sight),
            cloudwatch: Reported::new(&view.cloudwatch, now),
        });
        Self {
            has_traffic: rows.shown.iter().any(|row| row.traffic.is_some()),
            has_cloudwatch: rows.shown.iter().any(|row| row.cloudwatch.is_some()),
            rows,
        }
    }
}

struct StreamRow<'a> {
    name: &'a str,
    told: Told,
    traffic: Option<Traffic>,
    cloudwatch: Option<Reported>,
}

/// What the control plane said.
struct Told {
    state: String,
    open_shards: String,
    retention: String,
}

impl Told {
    fn new(view: &StreamView) -> Self {
        let unknown = || figures::UNKNOWN.to_owned();
        let told = view.description.as_ref();
        Self {
            state: told.map_or_else(unknown, |told| format!("{}, {}", told.status, told.mode)),
            open_shards: told.map_or_else(unknown, |told| told.open_shards.to_string()),
            retention: figures::span_or_unknown(told.map(|told| told.retention)),
        }
    }
}

/// What passed through this process within the last minute.
struct Traffic {
    put: String,
    got: String,
    refused: String,
    /// Since the start, by error.
    errors: Vec<String>,
}

impl Traffic {
    fn new(view: &StreamView, sight: &Sight<'_>) -> Option<Self> {
        let name = view.stream.as_str();
        let counts = sight.counts.streams.get(name)?;
        let rate = |figure: fn(&StreamCounts) -> Option<f64>| {
            let of = sight.counts.per_second(sight.history.baseline(), |counts| {
                counts.streams.get(name).and_then(figure)
            });
            figures::per_second(of, "")
        };
        let sum = |counts: &StreamCounts| {
            counts.put.map(|_| counts.refused.values().fold(0.0, |sum, count| sum + count))
        };
        let errors = counts.refused.iter();
        Some(Self {
            put: rate(|counts| counts.put),
            got: rate(|counts| counts.got),
            refused: rate(sum),
            errors: errors.map(|(error, count)| format!("{error} {count}")).collect(),
        })
    }
}

/// What CloudWatch said; `None` where it said nothing.
struct Reported {
    records_in: String,
    bytes_in: String,
    iterator_age: String,
    read_throttles: String,
    write_throttles: String,
    as_of: String,
}

impl Reported {
    fn new(metrics: &CloudWatchView, now: Wall) -> Option<Self> {
        let points = [
            metrics.incoming_records,
            metrics.incoming_bytes,
            metrics.iterator_age,
            metrics.read_throttles,
            metrics.write_throttles,
        ];
        // The oldest figure of the row decides what the row is as of.
        let as_of = points.iter().flatten().map(|point| point.at.plus(point.period)).min()?;
        let age = metrics.iterator_age.and_then(|point| {
            let value = Duration::try_from_secs_f64(point.value / 1_000.0).ok()?;
            Some(Lag { value, inferred: false })
        });
        Some(Self {
            records_in: figures::rate(metrics.incoming_records, ""),
            bytes_in: figures::rate(metrics.incoming_bytes, "B"),
            iterator_age: figures::lag(age),
            read_throttles: figures::rate(metrics.read_throttles, ""),
            write_throttles: figures::rate(metrics.write_throttles, ""),
            as_of: ago(as_of, now),
        })
    }
}
