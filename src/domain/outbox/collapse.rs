//! Owns which notice may take another's place, and which of its alerts a receiver may be told of.
//! Refuses to decide when.

use crate::domain::alert::fingerprint::fingerprint;
use crate::domain::alert::{AlertState, AlertView, Notice, NoticeReason};
use crate::domain::outbox::Told;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a receiver was told of, by fingerprint.
pub(super) type ToldOf = BTreeMap<u64, Told>;

/// Whether a receiver that gets `new` in place of `old` misses nothing: every alert that `old` says
/// fires does so in `new` or is known to it, every end is told by `new` too.
pub(super) fn says_all(new: &Notice, old: &Notice, told: &ToldOf) -> bool {
    old.alerts.iter().all(|was| {
        let same = |is: &&AlertView| is.labels == was.labels && is.starts_at == was.starts_at;
        let is = new.alerts.iter().find(same).map(|is| is.state);
        match was.state {
            AlertState::Pending => true,
            AlertState::Firing => {
                is == Some(AlertState::Firing) || is.is_some() && is_known(was, told)
            }
            AlertState::Resolved => is == Some(AlertState::Resolved),
        }
    })
}

/// `new`, with the reason for which `old` would have been sent if `new` only repeats it.
pub(super) fn in_place_of(old: &Notice, new: Arc<Notice>) -> Arc<Notice> {
    match new.reason == NoticeReason::Repeat && old.reason != NoticeReason::Repeat {
        true => Arc::new(Notice { reason: old.reason, ..Notice::clone(&new) }),
        false => new,
    }
}

/// Whether all of it has been told before.
pub(super) fn only_repeats(notice: &Notice, told: &ToldOf) -> bool {
    notice.alerts.iter().all(|alert| alert.state == AlertState::Firing && is_known(alert, told))
}

fn is_known(alert: &AlertView, told: &ToldOf) -> bool {
    told.get(&fingerprint(&alert.labels)).is_some_and(|told| told.starts_at == alert.starts_at)
}

/// The notice without what `keep` does not want; `None` if nothing is left.
pub(super) fn only(notice: &Arc<Notice>, keep: impl Fn(&AlertView) -> bool) -> Option<Arc<Notice>> {
    if notice.alerts.iter().all(&keep) {
        return (!notice.alerts.is_empty()).then(|| Arc::clone(notice));
    }
    let alerts: Vec<AlertView> =
        notice.alerts.iter().filter(|alert| keep(alert)).cloned().collect();
    (!alerts.is_empty()).then(|| Arc::new(Notice { alerts, ..Notice::clone(notice) }))
}

/// What a receiver that was told of `told` may be told of `notice`: ends only of what it knows.
pub(super) fn tellable(notice: &Arc<Notice>, told: &ToldOf) -> Option<Arc<Notice>> {
    only(notice, |alert| match alert.state {
        AlertState::Pending => false,
        AlertState::Firing => true,
        AlertState::Resolved => told.contains_key(&fingerprint(&alert.labels)),
    })
}
