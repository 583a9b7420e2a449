//! Owns alerting as a value: rules, the machine that turns signals into firing and resolved
//! alerts, and the notices that tell a person. Refuses to deliver, to read clocks and to forget
//! why. Sources: reference/alerts.md 1.3, 1.5, 9; names are Alertmanager's.

pub mod board;
mod entry;
pub mod fingerprint;
pub mod glob;
pub mod machine;
pub mod rule;
mod text;

use crate::domain::lag::Status;
use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;
use std::time::Duration;

/// An alert's identity: label name to value. Never the pod.
pub type Labels = BTreeMap<String, String>;

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Seconds of delivery lag of a consumer's worst shard.
    DeliveryLag,
    /// 1 while the consumer's status is `stopped`, 0 while it is seen to read; no value while its
    /// status says neither.
    Stopped,
}

impl Signal {
    /// Whether it is a consumer's: what only the hub knows of all its pods.
    #[must_use]
    pub const fn is_of_consumers(self) -> bool {
        match self {
            Self::DeliveryLag | Self::Stopped => true,
        }
    }

    /// The name in a rule file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeliveryLag => "delivery_lag",
            Self::Stopped => "stopped",
        }
    }
}

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
    /// What is compared.
    pub signal: Signal,
    /// Fires above this (in the signal's unit) …
    pub above: f64,
    /// … and clears at or below this, never higher than `above`.
    pub clear_below: f64,
    /// How long it must be above before it fires.
    pub hold: Duration,
    /// How long it must stay clear before it is resolved.
    pub keep_firing: Duration,
    /// What no value means.
    pub missing: Missing,
    /// Added to every alert of the rule.
    pub annotations: BTreeMap<String, String>,
}

/// One consumer's signals at one moment, as the engine sees them.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// `stream`.
    pub stream: String,
    /// `consumer`.
    pub consumer: String,
    /// Seconds; `None` while unknown.
    pub lag_seconds: Option<f64>,
    /// The consumer's verdict.
    pub status: Status,
    /// The verdict's sentence.
    pub reason: String,
    /// More evidence for the annotations, such as `shard` (the worst) and `retention_used`; the
    /// key `estimated` says that `lag_seconds` was reckoned, not read.
    pub evidence: BTreeMap<String, String>,
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
