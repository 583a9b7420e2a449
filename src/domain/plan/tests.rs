//! Owns the proof of the arithmetic: traffic, shards, the cheapest way, its dollars, by tables that
//! were reckoned by hand.

use super::*;

fn traffic(records: f64, bytes: u32, consumers: u32, fan_out: u32, hours: u32) -> Traffic {
    Traffic {
        records_per_second: records,
        peak_records_per_second: records,
        record_bytes: bytes,
        consumers,
        fan_out_consumers: fan_out,
        hours_retained: hours,
        producers: 1,
    }
}

fn plan(traffic: &Traffic) -> Plan {
    Plan::make(traffic, &Prices::us_east_1(), None).unwrap()
}

fn total(plan: &Plan, mode: Mode, as_asked: bool) -> String {
    let is = |choice: &&Choice| choice.mode == mode && choice.as_asked == as_asked;
    dollars(plan.choices.iter().find(is).unwrap().bill.total().unwrap())
}

#[test]
fn shards_for_traffic() {
    let check = |records: f64, bytes: u32, consumers: u32, needed: u64, limit: Limit| {
        let plan = plan(&traffic(records, bytes, consumers, 0, 24));
        assert_eq!((plan.shards.needed, plan.shards.decided_by()), (needed, Some(limit)));
    };
    check(0.0, 100, 1, 1, Limit::BytesIn);
    check(1_000.0, 100, 1, 1, Limit::BytesIn);
    check(1_001.0, 100, 1, 2, Limit::RecordsIn);
    check(1_024.0, 1_024, 1, 2, Limit::RecordsIn);
    check(100.0, 10_486, 1, 2, Limit::BytesIn);
    check(100.0, 10_485, 1, 1, Limit::BytesIn);
    // Four readers of 1 MiB/s share 2 MiB/s of a shard.
    check(1_024.0, 1_024, 4, 2, Limit::RecordsIn);
    check(1_024.0, 1_024, 5, 3, Limit::SharedReads);
    check(100.0, 10_485_760, 1, 1_000, Limit::BytesIn);
}

#[test]
fn a_peak_asks_for_shards_and_the_average_is_paid() {
    let mut peaky = traffic(100.0, 1_000, 1, 0, 24);
    peaky.peak_records_per_second = 10_000.0;
    let plan = plan(&peaky);
    assert_eq!(plan.shards.needed, 10);
    // 10 × 730 × 0.015 = 109.50, 262.8 million units × 0.014 = 3.68.
    assert_eq!(total(&plan, Mode::Provisioned, true), "113.18");
    // 29.20 and 250.63 GB (of 1,024 bytes) × 0.08, 244.76 GB × 0.04.
    assert_eq!(total(&plan, Mode::OnDemand, true), "59.04");
    assert_eq!(plan.cheapest().map(|choice| choice.mode), Some(Mode::OnDemand));
}

#[test]
fn a_month_in_dollars() {
    let check = |traffic: Traffic, expected: [&str; 3], cheapest: Mode| {
        let plan = plan(&traffic);
        let modes = [Mode::Provisioned, Mode::OnDemand, Mode::Advantage];
        assert_eq!(modes.map(|mode| total(&plan, mode, true)), expected, "{traffic:?}");
        assert_eq!(plan.cheapest().map(|choice| choice.mode), Some(cheapest));
    };
    // A shard 10.95, no volume; a stream 29.20; the commitment 64,160.15625 GB × (0.032 + 0.016).
    check(traffic(0.0, 1, 0, 0, 24), ["10.95", "29.20", "3,079.69"], Mode::Provisioned);
    // 2,628 million units × 0.014 = 36.79; 2,506.26 GB in and out.
    check(traffic(1_000.0, 1_024, 1, 0, 24), ["47.74", "329.95", "3,079.69"], Mode::Provisioned);
    // 200 bytes count as a unit of 25 KiB, and as 1 KiB.
    check(traffic(1_000.0, 200, 1, 0, 24), ["47.74", "249.28", "3,079.69"], Mode::Provisioned);
    // Two fan-out consumers: 2 × 10.95 and 2 × 2,506.26 GB × 0.013 = 65.16.
    check(traffic(1_000.0, 1_024, 0, 2, 24), ["134.80", "480.33", "3,079.69"], Mode::Provisioned);
    // Seven days: 14.60 more; 144 h × 3.4332 GB × 0.1.
    check(traffic(1_000.0, 1_024, 1, 0, 168), ["62.34", "379.39", "3,091.06"], Mode::Provisioned);
    // A year: 8,592 h × 3.4332 GB × 0.023 = 678.46 more.
    check(
        traffic(1_000.0, 1_024, 1, 0, 8_760),
        ["740.80", "1,057.85", "3,769.52"],
        Mode::Provisioned,
    );
}

#[test]
fn an_account_that_is_committed_pays_for_volume_alone() {
    let traffic = traffic(1_000.0, 1_024, 1, 0, 24);
    for (commitment, expected, standard) in [
        (Commitment::Disabled, "3,079.69", true),
        // 2,506.26 GB × (0.032 + 0.016).
        (Commitment::Enabled, "120.30", false),
        (Commitment::Ending, "120.30", false),
    ] {
        let plan = Plan::make(&traffic, &Prices::us_east_1(), Some(commitment)).unwrap();
        assert_eq!(total(&plan, Mode::Advantage, true), expected, "{commitment:?}");
        let of = plan.choices.iter().find(|choice| choice.mode == Mode::OnDemand).unwrap();
        assert_eq!(of.impossible.is_none(), standard, "{commitment:?}");
    }
}

#[test]
fn a_cost_whose_price_is_not_known_is_not_known() {
    let mut prices = Prices::us_east_1();
    prices.figures.remove(&Price::PutUnitsMillion);
    let plan = Plan::make(&traffic(10.0, 100, 1, 0, 24), &prices, None).unwrap();
    let bill = &plan.choices[0].bill;
    assert_eq!((bill.total(), bill.lines[0].dollars), (None, Some(730.0 * 0.015)));
    assert!(bill.lines[1].formula.ends_with("an unknown price: put_units_million"), "{bill:?}");
    assert_eq!(plan.cheapest().map(|choice| choice.mode), Some(Mode::OnDemand));
}

#[test]
fn aggregation_needs_small_records_that_come_soon() {
    let check = |records: f64, bytes: u32, producers: u32, expected: Result<u32, NotWorthIt>| {
        let mut traffic = traffic(records, bytes, 1, 0, 24);
        traffic.producers = producers;
        let found = plan(&traffic).aggregation.map(|(aggregated, _)| aggregated.records);
        assert_eq!(found, expected, "{records}/s of {bytes}");
    };
    check(10_000.0, 100, 1, Ok(232)); // (25,600 - 60) / 110 fit; 10,000 × 0.1 come in time
    check(10_000.0, 100, 100, Ok(10));
    check(1_000.0, 1_024, 1, Ok(24));
    check(10.0, 100, 1, Err(NotWorthIt::TooSlow));
    check(1_000.0, 20_000, 1, Err(NotWorthIt::TooLarge));
    check(1_000.0, 10_485_760, 1, Err(NotWorthIt::TooLarge));
}

#[test]
fn aggregation_saves_shards_and_payload_units() {
    let plan = plan(&traffic(10_000.0, 100, 1, 0, 24));
    let after = plan.cheapest_aggregated().unwrap();
    // 10 shards by records, 2 by bytes once they are put together.
    assert_eq!(plan.shards.needed, 10);
    assert!(after.shards.as_ref().unwrap().needed <= 2, "{after:?}");
    assert!(after.bill.total().unwrap() < plan.cheapest().unwrap().bill.total().unwrap() / 5.0);
}

#[test]
fn what_is_worth_knowing() {
    let check = |traffic: Traffic, name: &str, words: &str| {
        let plan = plan(&traffic);
        let said = plan.advice.iter().find(|advice| advice.name == name);
        assert!(said.is_some_and(|advice| advice.words.contains(words)), "{:#?}", plan.advice);
    };
    let small = |consumers, fan_out, hours| traffic(100.0, 1_024, consumers, fan_out, hours);
    check(small(1, 0, 24), "default_retention", "loses data");
    check(small(1, 0, 168), "retention", "Keeping records 7 days costs $14.60");
    check(small(1, 2, 24), "fan_out", "does not ask for it: 3 shared consumers");
    check(small(1, 5, 24), "fan_out", "6 consumers would share 5 reads");
    check(traffic(1_024.0, 1_024, 1, 8, 24), "fan_out", "ask for 5 shards instead of 2");
    check(small(6, 0, 24), "shared_reads", "each may read 0.833 times a second");
    check(small(1, 0, 24), "aggregation", "10 records in one");
    check(traffic(1.0, 100, 1, 0, 24), "aggregation", "save nothing");
    check(traffic(1.0, 2 << 20, 1, 0, 24), "large_records", "2,097,152 bytes");
    check(traffic(3_000.0, 100, 1, 0, 24), "shards", "The 3 shards are asked for by records in");
    check(traffic(5_000.0, 100, 1, 0, 24), "on_demand_start", "4,000 records");
    check(traffic(300.0, 1 << 20, 1, 0, 24), "on_demand_quota", "10 GB/s");
    check(traffic(2_000.0, 1 << 20, 1, 0, 24), "shard_quota", "2000 shards");
}

#[test]
fn what_cannot_be_is_not_the_cheapest() {
    let plan = plan(&traffic(1.0, 100, 0, 21, 24));
    let possible: Vec<Mode> = plan
        .choices
        .iter()
        .filter(|choice| choice.impossible.is_none() && choice.as_asked)
        .map(|choice| choice.mode)
        .collect();
    assert_eq!(possible, [Mode::Advantage]);
    assert_eq!(plan.cheapest().map(|choice| choice.mode), Some(Mode::Advantage));
}

#[test]
fn faulty_traffic_is_told_all_at_once() {
    let check = |traffic: Traffic, expected: &[Fault]| {
        assert_eq!(Plan::make(&traffic, &Prices::us_east_1(), None).unwrap_err(), expected);
    };
    check(traffic(-1.0, 0, 1, 0, 24), &[Fault::Rate, Fault::Peak, Fault::Record]);
    check(traffic(f64::NAN, 1, 1, 0, 24), &[Fault::Rate, Fault::Peak]);
    check(traffic(f64::INFINITY, 1, 1, 0, 24), &[Fault::Rate, Fault::Peak]);
    check(traffic(1.0, 10_485_761, 1, 51, 23), &[Fault::Record, Fault::FanOut, Fault::Retention]);
    check(traffic(1.0, 1, 100_001, 0, 8_761), &[Fault::Consumers, Fault::Retention]);
    let mut below = traffic(10.0, 1, 1, 0, 24);
    below.peak_records_per_second = 9.0;
    check(below, &[Fault::Peak]);
}

#[test]
fn prices_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = Price::all().map(Price::name).collect();
    assert_eq!(names.len(), Price::all().count());
    for price in Price::all() {
        assert_eq!(Price::named(price.name()), Some(price));
        assert!(Prices::us_east_1().of(price).is_some_and(|dollars| dollars > 0.0));
    }
}
