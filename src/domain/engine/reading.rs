//! Owns what a consumer's verdict looks like to the alert rules. Refuses to compare it with any
//! threshold.

use crate::domain::alert::Reading;
use crate::domain::lag::Lag;
use crate::domain::snapshot::{ConsumerView, ShardView};
use std::collections::BTreeMap;

/// The signals and the evidence of one consumer. Status and reason are the worst shard's; the lag
/// is the greatest of any shard, since a shard that is worse by status may be less far behind.
pub(super) fn of(view: &ConsumerView) -> Reading {
    let furthest = view.shards.iter().filter_map(|shard| Some((shard, shard.assessment.lag?)));
    let furthest = furthest.max_by_key(|(_, lag)| lag.value);
    Reading {
        stream: view.stream.to_string(),
        consumer: view.consumer.to_string(),
        lag_seconds: furthest.map(|(_, lag)| lag.value.as_secs_f64()),
        status: view.worst.status,
        reason: view.worst.reason.clone(),
        evidence: evidence(view, furthest),
    }
}

/// Figures that are not known are left out; the alert's text rounds them for people.
fn evidence(view: &ConsumerView, furthest: Option<(&ShardView, Lag)>) -> BTreeMap<String, String> {
    let worst = &view.worst;
    let figures = [
        ("shard", Some(view.worst_shard.to_string())),
        ("status", Some(worst.status.as_str().to_owned())),
        ("reason", Some(worst.reason.clone())),
        ("lag", furthest.map(|(_, lag)| lag.to_string())),
        ("lag_shard", furthest.map(|(shard, _)| shard.shard.to_string())),
        ("velocity", worst.velocity.map(|velocity| format!("{velocity:+.2} s/s"))),
        ("retention_used", worst.retention_used.map(|used| used.to_string())),
        ("estimated", furthest.and_then(|(_, lag)| lag.inferred.then(|| "true".to_owned()))),
    ];
    let known = figures.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), figure?)));
    known.collect()
}
