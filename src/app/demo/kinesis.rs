//! Owns the embedded Kinesis: ferrokinesis behind a layer that makes it tell the truth about time
//! and counts the traffic. Refuses to touch anything but the JSON protocol's PutRecord, PutRecords
//! and GetRecords: CBOR calls pass as they are, so their records have no millisecond arrival.

use super::arrivals::Arrivals;
use super::traffic::Traffic;
use crate::domain::snapshot::CloudWatchMetric;
use crate::domain::stream::StreamName;
use crate::domain::time::Moment;
use crate::io::clock::Clock;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use ferrokinesis::sequence;
use ferrokinesis::shard_iterator::decode_shard_iterator;
use ferrokinesis::store::Store;
use ferrokinesis::store::StoreOptions;
use http::StatusCode;
use http::header;
use serde_json::Value;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
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

/// The embedded Kinesis as a router. What it is asked to do is tallied in `traffic`.
pub(super) fn router(clock: Clock, traffic: Arc<Mutex<Traffic>>) -> Router {
    let options = StoreOptions { create_stream_ms: 0, shard_limit: 64, ..StoreOptions::default() };
    let (app, store) = ferrokinesis::create_app(options);
    let layer = Arc::new(Layer { arrivals: RwLock::default(), traffic, store, clock });
    app.layer(axum::middleware::from_fn_with_state(layer, observe))
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
            bytes += text(record, "Data").map_or(0, decoded_bytes);
            if let Some(oldest) = arrivals.stamp(&stream, shard, sequence, now.wall.as_ms()) {
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
mod tests {
    use super::*;
    use crate::app::demo::arrivals::RECORDS_MAX;
    use crate::domain::time::Wall;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::json;
    use std::time::Duration;

    struct World {
        kinesis: TowerToHyperService<Router>,
        traffic: Arc<Mutex<Traffic>>,
    }

    impl World {
        async fn with_stream() -> Self {
            let traffic = Arc::new(Mutex::new(Traffic::default()));
            let clock = Clock::simulated(Wall::from_ms(1_800_000_000_123));
            let kinesis = TowerToHyperService::new(router(clock, Arc::clone(&traffic)));
            let world = Self { kinesis, traffic };
            world.call("CreateStream", json!({"StreamName": "s", "ShardCount": 1})).await;
            let asked = json!({"StreamName": "s"});
            while world.call("DescribeStreamSummary", asked.clone()).await["StreamDescriptionSummary"]
                ["StreamStatus"]
                != "ACTIVE"
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            world
        }

        async fn call(&self, operation: &str, asked: Value) -> Value {
            let authorization = "AWS4-HMAC-SHA256 Credential=a/b/us-east-1/kinesis/aws4_request, \
                 SignedHeaders=host, Signature=0";
            let request = http::Request::post("/")
                .header("content-type", "application/x-amz-json-1.1")
                .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
                .header("authorization", authorization)
                .header("x-amz-date", "20270115T080000Z")
                .body(Body::from(asked.to_string()))
                .expect("a request");
            let response = self.kinesis.call(request).await.expect("an answer");
            parted(response).await.1
        }

        async fn put(&self) {
            let record = json!({"StreamName": "s", "Data": "e30=", "PartitionKey": "k"});
            self.call("PutRecord", record).await;
        }

        async fn iterator(&self) -> Value {
            let shard = "shardId-000000000000";
            let asked = json!({"StreamName": "s", "ShardId": shard,
                "ShardIteratorType": "TRIM_HORIZON"});
            self.call("GetShardIterator", asked).await["ShardIterator"].clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lag_and_arrival_are_true_to_the_millisecond() {
        let world = World::with_stream().await;
        let began = Duration::from_millis(1_500);
        let mut iterator = world.iterator().await;
        for _ in 0..3 {
            world.put().await;
            tokio::time::sleep(began).await;
        }
        let (mut behind, mut arrivals_ms) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let asked = json!({"ShardIterator": iterator, "Limit": 1});
            let answer = world.call("GetRecords", asked).await;
            behind.push(answer["MillisBehindLatest"].as_u64().expect("a lag"));
            if let Some(arrival) = answer["Records"][0]["ApproximateArrivalTimestamp"].as_f64() {
                arrivals_ms.push(Wall::from_seconds_f64(arrival).expect("a time").as_ms());
            }
            iterator = answer["NextShardIterator"].clone();
        }
        assert_eq!(behind, [3_000, 1_500, 0, 0]);
        let [first, second, third] = arrivals_ms.try_into().expect("three records");
        assert_eq!((second - first, third - second), (1_500, 1_500));
        assert!((1_800_000_000_123..1_800_000_000_200).contains(&first), "{first}");
    }

    #[tokio::test(start_paused = true)]
    async fn traffic_is_what_was_accepted() {
        let world = World::with_stream().await;
        let one = json!({"Data": "e30=", "PartitionKey": "k"});
        let asked = json!({"StreamName": "s", "Records": [one, one]});
        world.call("PutRecords", asked).await;
        world.put().await;
        world.call("PutRecord", json!({"StreamName": "s"})).await; // refused
        let asked = json!({"ShardIterator": world.iterator().await});
        world.call("GetRecords", asked).await;
        let sum = |metric| {
            let traffic = world.traffic.lock().expect("not poisoned");
            let points = traffic.points(
                "s",
                metric,
                super::super::traffic::Statistic::Sum,
                (0, 2 << 30),
                1 << 30,
            );
            points.iter().map(|(_, value)| *value).collect::<Vec<_>>()
        };
        assert_eq!(sum(CloudWatchMetric::IncomingRecords), [3.0]);
        assert_eq!(sum(CloudWatchMetric::IncomingBytes), [6.0]);
        assert_eq!(sum(CloudWatchMetric::WriteThrottles), [0.0]);
        assert_eq!(sum(CloudWatchMetric::ReadThrottles), [0.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_forgets_its_oldest_record_for_one_too_many() {
        let world = World::with_stream().await;
        world.put().await;
        let one = json!({"Data": "W10=", "PartitionKey": "k"});
        let many = json!({"StreamName": "s", "Records": vec![one; 500]});
        let first = async || {
            let asked = json!({"ShardIterator": world.iterator().await, "Limit": 1});
            world.call("GetRecords", asked).await["Records"][0]["Data"].clone()
        };
        for _ in 1..RECORDS_MAX / 500 {
            world.call("PutRecords", many.clone()).await;
        }
        assert_eq!(first().await, "e30=");
        world.call("PutRecords", many).await;
        assert_eq!(first().await, "W10=");
    }

    #[test]
    fn base64_is_counted_without_decoding() {
        let check = |text, expected| assert_eq!(decoded_bytes(text), expected, "{text}");
        check("", 0);
        check("e30=", 2);
        check("YQ==", 1);
        check("YWJj", 3);
        check("YWJjZA==", 4);
    }
}
