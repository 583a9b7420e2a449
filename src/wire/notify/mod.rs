//! The scribes of notifications: what a receiver is sent, and what its answer asks for. Refuses to
//! send.

pub mod alertmanager;
pub mod board;
pub mod pagerduty;
pub mod retry_after;
pub mod signature;
pub mod slack;
pub mod stored;
pub mod teams;
mod text;
pub mod webhook;

use crate::domain::alert::{AlertState, AlertView, Labels, Notice};
use hex_simd::AsciiCase;
use sha2::{Digest, Sha256};

/// The alerts of these notices that are anybody's news: all but the pending.
fn told<'a>(notices: &[&'a Notice]) -> Vec<&'a AlertView> {
    let alerts = notices.iter().flat_map(|notice| &notice.alerts);
    alerts.filter(|alert| alert.state != AlertState::Pending).collect()
}

/// The number of an incident, the same in every process and after every restart: who is told of one
/// alert by several sidecars can know it for one.
#[must_use]
pub fn incident_id(labels: &Labels) -> String {
    let mut sum = Sha256::new();
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        sum.update(text.as_bytes());
        sum.update([0xff]);
    }
    short(&sum.finalize())
}

/// The number of a message: the same at every try, and after a restart; another for a repeat.
#[must_use]
pub fn message_id(notice: &Notice) -> String {
    let mut sum = Sha256::new();
    sum.update(notice.group_key.as_bytes());
    sum.update(notice.reason.as_str().as_bytes());
    sum.update(notice.at.wall.as_nanos().to_be_bytes());
    for alert in &notice.alerts {
        sum.update(incident_id(&alert.labels).as_bytes());
        sum.update([u8::from(alert.state == AlertState::Firing)]);
        sum.update(alert.starts_at.as_nanos().to_be_bytes());
    }
    format!("msg_{}", short(&sum.finalize()))
}

fn short(sum: &[u8]) -> String {
    hex_simd::encode_to_string(sum.get(..16).unwrap_or_default(), AsciiCase::Lower)
}

/// Whether any alert of the notice fires.
fn fires(notice: &Notice) -> bool {
    notice.alerts.iter().any(is_firing)
}

fn is_firing(alert: &AlertView) -> bool {
    alert.state == AlertState::Firing
}

#[cfg(test)]
mod examples;
