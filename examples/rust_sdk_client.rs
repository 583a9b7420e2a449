//! Owns the AWS SDK for Rust as a program for `tests/peers`: one call a line in, one answer a line
//! out, JSON, as `tests/peers/kinesis.cjs` has it. Knows nothing of Kinescope: where it calls is the
//! environment's business (`AWS_ENDPOINT_URL_KINESIS`), as in any application.
//!
//! ```json
//! {"operation": "PutRecord", "input": {"StreamName": "…", "PartitionKey": "…", "Data": {"base64": "…"}}}
//! ```
#![expect(clippy::print_stdout, reason = "its answers are its output")]

use aws_config::BehaviorVersion;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::BuildError;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_sdk_kinesis::types::Record;
use aws_sdk_kinesis::types::ShardIteratorType;
use aws_sdk_kinesis::types::StartingPosition;
use aws_sdk_kinesis::types::SubscribeToShardEventStream;
use serde_json::Value;
use serde_json::json;
use std::error::Error;
use std::io::BufRead;

type Fault = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = Client::new(&config);
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let input = asked.get("input").unwrap_or(&Value::Null);
        let answer = match call(&client, text(&asked, "operation"), input).await {
            Ok(output) => json!({ "output": output }),
            Err(fault) => json!({ "error": format!("{fault:?}") }),
        };
        println!("{answer}");
    }
    Ok(())
}

async fn call(client: &Client, operation: &str, input: &Value) -> Result<Value, Fault> {
    match operation {
        "PutRecord" => {
            let put = client.put_record().stream_name(text(input, "StreamName"));
            let put = put.partition_key(text(input, "PartitionKey")).data(blob(input)?);
            let output = put.send().await?;
            Ok(json!({ "SequenceNumber": output.sequence_number, "ShardId": output.shard_id }))
        }
        "PutRecords" => {
            let entries: Result<Vec<_>, Fault> = list(input, "Records").map(entry).collect();
            let put = client.put_records().stream_name(text(input, "StreamName"));
            let output = put.set_records(Some(entries?)).send().await?;
            let outcomes = output.records.iter();
            let outcomes = outcomes.map(|one| json!({ "SequenceNumber": one.sequence_number }));
            let outcomes: Vec<Value> = outcomes.collect();
            Ok(json!({ "FailedRecordCount": output.failed_record_count, "Records": outcomes }))
        }
        "GetShardIterator" => {
            let asked = client.get_shard_iterator().stream_name(text(input, "StreamName"));
            let kind = ShardIteratorType::from(text(input, "ShardIteratorType"));
            let asked = asked.shard_id(text(input, "ShardId")).shard_iterator_type(kind);
            Ok(json!({ "ShardIterator": asked.send().await?.shard_iterator }))
        }
        "GetRecords" => {
            let asked = client.get_records().shard_iterator(text(input, "ShardIterator"));
            let limit = input["Limit"].as_i64().map(i32::try_from).transpose()?;
            let output = asked.set_limit(limit).send().await?;
            Ok(json!({
                "Records": records(&output.records),
                "NextShardIterator": output.next_shard_iterator,
                "MillisBehindLatest": output.millis_behind_latest,
            }))
        }
        "SubscribeToShard" => subscribe(client, input).await,
        other => Err(format!("{other} is no operation of this program").into()),
    }
}

/// The records of a subscription until there are `Count` of them.
async fn subscribe(client: &Client, input: &Value) -> Result<Value, Fault> {
    let kind = ShardIteratorType::from("TRIM_HORIZON");
    let from = StartingPosition::builder().r#type(kind).build()?;
    let asked = client.subscribe_to_shard().consumer_arn(text(input, "ConsumerARN"));
    let asked = asked.shard_id(text(input, "ShardId")).starting_position(from);
    let mut events = asked.send().await?.event_stream;
    let (mut read, mut behind) = (Vec::new(), None);
    while (read.len() as u64) < input["Count"].as_u64().unwrap_or(1) {
        let event = events.recv().await?.ok_or("the subscription ended early")?;
        if let SubscribeToShardEventStream::SubscribeToShardEvent(event) = event {
            read.extend(records(&event.records));
            behind = Some(event.millis_behind_latest);
        }
    }
    Ok(json!({ "Records": read, "MillisBehindLatest": behind }))
}

fn records(records: &[Record]) -> Vec<Value> {
    let base64 = |record: &Record| base64_simd::STANDARD.encode_to_string(&record.data);
    let shown = records.iter().map(|record| {
        json!({
            "SequenceNumber": record.sequence_number,
            "PartitionKey": record.partition_key,
            "Data": { "base64": base64(record) },
        })
    });
    shown.collect()
}

fn entry(record: &Value) -> Result<PutRecordsRequestEntry, Fault> {
    let entry = PutRecordsRequestEntry::builder().partition_key(text(record, "PartitionKey"));
    entry.data(blob(record)?).build().map_err(|fault: BuildError| fault.into())
}

fn blob(holder: &Value) -> Result<Blob, Fault> {
    let base64 = text(&holder["Data"], "base64");
    Ok(Blob::new(base64_simd::STANDARD.decode_to_vec(base64).map_err(|fault| fault.to_string())?))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
