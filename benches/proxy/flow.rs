//! Owns the price of telemetry under load: 10,000 records a second in puts of 500 and in reads of 500,
//! every trace sampled, with no exporter, with a collector that answers, and with one that is dead.

use crate::figures::{Bound, Goal};
use crate::{load, origin, process};
use bytes::Bytes;
use std::path::Path;
use std::time::Duration;

const RECORDS: usize = 500;
const EVERY: Duration = Duration::from_millis(50);
const LASTING: Duration = Duration::from_secs(10);

/// Runs the flow three times; gives what the goals name.
pub(crate) async fn measure(scratch: &Path) -> [Goal; 2] {
    println!("\n10,000 records a second, put and read, for ten seconds");
    let upstream =
        origin::start_with(vec![("PutRecords", stored()), ("GetRecords", records())], None);
    let collector = origin::start("", None);
    let (quiet, _) = run(scratch, "no exporter", upstream, None).await;
    let (alive, _) = run(scratch, "collector answers", upstream, Some(collector)).await;
    let dead_port = process::free_port();
    let (_, dead_mib) = run(scratch, "collector dead", upstream, Some(dead_port)).await;
    [
        Goal {
            what: "10,000 records a second: telemetry's share of one core",
            bound: Bound::AtMost(20.0),
            unit: " %",
            measured: alive - quiet,
        },
        Goal {
            what: "the same, resident memory with the collector dead",
            bound: Bound::AtMost(64.0),
            unit: " MiB",
            measured: dead_mib,
        },
    ]
}

/// Percent of a core, and MiB resident at the end.
async fn run(scratch: &Path, name: &str, upstream: u16, collector: Option<u16>) -> (f64, f64) {
    let (port, upstream) = (process::free_port(), format!("http://127.0.0.1:{upstream}"));
    let ours = process::OURS.as_ref();
    let process = process::kinescope(ours, scratch, port, &upstream, collector, None);
    load::until_up(port).await;
    let before = process.cpu_micros();
    let repeated = |operation, body: &str| {
        load::repeated(port, load::call(port, operation, body), EVERY, LASTING)
    };
    tokio::join!(
        repeated("PutRecords", &entries()),
        repeated("GetRecords", "{\"ShardIterator\":\"AAAAAAAAAAE\",\"Limit\":500}")
    );
    let share = (process.cpu_micros() - before) / LASTING.as_secs_f64() / 1e6 * 100.0;
    let mib = process.resident_bytes() as f64 / 1_048_576.0;
    println!("{name:<30}{share:>8.1} % of a core{mib:>10.1} MiB");
    (share, mib)
}

fn event(number: usize, context: &str) -> String {
    let note = "x".repeat(800);
    base64_simd::STANDARD.encode_to_string(format!(
        "{{{context}\"eventId\":\"{number:08x}\",\"eventType\":\"ORDER_CREATED\",\"payload\":{{\"orderId\":\"o-{number}\",\"note\":\"{note}\"}}}}"
    ))
}

/// The puts' body.
fn entries() -> String {
    let entry = |number| {
        let data = event(number, "");
        format!("{{\"Data\":\"{data}\",\"PartitionKey\":\"k{number}\"}}")
    };
    format!("{{\"StreamName\":\"orders\",\"Records\":[{}]}}", joined(entry))
}

/// What Kinesis says to it.
fn stored() -> Bytes {
    let entry = |number| {
        let sequence = sequence(number);
        format!("{{\"SequenceNumber\":\"{sequence}\",\"ShardId\":\"shardId-000000000000\"}}")
    };
    format!("{{\"FailedRecordCount\":0,\"Records\":[{}]}}", joined(entry)).into()
}

/// What a read gives: each record with a context of its own.
fn records() -> Bytes {
    let entry = |number| {
        let context = format!("\"traceparent\":\"00-{0:032x}-{0:016x}-01\",", number + 1);
        let (data, sequence) = (event(number, &context), sequence(number));
        format!(
            "{{\"SequenceNumber\":\"{sequence}\",\"ApproximateArrivalTimestamp\":1795411658.123,\"Data\":\"{data}\",\"PartitionKey\":\"k{number}\"}}"
        )
    };
    format!(
        "{{\"MillisBehindLatest\":0,\"NextShardIterator\":\"AAAAAAAAAAF\",\"Records\":[{}]}}",
        joined(entry)
    )
    .into()
}

fn sequence(number: usize) -> String {
    format!("4959033827149025660855969253836157109592157598913658{number:04}")
}

fn joined(entry: impl Fn(usize) -> String) -> String {
    (0..RECORDS).map(entry).collect::<Vec<_>>().join(",")
}
