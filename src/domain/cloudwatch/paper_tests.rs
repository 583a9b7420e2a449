//! Owns the simulation on paper: what so many streams cost in calls, dollars, memory and freshness,
//! from the plan itself. Its figures stand in the documentation; a change of them shows here.

use super::budget::DOLLARS_EACH;
use super::window::Track;
use super::*;
use crate::domain::stream::StreamName;
use crate::domain::time::Wall;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// 2026-11-01T00:00:00Z.
const NOVEMBER: Wall = Wall::from_ms(1_793_491_200_000);
const MONTH_S: f64 = 30.0 * 86_400.0;
/// The delay, up to a minute to the end of the settled one, and the interval with its spread.
const AGE_S: f64 = 120.0 + 60.0 + 66.0;
/// How many calls of 300 ms each are under way at once.
const CALLS_AT_ONCE: f64 = 5.0;

/// One line of the table: for one of `replicas` hubs.
fn line(streams: usize, replicas: u32) -> String {
    let names: Vec<StreamName> =
        (0..streams).map(|index| format!("stream-{index}").as_str().into()).collect();
    let plan = Plan { share: Share { ordinal: 0, replicas }, ..Plan::default() };
    let series = plan.series(&names, &[]);
    let (asked, demand) = (series.len(), Demand::of(&series));
    let mut ledger = Ledger::new(MINUTE, 2 * MINUTE);
    ledger.want(series);
    let batches = ledger.due(NOVEMBER);
    let calls = batches.len();
    // Each call waits for its turn at the bucket and for one of five places.
    let (mut bucket, mut waited) = (Bucket::default(), Duration::ZERO);
    for batch in &batches {
        waited += bucket.take(batch.points(), waited);
    }
    let cycle_s = waited.as_secs_f64().max(calls as f64 * 0.3 / CALLS_AT_ONCE);
    let bytes = asked * (size_of::<Series>() + size_of::<Track>());
    let mut budget = Budget::new(Some(25.0 / f64::from(replicas)), MINUTE, None);
    budget.decide(demand, NOVEMBER);
    let given_up = budget.given_up();
    let kept = demand.asked(given_up.len());
    let dollars =
        |asked: f64, every: Duration| asked * MONTH_S / every.as_secs_f64() * DOLLARS_EACH;
    format!(
        "| {streams} | {replicas} | {asked} | {calls} | {cycle_s:.0} s | {} MiB | {:.0} s | ${:.0} \
         | {kept} every {} min, ${:.2} |",
        bytes.div_ceil(1 << 20),
        AGE_S + cycle_s,
        dollars(asked as f64, MINUTE),
        budget.interval().as_secs() / 60,
        dollars(kept as f64, budget.interval()),
    )
}

#[test]
fn what_so_many_streams_cost() {
    let table: Vec<String> = [(10, 1), (1_000, 1), (10_000, 1), (100_000, 1), (100_000, 10)]
        .map(|(streams, replicas)| line(streams, replicas))
        .into();
    let written = include_str!("paper.md").lines().skip_while(|it| !it.contains("---"));
    let table = table.join("\n");
    assert_eq!(written.skip(1).collect::<Vec<_>>().join("\n"), table, "\n{table}\n");
}
