//! Owns what is worth knowing about a plan, in words. Refuses to say what the plan's figures do not
//! bear out.

use super::choice::{Choice, FAN_OUT, Mode, RETENTION};
use super::number::{dollars, number};
use super::shards::Limit;
use super::traffic::RECORD_BYTES_DEFAULT;
use super::{Plan, Traffic};

/// GetRecords calls that a shard answers in a second, to all readers without fan-out together.
const READS_PER_SECOND: u32 = 5;
/// A new on-demand stream takes this much, or 4,000 records, in a second.
const ON_DEMAND_START_BYTES: f64 = 4.0 * 1_048_576.0;
const ON_DEMAND_START_RECORDS: f64 = 4_000.0;
/// What on-demand reaches in most regions.
const ON_DEMAND_USUAL_BYTES: f64 = 200.0 * 1_048_576.0;
/// Shards that an account of a smaller region may have by default.
const SHARD_QUOTA: u64 = 1_000;
/// Less in a month is not worth a sentence.
const WORTH_SAYING_DOLLARS: f64 = 1.0;

/// A sentence or two that a person should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// A word that scripts can look for.
    pub name: &'static str,
    /// The sentence.
    pub words: String,
}

pub(super) fn all(plan: &Plan) -> Vec<Advice> {
    [
        aggregation(plan),
        fan_out(plan),
        shared_reads(plan),
        retention(plan),
        records(&plan.traffic),
        hot_keys(plan),
        on_demand(&plan.traffic),
        quota(plan),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn say(name: &'static str, words: String) -> Option<Advice> {
    Some(Advice { name, words })
}

fn aggregation(plan: &Plan) -> Option<Advice> {
    let (aggregated, choices) = match &plan.aggregation {
        Ok(aggregation) => aggregation,
        Err(why) => {
            return say("aggregation", format!("KPL aggregation would save nothing: {why}."));
        }
    };
    let saved = plan.saved_by_aggregation()?;
    if saved < WORTH_SAYING_DOLLARS {
        return say(
            "aggregation",
            "KPL aggregation would save less than a dollar a month.".to_owned(),
        );
    }
    let fewer = match choices.first().and_then(|choice| choice.shards.as_ref()) {
        Some(shards) if shards.needed < plan.shards.needed => {
            format!(" and {} of {} shards", plan.shards.needed - shards.needed, plan.shards.needed)
        }
        Some(_) | None => String::new(),
    };
    let records = aggregated.records;
    let words = format!(
        "KPL aggregation, {records} records in one, would save ${} a month{fewer}. Every reader then \
         has to take aggregates apart, and tracing by the sidecar is limited inside of them.",
        dollars(saved)
    );
    say("aggregation", words)
}

fn fan_out(plan: &Plan) -> Option<Advice> {
    let count = plan.traffic.fan_out_consumers;
    let provisioned = |as_asked| {
        let is = |choice: &&Choice| choice.mode == Mode::Provisioned && choice.as_asked == as_asked;
        plan.choices.iter().find(is)
    };
    let (with, without) = (provisioned(true)?, provisioned(false)?);
    if count == 0 {
        return None;
    }
    let paid = with.bill.of(&FAN_OUT)?;
    let more = with.bill.total()? - without.bill.total()?;
    let (shared, needed) = (without.consumers, without.shards.as_ref()?.needed);
    let rate = number(f64::from(READS_PER_SECOND) / f64::from(shared.max(1)));
    let verdict = if needed > plan.shards.needed {
        format!(
            "without it the shared reads would ask for {needed} shards instead of {}",
            plan.shards.needed
        )
    } else if shared > READS_PER_SECOND {
        format!(
            "without it {shared} consumers would share 5 reads a second of each shard, {rate} each"
        )
    } else {
        format!(
            "the throughput does not ask for it: {shared} shared consumers could each read {rate} \
             times a second and need no further shard. What it buys is a shorter delay"
        )
    };
    let more = if more >= 0.0 {
        format!("${} more than shared reading", dollars(more))
    } else {
        format!("${} less than shared reading", dollars(-more))
    };
    let words = format!(
        "Enhanced fan-out costs ${} a month (provisioned), {more}; {verdict}.",
        dollars(paid)
    );
    say("fan_out", words)
}

fn shared_reads(plan: &Plan) -> Option<Advice> {
    let consumers = plan.traffic.consumers;
    let reads = READS_PER_SECOND;
    let words = format!(
        "{consumers} consumers share {reads} reads a second of each shard, whatever the number of \
         shards: each may read {} times a second. KCL reads once a second by default and would be \
         throttled: make its pause longer, or give some of them fan-out.",
        number(f64::from(reads) / f64::from(consumers.max(1)))
    );
    (consumers > reads).then_some(Advice { name: "shared_reads", words })
}

fn retention(plan: &Plan) -> Option<Advice> {
    let hours = plan.traffic.hours_retained;
    if hours == 24 {
        let words = "Records are kept for 24 hours, the default: a consumer that stands still longer, \
                     such as over a weekend, loses data. In provisioned mode any time up \
                     to seven days has one price.";
        return say("default_retention", words.to_owned());
    }
    let paid = plan.cheapest()?.bill.of(&RETENTION)?;
    let days = number(f64::from(hours) / 24.0);
    let words = format!(
        "Keeping records {days} days costs ${} a month of the cheapest choice. It is worth that only if \
         a consumer may be that late, or reads old records again.",
        dollars(paid)
    );
    say("retention", words)
}

fn records(traffic: &Traffic) -> Option<Advice> {
    let words = format!(
        "Records of {} bytes need the stream's limit raised above its default of 1 MiB \
         (UpdateMaxRecordSize, up to 10 MiB). A shard still takes 1 MiB a second: such records come in \
         bursts or are throttled, and an answer of 10 MiB makes a reader wait for five seconds.",
        number(f64::from(traffic.record_bytes))
    );
    (traffic.record_bytes > RECORD_BYTES_DEFAULT).then_some(Advice { name: "large_records", words })
}

fn hot_keys(plan: &Plan) -> Option<Advice> {
    let decided = plan.shards.decided_by()?;
    let (needed, by) = (plan.shards.needed, decided.words());
    let room = match decided {
        Limit::BytesIn | Limit::RecordsIn => {
            "every key goes to one shard, so the busiest key must stay within 1 MiB and 1,000 records a \
             second. No room is left for uneven keys and resharding: plan some"
        }
        Limit::SharedReads => "fan-out for one of the readers would bring them down",
    };
    let words = format!("The {needed} shards are asked for by {by}; {room}.");
    (needed > 1).then_some(Advice { name: "shards", words })
}

fn on_demand(traffic: &Traffic) -> Option<Advice> {
    let records = traffic.peak_records_per_second;
    let bytes = records * f64::from(traffic.record_bytes);
    if bytes > ON_DEMAND_USUAL_BYTES {
        let words = "On-demand grows to 200 MB/s by default in most regions, and to 10 GB/s in the \
                     largest: ask for the quota first.";
        return say("on_demand_quota", words.to_owned());
    }
    let words = "A new on-demand stream takes 4 MB/s or 4,000 records a second, and later twice its \
                 highest peak of the last 30 days: grow towards this traffic step by step, or begin \
                 provisioned and switch (twice in 24 hours at most).";
    (bytes > ON_DEMAND_START_BYTES || records > ON_DEMAND_START_RECORDS)
        .then_some(Advice { name: "on_demand_start", words: words.to_owned() })
}

fn quota(plan: &Plan) -> Option<Advice> {
    let words = format!(
        "{} shards may be above the account's quota: 20,000 in the three largest regions, 1,000 or \
         6,000 in the others.",
        plan.shards.needed
    );
    (plan.shards.needed > SHARD_QUOTA).then_some(Advice { name: "shard_quota", words })
}
