//! Owns the control plane: what streams there are and what AWS says about each, at leisure.
//! Refuses to hurry (its limits are the account's, shared with everybody's deployments) and to
//! guess: a stream that may not be described stays undescribed.

mod account;
mod consumers;
mod describe;
mod limits;
mod list;
mod pace;
mod ranges;
mod schedule;
mod selection;
mod shards;
mod tags;

pub use account::AccountWatcher;
pub use describe::Asking;
pub use describe::DescribeQueue;
pub use describe::Describer;
pub use limits::RecordLimits;
pub use list::Lister;
pub use pace::{Operation, Pacer};
pub use ranges::ShardRanges;
pub use selection::Selection;
