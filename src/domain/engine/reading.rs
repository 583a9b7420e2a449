//! Owns what a consumer's verdict looks like to the alert rules: figures for all of them, words for
//! those that tell of it. Refuses to compare it with any threshold.

use super::memory::Judged;
use crate::domain::alert::reading::of_status;
use crate::domain::alert::{Reading, Signal};
use crate::domain::lag::{Assessment, FailureKind, Status};
use crate::domain::lag::{duration_text, evidence_text, explain, outline};
use std::time::Duration;

/// The signals of one consumer. Status and reason are the worst shard's; the lag is the greatest of
/// any shard, since a shard that is worse by status may be less far behind. `sidecar_fails` is how the
/// sidecar's own credentials fail.
pub(super) fn of(judged: &Judged<'_>, sidecar_fails: Option<FailureKind>) -> Reading {
    let worst = &judged.worst;
    let verdict = outline(&worst.judgement, worst.around.tuning);
    let mut reading = Reading::about(judged.subject());
    of_status(&mut reading, verdict.status);
    let lag = worst.furthest().next().map(|(_, lag)| lag.value.as_secs_f64());
    reading.set(Signal::DeliveryLag, lag);
    reading.set(Signal::RetentionUsed, verdict.retention_used);
    reading.set(Signal::LagVelocity, verdict.velocity);
    reading.set(Signal::TimeToDataLoss, data_loss(&verdict));
    reading.disturbed = judged.disturbance();
    reading.obstacle = judged.obstacle(sidecar_fails);
    reading
}

/// Seconds until records are lost: none left where they are lost already, endless while the lag is
/// seen not to grow.
fn data_loss(verdict: &Assessment) -> Option<f64> {
    if verdict.status == Status::LosingData {
        return Some(0.0);
    }
    let is_seen = verdict.retention_used.is_some() && verdict.velocity.is_some();
    let endless = is_seen.then_some(f64::INFINITY);
    verdict.data_loss.map(|left| left.as_secs_f64()).or(endless)
}

/// Adds what a person is told with an alert: once, since most readings are told to nobody. Figures
/// that are not known are left out; the alert's text rounds them for people.
pub(super) fn word(reading: &mut Reading, judged: &Judged<'_>) {
    if !reading.reason.is_empty() {
        return;
    }
    let worst = &judged.worst;
    let verdict = explain(&worst.judgement, worst.window, worst.around);
    let first = worst.furthest().next();
    let seconds = |left: Option<Duration>| left.map(|left| left.as_secs_f64().to_string());
    let several = worst.furthest().nth(1).is_some();
    let shards = worst.furthest().map(|(id, lag)| format!("{id} {}", duration_text(lag.value)));
    let figures = [
        ("shard", Some(worst.shard.to_string())),
        ("rule", Some(verdict.rule.to_string())),
        ("evidence", Some(evidence_text(&verdict.evidence))),
        ("lag", first.map(|(_, lag)| lag.to_string())),
        ("lag_shard", first.map(|(shard, _)| shard.to_string())),
        ("worst_shards", several.then(|| shards.collect::<Vec<_>>().join(", "))),
        ("velocity", verdict.velocity.map(|velocity| format!("{velocity:+.2} s/s"))),
        ("catch_up_seconds", seconds(verdict.catch_up)),
        ("data_loss_seconds", seconds(verdict.data_loss)),
        ("retention_used", verdict.retention_used.map(|used| used.to_string())),
        ("estimated", first.and_then(|(_, lag)| lag.inferred.then(|| "true".to_owned()))),
    ];
    for (name, figure) in figures {
        reading.tell(name, figure);
    }
    reading.reason = verdict.reason;
}
