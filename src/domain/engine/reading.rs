//! Owns what a consumer's verdict looks like to the alert rules. Refuses to compare it with any
//! threshold.

use crate::domain::alert::Reading;
use crate::domain::lag::{Assessment, Lag};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use std::collections::BTreeMap;

/// The signals and the evidence of one consumer. Status and reason are the worst shard's; the lag
/// is the greatest of any shard, since a shard that is worse by status may be less far behind.
pub(super) fn of(
    stream: &StreamName,
    consumer: &ConsumerName,
    worst: (&ShardId, &Assessment),
    furthest: Option<(&ShardId, Lag)>,
) -> Reading {
    let (_, verdict) = worst;
    Reading {
        stream: stream.to_string(),
        consumer: consumer.to_string(),
        lag_seconds: furthest.map(|(_, lag)| lag.value.as_secs_f64()),
        status: verdict.status,
        reason: verdict.reason.clone(),
        evidence: evidence(worst, furthest),
    }
}

/// Figures that are not known are left out; the alert's text rounds them for people.
fn evidence(
    (shard, worst): (&ShardId, &Assessment),
    furthest: Option<(&ShardId, Lag)>,
) -> BTreeMap<String, String> {
    let figures = [
        ("shard", Some(shard.to_string())),
        ("status", Some(worst.status.as_str().to_owned())),
        ("rule", Some(worst.rule.to_string())),
        ("reason", Some(worst.reason.clone())),
        ("lag", furthest.map(|(_, lag)| lag.to_string())),
        ("lag_shard", furthest.map(|(shard, _)| shard.to_string())),
        ("velocity", worst.velocity.map(|velocity| format!("{velocity:+.2} s/s"))),
        ("retention_used", worst.retention_used.map(|used| used.to_string())),
        ("estimated", furthest.and_then(|(_, lag)| lag.inferred.then(|| "true".to_owned()))),
    ];
    let known = figures.into_iter().filter_map(|(name, figure)| Some((name.to_owned(), figure?)));
    known.collect()
}
