//! Owns why a lease table was not read, or not wholly: one word of a closed set and a sentence that
//! says what to do. Refuses to say when to try again.

use crate::domain::backoff::Backoff;
use crate::domain::lease::Placeless;
use crate::io::credentials::fault::Fault;
use std::time::Duration;

/// Throttling passes; a bigger budget than the table has does not.
const THROTTLED: Backoff = Backoff {
    initial: Duration::from_secs(2),
    factor: 2.0,
    max: Duration::from_secs(60),
    jitter: 0.5,
};

/// A table may be made, or a permission given, at any time.
const OTHERWISE: Backoff = Backoff {
    initial: Duration::from_secs(5),
    factor: 2.0,
    max: Duration::from_secs(300),
    jitter: 0.2,
};

/// Why a table was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableFault {
    /// DynamoDB says so.
    #[error("{}: {said}", advice(*.fault))]
    Call {
        /// What it amounts to.
        fault: Fault,
        /// What was said.
        said: String,
    },
    /// It holds rows, and none of KCL's.
    #[error("the table is another program's: none of its {rows} rows is a lease of KCL's")]
    Foreign {
        /// Rows that were looked at.
        rows: usize,
    },
    /// It is KCL's, but nothing says of which stream.
    #[error(transparent)]
    Placeless(#[from] Placeless),
    /// There are more rows than an application can have.
    #[error("the table has over {rows} rows; the rest is left out")]
    TooLong {
        /// The bound.
        rows: usize,
    },
}

const fn advice(fault: Fault) -> &'static str {
    match fault {
        Fault::Throttled => {
            "throttled; give the table more read capacity or lower `read_units_per_second`"
        }
        Fault::Denied => "not permitted; the hub needs dynamodb:Scan on the table",
        Fault::NotFound => {
            "there is no such table yet, or its name is not the application's: set `table`"
        }
        Fault::Refused => "refused",
        Fault::Broken => "DynamoDB failed",
        Fault::TimedOut => "no answer in time",
        Fault::Unsent => "DynamoDB cannot be reached",
    }
}

impl TableFault {
    /// The label `outcome`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Call { fault, .. } => fault.as_str(),
            Self::Foreign { .. } => "foreign",
            Self::Placeless(_) => "no_stream",
            Self::TooLong { .. } => "too_long",
        }
    }

    /// What became of the call itself; `None`: it was answered.
    pub(super) const fn call(&self) -> Option<Fault> {
        match self {
            Self::Call { fault, .. } => Some(*fault),
            Self::Foreign { .. } | Self::Placeless(_) | Self::TooLong { .. } => None,
        }
    }

    /// How long to wait after so many failures in a row.
    pub(super) fn delay(&self, failures: u32, chance: f64) -> Duration {
        match self {
            Self::Call { fault: Fault::Throttled, .. } => THROTTLED.delay(failures, chance),
            Self::Call { .. }
            | Self::Foreign { .. }
            | Self::Placeless(_)
            | Self::TooLong { .. } => OTHERWISE.delay(failures, chance),
        }
    }
}
