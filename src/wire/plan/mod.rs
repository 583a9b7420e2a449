//! Owns how a plan is shown: as text for a person, as JSON for a script, and the file that prices
//! come from. Refuses arithmetic.

mod prices;
mod text;

pub use prices::{PriceFault, read, write};
pub use text::{name, shards, text};

use crate::domain::plan::{Bill, Choice, HOURS_PER_MONTH, Plan, Prices};
use serde_json::{Value, json};

/// The plan as JSON; what is not known is null.
#[must_use]
pub fn json(plan: &Plan, prices: &Prices) -> Value {
    let traffic = &plan.traffic;
    let needs = plan.shards.needs.iter().map(|need| {
        json!({ "limit": need.limit.name(), "shards": need.shards, "formula": need.formula })
    });
    let aggregation = match &plan.aggregation {
        Ok((aggregated, choices)) => json!({
            "records": aggregated.records,
            "bytes": aggregated.bytes,
            "choices": choices.iter().map(choice).collect::<Value>(),
            "cheapest": plan.cheapest_aggregated().map(choice),
            "reason": null,
        }),
        Err(why) => json!({
            "records": 1, "bytes": null, "choices": [], "cheapest": null, "reason": why.name(),
        }),
    };
    json!({
        "traffic": {
            "records_per_second": traffic.records_per_second,
            "peak_records_per_second": traffic.peak_records_per_second,
            "record_size_bytes": traffic.record_bytes,
            "consumers": traffic.consumers,
            "fan_out_consumers": traffic.fan_out_consumers,
            "hours_retained": traffic.hours_retained,
            "producers": traffic.producers,
        },
        "prices": {
            "region": prices.region,
            "date": prices.date,
            "source": prices.source,
            "to_be_checked":
                prices.to_be_checked.iter().map(|price| price.name()).collect::<Value>(),
        },
        "on_demand_advantage_committed": plan.committed,
        "hours_per_month": HOURS_PER_MONTH,
        "shards": {
            "needed": plan.shards.needed,
            "decided_by": plan.shards.decided_by().map(|limit| limit.name()),
            "needs": needs.collect::<Value>(),
        },
        "choices": plan.choices.iter().map(choice).collect::<Value>(),
        "cheapest": plan.cheapest().map(choice),
        "aggregation": aggregation,
        "watching": bill(&plan.watching),
        "advice": plan
            .advice
            .iter()
            .map(|advice| json!({ "name": advice.name, "words": advice.words }))
            .collect::<Value>(),
    })
}

fn choice(choice: &Choice) -> Value {
    json!({
        "mode": choice.mode.name(),
        "as_asked": choice.as_asked,
        "consumers": choice.consumers,
        "fan_out_consumers": choice.fan_out_consumers,
        "shards": choice.shards.as_ref().map(|shards| shards.needed),
        "impossible": choice.impossible,
        "dollars_per_month": choice.bill.total().map(cents),
        "lines": bill(&choice.bill),
    })
}

fn bill(bill: &Bill) -> Value {
    let line = |line: &crate::domain::plan::Line| {
        json!({
            "what": line.what,
            "formula": line.formula,
            "dollars_per_month": line.dollars.map(cents),
        })
    };
    bill.lines.iter().map(line).collect()
}

/// Whole cents: further digits are the arithmetic's, not the bill's.
fn cents(dollars: f64) -> f64 {
    (dollars * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Traffic;

    fn plan(records_per_second: f64, fan_out_consumers: u32) -> Plan {
        let traffic = Traffic {
            records_per_second,
            peak_records_per_second: 2.0 * records_per_second,
            record_bytes: 1_024,
            consumers: 1,
            fan_out_consumers,
            hours_retained: 24,
            producers: 1,
        };
        Plan::make(&traffic, &Prices::us_east_1(), None).unwrap()
    }

    #[test]
    fn a_plan_as_json() {
        let shown = json(&plan(1_000.0, 1), &Prices::us_east_1());
        let check = |pointer: &str, expected: Value| {
            assert_eq!(shown.pointer(pointer), Some(&expected), "{pointer} of {shown:#}");
        };
        check("/shards/needed", json!(2));
        check("/choices/0/mode", json!("provisioned"));
        check("/choices/0/as_asked", json!(true));
        check("/choices/1/fan_out_consumers", json!(0));
        check("/cheapest/mode", json!("provisioned"));
        check("/prices/region", json!("us-east-1"));
        check("/choices/0/lines/0/formula", json!("2 shards × 730 h × $0.015 a shard-hour"));
        check("/choices/0/lines/0/dollars_per_month", json!(21.9));
        check("/choices/2/shards", Value::Null);
        check("/prices/to_be_checked/0", json!("shard_hour"));
    }

    #[test]
    fn a_plan_as_text() {
        let shown = text(&plan(1_000.0, 1), &Prices::us_east_1(), false);
        for expected in [
            "2,000 records a second at the peak",
            "2 shards",
            "provisioned, 2 shards, no fan-out",
            "on-demand advantage",
            "us-east-1",
            "2026-11-23",
            "to be checked",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        assert!(!shown.contains('×'), "{shown}");
        let explained = text(&plan(1_000.0, 1), &Prices::us_east_1(), true);
        assert!(explained.contains("2 shards × 730 h × $0.015 a shard-hour"), "{explained}");
    }
}
