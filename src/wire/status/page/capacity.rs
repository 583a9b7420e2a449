//! Owns the part of the page that says what measured traffic needs and costs. Refuses to hide whose
//! traffic that is and which prices it is reckoned with.

use super::Sight;
use super::rows::{Rows, ago};
use crate::domain::plan::Commitment;
use crate::domain::snapshot::AccountSettings;
use crate::domain::time::Wall;
use crate::wire::status::Role;
use crate::wire::status::plans::{PlanRow, Plans, is_whole};
use askama::Template;

const STREAMS_MAX: usize = 50;

/// The rows as HTML.
///
/// # Errors
/// When the template cannot be filled, which no snapshot should cause.
pub(super) fn html(sight: &Sight<'_>) -> Result<String, askama::Error> {
    let (snapshot, role) = (sight.snapshot, sight.identity.role);
    let plans = Plans::of(snapshot, role);
    let rows = Rows::first(plans.streams.iter(), STREAMS_MAX).map(PlanRow::from);
    let region = sight.identity.region.as_str();
    let prices = &plans.prices;
    Capacity {
        more: rows.more + plans.left_out,
        rows,
        whose: whose(role),
        account: account(snapshot.account.as_ref(), role, snapshot.now.wall),
        prices: format!("{}, {}, {}", prices.region, prices.source, prices.date),
        unchecked: prices.to_be_checked.len(),
        elsewhere: (region != prices.region).then_some(region),
    }
    .render()
}

#[derive(Template)]
#[template(path = "page/capacity.html", config = "src/wire/status/askama.toml")]
struct Capacity<'a> {
    rows: Rows<PlanRow<'a>>,
    more: usize,
    whose: &'static str,
    account: Option<String>,
    prices: String,
    unchecked: usize,
    /// The region, where the prices are another's.
    elsewhere: Option<&'a str>,
}

const fn whose(role: Role) -> &'static str {
    if is_whole(role) {
        "What the traffic of the last day, or as much of it as was measured, needs and costs."
    } else {
        "This sidecar saw the traffic of its pod only: what this part alone would need and cost. Other \
         pods write to the same shards; the hub plans for all of them."
    }
}

/// What the account pays for; a sidecar does not ask.
fn account(told: Option<&AccountSettings>, role: Role, now: Wall) -> Option<String> {
    let Some(told) = told else {
        let words = "Whether the account pays for on-demand advantage is not known \
                     (kinesis:DescribeAccountSettings).";
        return is_whole(role).then(|| words.to_owned());
    };
    let words = match told.commitment {
        None => "Whether the account pays for on-demand advantage was not said".to_owned(),
        Some(Commitment::Disabled) => "The account does not pay for on-demand advantage".to_owned(),
        Some(Commitment::Enabled) => {
            "The account pays for on-demand advantage, its minimum included: \
                                      all its on-demand streams have its prices"
                .to_owned()
        }
        Some(Commitment::Ending) => match told.earliest_end_at {
            Some(end) => format!("The account pays for on-demand advantage until {end}"),
            None => {
                "The account pays for on-demand advantage, and has asked for its end".to_owned()
            }
        },
    };
    Some(format!("{words}, as of {}.", ago(told.at.wall, now)))
}
