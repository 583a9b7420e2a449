//! Owns what a stream's traffic needs and costs: shards, capacity modes, aggregation, retention, and
//! what is worth knowing about them. Arithmetic over given traffic and given prices, of which
//! `measured` takes the traffic from a snapshot. Refuses to call a cost known whose price is not.

mod advice;
mod aggregation;
mod bill;
mod choice;
mod measured;
mod number;
mod prices;
mod shards;
#[cfg(test)]
mod tests;
mod traffic;

pub use advice::Advice;
pub use aggregation::{Aggregated, NotWorthIt};
pub use bill::{Bill, HOURS_PER_MONTH, Line};
pub use choice::{Choice, Mode};
pub use measured::{Measured, Source, measured};
pub use number::{dollars, number};
pub use prices::{Price, Prices};
pub use shards::{Limit, Need, Shards};
pub use traffic::{Fault, Traffic};

/// Whether the account has committed itself to pay for a minimum of on-demand advantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commitment {
    /// It has not: on-demand streams cost what on-demand standard does.
    Disabled,
    /// It has: all on-demand streams of the account in the region cost what on-demand advantage does.
    Enabled,
    /// It has, and has asked for its end.
    Ending,
}

impl Commitment {
    /// As the JSON says it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Ending => "enabled_until_earliest_allowed_end",
        }
    }

    /// Whether the minimum is paid now.
    #[must_use]
    pub const fn is_paid(self) -> bool {
        match self {
            Self::Disabled => false,
            Self::Enabled | Self::Ending => true,
        }
    }
}

/// All that is told of one stream's traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What it was made for.
    pub traffic: Traffic,
    /// What provisioned mode needs, as the consumers were asked for.
    pub shards: Shards,
    /// Every way to have the stream; the first of each mode is as asked.
    pub choices: Vec<Choice>,
    /// The same with KPL aggregation, or why it would not help.
    pub aggregation: Result<(Aggregated, Vec<Choice>), NotWorthIt>,
    /// What looking at the stream costs in CloudWatch.
    pub watching: Bill,
    /// Whether the account pays the minimum of on-demand advantage anyway.
    pub committed: bool,
    /// What a person should know, the weightiest first.
    pub advice: Vec<Advice>,
}

impl Plan {
    /// Plans for `traffic` at `prices`, for an account of which `commitment` is known.
    ///
    /// # Errors
    /// Every fault of the traffic, at once.
    pub fn make(
        traffic: &Traffic,
        prices: &Prices,
        commitment: Option<Commitment>,
    ) -> Result<Self, Vec<Fault>> {
        traffic.check()?;
        let committed = commitment.is_some_and(Commitment::is_paid);
        let choices = choice::all(traffic, prices, committed);
        let aggregation = aggregation::aggregate(traffic).map(|aggregated| {
            let changed = aggregated.traffic(traffic);
            (aggregated, choice::all(&changed, prices, committed))
        });
        let shards = shards::needed(traffic, traffic.consumers);
        let watching = bill::watching(shards.needed, prices);
        let mut plan = Self {
            traffic: traffic.clone(),
            shards,
            choices,
            aggregation,
            watching,
            committed,
            advice: Vec::new(),
        };
        plan.advice = advice::all(&plan);
        Ok(plan)
    }

    /// The cheapest way that gives what was asked for; none where no cost is known.
    #[must_use]
    pub fn cheapest(&self) -> Option<&Choice> {
        choice::cheapest(&self.choices)
    }

    /// The same with aggregation.
    #[must_use]
    pub fn cheapest_aggregated(&self) -> Option<&Choice> {
        self.aggregation.as_ref().ok().and_then(|(_, choices)| choice::cheapest(choices))
    }

    /// What aggregation saves in a month, cheapest against cheapest; below zero where it costs more.
    /// None where it cannot be, or a cost is not known.
    #[must_use]
    pub fn saved_by_aggregation(&self) -> Option<f64> {
        Some(self.cheapest()?.bill.total()? - self.cheapest_aggregated()?.bill.total()?)
    }
}
