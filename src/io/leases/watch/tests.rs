//! Owns the proof that a table is read as it should be: against a DynamoDB that answers from memory.

use super::*;
use crate::domain::lag::{Checkpoint, Lease};
use crate::domain::time::Wall;
use crate::io::credentials::fake;
use prometheus::Registry;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Run {
    /// `stream consumer shard checkpoint` of each lease that was told.
    leases: Vec<String>,
    /// Each request, and the second at which it came.
    calls: Vec<(Value, u64)>,
    /// `outcome count` of the readings.
    outcomes: Vec<String>,
    units: f64,
}

/// Watches a table whose requests `answer(request, calls before)` answers, for `seconds`.
async fn run(
    stream: Option<&str>,
    seconds: u64,
    answer: impl Fn(&Value, usize) -> (u16, Value) + Send + Sync + 'static,
) -> Run {
    let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
    let calls: Arc<Mutex<Vec<(Value, u64)>>> = Arc::default();
    let (log, reader) = (Arc::clone(&calls), clock.clone());
    let settings = fake::settings(move |request| {
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let mut calls = log.lock().unwrap();
        let (status, text) = answer(&body, calls.len());
        calls.push((body, reader.now().mono.as_secs()));
        (status, text.to_string().into_bytes())
    })
    .await;
    let table = Table {
        application: "mail".to_owned(),
        table: "mail-leases".to_owned(),
        stream: stream.map(Into::into),
        consumer: "mailer".into(),
        interval: Duration::from_secs(5),
        units_per_second: 10,
    };
    let (events, mut heard) = mpsc::channel(10_000);
    let registry = Registry::new();
    let metrics = LeaseMetrics::register(&registry).unwrap();
    let watcher = Watcher::new(settings.dynamodb(), clock.clone(), table, events, metrics);
    let stop = CancellationToken::new();
    let end = async {
        clock.sleep_until(Duration::from_secs(seconds)).await;
        stop.cancel();
    };
    tokio::join!(watcher.run(stop.clone()), end);
    let mut leases = Vec::new();
    while let Ok(event) = heard.try_recv() {
        let Event::LeaseSeen { stream, consumer, shard, lease } = event else {
            panic!("{event:?}")
        };
        leases.push(format!("{stream} {consumer} {shard} {}", word(&lease)));
    }
    let value = |family: &str, of: fn(&prometheus::proto::Metric) -> String| -> Vec<String> {
        let families = registry.gather();
        let found = families.iter().filter(|it| it.name() == family);
        found.flat_map(|it| it.get_metric().iter().map(of)).collect()
    };
    let outcomes = value("kinescope_lease_readings_total", |metric| {
        let outcome = metric.get_label().iter().find(|it| it.name() == "outcome").unwrap();
        format!("{} {}", outcome.value(), metric.get_counter().get_value())
    });
    let units =
        value("kinescope_lease_read_units_total", |it| it.get_counter().get_value().to_string());
    let calls = calls.lock().unwrap().clone();
    Run { leases, calls, outcomes, units: units.first().map_or(0.0, |it| it.parse().unwrap()) }
}

fn word(lease: &Lease) -> String {
    match &lease.checkpoint {
        Checkpoint::At(sequence) => sequence.to_string(),
        other @ (Checkpoint::TrimHorizon
        | Checkpoint::Latest
        | Checkpoint::AtTimestamp
        | Checkpoint::ShardEnd) => format!("{other:?}"),
    }
}

fn item(key: &str, checkpoint: &str) -> Value {
    json!({"leaseKey": {"S": key}, "leaseOwner": {"S": "w"}, "leaseCounter": {"N": "3"},
        "checkpoint": {"S": checkpoint}})
}

fn page(items: &[Value], units: f64, next: Option<&str>) -> (u16, Value) {
    let mut page = json!({"Items": items, "Count": items.len(), "ScannedCount": items.len(),
        "ConsumedCapacity": {"TableName": "mail-leases", "CapacityUnits": units}});
    if let Some(next) = next {
        page["LastEvaluatedKey"] = json!({"leaseKey": {"S": next}});
    }
    (200, page)
}

fn error(code: &str) -> (u16, Value) {
    (400, json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no"}))
}

const SHARD: &str = "shardId-000000000000";

#[tokio::test(start_paused = true)]
async fn every_lease_whenever_the_table_was_read() {
    let run = run(Some("orders"), 9, |request, _| match request["ExclusiveStartKey"].is_null() {
        true => page(&[item(SHARD, "LATEST")], 0.5, Some(SHARD)),
        false => page(
            &[
                item("shardId-000000000001", "123"),
                json!({"leaseKey": {"S": "Leader"}, "entityType": {"S": "LEADER"}}),
                item("shardId-000000000002", "what?"),
                item("1:mail:5:shardId-000000000000", "9"),
            ],
            0.5,
            None,
        ),
    })
    .await;
    let once =
        ["orders mailer shardId-000000000000 Latest", "orders mailer shardId-000000000001 123"];
    assert_eq!(run.leases, once.repeat(2));
    assert_eq!((run.outcomes, run.units), (vec!["ok 2".to_owned()], 2.0));
    let (first, _) = &run.calls[0];
    assert_eq!(first["TableName"], "mail-leases");
    assert_eq!(
        first["ProjectionExpression"],
        "leaseKey, leaseOwner, leaseCounter, checkpoint, entityType"
    );
    assert!(first["ConsistentRead"].is_null() && first["Segment"].is_null(), "{first}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_name_their_stream() {
    let run = run(None, 1, |_, _| {
        page(
            &[
                item("1:orders:5:shardId-000000000000", "1"),
                item("1:orders:9:shardId-000000000000", "2"),
                item("1:mail:5:shardId-000000000000", "3"),
            ],
            0.5,
            None,
        )
    })
    .await;
    assert_eq!(
        run.leases,
        ["orders mailer shardId-000000000000 2", "mail mailer shardId-000000000000 3"]
    );
}

#[tokio::test(start_paused = true)]
async fn faults_are_counted_and_waited_for() {
    type Answer = fn(&Value, usize) -> (u16, Value);
    let cases: [(&str, Answer); 6] = [
        ("not_found", |_, _| error("ResourceNotFoundException")),
        ("denied", |_, _| error("AccessDeniedException")),
        ("throttled", |_, _| error("ProvisionedThroughputExceededException")),
        ("broken", |_, _| (500, json!({}))),
        ("foreign", |_, _| page(&[json!({"id": {"S": "a"}}), json!({})], 0.5, None)),
        ("no_stream", |_, _| page(&[item(SHARD, "LATEST")], 0.5, None)),
    ];
    for (outcome, answer) in cases {
        let run = run(None, 600, answer).await;
        assert!(run.leases.is_empty(), "{outcome}");
        assert_eq!(run.outcomes.len(), 1, "{:?}", run.outcomes);
        assert!(run.outcomes[0].starts_with(outcome), "{:?}", run.outcomes);
        assert!((5..=20).contains(&run.calls.len()), "{outcome}: {} calls", run.calls.len());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_fault_counts_and_recovery_is_quick() {
    let run = run(Some("orders"), 20, |_, before| match before {
        0 => page(&[item(SHARD, "1")], 0.5, Some(SHARD)),
        1 => error("ThrottlingException"),
        _ => page(&[item(SHARD, "2")], 0.5, None),
    })
    .await;
    assert_eq!(
        run.leases[..2],
        ["orders mailer shardId-000000000000 1", "orders mailer shardId-000000000000 2"]
    );
    assert!(run.outcomes.contains(&"throttled 1".to_owned()), "{:?}", run.outcomes);
    let (_, at) = run.calls[2];
    assert!((1..=3).contains(&at), "{at}");
}

#[tokio::test(start_paused = true)]
async fn a_large_table_is_read_in_segments_within_the_budget() {
    let run = run(Some("orders"), 60, |request, _| {
        let items: Vec<Value> = (0..500).map(|n| item(&format!("shardId-{n:012}"), "1")).collect();
        let from = request["ExclusiveStartKey"]["leaseKey"]["S"]
            .as_str()
            .map_or(0, |at| at.parse().unwrap());
        let pages = if request["TotalSegments"].is_null() { 10 } else { 5 };
        let next = (from + 1 < pages).then(|| (from + 1).to_string());
        page(&items, 15.0, next.as_deref())
    })
    .await;
    let segments: Vec<u64> =
        run.calls.iter().filter_map(|(it, _)| it["TotalSegments"].as_u64()).collect();
    assert!(!segments.is_empty() && segments.iter().all(|it| *it == 2), "{segments:?}");
    // Ten units a second; each segment may begin a page before the other's is paid.
    assert!(run.units <= 10.0 * 60.0 + 2.0 * 15.0, "{}", run.units);
    assert!(run.units >= 10.0 * 45.0, "{}", run.units);
}
