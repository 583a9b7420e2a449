//! Owns alerting as a value: rules, the machine that turns signals into firing and resolved
//! alerts, and the notices that tell a person. Refuses to deliver, to read clocks and to forget
//! why. Sources: reference/alerts.md 1.3, 1.5, 9; names are Alertmanager's.

pub mod board;
pub mod builtin;
mod entry;
pub mod figures;
pub mod fingerprint;
pub mod freshness;
pub mod glob;
pub mod group;
pub mod machine;
pub mod matcher;
pub mod reading;
pub mod replay;
pub mod rule;
pub mod saved;
pub mod signal;
pub mod silence;
mod suppress;
mod text;
mod values;

pub use reading::{Disturbance, Obstacle, Reading, Subject};
pub use signal::Signal;
pub use values::Values;

use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;
use std::time::Duration;

/// An alert's identity: label name to value. Never the pod.
pub type Labels = BTreeMap<String, String>;

/// The annotation of an alert that this process does not see any more and another may: an
/// Alertmanager is told neither that it goes on nor that it is over, and lets it expire.
pub const LET_GO: &str = "let_go";

/// What happens to an alert whose signal has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Stays as it is: skipped time neither fires nor resolves.
    Keep,
    /// Counts as above the threshold.
    Fire,
    /// Counts as below it.
    Clear,
}

/// How bad it is; Prometheus' usual label values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl Severity {
    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// On which side of its threshold a signal is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// Above it; clear at or below `clear`, which is never higher.
    Above,
    /// Below it; clear at or above `clear`, which is never lower.
    Below,
}

/// A rule's condition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct When {
    /// What is compared.
    pub signal: Signal,
    /// Which way.
    pub sense: Sense,
    /// Bad beyond this, in the signal's unit …
    pub threshold: f64,
    /// … and clear at this or better. What is between is neither.
    pub clear: f64,
}

/// One alert rule, complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// `alertname`.
    pub name: String,
    /// Label `severity`.
    pub severity: Severity,
    /// Glob on the stream's name.
    pub stream: String,
    /// Glob on the consumer's name.
    pub consumer: String,
    /// When it is bad.
    pub when: When,
    /// How long it must be bad before it fires.
    pub hold: Duration,
    /// How long it must stay clear before it is resolved.
    pub keep_firing: Duration,
    /// For how long after a disturbance time does not count towards `hold`; `None`: as long as
    /// `hold`, two minutes at most.
    pub grace: Option<Duration>,
    /// What no value means.
    pub missing: Missing,
    /// Whether it is in force.
    pub enabled: bool,
    /// Added to every alert of the rule.
    pub annotations: BTreeMap<String, String>,
}

/// Whether an alert is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AlertState {
    /// Above the threshold, not long enough yet.
    Pending,
    /// On.
    Firing,
    /// Off again.
    Resolved,
}

/// An alert as a page or a message shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertView {
    /// Identity.
    pub labels: Labels,
    /// `summary`, `description`, `value`, `threshold`, `shard`, …; repeated on resolve.
    pub annotations: BTreeMap<String, String>,
    /// Whether it is on.
    pub state: AlertState,
    /// When the condition became true (pending) or the alert fired.
    pub starts_at: Wall,
    /// When it was resolved.
    pub ends_at: Option<Wall>,
}

/// Why a notice is sent: Alertmanager's `notification_reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeReason {
    /// `first notification`
    First,
    /// `new alerts added`
    NewAlerts,
    /// `some alerts resolved`
    SomeResolved,
    /// `all alerts resolved`
    AllResolved,
    /// `repeat interval elapsed`
    Repeat,
}

impl NoticeReason {
    /// Alertmanager's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first notification",
            Self::NewAlerts => "new alerts added",
            Self::SomeResolved => "some alerts resolved",
            Self::AllResolved => "all alerts resolved",
            Self::Repeat => "repeat interval elapsed",
        }
    }
}

/// What is to be told to every receiver: one group of alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Increases by one with every notice of this process.
    pub id: u64,
    /// Alertmanager's group key, `{}:{alertname="…", …}`.
    pub group_key: String,
    /// The labels that made the group.
    pub group_labels: Labels,
    /// Why now.
    pub reason: NoticeReason,
    /// The group's alerts, firing or resolved.
    pub alerts: Vec<AlertView>,
    /// When it was decided.
    pub at: Moment,
}

#[cfg(test)]
mod story_tests;
