//! Owns the lease tables of KCL applications: each is read again and again within a budget, and
//! every lease told to the engine. Refuses to write to a table, and to tell a lease of which it is
//! not sure.

mod budget;
mod fault;
mod metrics;
mod scan;
mod watch;

pub use fault::TableFault;
pub use metrics::LeaseMetrics;
pub use scan::look;
pub use watch::Watcher;

use crate::domain::stream::{ConsumerName, StreamName};
use std::time::Duration;

/// One application's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The label `application`.
    pub application: String,
    /// The table's name.
    pub table: String,
    /// The one stream whose leases count; `None`: every stream that the keys name.
    pub stream: Option<StreamName>,
    /// Who reads, by the name that its sidecars have for it.
    pub consumer: ConsumerName,
    /// From the begin of one reading of the table to that of the next, at least.
    pub interval: Duration,
    /// Read units a second that may be used up, in the long run.
    pub units_per_second: u32,
}
