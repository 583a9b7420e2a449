//! Owns the plan of a stream that is there: its traffic as it was measured, against what it has.
//! Refuses to measure, and to be silent about what had to be assumed.

use super::advice::Advice;
use super::traffic::RECORD_BYTES_MAX;
use super::{Commitment, Plan, Price, Prices, Traffic};
use crate::domain::capacity::{BYTES_PER_SECOND, RECORDS_PER_SECOND, Rates, StreamLoad, Usage};
use crate::domain::snapshot::{
    CloudWatchPoint, CloudWatchView, Snapshot, StreamDescription, StreamView,
};
use crate::domain::stream::StreamName;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a stream keeps records for unless it is told otherwise.
const HOURS_DEFAULT: u32 = 24;
const SECONDS_PER_HOUR: u64 = 3_600;

/// Where the traffic was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In puts that passed sidecars.
    Wire,
    /// In CloudWatch's newest minute, which counts every writer.
    CloudWatch,
}

impl Source {
    /// As the JSON says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::CloudWatch => "cloudwatch",
        }
    }
}

/// The plan of a stream that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The stream.
    pub stream: StreamName,
    /// Where its traffic was measured …
    pub source: Source,
    /// … and how long.
    pub over: Duration,
    /// Open shards, where they are known.
    pub open_shards: Option<u32>,
    /// The share of the open shards' capacity that the peak takes, if keys fall evenly.
    pub used: Option<f64>,
    /// What had to be assumed, one sentence each.
    pub assumed: Vec<String>,
    /// The plan, its advice led by what the stream itself shows.
    pub plan: Plan,
}

/// Plans for every stream whose traffic is known, the busiest first, `most` of them; and how many
/// more there are. `whole` says that all writers are seen: a sidecar sees its pod's.
#[must_use]
pub fn measured(
    snapshot: &Snapshot,
    whole: bool,
    prices: &Prices,
    most: usize,
) -> (Vec<Measured>, usize) {
    let loads: BTreeMap<&StreamName, &StreamLoad> =
        snapshot.loads.iter().map(|load| (&load.stream, load)).collect();
    let mut known: Vec<(&StreamView, Found)> = snapshot
        .streams
        .iter()
        .filter_map(|view| Some((view, Found::of(view, loads.get(&view.stream).copied())?)))
        .collect();
    known.sort_by(|(_, a), (_, b)| b.usage.peak.bytes.total_cmp(&a.usage.peak.bytes));
    let left_out = known.len().saturating_sub(most);
    let mut readers: BTreeMap<&StreamName, BTreeSet<&str>> = BTreeMap::new();
    for consumer in &snapshot.consumers {
        readers.entry(&consumer.stream).or_default().insert(consumer.consumer.as_str());
    }
    let commitment = snapshot.account.as_ref().and_then(|account| account.commitment);
    let plans = known.into_iter().take(most).filter_map(|(view, found)| {
        let readers = readers.get(&view.stream).map_or(0, BTreeSet::len);
        plan(view, found, (readers, whole), (prices, commitment))
    });
    (plans.collect(), left_out)
}

/// What was found out about a stream's traffic.
struct Found {
    source: Source,
    usage: Usage,
    writers: usize,
}

impl Found {
    /// By the wire, unless CloudWatch counts more: then not all of it passes sidecars.
    fn of(view: &StreamView, load: Option<&StreamLoad>) -> Option<Self> {
        let wire = load.and_then(|load| {
            let usage = load.usage.filter(|usage| usage.average.records > 0.0)?;
            Some(Self { source: Source::Wire, usage, writers: load.writers })
        });
        let told = cloudwatch(&view.cloudwatch).map(|usage| Self {
            source: Source::CloudWatch,
            usage,
            writers: load.map_or(0, |load| load.writers),
        });
        match (wire, told) {
            (Some(wire), Some(told)) => {
                let more = told.usage.average.records > wire.usage.peak.records;
                Some(if more { told } else { wire })
            }
            (wire, told) => wire.or(told),
        }
    }
}

fn cloudwatch(view: &CloudWatchView) -> Option<Usage> {
    let (records, bytes) = view.incoming_records.zip(view.incoming_bytes)?;
    let per_second = |point: CloudWatchPoint| {
        let rate = point.value / point.period.as_secs_f64();
        (rate.is_finite() && rate > 0.0).then_some(rate)
    };
    let average =
        Rates { records: per_second(records)?, bytes: per_second(bytes)?, throttled: 0.0 };
    Some(Usage { over: records.period, average, peak: average })
}

fn plan(
    view: &StreamView,
    Found { source, usage, writers }: Found,
    (readers, whole): (usize, bool),
    (prices, commitment): (&Prices, Option<Commitment>),
) -> Option<Measured> {
    let described = view.description.as_ref();
    let (traffic, assumed) = traffic(described, &usage, readers, writers);
    // Traffic that there cannot be, such as of a figure that is no number, has no plan.
    let mut plan = Plan::make(&traffic, prices, commitment).ok()?;
    let open_shards = described.map(|it| it.open_shards).filter(|open| *open > 0);
    let used = open_shards.map(|open| {
        let bytes = usage.peak.bytes / BYTES_PER_SECOND;
        bytes.max(usage.peak.records / RECORDS_PER_SECOND) / f64::from(open)
    });
    let provisioned = described.is_some_and(|it| it.mode == "PROVISIONED");
    let shown = [
        described.and_then(encryption),
        open_shards.filter(|_| whole && provisioned).and_then(|open| shards(open, &plan)),
        described.and_then(|it| monitoring(it, prices)),
    ];
    let told = std::mem::take(&mut plan.advice);
    plan.advice = shown.into_iter().flatten().chain(told).collect();
    let stream = view.stream.clone();
    Some(Measured { stream, source, over: usage.over, open_shards, used, assumed, plan })
}

/// What the stream is planned for, and what of that was assumed.
fn traffic(
    described: Option<&StreamDescription>,
    usage: &Usage,
    readers: usize,
    writers: usize,
) -> (Traffic, Vec<String>) {
    let mut assumed = Vec::new();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let fan_out = described.and_then(|it| it.details.consumers.as_ref());
    let registered = fan_out.map_or(0, Vec::len);
    if fan_out.is_none() {
        assumed.push("no reader has fan-out, as who is registered is not known".to_owned());
    }
    assumed.push(match (readers, registered) {
        (0, 0) => "no reader, as none was seen".to_owned(),
        (_, 0) => format!("no readers but the {readers} that were seen"),
        (_, _) => format!("of the {readers} readers that were seen {registered} have fan-out"),
    });
    let hours = described.map_or(HOURS_DEFAULT, |it| {
        u32::try_from(it.retention.as_secs() / SECONDS_PER_HOUR).unwrap_or(HOURS_DEFAULT)
    });
    if described.is_none() {
        assumed.push("24 hours of retention, as the stream was not described".to_owned());
    }
    assumed.push("every record has the average size".to_owned());
    let Usage { average, peak, .. } = usage;
    // Records of no bytes cannot be planned for; a byte is the least.
    let record_bytes = (average.bytes / average.records).ceil().clamp(1.0, RECORD_BYTES_MAX.into());
    let at_peak = peak.records.max(peak.bytes / record_bytes).max(average.records);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what a record may have"
    )]
    let record_bytes = record_bytes as u32;
    let traffic = Traffic {
        records_per_second: average.records,
        peak_records_per_second: at_peak,
        record_bytes,
        consumers: count(readers.saturating_sub(registered)),
        fan_out_consumers: count(registered),
        hours_retained: hours,
        producers: count(writers.max(1)),
    };
    (traffic, assumed)
}

fn encryption(described: &StreamDescription) -> Option<Advice> {
    let off = described.details.encrypted == Some(false);
    let words = "Encryption is off: records lie unencrypted in the stream. Turning it on (KMS, \
                 StartStreamEncryption) changes nothing for producers and readers that may use the key.";
    off.then(|| Advice { name: "encryption_off", words: words.to_owned() })
}

fn shards(open: u32, plan: &Plan) -> Option<Advice> {
    let needed = plan.shards.needed;
    let (name, words) = if u64::from(open) < needed {
        let words = format!(
            "{open} shards are open, and the peak asks for {needed}: some puts are throttled, or soon \
             will be."
        );
        ("too_few_shards", words)
    } else if u64::from(open) >= 2 * needed && open > 1 {
        let words = format!(
            "{open} shards are open, and the peak that was measured asks for {needed}. The others are \
             paid for as room for uneven keys and for growth, if they are wanted."
        );
        ("more_shards_than_needed", words)
    } else {
        return None;
    };
    Some(Advice { name, words })
}

fn monitoring(described: &StreamDescription, prices: &Prices) -> Option<Advice> {
    let metrics = described.details.shard_metrics.len();
    let of_one = prices.of(Price::MetricMonth)?;
    let dollars = f64::from(described.open_shards) * metrics as f64 * of_one;
    let words = format!(
        "{metrics} shard-level metrics are on and cost ${} a month; of what passes sidecars, each \
         shard's figures are known without them.",
        super::dollars(dollars)
    );
    (metrics > 0).then_some(Advice { name: "shard_level_metrics", words })
}

#[cfg(test)]
mod tests;
