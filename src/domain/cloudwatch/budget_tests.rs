//! Owns the proof that the budget holds to the month's end, and that detail goes in its order.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
/// 2026-11-01T00:00:00Z, and the first of December.
const NOVEMBER: u64 = 1_793_491_200;
const DECEMBER: u64 = NOVEMBER + 30 * 86_400;

fn at(seconds: u64) -> Wall {
    Wall::from_ms(seconds * 1_000)
}

fn demand(streams: u64) -> Demand {
    let mut demand = Demand::default();
    for (detail, each) in [
        (Detail::FanOut, 6),
        (Detail::ShardLevel, 14),
        (Detail::StreamDetail, 15),
        (Detail::StreamBasics, 4),
        (Detail::IteratorAge, 1),
    ] {
        demand.add(detail, each * streams);
    }
    demand
}

#[test]
fn months_are_those_of_utc() {
    let check = |now: u64, end: u64, name: (u32, u32)| {
        let (number, ends) = month(at(now));
        assert_eq!((number, ends), (name.0 * 12 + name.1 - 1, at(end)), "{}", at(now));
    };
    check(NOVEMBER, DECEMBER, (2026, 11));
    check(DECEMBER - 1, DECEMBER, (2026, 11));
    check(DECEMBER, DECEMBER + 31 * 86_400, (2026, 12));
    // A leap day.
    check(1_709_164_800, 1_709_251_200, (2024, 2));
}

#[test]
fn detail_goes_in_its_order() {
    let given_up = |dollars: f64, streams: u64| {
        let mut budget = Budget::new(Some(dollars), MINUTE, None);
        budget.decide(demand(streams), at(NOVEMBER));
        budget.given_up().iter().map(|detail| detail.as_str()).collect::<Vec<_>>()
    };
    // 40 metrics a minute for 30 days are $17.28.
    assert_eq!(given_up(17.29, 1), [""; 0]);
    assert_eq!(given_up(17.27, 1), ["fan_out"]);
    assert_eq!(given_up(10.0, 1), ["fan_out", "shard_level"]);
    assert_eq!(given_up(25.0, 10).last(), Some(&"stream_detail"));
    assert_eq!(given_up(25.0, 20).last(), Some(&"period_5m"));
    assert_eq!(given_up(25.0, 300).last(), Some(&"stream_basics"));
    assert_eq!(given_up(25.0, 1_000).last(), Some(&"period_1h"));
    assert_eq!(given_up(25.0, 10_000).last(), Some(&"iterator_age"));
    assert_eq!(given_up(25.0, 10_000).len(), Detail::ORDER.len());
}

#[test]
fn the_last_thing_that_is_given_up_is_the_iterator_age() {
    for detail in Detail::ORDER {
        let mut demand = Demand::default();
        demand.add(detail, 7);
        let kept = (0..=Detail::ORDER.len()).take_while(|given_up| demand.asked(*given_up) > 0);
        let place = Detail::ORDER.iter().position(|it| *it == detail);
        assert_eq!(kept.last(), place);
    }
    assert_eq!(Detail::of(Metric::IteratorAge), Detail::ORDER[10]);
}

/// Polls from one time to another and gives the dollars spent, which must never be over the budget.
fn spend(budget: &mut Budget, demand: Demand, from: u64, to: u64) -> f64 {
    let mut now = from;
    while now < to {
        budget.decide(demand, at(now));
        budget.charge(demand.asked(budget.given_up().len()));
        now += budget.interval().as_secs();
        let dollars = budget.dollars().unwrap_or(f64::INFINITY);
        assert!(budget.spent_dollars() <= dollars, "{} at {}", budget.spent_dollars(), at(now));
    }
    budget.spent_dollars()
}

#[test]
fn a_month_costs_no_more_than_its_budget_and_the_next_begins_anew() {
    for streams in [1, 3, 20, 700, 3_000] {
        let mut budget = Budget::new(Some(25.0), MINUTE, None);
        let spent = spend(&mut budget, demand(streams), NOVEMBER, DECEMBER);
        assert!(spent > 0.0, "{streams}");
        let given_up = budget.given_up().len();
        budget.decide(demand(1), at(DECEMBER));
        assert!(budget.given_up().is_empty(), "after {given_up}");
        assert_eq!(budget.spent().asked, 0);
    }
}

#[test]
fn what_was_given_up_stays_so_until_the_month_or_the_demand_changes() {
    let mut budget = Budget::new(Some(17.0), MINUTE, None);
    budget.decide(demand(1), at(NOVEMBER));
    assert_eq!(budget.given_up(), [Detail::FanOut]);
    // Half a month without a poll: there would be money for it now.
    budget.decide(demand(1), at(NOVEMBER + 15 * 86_400));
    assert_eq!(budget.given_up(), [Detail::FanOut]);
    // A restart knows what is spent.
    let mut again = Budget::new(Some(17.0), MINUTE, Some(budget.spent()));
    again.charge(1_600_000);
    again.decide(demand(1), at(NOVEMBER + 15 * 86_400));
    assert!(again.given_up().len() > 5, "{:?}", again.given_up());
    // Another machine's clock is behind: the money of a later month is not spent twice.
    again.decide(demand(1), at(NOVEMBER - 1));
    assert_eq!(again.spent().asked, 1_600_000);
    let mut endless = Budget::new(None, MINUTE, None);
    endless.decide(demand(1_000_000), at(NOVEMBER));
    assert_eq!((endless.given_up(), endless.interval()), (&[][..], MINUTE));
}
