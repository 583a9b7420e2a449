//! Owns the list of prices that a bill is made of, and the one table of them that this program
//! knows. Refuses to know a region that nobody wrote down.

use std::collections::BTreeMap;

/// A price, in dollars for its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Price {
    /// Provisioned: a shard.
    ShardHour,
    /// Provisioned: a million PUT payload units of 25 KiB.
    PutUnitsMillion,
    /// Provisioned: an enhanced fan-out consumer on one shard.
    FanOutShardHour,
    /// Provisioned: read by enhanced fan-out.
    FanOutGb,
    /// Provisioned: a shard that keeps records longer than a day.
    ExtendedShardHour,
    /// Provisioned: what is kept longer than seven days.
    LongTermGbMonth,
    /// On-demand standard: a stream.
    OnDemandStreamHour,
    /// On-demand standard: written, each record rounded up to 1 KiB.
    OnDemandInGb,
    /// On-demand standard: read.
    OnDemandOutGb,
    /// On-demand standard: read by enhanced fan-out.
    OnDemandFanOutGb,
    /// On-demand standard: kept between a day and seven.
    OnDemandExtendedGbMonth,
    /// On-demand standard: kept longer than seven days.
    OnDemandLongTermGbMonth,
    /// On-demand advantage: written, each record rounded up to 1 KiB.
    AdvantageInGb,
    /// On-demand advantage: read, with or without enhanced fan-out.
    AdvantageOutGb,
    /// On-demand advantage: kept between a day and seven.
    AdvantageExtendedGbMonth,
    /// On-demand advantage: kept longer than seven days.
    AdvantageLongTermGbMonth,
    /// CloudWatch: one shard-level metric (enhanced monitoring).
    MetricMonth,
    /// CloudWatch: a thousand metrics requested by GetMetricData.
    MetricsRequestedThousand,
}

/// Every price: its name in files and flags, its unit, and us-east-1's list price.
const TABLE: [(Price, &str, &str, f64); 18] = [
    (Price::ShardHour, "shard_hour", "shard-hour", 0.015),
    (Price::PutUnitsMillion, "put_units_million", "million PUT payload units", 0.014),
    (Price::FanOutShardHour, "fan_out_shard_hour", "consumer-shard-hour", 0.015),
    (Price::FanOutGb, "fan_out_gb", "GB", 0.013),
    (Price::ExtendedShardHour, "extended_shard_hour", "shard-hour", 0.020),
    (Price::LongTermGbMonth, "long_term_gb_month", "GB-month", 0.023),
    (Price::OnDemandStreamHour, "on_demand_stream_hour", "stream-hour", 0.040),
    (Price::OnDemandInGb, "on_demand_in_gb", "GB", 0.080),
    (Price::OnDemandOutGb, "on_demand_out_gb", "GB", 0.040),
    (Price::OnDemandFanOutGb, "on_demand_fan_out_gb", "GB", 0.050),
    (Price::OnDemandExtendedGbMonth, "on_demand_extended_gb_month", "GB-month", 0.100),
    (Price::OnDemandLongTermGbMonth, "on_demand_long_term_gb_month", "GB-month", 0.023),
    (Price::AdvantageInGb, "advantage_in_gb", "GB", 0.032),
    (Price::AdvantageOutGb, "advantage_out_gb", "GB", 0.016),
    (Price::AdvantageExtendedGbMonth, "advantage_extended_gb_month", "GB-month", 0.023),
    (Price::AdvantageLongTermGbMonth, "advantage_long_term_gb_month", "GB-month", 0.023),
    (Price::MetricMonth, "metric_month", "metric-month", 0.30),
    (Price::MetricsRequestedThousand, "metrics_requested_thousand", "thousand metrics", 0.01),
];

impl Price {
    /// All of them, in the table's order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.into_iter().map(|(price, ..)| price)
    }

    /// The price that files and flags call `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|price| price.name() == name)
    }

    /// Its name in files and flags.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().map_or("", |(_, name, ..)| name)
    }

    /// What it is paid for.
    #[must_use]
    pub fn unit(self) -> &'static str {
        self.row().map_or("", |(_, _, unit, _)| unit)
    }

    fn row(self) -> Option<(Self, &'static str, &'static str, f64)> {
        TABLE.into_iter().find(|(price, ..)| *price == self)
    }
}

/// A region's prices. What is not in it is not known.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// The region they are for.
    pub region: String,
    /// When they were written down, as the file says it.
    pub date: String,
    /// Where they come from, in words.
    pub source: String,
    /// Dollars.
    pub figures: BTreeMap<Price, f64>,
    /// Those that nobody has held against their source.
    pub to_be_checked: Vec<Price>,
}

/// Built-in prices whose source was read: CloudWatch's price list.
const CHECKED: [Price; 2] = [Price::MetricMonth, Price::MetricsRequestedThousand];

impl Prices {
    /// The region that this program knows.
    pub const REGION: &str = "us-east-1";

    /// AWS's list prices of us-east-1 as they were known on 2026-11-23. Those of CloudWatch come from
    /// its price list; those of Kinesis were written from memory and agree with what others quote:
    /// nobody has held them against their source.
    #[must_use]
    pub fn us_east_1() -> Self {
        Self {
            region: Self::REGION.to_owned(),
            date: "2026-11-23".to_owned(),
            source: "list prices built into this program".to_owned(),
            figures: TABLE.into_iter().map(|(price, _, _, dollars)| (price, dollars)).collect(),
            to_be_checked: Price::all().filter(|price| !CHECKED.contains(price)).collect(),
        }
    }

    /// The same with one price as somebody gave it.
    pub fn give(&mut self, price: Price, dollars: f64) {
        self.figures.insert(price, dollars);
        self.to_be_checked.retain(|unchecked| *unchecked != price);
    }

    /// The price, if it is known.
    #[must_use]
    pub fn of(&self, price: Price) -> Option<f64> {
        self.figures.get(&price).copied()
    }
}
