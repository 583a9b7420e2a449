//! Owns how a notice looks on disk: JSON, so that a person can read what was not delivered. Refuses
//! what it cannot read whole.

use crate::domain::alert::{AlertState, AlertView, Labels, Notice, NoticeReason};
use crate::domain::outbox::Told;
use crate::domain::time::{Moment, Wall};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Every reason there is; one that is not here is read as what the alerts themselves say.
const REASONS: [NoticeReason; 5] = [
    NoticeReason::First,
    NoticeReason::NewAlerts,
    NoticeReason::SomeResolved,
    NoticeReason::AllResolved,
    NoticeReason::Repeat,
];

#[derive(Serialize, Deserialize)]
struct StoredNotice {
    id: u64,
    group_key: String,
    group_labels: Labels,
    reason: String,
    alerts: Vec<StoredAlert>,
    at_ns: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredAlert {
    labels: Labels,
    annotations: BTreeMap<String, String>,
    firing: bool,
    starts_at_ns: u64,
    ends_at_ns: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredTold {
    starts_at_ns: u64,
}

/// The notice as bytes; alerts that are pending are nobody's news and left away.
#[must_use]
pub fn notice(notice: &Notice) -> Vec<u8> {
    let alert = |view: &AlertView| StoredAlert {
        labels: view.labels.clone(),
        annotations: view.annotations.clone(),
        firing: view.state == AlertState::Firing,
        starts_at_ns: view.starts_at.as_nanos(),
        ends_at_ns: view.ends_at.map(Wall::as_nanos),
    };
    let told = notice.alerts.iter().filter(|view| view.state != AlertState::Pending);
    json(&StoredNotice {
        id: notice.id,
        group_key: notice.group_key.clone(),
        group_labels: notice.group_labels.clone(),
        reason: notice.reason.as_str().to_owned(),
        alerts: told.map(alert).collect(),
        at_ns: notice.at.wall.as_nanos(),
    })
}

/// The notice of these bytes; its monotonic time is that of the beginning.
#[must_use]
pub fn read_notice(bytes: &[u8]) -> Option<Notice> {
    let stored: StoredNotice = serde_json::from_slice(bytes).ok()?;
    let alert = |alert: StoredAlert| AlertView {
        labels: alert.labels,
        annotations: alert.annotations,
        state: if alert.firing { AlertState::Firing } else { AlertState::Resolved },
        starts_at: Wall::from_nanos(alert.starts_at_ns),
        ends_at: alert.ends_at_ns.map(Wall::from_nanos),
    };
    let alerts: Vec<AlertView> = stored.alerts.into_iter().map(alert).collect();
    let fires = alerts.iter().any(|alert| alert.state == AlertState::Firing);
    let plain = if fires { NoticeReason::First } else { NoticeReason::AllResolved };
    let reason = REASONS.into_iter().find(|reason| reason.as_str() == stored.reason);
    Some(Notice {
        id: stored.id,
        group_key: stored.group_key,
        group_labels: stored.group_labels,
        reason: reason.unwrap_or(plain),
        alerts,
        at: Moment { wall: Wall::from_nanos(stored.at_ns), mono: Duration::ZERO },
    })
}

/// What a receiver was told, as bytes.
#[must_use]
pub fn told(told: &Told) -> Vec<u8> {
    json(&StoredTold { starts_at_ns: told.starts_at.as_nanos() })
}

/// What a receiver was told, of these bytes.
#[must_use]
pub fn read_told(bytes: &[u8]) -> Option<Told> {
    let stored: StoredTold = serde_json::from_slice(bytes).ok()?;
    Some(Told { starts_at: Wall::from_nanos(stored.starts_at_ns) })
}

/// Text keys and plain values: nothing in it can fail to be JSON.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_written_is_read() {
        let alert = |state, ends_at| AlertView {
            labels: [("alertname".to_owned(), "A".to_owned())].into(),
            annotations: [("summary".to_owned(), "\"x\"\n".to_owned())].into(),
            state,
            starts_at: Wall::from_nanos(1_700_000_000_123_456_789),
            ends_at,
        };
        let end = Some(Wall::from_nanos(1_700_000_001_000_000_001));
        let written = Notice {
            id: 3,
            group_key: "{}:{}".to_owned(),
            group_labels: Labels::new(),
            reason: NoticeReason::Repeat,
            alerts: vec![alert(AlertState::Firing, None), alert(AlertState::Resolved, end)],
            at: Moment { wall: Wall::from_ms(1_700_000_002_000), mono: Duration::ZERO },
        };
        assert_eq!(read_notice(&notice(&written)), Some(written));
        let known = Told { starts_at: Wall::from_nanos(7) };
        assert_eq!(read_told(&told(&known)), Some(known));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = (read_notice(&bytes), read_told(&bytes));
        }
    }
}
