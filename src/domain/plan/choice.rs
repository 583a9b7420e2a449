//! Owns the ways to have a stream, a capacity mode with its readers, and what each costs in a month.
//! Refuses to choose by anything but cost and possibility.

use super::bill::{Bill, GB, HOURS_PER_MONTH};
use super::number::number;
use super::prices::{Price, Prices};
use super::shards::{self, Shards};
use super::traffic::{FAN_OUT_MAX, Traffic};

/// What a PUT payload unit holds of one record.
const PUT_UNIT_BYTES: u32 = 25 << 10;
/// On-demand counts each record in steps of this.
const ON_DEMAND_STEP_BYTES: u32 = 1 << 10;
const SECONDS_PER_HOUR: f64 = 3_600.0;
/// Free retention, and where long-term retention begins.
const FREE_HOURS: u32 = 24;
const EXTENDED_HOURS: u32 = 7 * 24;
/// What on-demand reaches in the regions that go furthest.
const ON_DEMAND_BYTES_PER_SECOND_MAX: f64 = 10.0 * 1_073_741_824.0;
/// What an account that turns advantage on pays for at least, written and read alike.
const COMMITTED_BYTES_PER_SECOND: f64 = 25.0 * 1_048_576.0;

pub(super) const SHARDS: &str = "shards";
pub(super) const FAN_OUT: [&str; 2] = ["fan-out consumers", "read by fan-out"];
pub(super) const RETENTION: [&str; 2] = ["kept 1 to 7 days", "kept over 7 days"];

/// A capacity mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Shards are chosen and paid for.
    Provisioned,
    /// Volume is paid for, and the stream.
    OnDemand,
    /// Volume is paid for at a lower price, by an account that pays for a minimum.
    Advantage,
}

impl Mode {
    /// As the JSON says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::OnDemand => "on_demand",
            Self::Advantage => "on_demand_advantage",
        }
    }

    /// As a person says it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::OnDemand => "on-demand standard",
            Self::Advantage => "on-demand advantage",
        }
    }
}

/// One way to have the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The capacity mode.
    pub mode: Mode,
    /// Readers that share.
    pub consumers: u32,
    /// Readers with enhanced fan-out.
    pub fan_out_consumers: u32,
    /// Whether the readers are as they were asked for.
    pub as_asked: bool,
    /// Provisioned mode's; the other modes choose their own.
    pub shards: Option<Shards>,
    /// A month's cost.
    pub bill: Bill,
    /// Why it cannot be had.
    pub impossible: Option<&'static str>,
}

/// Every way: provisioned as asked and with the readers the other way round, then on-demand.
pub(super) fn all(traffic: &Traffic, prices: &Prices, committed: bool) -> Vec<Choice> {
    let readers = traffic.consumers + traffic.fan_out_consumers;
    let asked = (traffic.consumers, traffic.fan_out_consumers);
    let otherwise = if traffic.fan_out_consumers > 0 { (readers, 0) } else { (0, readers) };
    let mut choices = vec![provisioned(traffic, asked, true, prices)];
    if otherwise != asked && otherwise.1 <= FAN_OUT_MAX {
        choices.push(provisioned(traffic, otherwise, false, prices));
    }
    choices.push(on_demand(traffic, prices, committed));
    choices.push(advantage(traffic, prices, committed));
    choices
}

/// The cheapest of those that are possible, as asked for and of known cost.
pub(super) fn cheapest(choices: &[Choice]) -> Option<&Choice> {
    let cost = |choice: &Choice| choice.bill.total().unwrap_or(f64::INFINITY);
    choices
        .iter()
        .filter(|choice| choice.as_asked && choice.impossible.is_none())
        .filter(|choice| choice.bill.total().is_some())
        .min_by(|one, other| cost(one).total_cmp(&cost(other)))
}

fn provisioned(
    traffic: &Traffic,
    (consumers, fan_out): (u32, u32),
    as_asked: bool,
    prices: &Prices,
) -> Choice {
    let needed = shards::needed(traffic, consumers);
    #[expect(clippy::cast_precision_loss, reason = "a count of shards is far below 2^53")]
    let shards = (needed.needed as f64, "shards");
    let hours = (HOURS_PER_MONTH, "h");
    let mut bill = Bill::default();
    bill.add(prices, SHARDS, &[shards, hours], Price::ShardHour);
    let units = f64::from(traffic.record_bytes.div_ceil(PUT_UNIT_BYTES));
    let millions = traffic.records_per_second * SECONDS_PER_HOUR * HOURS_PER_MONTH / 1e6;
    let put = [(millions, "million records"), (units, "units of 25 KiB a record")];
    bill.add(prices, "put", &put, Price::PutUnitsMillion);
    let consumer = (f64::from(fan_out), "with fan-out");
    let [registered, read] = FAN_OUT;
    bill.add(prices, registered, &[consumer, shards, hours], Price::FanOutShardHour);
    let gb = (month_gb(traffic, traffic.record_bytes), "GB");
    bill.add(prices, read, &[consumer, gb], Price::FanOutGb);
    let [extended, long] = RETENTION;
    if traffic.hours_retained > FREE_HOURS {
        bill.add(prices, extended, &[shards, hours], Price::ExtendedShardHour);
    }
    let stored = (kept_gb(traffic, EXTENDED_HOURS, u32::MAX), "GB kept");
    bill.add(prices, long, &[stored], Price::LongTermGbMonth);
    let impossible = (fan_out > FAN_OUT_MAX)
        .then_some("a provisioned stream takes at most 20 consumers with fan-out");
    let shards = Some(needed);
    let mode = Mode::Provisioned;
    Choice { mode, consumers, fan_out_consumers: fan_out, as_asked, shards, bill, impossible }
}

fn on_demand(traffic: &Traffic, prices: &Prices, committed: bool) -> Choice {
    let mut bill = Bill::default();
    bill.add(prices, "stream", &[(HOURS_PER_MONTH, "h")], Price::OnDemandStreamHour);
    bill.add(prices, "written", &[written(traffic)], Price::OnDemandInGb);
    let gb = (month_gb(traffic, traffic.record_bytes), "GB");
    let shared = (f64::from(traffic.consumers), "readers");
    bill.add(prices, "read", &[shared, gb], Price::OnDemandOutGb);
    let fan_out = (f64::from(traffic.fan_out_consumers), "with fan-out");
    let [_, read] = FAN_OUT;
    bill.add(prices, read, &[fan_out, gb], Price::OnDemandFanOutGb);
    kept(
        &mut bill,
        traffic,
        prices,
        [Price::OnDemandExtendedGbMonth, Price::OnDemandLongTermGbMonth],
    );
    let too_many = (traffic.fan_out_consumers > FAN_OUT_MAX)
        .then_some("an on-demand standard stream takes at most 20 consumers with fan-out");
    let other = committed.then_some(
        "the account has committed itself to on-demand advantage, which all its on-demand streams have",
    );
    let impossible = other.or(too_many).or_else(|| too_much(traffic));
    volume(Mode::OnDemand, traffic, bill, impossible)
}

/// An account that pays for its minimum anyway pays nothing more for it because of this stream.
fn advantage(traffic: &Traffic, prices: &Prices, committed: bool) -> Choice {
    let mut bill = Bill::default();
    bill.add(prices, "written", &[written(traffic)], Price::AdvantageInGb);
    let readers = (f64::from(traffic.consumers + traffic.fan_out_consumers), "readers");
    let gb = (month_gb(traffic, traffic.record_bytes), "GB");
    bill.add(prices, "read", &[readers, gb], Price::AdvantageOutGb);
    let minimum = COMMITTED_BYTES_PER_SECOND * SECONDS_PER_HOUR * HOURS_PER_MONTH / GB;
    for (what, missing, price) in [
        ("written", minimum - written(traffic).0, Price::AdvantageInGb),
        ("read", minimum - readers.0 * gb.0, Price::AdvantageOutGb),
    ] {
        if missing > 0.0 && !committed {
            let dollars = prices.of(price).map(|dollars| missing * dollars);
            let formula = format!(
                "{} GB {what} short of the 25 MiB/s that the account commits itself to, unless \
                 its other streams use them, at the price of {}",
                number(missing),
                price.name()
            );
            bill.push("commitment", formula, dollars);
        }
    }
    kept(
        &mut bill,
        traffic,
        prices,
        [Price::AdvantageExtendedGbMonth, Price::AdvantageLongTermGbMonth],
    );
    volume(Mode::Advantage, traffic, bill, too_much(traffic))
}

fn volume(mode: Mode, traffic: &Traffic, bill: Bill, impossible: Option<&'static str>) -> Choice {
    let Traffic { consumers, fan_out_consumers, .. } = *traffic;
    Choice { mode, consumers, fan_out_consumers, as_asked: true, shards: None, bill, impossible }
}

fn too_much(traffic: &Traffic) -> Option<&'static str> {
    let peak = traffic.peak_records_per_second * f64::from(traffic.record_bytes);
    (peak > ON_DEMAND_BYTES_PER_SECOND_MAX)
        .then_some("an on-demand stream takes at most 10 GB/s, and less in most regions")
}

/// What a month writes as on-demand counts it.
fn written(traffic: &Traffic) -> (f64, &'static str) {
    let counted = traffic.record_bytes.div_ceil(ON_DEMAND_STEP_BYTES) * ON_DEMAND_STEP_BYTES;
    (month_gb(traffic, counted), "GB (each record rounded up to 1 KiB)")
}

fn kept(bill: &mut Bill, traffic: &Traffic, prices: &Prices, [extended, long]: [Price; 2]) {
    let [up_to_week, beyond] = RETENTION;
    let gb = (kept_gb(traffic, FREE_HOURS, EXTENDED_HOURS), "GB kept");
    bill.add(prices, up_to_week, &[gb], extended);
    let gb = (kept_gb(traffic, EXTENDED_HOURS, u32::MAX), "GB kept");
    bill.add(prices, beyond, &[gb], long);
}

/// What records of `record_bytes` add up to in a month.
fn month_gb(traffic: &Traffic, record_bytes: u32) -> f64 {
    hour_gb(traffic, record_bytes) * HOURS_PER_MONTH
}

fn hour_gb(traffic: &Traffic, record_bytes: u32) -> f64 {
    traffic.records_per_second * f64::from(record_bytes) * SECONDS_PER_HOUR / GB
}

/// What lies in the stream at any time, of the hours of its age between the two.
fn kept_gb(traffic: &Traffic, from: u32, to: u32) -> f64 {
    let hours = traffic.hours_retained.min(to).saturating_sub(from);
    hour_gb(traffic, traffic.record_bytes) * f64::from(hours)
}
