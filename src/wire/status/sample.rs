//! Owns one hand-made snapshot that the tests of exposition, status and admin share: a consumer in
//! trouble, one of whom nothing is known, a described stream and an unknown one.

use crate::domain::alert::{AlertState, AlertView};
use crate::domain::capacity::{Heavy, Rates, ShardLoad, StreamLoad};
use crate::domain::capacity::{TopKey, TopSeen, Usage, Writer};
use crate::domain::lag::{Assessment, CheckpointLag, Lag, Method, Rule, Status};
use crate::domain::plan::Commitment;
use crate::domain::snapshot::{
    AccountSettings, CloudWatchPoint, CloudWatchView, ConsumerView, ShardView, Snapshot,
    StreamDescription, StreamDetails, StreamView,
};
use crate::domain::time::{Moment, Wall};
use crate::wire::exposition::Scope;
use crate::wire::status::{Identity, Role};
use std::time::Duration;

const NOW_MS: u64 = 1_795_377_600_000;

pub(crate) fn snapshot() -> Snapshot {
    let now = Moment { wall: Wall::from_ms(NOW_MS), mono: Duration::from_secs(3_600) };
    let stalled = stopped();
    let fine = Assessment {
        status: Status::Ok,
        rule: Rule::NearTheTip,
        evidence: Vec::new(),
        reason: "reads at the tip: 0 s behind after the last answer".to_owned(),
        lag: Some(Lag { value: Duration::ZERO, inferred: false }),
        velocity: Some(-0.25),
        catch_up: Some(Duration::from_secs(0)),
        data_loss: None,
        retention_used: Some(0.0),
    };
    Snapshot {
        left_out: crate::domain::snapshot::LeftOut::default(),
        now,
        account: Some(AccountSettings {
            commitment: Some(Commitment::Disabled),
            started_at: None,
            earliest_end_at: None,
            at: now,
        }),
        consumers: vec![
            ConsumerView {
                stream: "orders".into(),
                consumer: "inventory".into(),
                worst: stalled.clone(),
                worst_shard: "shardId-000000000001".into(),
                shards: vec![
                    shard("shardId-000000000000", fine, 400),
                    shard("shardId-000000000001", stalled, 72_500),
                ],
            },
            ConsumerView {
                stream: "orders".into(),
                consumer: "mailer".into(),
                worst: unknown(),
                worst_shard: "unknown".into(),
                shards: vec![shard("unknown", unknown(), 2_000)],
            },
        ],
        streams: vec![
            StreamView {
                stream: "orders".into(),
                description: Some(StreamDescription {
                    retention: Duration::from_secs(86_400),
                    open_shards: 2,
                    mode: "PROVISIONED".to_owned(),
                    status: "ACTIVE".to_owned(),
                    record_bytes_max: Some(1_048_576),
                    created_at: Some(Wall::from_ms(1_700_000_000_000)),
                    details: StreamDetails {
                        encrypted: Some(true),
                        shard_metrics: Vec::new(),
                        consumers: Some(Vec::new()),
                    },
                    at: now,
                }),
                cloudwatch: cloudwatch(),
                sequence_clock_usable: Some(true),
            },
            StreamView {
                stream: "payments".into(),
                description: None,
                cloudwatch: CloudWatchView::default(),
                sequence_clock_usable: None,
            },
        ],
        loads: loads(),
        cloudwatch: Vec::new(),
        alerts: vec![
            alert("KinesisConsumerStopped", "critical", AlertState::Firing),
            alert("KinesisConsumerLagHigh", "warning", AlertState::Resolved),
        ],
    }
}

pub(crate) fn scope() -> Scope {
    Scope {
        region: "eu-west-1".to_owned(),
        hub: true,
        verdicts: true,
        version: "0.1.0".to_owned(),
        revision: "abc1234".to_owned(),
        series_max: 20_000,
        per_shard: true,
    }
}

pub(crate) fn identity() -> Identity {
    Identity {
        role: Role::Sidecar,
        service: "inventory".to_owned(),
        region: "eu-west-1".to_owned(),
        version: "0.1.0".to_owned(),
        revision: "abc1234".to_owned(),
    }
}

fn stopped() -> Assessment {
    Assessment {
        status: Status::Stopped,
        rule: Rule::Silent,
        evidence: vec![("silence_seconds", 72.5), ("poll_interval_seconds", 5.0)],
        reason: "no read for 72 s, 14 times its usual 5 s".to_owned(),
        lag: Some(Lag { value: Duration::from_millis(84_250), inferred: true }),
        velocity: Some(1.0),
        catch_up: None,
        data_loss: Some(Duration::from_secs(86_315)),
        retention_used: Some(0.000_975),
    }
}

pub(crate) fn unknown() -> Assessment {
    Assessment {
        status: Status::Unknown,
        rule: Rule::LagUnknown,
        evidence: vec![("reads", 2.0)],
        reason: "no answer carried MillisBehindLatest yet".to_owned(),
        lag: None,
        velocity: None,
        catch_up: None,
        data_loss: None,
        retention_used: None,
    }
}

pub(crate) fn shard(name: &str, assessment: Assessment, ago_ms: u64) -> ShardView {
    let lag =
        CheckpointLag { value: Duration::from_millis(ago_ms + 90_000), method: Method::Observed };
    ShardView {
        shard: name.into(),
        assessment,
        last_observed: Wall::from_ms(NOW_MS - ago_ms),
        checkpoint: (name != "unknown").then_some(lag),
    }
}

fn loads() -> Vec<StreamLoad> {
    let rates = |records, bytes| Rates { records, bytes, throttled: 0.5 };
    let load = |shard: &str, rates, tops| ShardLoad { shard: shard.into(), rates, tops };
    let by = Some(Writer { service: "shop".into(), pod: "shop-7d".into() });
    let top = TopSeen { by, top: TopKey { share: 0.625, keys: 2 }, at: Duration::from_secs(3_590) };
    let busy = load("shardId-000000000000", rates(120.0, 750_000.0), vec![top]);
    vec![StreamLoad {
        stream: "orders".into(),
        shards: vec![busy, load("shardId-000000000001", rates(100.0, 50_000.0), Vec::new())],
        skew: Some(1.76),
        heaviest: vec![Heavy { key: 0xbeef, share: 0.25, over: 0.01 }],
        usage: Some(Usage {
            over: Duration::from_secs(3_000),
            average: rates(200.0, 800_000.0),
            peak: rates(300.0, 2_400_000.0),
        }),
        writers: 1,
    }]
}

fn cloudwatch() -> CloudWatchView {
    let point = |value| {
        let at = Wall::from_ms(NOW_MS - 180_000);
        Some(CloudWatchPoint { at, period: Duration::from_secs(60), value })
    };
    CloudWatchView {
        incoming_records: point(7_500.0),
        incoming_bytes: point(9_000_000.0),
        iterator_age: point(81_000.0),
        write_throttles: point(0.0),
        read_throttles: None,
    }
}

fn alert(name: &str, severity: &str, state: AlertState) -> AlertView {
    let pairs = [
        ("alertname", name),
        ("consumer", "inventory"),
        ("region", "eu-west-1"),
        ("severity", severity),
        ("stream", "orders"),
    ];
    let texts = [("summary", "inventory is in trouble on orders"), ("value", "84.25")];
    AlertView {
        labels: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        annotations: texts.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        state,
        starts_at: Wall::from_ms(NOW_MS - 60_000),
        ends_at: (state == AlertState::Resolved).then(|| Wall::from_ms(NOW_MS - 5_000)),
    }
}
