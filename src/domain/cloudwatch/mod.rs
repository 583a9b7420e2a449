//! Owns what is asked of CloudWatch: of which things, which metrics, for which minutes, in how few
//! calls, for how much money, and what is given up first. Refuses to call anyone and to read a clock.
//! Sources: reference/metrics.md 3.1, 3.2, 3.6, 9 (17-24).
//!
#![doc = include_str!("paper.md")]

pub mod bucket;
pub mod budget;
pub mod found;
pub mod ledger;
pub mod metric;
pub mod plan;
pub mod settling;
pub mod share;
pub mod subject;
pub mod window;

pub use bucket::Bucket;
pub use budget::{Budget, Demand, Detail};
pub use ledger::{Answer, Batch, Complete, Ledger, Told};
pub use metric::{Metric, Reading, Statistic};
pub use plan::{Function, Plan};
pub use share::Share;
pub use subject::{Job, Kind, Series, Subject};
pub use window::Window;

#[cfg(test)]
mod paper_tests;
