//! Owns what a consumer's verdict looks like to the alert rules. Refuses to compare it with any
//! threshold.

use crate::domain::alert::reading::of_status;
use crate::domain::alert::{Reading, Signal, Subject};
use crate::domain::lag::{Assessment, Lag, Status, duration_text};
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use std::time::Duration;

/// The signals and the evidence of one consumer. Status and reason are the worst shard's; the lag
/// is the greatest of any shard, since a shard that is worse by status may be less far behind.
pub(super) fn of(
    stream: &StreamName,
    consumer: &ConsumerName,
    worst: (&ShardId, &Assessment),
    furthest: &[(&ShardId, Lag)],
) -> Reading {
    let (_, verdict) = worst;
    let (stream, consumer) = (stream.to_string(), consumer.to_string());
    let mut reading = Reading::of(Subject::Consumer { stream, consumer });
    of_status(&mut reading, verdict.status);
    let lag = furthest.first().map(|(_, lag)| lag.value.as_secs_f64());
    reading.set(Signal::DeliveryLag, lag);
    reading.set(Signal::RetentionUsed, verdict.retention_used);
    reading.set(Signal::LagVelocity, verdict.velocity);
    reading.set(Signal::TimeToDataLoss, data_loss(verdict));
    reading.reason.clone_from(&verdict.reason);
    evidence(&mut reading, worst, furthest);
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

/// Figures that are not known are left out; the alert's text rounds them for people.
fn evidence(
    reading: &mut Reading,
    (shard, worst): (&ShardId, &Assessment),
    furthest: &[(&ShardId, Lag)],
) {
    let first = furthest.first();
    let seconds = |left: Option<Duration>| left.map(|left| left.as_secs_f64().to_string());
    let several = furthest.len() > 1;
    let shards = furthest.iter().map(|(id, lag)| format!("{id} {}", duration_text(lag.value)));
    let figures = [
        ("shard", Some(shard.to_string())),
        ("rule", Some(worst.rule.to_string())),
        ("lag", first.map(|(_, lag)| lag.to_string())),
        ("lag_shard", first.map(|(shard, _)| shard.to_string())),
        ("worst_shards", several.then(|| shards.collect::<Vec<_>>().join(", "))),
        ("velocity", worst.velocity.map(|velocity| format!("{velocity:+.2} s/s"))),
        ("catch_up_seconds", seconds(worst.catch_up)),
        ("data_loss_seconds", seconds(worst.data_loss)),
        ("retention_used", worst.retention_used.map(|used| used.to_string())),
        ("estimated", first.and_then(|(_, lag)| lag.inferred.then(|| "true".to_owned()))),
    ];
    for (name, figure) in figures {
        reading.tell(name, figure);
    }
}
