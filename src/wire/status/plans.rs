//! Owns what measured traffic needs and costs, as JSON and as rows of the page. Refuses arithmetic,
//! which is `domain::plan`'s, and to show more streams than a page bears: the rest is counted.

use super::Role;
use super::figures;
use crate::domain::plan::{
    Advice, Choice, Limit, Measured, Mode, Prices, Source, dollars, measured,
};
use crate::domain::snapshot::{AccountSettings, Snapshot};
use crate::domain::time::Wall;
use crate::wire::plan::{name, shards};
use serde::Serialize;

/// Streams that are planned for, the busiest first: some 20 µs each.
const STREAMS_MAX: usize = 100;

/// Every plan of a snapshot.
pub(super) struct Plans {
    pub(super) streams: Vec<Measured>,
    pub(super) left_out: usize,
    pub(super) prices: Prices,
}

impl Plans {
    /// A sidecar's are about its pod's part of the traffic.
    pub(super) fn of(snapshot: &Snapshot, role: Role) -> Self {
        let prices = Prices::us_east_1();
        let (streams, left_out) = measured(snapshot, is_whole(role), &prices, STREAMS_MAX);
        Self { streams, left_out, prices }
    }
}

/// Whether every writer is seen.
pub(super) const fn is_whole(role: Role) -> bool {
    match role {
        Role::Sidecar => false,
        Role::Hub | Role::All => true,
    }
}

/// `plans` of the JSON.
#[derive(Serialize)]
pub(super) struct PlansDoc<'a> {
    /// Whose traffic was measured: `pod` or `fleet`.
    of: &'static str,
    prices: PricesDoc<'a>,
    streams: Vec<PlanDoc<'a>>,
    left_out: usize,
}

#[derive(Serialize)]
struct PricesDoc<'a> {
    region: &'a str,
    date: &'a str,
    source: &'a str,
    to_be_checked: Vec<&'static str>,
}

#[derive(Serialize)]
struct PlanDoc<'a> {
    stream: &'a str,
    measured_by: &'static str,
    measured_seconds: f64,
    records_per_second: f64,
    /// In the busiest half minute.
    peak_records_per_second: f64,
    record_size_bytes: u32,
    consumers: u32,
    fan_out_consumers: u32,
    producers: u32,
    hours_retained: u32,
    open_shards: Option<u32>,
    peak_utilization_ratio: Option<f64>,
    shards_needed: u64,
    decided_by: Option<&'static str>,
    choices: Vec<ChoiceDoc>,
    /// Of `choices`, the first to look at; null where no cost is known.
    cheapest: Option<ChoiceDoc>,
    aggregation_saves_dollars_per_month: Option<f64>,
    advice: Vec<AdviceDoc<'a>>,
    assumed: &'a [String],
}

#[derive(Serialize)]
struct ChoiceDoc {
    mode: &'static str,
    shards: Option<u64>,
    dollars_per_month: Option<f64>,
    impossible: Option<&'static str>,
}

#[derive(Serialize)]
struct AdviceDoc<'a> {
    name: &'static str,
    words: &'a str,
}

impl<'a> PlansDoc<'a> {
    pub(super) fn of(plans: &'a Plans, role: Role) -> Self {
        let prices = &plans.prices;
        let unchecked = prices.to_be_checked.iter();
        Self {
            of: if is_whole(role) { "fleet" } else { "pod" },
            prices: PricesDoc {
                region: &prices.region,
                date: &prices.date,
                source: &prices.source,
                to_be_checked: unchecked.map(|price| price.name()).collect(),
            },
            streams: plans.streams.iter().map(PlanDoc::from).collect(),
            left_out: plans.left_out,
        }
    }
}

impl<'a> From<&'a Measured> for PlanDoc<'a> {
    fn from(measured: &'a Measured) -> Self {
        let Measured { plan, .. } = measured;
        let traffic = &plan.traffic;
        let as_asked = plan.choices.iter().filter(|choice| choice.as_asked);
        let advice = |it: &'a Advice| AdviceDoc { name: it.name, words: &it.words };
        Self {
            stream: measured.stream.as_str(),
            measured_by: measured.source.name(),
            measured_seconds: measured.over.as_secs_f64(),
            records_per_second: traffic.records_per_second,
            peak_records_per_second: traffic.peak_records_per_second,
            record_size_bytes: traffic.record_bytes,
            consumers: traffic.consumers,
            fan_out_consumers: traffic.fan_out_consumers,
            producers: traffic.producers,
            hours_retained: traffic.hours_retained,
            open_shards: measured.open_shards,
            peak_utilization_ratio: measured.used,
            shards_needed: plan.shards.needed,
            decided_by: plan.shards.decided_by().map(Limit::name),
            choices: as_asked.map(ChoiceDoc::from).collect(),
            cheapest: plan.cheapest().map(ChoiceDoc::from),
            aggregation_saves_dollars_per_month: plan.saved_by_aggregation().map(cents),
            advice: plan.advice.iter().map(advice).collect(),
            assumed: &measured.assumed,
        }
    }
}

impl From<&Choice> for ChoiceDoc {
    fn from(choice: &Choice) -> Self {
        Self {
            mode: choice.mode.name(),
            shards: choice.shards.as_ref().map(|shards| shards.needed),
            dollars_per_month: choice.bill.total().map(cents),
            impossible: choice.impossible,
        }
    }
}

/// Whole cents: further digits are the arithmetic's, not the bill's.
fn cents(dollars: f64) -> f64 {
    (dollars * 100.0).round() / 100.0
}

/// `account` of the JSON.
#[derive(Serialize)]
pub(super) struct AccountDoc {
    as_of: String,
    on_demand_advantage: Option<&'static str>,
    started_at: Option<String>,
    earliest_end_at: Option<String>,
}

impl From<&AccountSettings> for AccountDoc {
    fn from(account: &AccountSettings) -> Self {
        let text = |at: Option<Wall>| at.map(|at| at.to_string());
        Self {
            as_of: account.at.wall.to_string(),
            on_demand_advantage: account.commitment.map(|it| it.name()),
            started_at: text(account.started_at),
            earliest_end_at: text(account.earliest_end_at),
        }
    }
}

/// One stream on the page.
pub(super) struct PlanRow<'a> {
    pub(super) stream: &'a str,
    pub(super) measured: String,
    pub(super) carries: String,
    pub(super) bytes: String,
    pub(super) peak: String,
    pub(super) used: String,
    pub(super) open: String,
    pub(super) needed: String,
    pub(super) provisioned: String,
    pub(super) on_demand: String,
    pub(super) cheapest: String,
    /// What the advice is about, as the fold's title.
    pub(super) topics: String,
    pub(super) advice: &'a [Advice],
    pub(super) assumed: &'a [String],
}

impl<'a> From<&'a Measured> for PlanRow<'a> {
    fn from(measured: &'a Measured) -> Self {
        let plan = &measured.plan;
        let traffic = &plan.traffic;
        let unknown = || figures::UNKNOWN.to_owned();
        let bytes = traffic.records_per_second * f64::from(traffic.record_bytes);
        let cost = |mode: Mode| {
            let is = |choice: &&Choice| choice.mode == mode && choice.as_asked;
            let choice = plan.choices.iter().find(is).filter(|it| it.impossible.is_none());
            choice
                .and_then(|it| it.bill.total())
                .map_or_else(unknown, |it| format!("${}", dollars(it)))
        };
        let on_demand = if plan.committed { Mode::Advantage } else { Mode::OnDemand };
        let topics: Vec<String> =
            plan.advice.iter().map(|advice| advice.name.replace('_', " ")).collect();
        let by = match measured.source {
            Source::Wire => "of what passed sidecars",
            Source::CloudWatch => "of CloudWatch's newest figures",
        };
        Self {
            stream: measured.stream.as_str(),
            measured: format!("{} {by}", figures::span(measured.over)),
            carries: figures::per_second(Some(traffic.records_per_second), ""),
            bytes: figures::per_second(Some(bytes), "B"),
            peak: figures::per_second(Some(traffic.peak_records_per_second), ""),
            used: figures::share(measured.used),
            open: measured.open_shards.map_or_else(unknown, |open| open.to_string()),
            needed: shards(plan.shards.needed),
            provisioned: cost(Mode::Provisioned),
            on_demand: cost(on_demand),
            cheapest: plan.cheapest().map_or_else(unknown, |it| name(it, plan.committed)),
            topics: topics.join(", "),
            advice: &plan.advice,
            assumed: &measured.assumed,
        }
    }
}
