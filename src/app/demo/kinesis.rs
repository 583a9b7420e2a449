//! Owns the embedded Kinesis: ferrokinesis, which holds to a shard's limits, behind a layer that makes
//! it tell the truth about time and counts the traffic. Refuses to touch anything but the JSON protocol's PutRecord, PutRecords
//! and GetRecords: CBOR calls pass as they are, so their records have no millisecond arrival.

use super::arrivals::Accepted;
use super::arrivals::Arrivals;
use super::traffic::Traffic;
use crate::domain::snapshot::CloudWatchMetric;
use crate::domain::stream::StreamName;
use crate::domain::time::Moment;
use crate::domain::time::Wall;
use crate::io::clock::Clock;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use ferrokinesis::sequence;
use ferrokinesis::sequence::SeqObj;
use ferrokinesis::shard_iterator::decode_shard_iterator;
use ferrokinesis::store::Store;
use ferrokinesis::store::StoreOptions;
use ferrokinesis::types::StoredRecordRef;
use http::StatusCode;
use http::header;
use serde_json::Value;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::RwLock;

/// More than the largest PutRecords call in base64.
const BODY_BYTES_MAX: usize = 16 << 20;
const THROTTLED: &str = "ProvisionedThroughputExceededException";

/// What the layer keeps.
struct Layer {
    /// Also the gate: held for writing while a put is stored and for reading while records are
    /// read. Without it a record that was given its number early and stored late is lost to a
    /// reader that saw the next one in between.
    arrivals: RwLock<Arrivals>,
    traffic: Arc<Mutex<Traffic>>,
    store: Store,
    clock: Clock,
}

/// The embedded Kinesis, for who has to set its stage.
#[derive(Clone)]
pub(super) struct Kinesis(Arc<Layer>);

/// An event of long ago: its partition key and its data.
pub(super) type Old = (String, Vec<u8>);

/// The embedded Kinesis and its router. What it is asked to do is tallied in `traffic`. It refuses
/// what is more than 1 MiB or 1,000 records a second in a shard.
pub(super) fn embedded(clock: Clock, traffic: Arc<Mutex<Traffic>>) -> (Router, Kinesis) {
    with_limits(clock, traffic, true)
}

fn with_limits(
    clock: Clock,
    traffic: Arc<Mutex<Traffic>>,
    enforce_limits: bool,
) -> (Router, Kinesis) {
    let options = StoreOptions {
        create_stream_ms: 0,
        shard_limit: 64,
        enforce_limits,
        ..StoreOptions::default()
    };
    let (app, store) = ferrokinesis::create_app(options);
    let layer = Arc::new(Layer { arrivals: RwLock::default(), traffic, store, clock });
    let app = app.layer(axum::middleware::from_fn_with_state(Arc::clone(&layer), observe));
    (app, Kinesis(layer))
}

impl Kinesis {
    /// Has `events` stand in `stream` as if the first had arrived at `first` and each `apart` from
    /// the one before: sequence numbers, arrivals and lag say so, and the stream's retention counts
    /// from there.
    ///
    /// # Errors
    /// In the store's words, when there is no such stream.
    pub(super) async fn backdate(
        &self,
        stream: &str,
        events: impl IntoIterator<Item = Old>,
        first: Wall,
        apart: Duration,
    ) -> Result<(), String> {
        let Layer { arrivals, store, .. } = &*self.0;
        let mut arrivals = arrivals.write().await;
        let mut arrival = first;
        for (key, data) in events {
            let hash = sequence::partition_key_to_hash_key(&key);
            let given = store.allocate_sequence(stream, &hash).await;
            let given = given.map_err(|error| error.to_string())?;
            let number = sequence::parse_sequence(&given.seq_num).map_err(|it| it.to_string())?;
            let (shard, index) = (given.shard_id, sequence::shard_ix_to_hex(number.shard_ix));
            let number = SeqObj { seq_time: Some(arrival.as_ms()), ..number };
            let number = sequence::stringify_sequence(&number);
            let base64 = base64_simd::STANDARD.encode_to_string(&data);
            let record = StoredRecordRef {
                partition_key: &key,
                data: &base64,
                approximate_arrival_timestamp: arrival.as_seconds() as f64,
            };
            let stored = store.put_record(stream, &format!("{index}/{number}"), &record).await;
            stored.map_err(|error| error.to_string())?;
            let (sequence, arrival_ms, bytes) = (number.as_str(), arrival.as_ms(), data.len());
            let accepted = Accepted { sequence, arrival_ms, bytes };
            for oldest in arrivals.stamp(stream, &shard, accepted) {
                self.0.forget(stream, &shard, &oldest).await;
            }
            arrival = arrival.plus(apart);
        }
        Ok(())
    }
}

async fn observe(State(layer): State<Arc<Layer>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let json =
        header("content-type").is_some_and(|kind| kind.starts_with("application/x-amz-json"));
    let operation = header("x-amz-target").and_then(|target| target.split('.').nth(1));
    match operation {
        Some("PutRecord" | "PutRecords") if json => layer.put(request, next).await,
        Some("GetRecords") if json => layer.read(request, next).await,
        _ => next.run(request).await,
    }
}

impl Layer {
    async fn put(&self, request: Request, next: Next) -> Response {
        let Some((request, asked)) = opened(request).await else { return too_large() };
        let mut arrivals = self.arrivals.write().await;
        let response = next.run(request).await;
        let now = self.clock.now();
        let (response, answer) = parted(response).await;
        let Some(stream) = stream_of(&asked) else { return response };
        let records = asked.get("Records").and_then(Value::as_array);
        let outcomes = answer.get("Records").and_then(Value::as_array);
        let pairs: Vec<(&Value, &Value)> = match (records, outcomes) {
            (Some(records), Some(outcomes)) => records.iter().zip(outcomes).collect(),
            _ => vec![(&asked, &answer)],
        };
        let (mut accepted, mut bytes, mut throttled) = (0_u32, 0_usize, 0_u32);
        for (record, outcome) in pairs {
            let failure = text(outcome, "ErrorCode").or_else(|| text(outcome, "__type"));
            throttled += u32::from(failure.is_some_and(|code| code.ends_with(THROTTLED)));
            let (Some(shard), Some(sequence)) =
                (text(outcome, "ShardId"), text(outcome, "SequenceNumber"))
            else {
                continue;
            };
            accepted += 1;
            let size = text(record, "Data").map_or(0, decoded_bytes);
            bytes += size;
            let stamp = Accepted { sequence, arrival_ms: now.wall.as_ms(), bytes: size };
            for oldest in arrivals.stamp(&stream, shard, stamp) {
                self.forget(&stream, shard, &oldest).await;
            }
        }
        drop(arrivals);
        if accepted > 0 {
            self.record(&stream, CloudWatchMetric::IncomingRecords, f64::from(accepted), now);
            self.record(&stream, CloudWatchMetric::IncomingBytes, bytes as f64, now);
        }
        self.record(&stream, CloudWatchMetric::WriteThrottles, f64::from(throttled), now);
        response
    }

    async fn read(&self, request: Request, next: Next) -> Response {
        let Some((request, asked)) = opened(request).await else { return too_large() };
        let arrivals = self.arrivals.read().await;
        let response = next.run(request).await;
        let now = self.clock.now();
        let (mut response, mut answer) = parted(response).await;
        let place = text(&asked, "ShardIterator").and_then(|it| decode_shard_iterator(it).ok());
        let Some((_, stream, shard, _)) = place else { return response };
        let throttled = text(&answer, "__type").is_some_and(|code| code.ends_with(THROTTLED));
        self.record(&stream, CloudWatchMetric::ReadThrottles, f64::from(u8::from(throttled)), now);
        let Some(records) = answer.get_mut("Records").and_then(Value::as_array_mut) else {
            return response;
        };
        // An empty answer means the tip: this Kinesis never stops a read half way.
        let (mut behind_ms, mut age_ms) = (0, 0);
        for record in records {
            let Some(sequence) = text(record, "SequenceNumber") else { continue };
            behind_ms = arrivals.behind_ms(&stream, &shard, sequence, now.wall.as_ms());
            if let Some(arrival_ms) = arrivals.arrival_ms(&stream, &shard, sequence) {
                age_ms = now.wall.as_ms().saturating_sub(arrival_ms);
                let seconds = arrival_ms as f64 / 1_000.0;
                if let Some(arrival) = record.get_mut("ApproximateArrivalTimestamp") {
                    *arrival = seconds.into();
                }
            }
        }
        drop(arrivals);
        self.record(&stream, CloudWatchMetric::IteratorAge, age_ms as f64, now);
        // A closed shard's end is the one lag that ferrokinesis knows itself.
        let open = answer.get("NextShardIterator").is_some();
        if let Some(behind) = answer.get_mut("MillisBehindLatest").filter(|_| open) {
            *behind = behind_ms.into();
        }
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(answer.to_string());
        response
    }

    /// Takes the record that the arrivals forgot out of the store, so that a demo that runs for
    /// days stays bounded: a retention by number.
    async fn forget(&self, stream: &str, shard: &str, sequence: &str) {
        if let Ok((_, index)) = sequence::resolve_shard_id(shard) {
            let key = format!("{}/{sequence}", sequence::shard_ix_to_hex(index));
            self.store.delete_record_keys(stream, &[key]).await;
        }
    }

    fn record(&self, stream: &str, metric: CloudWatchMetric, value: f64, now: Moment) {
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        traffic.record(stream, metric, value, now.wall.as_seconds());
    }
}

/// The same request again, and its body as JSON; `None` when the body is too large or broken off.
async fn opened(request: Request) -> Option<(Request, Value)> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.ok()?;
    let value = serde_json::from_slice(&body).unwrap_or_default();
    Some((Request::from_parts(head, Body::from(body)), value))
}

/// The same response again, and its body as JSON (null when it is not).
async fn parted(response: Response) -> (Response, Value) {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let value = serde_json::from_slice(&body).unwrap_or_default();
    (Response::from_parts(head, Body::from(body)), value)
}

fn too_large() -> Response {
    StatusCode::PAYLOAD_TOO_LARGE.into_response()
}

fn stream_of(asked: &Value) -> Option<String> {
    let by_arn = || StreamName::from_arn(text(asked, "StreamARN")?).map(|name| name.to_string());
    text(asked, "StreamName").map(str::to_owned).or_else(by_arn)
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// Bytes behind base64 text.
fn decoded_bytes(base64: &str) -> usize {
    let digits = base64.trim_end_matches('=').len();
    digits / 4 * 3 + (digits % 4).saturating_sub(1)
}

#[cfg(test)]
mod tests;
