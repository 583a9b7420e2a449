//! Owns the Prometheus form of a snapshot: gauges in, text 0.0.4 or OpenMetrics out, in a stable order. Refuses
//! to gather the registry (`io::admin` does) and to show what is not known: an unknown value has
//! no series. A sidecar's consumer families speak for its pod. Source: reference/metrics.md 5.2.

mod capacity;
mod catalog;
mod cloudwatch;
pub mod openmetrics;
mod streams;
mod wide;

pub use catalog::FAMILIES;
pub use wide::Wide;

use crate::domain::alert::AlertState;
use crate::domain::lag::Status;
use crate::domain::snapshot::{
    CloudWatchPoint, CloudWatchView, ConsumerView, ShardView, Snapshot, StreamView,
};
use crate::domain::time::Wall;
use catalog::Family;
use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

/// A CloudWatch point of a minute that is this old is history: its family goes absent rather than showing it as now.
/// Ten minutes are five times the poller's usual delay.
const CLOUDWATCH_STALE_AFTER: Duration = Duration::from_secs(600);

/// What does not change from one exposition to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Label `region` of every `kinesis_` family.
    pub region: String,
    /// Whether to write the families that only a hub (or `all`) exports.
    pub hub: bool,
    /// Whether to write the verdicts on consumers: a sidecar leaves them to its hub, or a sum over
    /// both would count a consumer twice.
    pub verdicts: bool,
    /// Label `version` of the build.
    pub version: String,
    /// Label `revision` of the build.
    pub revision: String,
    /// Most series of the per-shard families together (`metrics.max_series`).
    pub series_max: usize,
    /// Whether shards have series of their own (`metrics.per_shard`).
    pub per_shard: bool,
}

/// A snapshot's families, and what did not fit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exposed<'a> {
    /// Every family that has a series, by name.
    pub families: Vec<MetricFamily>,
    /// Families with a series for every shard, by name, which are made while they are written.
    pub wide: Vec<Wide<'a>>,
    /// Series over the cap, by family; empty when all fitted.
    pub left_out: BTreeMap<&'static str, u64>,
}

/// Everything a snapshot has to tell a scraper. What exceeds `scope.series_max` is the shards in
/// the least trouble, so that a worst shard never loses its series.
#[must_use]
pub fn exposed<'a>(snapshot: &'a Snapshot, scope: &'a Scope) -> Exposed<'a> {
    let mut sheet = Sheet {
        region: &scope.region,
        families: BTreeMap::new(),
        wide: [catalog::DELIVERY_LAG, catalog::LAST_OBSERVED]
            .map(|family| Wide::new(family, &scope.region)),
        left_out: BTreeMap::new(),
    };
    for view in snapshot.consumers.iter().filter(|_| scope.verdicts) {
        consumer(&mut sheet, view);
    }
    let room = if scope.per_shard { shards(&mut sheet, snapshot, scope.series_max) } else { 0 };
    if scope.hub {
        if scope.per_shard {
            capacity::utilization(&mut sheet, snapshot, room);
            snapshot.consumers.iter().for_each(|view| checkpoints(&mut sheet, view));
        }
        for view in &snapshot.streams {
            streams::stream(&mut sheet, view, snapshot.now);
            stream_cloudwatch(&mut sheet, view, snapshot.now.wall);
        }
        cloudwatch::write(&mut sheet, &snapshot.cloudwatch, scope.series_max, snapshot.now.wall);
    }
    alerts(&mut sheet, snapshot);
    let build = [("version", scope.version.as_str()), ("revision", scope.revision.as_str())];
    sheet.gauge(catalog::BUILD_INFO, &build, Some(1.0));
    let families = sheet.families.into_values().collect();
    Exposed { families, wide: sheet.wide.into(), left_out: sheet.left_out }
}

/// As [`exposed`], with every series made.
#[cfg(test)]
pub(crate) fn families(snapshot: &Snapshot, scope: &Scope) -> Exposed<'static> {
    let Exposed { mut families, wide, left_out } = exposed(snapshot, scope);
    families.extend(wide.iter().filter(|wide| !wide.is_empty()).map(Wide::whole));
    families.sort_by(|a, b| a.name().cmp(b.name()));
    Exposed { families, wide: Vec::new(), left_out }
}

/// `kinescope_series_left_out_total` from its totals so far; no series while nothing was left out.
#[must_use]
pub fn left_out(totals: &BTreeMap<&'static str, u64>) -> MetricFamily {
    let metrics = totals.iter().map(|(family, total)| {
        let mut metric = Metric::from_label(vec![label("family", family)]);
        let mut counter = Counter::default();
        counter.set_value(*total as f64);
        metric.set_counter(counter);
        metric
    });
    let mut family = family_of(catalog::SERIES_LEFT_OUT, MetricType::COUNTER);
    family.set_metric(metrics.collect());
    family
}

#[cfg(test)]
pub(crate) fn text(families: &mut Vec<MetricFamily>) -> String {
    text_with(String::new(), families, &[])
}

/// Text 0.0.4 into the room of `out`, sorted by family name, the wide families among them. Families
/// without a series are removed: the format has no way to write them.
#[must_use]
pub fn text_with(mut out: String, families: &mut Vec<MetricFamily>, wide: &[Wide<'_>]) -> String {
    order(families);
    out.reserve_exact(room_for(families, wide));
    // It refuses only nameless and empty families, and both are gone.
    let write = |families: &[MetricFamily], out: &mut String| {
        let _ = TextEncoder::new().encode_utf8(families, out);
    };
    for (before, wide) in wide::merged(families, wide) {
        write(before, &mut out);
        for (nth, piece) in wide.iter().flat_map(|wide| wide.pieces()).enumerate() {
            let begins = out.len();
            write(std::slice::from_ref(&piece), &mut out);
            if nth > 0 {
                // `# HELP` and `# TYPE` are there already.
                let written = out.get(begins..).unwrap_or_default();
                let head = written.split_inclusive('\n').take(2).map(str::len).sum::<usize>();
                out.replace_range(begins..begins + head, "");
            }
        }
    }
    out
}

/// About as many bytes as these families take: text that grows by doubling is for a moment there
/// thrice.
fn room_for(families: &[MetricFamily], wide: &[Wide<'_>]) -> usize {
    // A head, and series of some labels; a histogram's lines may make the text grow after all.
    let narrow = |family: &MetricFamily| 256 + 160 * family.get_metric().len();
    families.iter().map(narrow).chain(wide.iter().map(Wide::text_bytes)).sum()
}

/// By name, without those that have no series.
fn order(families: &mut Vec<MetricFamily>) {
    families.retain(|family| !family.name().is_empty() && !family.get_metric().is_empty());
    families.sort_by(|a, b| a.name().cmp(b.name()));
}

/// Families as they fill.
struct Sheet<'a> {
    region: &'a str,
    families: BTreeMap<&'static str, MetricFamily>,
    /// Of each shard: its lag, and when it was observed.
    wide: [Wide<'a>; 2],
    left_out: BTreeMap<&'static str, u64>,
}

impl Sheet<'_> {
    /// Adds a series; an unknown or non-finite value adds none.
    fn gauge(&mut self, family: Family, labels: &[(&str, &str)], value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        let region = family.name.starts_with("kinesis_").then_some(("region", self.region));
        let labels: Vec<_> = labels.iter().copied().chain(region).collect();
        self.families
            .entry(family.name)
            .or_insert_with(|| family_of(family, MetricType::GAUGE))
            .mut_metric()
            .push(metric(&labels, value));
    }
}

fn metric(labels: &[(&str, &str)], value: f64) -> Metric {
    let pairs = labels.iter().map(|(name, value)| label(name, value)).collect();
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(pairs);
    metric.set_gauge(gauge);
    metric
}

fn family_of(family: Family, kind: MetricType) -> MetricFamily {
    let mut made = MetricFamily::default();
    made.set_name(family.name.to_owned());
    made.set_help(family.help.to_owned());
    made.set_field_type(kind);
    made
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn consumer(sheet: &mut Sheet<'_>, view: &ConsumerView) {
    let ids = [("stream", view.stream.as_str()), ("consumer", view.consumer.as_str())];
    let worst = &view.worst;
    sheet.gauge(catalog::LAG_VELOCITY, &ids, worst.velocity);
    sheet.gauge(catalog::TIME_TO_CATCH_UP, &ids, worst.catch_up.map(|t| t.as_secs_f64()));
    sheet.gauge(catalog::TIME_TO_DATA_LOSS, &ids, worst.data_loss.map(|t| t.as_secs_f64()));
    sheet.gauge(catalog::RETENTION_USED, &ids, worst.retention_used);
    let [stream, consumer] = ids;
    for status in Status::ALL {
        let labels = [stream, consumer, ("status", status.as_str())];
        let in_force = f64::from(u8::from(worst.status == status));
        let shards = view.shards.iter().filter(|shard| shard.assessment.status == status).count();
        sheet.gauge(catalog::CONSUMER_STATUS, &labels, Some(in_force));
        sheet.gauge(catalog::CONSUMER_SHARDS, &labels, Some(shards as f64));
    }
}

/// The per-shard families: as many as the cap allows, in the snapshot's order while all fit. Gives
/// the room that is left.
fn shards<'a>(sheet: &mut Sheet<'a>, snapshot: &'a Snapshot, series_max: usize) -> usize {
    let mut all: Vec<(&ConsumerView, &ShardView)> = snapshot
        .consumers
        .iter()
        .flat_map(|consumer| consumer.shards.iter().map(move |shard| (consumer, shard)))
        .collect();
    if all.len().saturating_mul(2) > series_max {
        // Stable: shards in equal trouble stay in the order of their names.
        all.sort_by_key(|(_, shard)| {
            Reverse((shard.assessment.status, shard.assessment.lag.map(|lag| lag.value)))
        });
    }
    let mut room = series_max;
    for (consumer, shard) in all {
        let lag = shard.assessment.lag.map(|lag| lag.value.as_secs_f64());
        let observed = shard.last_observed.as_ms() as f64 / 1_000.0;
        for (wide, value) in sheet.wide.iter_mut().zip([lag, Some(observed)]) {
            match (value, room.checked_sub(1)) {
                (None, _) => {}
                (Some(_), None) => *sheet.left_out.entry(wide.name()).or_default() += 1,
                (Some(value), Some(rest)) => {
                    room = rest;
                    wide.push(consumer, shard, value);
                }
            }
        }
    }
    room
}

/// Delivery lag and checkpoint lag never share a family: they part where a processor fails.
fn checkpoints(sheet: &mut Sheet<'_>, view: &ConsumerView) {
    for shard in &view.shards {
        let Some(lag) = shard.checkpoint else { continue };
        let labels = [
            ("stream", view.stream.as_str()),
            ("consumer", view.consumer.as_str()),
            ("shard", shard.shard.as_str()),
            ("method", lag.method.as_str()),
        ];
        sheet.gauge(catalog::CHECKPOINT_LAG, &labels, Some(lag.value.as_secs_f64()));
    }
}

/// Where periods were made longer to spare the budget, a point holds until the next is overdue.
fn is_fresh(point: CloudWatchPoint, now: Wall) -> bool {
    now.since(point.at.plus(point.period)) <= CLOUDWATCH_STALE_AFTER.max(point.period * 2)
}

fn stream_cloudwatch(sheet: &mut Sheet<'_>, view: &StreamView, now: Wall) {
    let labels = [("stream", view.stream.as_str())];
    let fresh = |point: Option<CloudWatchPoint>| point.filter(|point| is_fresh(*point, now));
    // A period of zero would make the rate infinite, which `gauge` leaves out.
    let rate = |point| fresh(point).map(|point| point.value / point.period.as_secs_f64());
    let CloudWatchView {
        incoming_records,
        incoming_bytes,
        iterator_age,
        write_throttles,
        read_throttles,
    } = view.cloudwatch;
    let age = fresh(iterator_age).map(|point| point.value / 1_000.0);
    sheet.gauge(catalog::CLOUDWATCH_ITERATOR_AGE, &labels, age);
    sheet.gauge(catalog::CLOUDWATCH_INCOMING_RECORDS, &labels, rate(incoming_records));
    sheet.gauge(catalog::CLOUDWATCH_INCOMING_BYTES, &labels, rate(incoming_bytes));
    sheet.gauge(catalog::CLOUDWATCH_READ_THROTTLES, &labels, rate(read_throttles));
    sheet.gauge(catalog::CLOUDWATCH_WRITE_THROTTLES, &labels, rate(write_throttles));
}

/// How many alerts: a number that is always known, so zeros are written for the usual pairs.
fn alerts(sheet: &mut Sheet<'_>, snapshot: &Snapshot) {
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for state in [AlertState::Pending, AlertState::Firing, AlertState::Resolved] {
        for severity in ["info", "warning", "critical"] {
            counts.insert((state_name(state), severity), 0);
        }
    }
    for alert in &snapshot.alerts {
        let severity = alert.labels.get("severity").map_or("none", String::as_str);
        *counts.entry((state_name(alert.state), severity)).or_default() += 1;
    }
    for ((state, severity), count) in counts {
        let labels = [("state", state), ("severity", severity)];
        sheet.gauge(catalog::ALERTS, &labels, Some(count.into()));
    }
}

/// The label value and the JSON value of an alert's state.
pub(crate) const fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
        AlertState::Resolved => "resolved",
    }
}

#[cfg(test)]
pub(crate) mod tests;
