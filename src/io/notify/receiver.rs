//! Owns who can be told of alerts and how. Refuses to show an address, which often is a password.

use crate::io::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// How long a notice may fail before a fallback gets it too, unless configured.
pub const FALLBACK_AFTER: Duration = Duration::from_secs(5 * 60);

/// How often an Alertmanager is told again of what fires, unless configured.
pub const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Somebody who is told of alerts.
#[derive(Debug, Clone, PartialEq)]
pub struct Receiver {
    /// The `receiver` label, and the field of a webhook's body.
    pub name: String,
    /// How it is told.
    pub kind: Kind,
    /// Who is told of what this one does not take; it is told of nothing else.
    pub fallback: Option<String>,
    /// How long a notice may fail here before that.
    pub fallback_after: Duration,
}

/// The ways of telling.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Alertmanager's webhook body.
    Webhook {
        /// Where to post to.
        url: Place,
        /// Holds the keys that sign; `None`: unsigned.
        secret_file: Option<PathBuf>,
    },
    /// An Alertmanager.
    Alertmanager {
        /// Its address, without the API's path.
        url: Place,
        /// Holds a token that it is called with.
        token_file: Option<PathBuf>,
        /// How often it is told again of what fires; untold, it lets an alert end after four times
        /// that, as it does with Prometheus'.
        renew_every: Duration,
    },
    /// An incoming webhook of Slack.
    Slack {
        /// Where to post to.
        url: Place,
    },
    /// PagerDuty's Events API v2.
    PagerDuty {
        /// Where to post to.
        url: Place,
        /// The service's key.
        routing_key: Place,
    },
    /// A workflow of Microsoft Teams.
    Teams {
        /// Where to post to.
        url: Place,
    },
}

/// Where a secret is known from.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// The secret itself, from the configuration.
    Given(Secret),
    /// A file that holds it, read again at each attempt, so that it can be rotated.
    File(PathBuf),
}

impl Receiver {
    /// A receiver without a fallback.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        let name = name.to_owned();
        Self { name, kind, fallback: None, fallback_after: FALLBACK_AFTER }
    }
}

impl Receiver {
    /// Whether its task can go on with these settings: the same receiver, called elsewhere or with
    /// other keys.
    #[must_use]
    pub fn can_become(&self, other: &Self) -> bool {
        let rhythm = |of: &Self| (of.kind.as_str(), of.kind.renew_every());
        let place = |of: &Self| (of.fallback.clone(), of.fallback_after);
        self.name == other.name && rhythm(self) == rhythm(other) && place(self) == place(other)
    }
}

impl Kind {
    /// Where to post to.
    #[must_use]
    pub fn url(&self) -> &Place {
        match self {
            Self::Webhook { url, .. }
            | Self::Alertmanager { url, .. }
            | Self::Slack { url }
            | Self::PagerDuty { url, .. }
            | Self::Teams { url } => url,
        }
    }

    /// How often it must be told again of what fires, if it forgets.
    pub(super) fn renew_every(&self) -> Option<Duration> {
        match self {
            Self::Alertmanager { renew_every, .. } => Some(*renew_every),
            Self::Webhook { .. }
            | Self::Slack { .. }
            | Self::PagerDuty { .. }
            | Self::Teams { .. } => None,
        }
    }

    /// The configuration's word for it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Slack { .. } => "slack",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Teams { .. } => "teams",
        }
    }

    /// How many notices one request can tell of.
    pub(super) const fn batch_max(&self) -> usize {
        match self {
            Self::Webhook { .. } | Self::PagerDuty { .. } => 1,
            Self::Alertmanager { .. } => 100,
            // People read no more in one message, and Slack takes one message a second.
            Self::Slack { .. } | Self::Teams { .. } => 15,
        }
    }

    /// How many requests may be under way at once. Those that tell many alerts at once, and those
    /// that limit how often they are called, are called by one.
    pub(super) const fn lanes(&self) -> usize {
        match self {
            Self::Webhook { .. } | Self::PagerDuty { .. } => 4,
            Self::Alertmanager { .. } | Self::Slack { .. } | Self::Teams { .. } => 1,
        }
    }
}
