//! Owns how the alerts of a process look on disk, so that the next one goes on from them: JSON, as
//! notices are. Refuses what it cannot read whole: half a board would call alerts resolved.

use crate::domain::alert::Labels;
use crate::domain::alert::saved::{Saved, SavedAlert, SavedGroup, SavedState};
use crate::domain::time::Wall;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Serialize, Deserialize)]
struct StoredBoard {
    notices: u64,
    alerts: Vec<StoredAlert>,
    groups: Vec<StoredGroup>,
}

#[derive(Serialize, Deserialize)]
struct StoredAlert {
    rule: String,
    labels: Labels,
    annotations: BTreeMap<String, String>,
    state: StoredState,
    bad_since_ns: Option<u64>,
    fires_ns: Vec<u64>,
    told: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredState {
    Pending { since_ns: u64, held_ms: u64 },
    Firing { since_ns: u64 },
    Kept { since_ns: u64, clear_ms: u64 },
    Resolved { since_ns: u64, ended_ns: u64 },
}

#[derive(Serialize, Deserialize)]
struct StoredGroup {
    labels: Labels,
    told_at_ns: u64,
}

/// The alerts as bytes.
#[must_use]
pub fn write(saved: &Saved) -> Vec<u8> {
    let alert = |alert: &SavedAlert| StoredAlert {
        rule: alert.rule.clone(),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: StoredState::of(alert.state),
        bad_since_ns: alert.bad_since.map(Wall::as_nanos),
        fires_ns: alert.fires.iter().map(|at| at.as_nanos()).collect(),
        told: alert.told,
    };
    let group = |group: &SavedGroup| StoredGroup {
        labels: group.labels.clone(),
        told_at_ns: group.told_at.as_nanos(),
    };
    let stored = StoredBoard {
        notices: saved.notices,
        alerts: saved.alerts.iter().map(alert).collect(),
        groups: saved.groups.iter().map(group).collect(),
    };
    // Strings and numbers only: nothing that JSON cannot say.
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// The alerts of these bytes.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Saved> {
    let stored: StoredBoard = serde_json::from_slice(bytes).ok()?;
    let alert = |alert: StoredAlert| SavedAlert {
        rule: alert.rule,
        labels: alert.labels,
        annotations: alert.annotations,
        state: alert.state.read(),
        bad_since: alert.bad_since_ns.map(Wall::from_nanos),
        fires: alert.fires_ns.into_iter().map(Wall::from_nanos).collect(),
        told: alert.told,
    };
    let group = |group: StoredGroup| SavedGroup {
        labels: group.labels,
        told_at: Wall::from_nanos(group.told_at_ns),
    };
    Some(Saved {
        notices: stored.notices,
        alerts: stored.alerts.into_iter().map(alert).collect(),
        groups: stored.groups.into_iter().map(group).collect(),
    })
}

impl StoredState {
    fn of(state: SavedState) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match state {
            SavedState::Pending { since, held } => {
                Self::Pending { since_ns: since.as_nanos(), held_ms: ms(held) }
            }
            SavedState::Firing { since } => Self::Firing { since_ns: since.as_nanos() },
            SavedState::Kept { since, clear } => {
                Self::Kept { since_ns: since.as_nanos(), clear_ms: ms(clear) }
            }
            SavedState::Resolved { since, ended } => {
                Self::Resolved { since_ns: since.as_nanos(), ended_ns: ended.as_nanos() }
            }
        }
    }

    fn read(self) -> SavedState {
        let (wall, span) = (Wall::from_nanos, Duration::from_millis);
        match self {
            Self::Pending { since_ns, held_ms } => {
                SavedState::Pending { since: wall(since_ns), held: span(held_ms) }
            }
            Self::Firing { since_ns } => SavedState::Firing { since: wall(since_ns) },
            Self::Kept { since_ns, clear_ms } => {
                SavedState::Kept { since: wall(since_ns), clear: span(clear_ms) }
            }
            Self::Resolved { since_ns, ended_ns } => {
                SavedState::Resolved { since: wall(since_ns), ended: wall(ended_ns) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let at = |second: u64| Wall::from_ms(1_795_000_000_000 + second * 1_000);
        let words = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let states = [
            SavedState::Pending { since: at(1), held: Duration::from_millis(2_500) },
            SavedState::Firing { since: at(2) },
            SavedState::Kept { since: at(3), clear: Duration::from_secs(4) },
            SavedState::Resolved { since: at(4), ended: at(5) },
        ];
        let alert = |state| SavedAlert {
            rule: "KinesisConsumerLagHigh".to_owned(),
            labels: words(&[("alertname", "KinesisConsumerLagHigh"), ("stream", "orders \"a\"")]),
            annotations: words(&[("value", "90 s")]),
            state,
            bad_since: Some(at(0)),
            fires: vec![at(1), at(2)],
            told: true,
        };
        let groups = vec![SavedGroup { labels: words(&[("stream", "orders")]), told_at: at(9) }];
        let saved = Saved { notices: 7, alerts: states.map(alert).into(), groups };
        let bytes = write(&saved);
        assert_eq!(read(&bytes), Some(saved));
        let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
        for broken in [half, b"".as_slice(), b"{}", b"[1]"] {
            assert_eq!(read(broken), None);
        }
        assert_eq!(read(&write(&Saved::default())), Some(Saved::default()));
    }
}
