//! Owns the money: what CloudWatch was asked for this month, what the rest of the month would cost,
//! and which detail is given up so that the budget holds. Refuses to spend it all in the first days:
//! the pace is chosen so that it lasts to the month's end, which is AWS's, in UTC.
//! Prices: reference/metrics.md 3.6.

use crate::domain::cloudwatch::metric::Metric;
use crate::domain::cloudwatch::subject::{Kind, Series};
use crate::domain::time::Wall;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::time::Duration;

/// What one metric costs that is asked for, and also one call of ListMetrics: $0.01 a thousand.
pub const DOLLARS_EACH: f64 = 0.01 / 1_000.0;

/// What may be given up. The order is that in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detail {
    /// Consumers with enhanced fan-out, whose lag the wire knows better.
    FanOut,
    /// Shards with enhanced monitoring.
    ShardLevel,
    /// Firehose streams.
    Firehose,
    /// Flink applications.
    Flink,
    /// Of a stream all but the five first metrics.
    StreamDetail,
    /// Points, and so polls, of less than five minutes.
    FiveMinutes,
    /// Lambda functions and event source mappings.
    Lambda,
    /// Points of less than a quarter of an hour.
    QuarterHour,
    /// Of a stream all but the iterator age.
    StreamBasics,
    /// Points of less than an hour.
    Hour,
    /// The last: the iterator age.
    IteratorAge,
}

impl Detail {
    /// Every detail, the first to be given up first.
    pub const ORDER: [Self; 11] = [
        Self::FanOut,
        Self::ShardLevel,
        Self::Firehose,
        Self::Flink,
        Self::StreamDetail,
        Self::FiveMinutes,
        Self::Lambda,
        Self::QuarterHour,
        Self::StreamBasics,
        Self::Hour,
        Self::IteratorAge,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FanOut => "fan_out",
            Self::ShardLevel => "shard_level",
            Self::Firehose => "firehose",
            Self::Flink => "flink",
            Self::StreamDetail => "stream_detail",
            Self::FiveMinutes => "period_5m",
            Self::Lambda => "lambda",
            Self::QuarterHour => "period_15m",
            Self::StreamBasics => "stream_basics",
            Self::Hour => "period_1h",
            Self::IteratorAge => "iterator_age",
        }
    }

    /// With which detail a metric goes.
    #[must_use]
    pub fn of(metric: Metric) -> Self {
        match metric.kind() {
            Kind::Stream if metric == Metric::IteratorAge => Self::IteratorAge,
            Kind::Stream if metric.basic().is_some() => Self::StreamBasics,
            Kind::Stream => Self::StreamDetail,
            Kind::Shard => Self::ShardLevel,
            Kind::FanOut => Self::FanOut,
            Kind::Function | Kind::Mapping => Self::Lambda,
            Kind::Firehose => Self::Firehose,
            Kind::Flink => Self::Flink,
        }
    }

    /// How long a period is at least when it was given up.
    const fn period(self) -> Duration {
        Duration::from_secs(match self {
            Self::FiveMinutes => 300,
            Self::QuarterHour => 900,
            Self::Hour => 3_600,
            Self::FanOut
            | Self::ShardLevel
            | Self::Firehose
            | Self::Flink
            | Self::StreamDetail
            | Self::Lambda
            | Self::StreamBasics
            | Self::IteratorAge => 0,
        })
    }
}

/// How many series of each detail there are to ask for, given up or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand([u64; Detail::ORDER.len()]);

impl Demand {
    /// Of all that is wanted.
    #[must_use]
    pub fn of(series: &[Series]) -> Self {
        let mut demand = Self::default();
        for it in series {
            demand.add(Detail::of(it.metric), 1);
        }
        demand
    }

    /// Adds `count` series of one detail.
    pub fn add(&mut self, detail: Detail, count: u64) {
        let mut places = Detail::ORDER.iter().zip(&mut self.0);
        if let Some((_, slot)) = places.find(|(it, _)| **it == detail) {
            *slot += count;
        }
    }

    /// How many are asked for each time when `given_up` are given up.
    #[must_use]
    pub fn asked(&self, given_up: usize) -> u64 {
        self.0.iter().skip(given_up).sum()
    }
}

/// The length of one point when `given_up` are given up. Each is asked for once, so that this is also
/// the least time from one paid ask to the next.
#[must_use]
pub fn period(configured: Duration, given_up: &[Detail]) -> Duration {
    given_up.iter().map(|detail| detail.period()).fold(configured, Duration::max)
}

/// A month's budget, what is spent of it and what was given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    dollars: Option<f64>,
    interval: Duration,
    spent: Spent,
    demand: Demand,
    given_up: usize,
}

/// What was asked for in a month, by the dearer reading of the price list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// The month, counted from the year 0 in UTC.
    pub month: u32,
    /// Metrics and lists that were asked for.
    pub asked: u64,
}

impl Budget {
    /// `dollars` a month, `None` without end; `spent` as another process left it.
    #[must_use]
    pub fn new(dollars: Option<f64>, interval: Duration, spent: Option<Spent>) -> Self {
        let spent = spent.unwrap_or_default();
        Self { dollars, interval, spent, demand: Demand::default(), given_up: 0 }
    }

    /// What is given up, first to last.
    #[must_use]
    pub fn given_up(&self) -> &'static [Detail] {
        const { &Detail::ORDER }.get(..self.given_up).unwrap_or(&[])
    }

    /// From one paid ask for a series to the next.
    #[must_use]
    pub fn interval(&self) -> Duration {
        period(self.interval, self.given_up())
    }

    /// What is spent of this month's budget, to be kept across restarts.
    #[must_use]
    pub const fn spent(&self) -> Spent {
        self.spent
    }

    /// That in dollars.
    #[must_use]
    pub fn spent_dollars(&self) -> f64 {
        self.spent.asked as f64 * DOLLARS_EACH
    }

    /// The month's budget in dollars.
    #[must_use]
    pub const fn dollars(&self) -> Option<f64> {
        self.dollars
    }

    /// So many metrics, or lists of them, were asked for.
    pub fn charge(&mut self, asked: u64) {
        self.spent.asked = self.spent.asked.saturating_add(asked);
    }

    /// Decides at `now` what is given up, there being so much `demand`. Within a month and with the
    /// same demand, nothing is given back: what was saved may be needed.
    pub fn decide(&mut self, demand: Demand, now: Wall) {
        let (month, ends) = month(now);
        let is_new = month > self.spent.month;
        if is_new {
            self.spent = Spent { month, asked: 0 };
        }
        if is_new || demand != self.demand {
            self.given_up = 0;
        }
        self.demand = demand;
        let Some(dollars) = self.dollars else { return };
        let left = dollars - self.spent_dollars();
        while self.given_up < Detail::ORDER.len() && self.until(ends, now) > left {
            self.given_up += 1;
        }
    }

    /// What the polls from `now` to the month's end would cost.
    fn until(&self, ends: Wall, now: Wall) -> f64 {
        let polls = ends.since(now).as_secs_f64() / self.interval().as_secs_f64().max(1.0);
        // One poll at least: the last second of a month may not bring it over.
        self.demand.asked(self.given_up) as f64 * polls.max(1.0) * DOLLARS_EACH
    }
}

/// The month of `now` in UTC, as a number that grows, and its end.
#[must_use]
pub fn month(now: Wall) -> (u32, Wall) {
    let (year, month, ..) = now.utc();
    let number = u32::try_from(year * 12 + month - 1).unwrap_or(u32::MAX);
    let end = || {
        let now = Timestamp::from_second(i64::try_from(now.as_seconds()).ok()?).ok()?;
        let first = now.to_zoned(TimeZone::UTC).first_of_month().ok()?.start_of_day().ok()?;
        let next = first.checked_add(1.month()).ok()?.timestamp().as_second();
        Some(Wall::from_ms(u64::try_from(next).ok()? * 1_000))
    };
    // Wall ends in the year 2554, jiff's times in 9999: there always is an end.
    (number, end().unwrap_or(now))
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
