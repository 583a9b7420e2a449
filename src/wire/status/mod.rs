//! Owns the status of this process as JSON, and who it speaks for; `page` is its HTML twin.
//! Refuses to round or to guess: times are RFC 3339, durations are seconds, unknown is null, and
//! an inferred figure says so.

mod cloudwatch;
pub mod counts;
pub mod events;
mod figures;
pub mod history;
mod loads;
pub mod page;
mod plans;
#[cfg(test)]
pub(crate) mod sample;
pub mod traces;

use crate::domain::alert::{AlertView, Labels};
use crate::domain::lag::Assessment;
use crate::domain::snapshot::{
    CloudWatchPoint, CloudWatchView, ConsumerView, ShardView, Snapshot, StreamView,
};
use crate::wire::exposition::state_name;
use cloudwatch::SubjectDoc;
use loads::LoadDoc;
use plans::{AccountDoc, Plans, PlansDoc};
use serde::Serialize;
use std::collections::BTreeMap;

/// What this process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Its role.
    pub role: Role,
    /// The service it sits beside: the `consumer` label.
    pub service: String,
    /// The AWS region.
    pub region: String,
    /// The program's version.
    pub version: String,
    /// The program's source revision.
    pub revision: String,
}

/// The roles a process can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sits in a pod and sees that pod's traffic.
    Sidecar,
    /// One per cluster: CloudWatch, the control plane, verdicts over all pods.
    Hub,
    /// Both in one process.
    All,
}

impl Role {
    /// As written in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Hub => "hub",
            Self::All => "all",
        }
    }

    /// Of whom its figures are true, as one sentence.
    #[must_use]
    pub const fn speaks_for(self) -> &'static str {
        match self {
            Self::Sidecar => {
                "This is what this sidecar saw of this pod. Other pods of the service may read \
                 other shards, or the same ones further on."
            }
            Self::Hub => {
                "This is what the hub knows from the sidecars that tell it what they see, from \
                 CloudWatch and from the control plane: a consumer's status is that of all its pods."
            }
            Self::All => {
                "This is what this process saw of the traffic that passes through it, and what \
                 sidecars, CloudWatch and the control plane told it."
            }
        }
    }
}

/// The body of `/api/v1/status`.
#[must_use]
pub fn json(snapshot: &Snapshot, identity: &Identity) -> Vec<u8> {
    let plans = Plans::of(snapshot, identity.role);
    encode(&StatusDoc {
        as_of: snapshot.now.wall.to_string(),
        identity,
        speaks_for: identity.role.speaks_for(),
        consumers: snapshot.consumers.iter().map(ConsumerDoc::from).collect(),
        streams: snapshot.streams.iter().map(StreamDoc::from).collect(),
        account: snapshot.account.as_ref().map(AccountDoc::from),
        plans: PlansDoc::of(&plans, identity.role),
        loads: snapshot.loads.iter().map(|load| LoadDoc::of(load, identity.role)).collect(),
        cloudwatch: snapshot.cloudwatch.iter().map(SubjectDoc::from).collect(),
        alerts: snapshot.alerts.iter().map(AlertDoc::from).collect(),
    })
}

/// The body of `/api/v1/alerts`.
#[must_use]
pub fn alerts_json(snapshot: &Snapshot) -> Vec<u8> {
    encode(&AlertsDoc {
        as_of: snapshot.now.wall.to_string(),
        alerts: snapshot.alerts.iter().map(AlertDoc::from).collect(),
    })
}

fn encode(doc: &impl Serialize) -> Vec<u8> {
    // Structs of texts, numbers and string-keyed maps always encode.
    serde_json::to_vec(doc).unwrap_or_default()
}

#[derive(Serialize)]
struct StatusDoc<'a> {
    as_of: String,
    identity: &'a Identity,
    speaks_for: &'static str,
    consumers: Vec<ConsumerDoc<'a>>,
    streams: Vec<StreamDoc<'a>>,
    /// Null where nobody asked, or nobody may.
    account: Option<AccountDoc>,
    plans: PlansDoc<'a>,
    loads: Vec<LoadDoc<'a>>,
    /// Nothing where only streams are polled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cloudwatch: Vec<SubjectDoc<'a>>,
    alerts: Vec<AlertDoc<'a>>,
}

#[derive(Serialize)]
struct AlertsDoc<'a> {
    as_of: String,
    alerts: Vec<AlertDoc<'a>>,
}

#[derive(Serialize)]
struct ConsumerDoc<'a> {
    stream: &'a str,
    consumer: &'a str,
    worst_shard: &'a str,
    #[serde(flatten)]
    worst: AssessmentDoc<'a>,
    shards: Vec<ShardDoc<'a>>,
}

impl<'a> From<&'a ConsumerView> for ConsumerDoc<'a> {
    fn from(view: &'a ConsumerView) -> Self {
        Self {
            stream: view.stream.as_str(),
            consumer: view.consumer.as_str(),
            worst_shard: view.worst_shard.as_str(),
            worst: AssessmentDoc::from(&view.worst),
            shards: view.shards.iter().map(ShardDoc::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct ShardDoc<'a> {
    shard: &'a str,
    #[serde(flatten)]
    assessment: AssessmentDoc<'a>,
    last_observed: String,
    checkpoint_lag_seconds: Option<f64>,
    /// Beside the checkpoint lag: how it is known; null with it.
    checkpoint_method: Option<&'static str>,
}

impl<'a> From<&'a ShardView> for ShardDoc<'a> {
    fn from(view: &'a ShardView) -> Self {
        Self {
            shard: view.shard.as_str(),
            assessment: AssessmentDoc::from(&view.assessment),
            last_observed: view.last_observed.to_string(),
            checkpoint_lag_seconds: view.checkpoint.map(|lag| lag.value.as_secs_f64()),
            checkpoint_method: view.checkpoint.map(|lag| lag.method.as_str()),
        }
    }
}

/// Named as the metrics are.
#[derive(Serialize)]
struct AssessmentDoc<'a> {
    status: &'static str,
    /// Number and name of the rule that gave the status.
    rule: String,
    reason: &'a str,
    /// The figures that the verdict rests on.
    evidence: BTreeMap<&'static str, f64>,
    delivery_lag_seconds: Option<f64>,
    /// Beside the lag: whether it was reckoned; null with it.
    inferred: Option<bool>,
    lag_velocity_ratio: Option<f64>,
    time_to_catch_up_seconds: Option<f64>,
    time_to_data_loss_seconds: Option<f64>,
    retention_used_ratio: Option<f64>,
}

impl<'a> From<&'a Assessment> for AssessmentDoc<'a> {
    fn from(assessment: &'a Assessment) -> Self {
        Self {
            status: assessment.status.as_str(),
            rule: assessment.rule.to_string(),
            evidence: assessment.evidence.iter().copied().collect(),
            reason: &assessment.reason,
            delivery_lag_seconds: assessment.lag.map(|lag| lag.value.as_secs_f64()),
            inferred: assessment.lag.map(|lag| lag.inferred),
            lag_velocity_ratio: assessment.velocity,
            time_to_catch_up_seconds: assessment.catch_up.map(|time| time.as_secs_f64()),
            time_to_data_loss_seconds: assessment.data_loss.map(|time| time.as_secs_f64()),
            retention_used_ratio: assessment.retention_used,
        }
    }
}

#[derive(Serialize)]
struct StreamDoc<'a> {
    stream: &'a str,
    retention_seconds: Option<f64>,
    open_shards: Option<u32>,
    mode: Option<&'a str>,
    status: Option<&'a str>,
    record_bytes_max: Option<u64>,
    encrypted: Option<bool>,
    cloudwatch: CloudWatchDoc,
}

impl<'a> From<&'a StreamView> for StreamDoc<'a> {
    fn from(view: &'a StreamView) -> Self {
        let told = view.description.as_ref();
        Self {
            stream: view.stream.as_str(),
            retention_seconds: told.map(|told| told.retention.as_secs_f64()),
            open_shards: told.map(|told| told.open_shards),
            mode: told.map(|told| told.mode.as_str()),
            status: told.map(|told| told.status.as_str()),
            record_bytes_max: told.and_then(|told| told.record_bytes_max),
            encrypted: told.and_then(|told| told.details.encrypted),
            cloudwatch: CloudWatchDoc::from(&view.cloudwatch),
        }
    }
}

/// CloudWatch's own figures in its own units, so that they can be held against its console.
#[derive(Serialize)]
struct CloudWatchDoc {
    incoming_records: Option<PointDoc>,
    incoming_bytes: Option<PointDoc>,
    iterator_age_milliseconds: Option<PointDoc>,
    write_throttles: Option<PointDoc>,
    read_throttles: Option<PointDoc>,
}

impl From<&CloudWatchView> for CloudWatchDoc {
    fn from(view: &CloudWatchView) -> Self {
        Self {
            incoming_records: view.incoming_records.map(PointDoc::from),
            incoming_bytes: view.incoming_bytes.map(PointDoc::from),
            iterator_age_milliseconds: view.iterator_age.map(PointDoc::from),
            write_throttles: view.write_throttles.map(PointDoc::from),
            read_throttles: view.read_throttles.map(PointDoc::from),
        }
    }
}

#[derive(Serialize)]
struct PointDoc {
    at: String,
    period_seconds: f64,
    value: f64,
}

impl From<CloudWatchPoint> for PointDoc {
    fn from(point: CloudWatchPoint) -> Self {
        Self {
            at: point.at.to_string(),
            period_seconds: point.period.as_secs_f64(),
            value: point.value,
        }
    }
}

#[derive(Serialize)]
struct AlertDoc<'a> {
    labels: &'a Labels,
    annotations: &'a Labels,
    state: &'static str,
    starts_at: String,
    ends_at: Option<String>,
}

impl<'a> From<&'a AlertView> for AlertDoc<'a> {
    fn from(view: &'a AlertView) -> Self {
        Self {
            labels: &view.labels,
            annotations: &view.annotations,
            state: state_name(view.state),
            starts_at: view.starts_at.to_string(),
            ends_at: view.ends_at.map(|at| at.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pretty(body: &[u8]) -> String {
        let value: serde_json::Value = serde_json::from_slice(body).unwrap();
        serde_json::to_string_pretty(&value).unwrap() + "\n"
    }

    #[test]
    fn a_snapshot_reads_as_the_golden_json() {
        let body = json(&sample::snapshot(), &sample::identity());
        assert_eq!(pretty(&body), include_str!("golden.json"));
    }

    #[test]
    fn alerts_are_the_same_in_both_documents() {
        let of = |body: &[u8]| -> serde_json::Value {
            serde_json::from_slice::<serde_json::Value>(body).unwrap()["alerts"].take()
        };
        let snapshot = sample::snapshot();
        let alerts = of(&alerts_json(&snapshot));
        assert_eq!(alerts, of(&json(&snapshot, &sample::identity())));
        assert_eq!(alerts[0]["state"], "firing");
    }

    #[test]
    fn figures_that_are_no_numbers_are_null() {
        let mut snapshot = sample::snapshot();
        snapshot.consumers[0].worst.velocity = Some(f64::INFINITY);
        let body = json(&snapshot, &sample::identity());
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(value["consumers"][0]["lag_velocity_ratio"].is_null());
    }
}
