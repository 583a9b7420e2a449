//! Owns the part of the page that says what this process costs and which configuration is in force.
//! Refuses secrets: it shows what the start-up log shows.

use super::Sight;
use crate::wire::status::figures;
use askama::Template;

#[derive(Template)]
#[template(path = "page/own.html", config = "src/wire/status/askama.toml")]
pub(super) struct OwnCosts<'a> {
    cpu: String,
    cpu_total: String,
    memory: String,
    memory_peak: String,
    requests: String,
    uptime: String,
    dollars: Option<String>,
    dropped: Vec<String>,
    left_out: Vec<String>,
    configuration: &'a [(String, String)],
}

impl<'a> OwnCosts<'a> {
    pub(super) fn new(sight: &'a Sight<'_>) -> Self {
        let (counts, then) = (sight.counts, sight.history.baseline());
        let own = counts.own;
        let cpu = counts.per_second(then, |counts| Some(counts.own.cpu?.as_secs_f64()));
        let requests = counts.per_second(then, |counts| counts.requests);
        let left_out = sight.snapshot.left_out;
        let reads = (left_out.reads > 0)
            .then(|| format!("{} reads of shards over limits.windows_max", left_out.reads));
        let events = left_out.stream_events;
        let events =
            (events > 0).then(|| format!("{events} events of streams over limits.streams_max"));
        let dropped = counts.dropped.iter();
        Self {
            cpu: figures::share(cpu),
            cpu_total: figures::span_or_unknown(own.cpu),
            memory: figures::mebibytes(own.resident_bytes),
            memory_peak: figures::mebibytes(own.resident_bytes_peak),
            requests: figures::per_second(requests, ""),
            uptime: figures::span(sight.snapshot.now.mono),
            dollars: counts.dollars.map(|dollars| format!("${dollars:.2}")),
            dropped: dropped
                .map(|(queue, reason, count)| format!("{queue}: {count} ({reason})"))
                .collect(),
            left_out: reads.into_iter().chain(events).collect(),
            configuration: sight.configuration,
        }
    }
}
