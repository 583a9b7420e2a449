//! Owns one month's bill: its lines, each with its formula. Refuses a sum in which a line is not
//! known.

use super::number::number;
use super::prices::{Price, Prices};

/// A month as AWS's calculator counts it.
pub const HOURS_PER_MONTH: f64 = 730.0;
/// A gigabyte as AWS bills it.
pub(super) const GB: f64 = 1_073_741_824.0;
/// Shard-level metrics of enhanced monitoring.
const SHARD_METRICS: f64 = 7.0;
/// Stream-level metrics that Kinescope reads of one stream.
const STREAM_METRICS: f64 = 20.0;

/// One line of a bill.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What is paid for.
    pub what: &'static str,
    /// How it was reckoned.
    pub formula: String,
    /// A month's dollars; none where the price is not known.
    pub dollars: Option<f64>,
}

/// A month's bill.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bill {
    /// Its lines, in the order of reckoning.
    pub lines: Vec<Line>,
}

impl Bill {
    /// Adds the product of the factors and the price; nothing where a factor is zero.
    pub(super) fn add(
        &mut self,
        prices: &Prices,
        what: &'static str,
        factors: &[(f64, &str)],
        price: Price,
    ) {
        let amount: f64 = factors.iter().map(|(factor, _)| factor).product();
        if amount == 0.0 {
            return;
        }
        let factors: Vec<String> =
            factors.iter().map(|(factor, unit)| format!("{} {unit}", number(*factor))).collect();
        let factors = factors.join(" × ");
        let (formula, dollars) = match prices.of(price) {
            Some(dollars) => {
                (format!("{factors} × ${dollars} a {}", price.unit()), Some(amount * dollars))
            }
            None => (format!("{factors} × an unknown price: {}", price.name()), None),
        };
        self.lines.push(Line { what, formula, dollars });
    }

    /// Adds a line that was reckoned elsewhere.
    pub(super) fn push(&mut self, what: &'static str, formula: String, dollars: Option<f64>) {
        self.lines.push(Line { what, formula, dollars });
    }

    /// The sum; none where a line is not known.
    #[must_use]
    pub fn total(&self) -> Option<f64> {
        self.lines.iter().map(|line| line.dollars).sum()
    }

    /// The sum of the lines that pay for `what`; none where one is not known.
    pub(super) fn of(&self, what: &[&str]) -> Option<f64> {
        self.lines.iter().filter(|line| what.contains(&line.what)).map(|line| line.dollars).sum()
    }
}

/// What looking at a stream costs: enhanced monitoring of its shards, and a hub that reads its
/// stream-level metrics every minute.
pub(super) fn watching(shards: u64, prices: &Prices) -> Bill {
    let mut bill = Bill::default();
    #[expect(clippy::cast_precision_loss, reason = "a count of shards is far below 2^53")]
    let shards = shards as f64;
    let metrics = [(shards, "shards"), (SHARD_METRICS, "metrics")];
    bill.add(prices, "shard-level metrics, if turned on", &metrics, Price::MetricMonth);
    let asked = STREAM_METRICS * HOURS_PER_MONTH * 60.0 / 1_000.0;
    let asked = [(asked, "thousand metrics (20 a minute)")];
    bill.add(
        prices,
        "a hub that reads the stream's metrics",
        &asked,
        Price::MetricsRequestedThousand,
    );
    bill
}
