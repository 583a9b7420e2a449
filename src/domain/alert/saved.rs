//! Owns what of all alerts must outlive the process, as plain values that can be written anywhere.
//! Refuses to write: whoever keeps state does. Times are the calendar's, since another process has
//! another monotonic clock.

use crate::domain::alert::Labels;
use crate::domain::time::Wall;
use std::collections::BTreeMap;
use std::time::Duration;

/// A board as of one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Saved {
    /// The id of the newest notice: the next process goes on from it.
    pub notices: u64,
    /// Everything pending, on, or resolved of late.
    pub alerts: Vec<SavedAlert>,
    /// Groups of which somebody was told.
    pub groups: Vec<SavedGroup>,
}

impl Saved {
    /// What is worth a write: all but what moves by itself while nothing happens.
    #[must_use]
    pub fn gist(&self) -> Self {
        let still = |alert: &SavedAlert| {
            let state = match alert.state {
                SavedState::Pending { since, held: _ } => {
                    SavedState::Pending { since, held: Duration::ZERO }
                }
                SavedState::Kept { since, clear: _ } => {
                    SavedState::Kept { since, clear: Duration::ZERO }
                }
                SavedState::Firing { .. } | SavedState::Resolved { .. } => alert.state,
            };
            SavedAlert { state, annotations: BTreeMap::new(), ..alert.clone() }
        };
        Self { alerts: self.alerts.iter().map(still).collect(), ..self.clone() }
    }

    /// Whether time alone changes what must be remembered.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.alerts.iter().any(|alert| match alert.state {
            SavedState::Pending { .. } | SavedState::Kept { .. } => true,
            SavedState::Firing { .. } | SavedState::Resolved { .. } => false,
        })
    }
}

/// One alert.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedAlert {
    /// `alertname`.
    pub rule: String,
    /// Its identity, whole.
    pub labels: Labels,
    /// What was last said of it.
    pub annotations: BTreeMap<String, String>,
    /// Where it stands.
    pub state: SavedState,
    /// Since when it has been bad.
    pub bad_since: Option<Wall>,
    /// When it fired, the last few times.
    pub fires: Vec<Wall>,
    /// Receivers know that it fires.
    pub told: bool,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedState {
    /// Bad, not long enough yet.
    Pending {
        /// Since when.
        since: Wall,
        /// Time observed bad.
        held: Duration,
    },
    /// On.
    Firing {
        /// When it fired.
        since: Wall,
    },
    /// On although clear.
    Kept {
        /// When it fired.
        since: Wall,
        /// Time observed clear.
        clear: Duration,
    },
    /// Off; to be told if `told` says that somebody believes it on.
    Resolved {
        /// When it had fired.
        since: Wall,
        /// When it was resolved.
        ended: Wall,
    },
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedGroup {
    /// What makes it.
    pub labels: Labels,
    /// When somebody was last told of it.
    pub told_at: Wall,
}
