//! Owns the tests of the embedded Kinesis: time, traffic, limits, what is forgotten.

use super::*;
use crate::app::demo::arrivals::RECORDS_MAX;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::json;

struct World {
    kinesis: TowerToHyperService<Router>,
    inside: Kinesis,
    traffic: Arc<Mutex<Traffic>>,
}

impl World {
    async fn with_stream() -> Self {
        Self::limited(true, Clock::simulated(Wall::from_ms(1_800_000_000_123))).await
    }

    async fn limited(enforce_limits: bool, clock: Clock) -> Self {
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let (router, inside) = with_limits(clock, Arc::clone(&traffic), enforce_limits);
        let world = Self { kinesis: TowerToHyperService::new(router), inside, traffic };
        world.call("CreateStream", json!({"StreamName": "s", "ShardCount": 1})).await;
        let asked = json!({"StreamName": "s"});
        while world.call("DescribeStreamSummary", asked.clone()).await["StreamDescriptionSummary"]["StreamStatus"]
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
            crate::app::demo::traffic::Statistic::Sum,
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
    // Twenty times what a shard takes in a second.
    let clock = Clock::simulated(Wall::from_ms(1_800_000_000_123));
    let world = World::limited(false, clock).await;
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

#[tokio::test(start_paused = true)]
async fn a_shard_refuses_what_is_over_its_limits_inside_an_answer() {
    let check = async |count: usize, data: String, stored: usize| {
        let world = World::with_stream().await;
        let one = json!({"Data": data, "PartitionKey": "k"});
        let records = json!({"StreamName": "s", "Records": vec![one; count]});
        let answer = world.call("PutRecords", records).await;
        let outcomes = answer["Records"].as_array().expect("outcomes");
        let refused = outcomes.iter().filter(|it| it["ErrorCode"] == THROTTLED).count();
        assert_eq!((refused, outcomes.len()), (count - stored, count), "{answer}");
        assert_eq!(answer["FailedRecordCount"], refused);
        let second = 1_800_000_000;
        let throttles = world.traffic.lock().expect("not poisoned").points(
            "s",
            CloudWatchMetric::WriteThrottles,
            crate::app::demo::traffic::Statistic::Sum,
            (second, second + 60),
            60,
        );
        assert_eq!(throttles, [(second, refused as f64)]);
    };
    // 100 KiB each: ten of them are a mebibyte, less a little.
    check(12, "A".repeat(100 * 1_024 / 3 * 4), 10).await;
    check(3, "e30=".to_owned(), 3).await;
}

#[tokio::test]
async fn what_arrived_long_ago_is_as_old_as_it_says_and_not_kept_for_ever() {
    // The store has the machine's clock.
    let clock = Clock::system();
    let now = clock.now().wall;
    let world = World::limited(true, clock).await;
    let events = |text: &str| [("k".to_owned(), text.as_bytes().to_vec())];
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let none = Duration::ZERO;
    world.inside.backdate("s", events("a"), now.minus(hours(25)), none).await.expect("stored");
    let two = [events("b"), events("c")].concat();
    world.inside.backdate("s", two, now.minus(hours(23)), hours(1)).await.expect("stored");
    let asked = json!({"ShardIterator": world.iterator().await, "Limit": 2});
    let answer = world.call("GetRecords", asked).await;
    let came = answer["Records"].as_array().expect("records");
    let [only] = came.as_slice() else { panic!("25 h is more than is kept: {answer}") };
    assert_eq!(only["Data"], "Yg==");
    let behind_s = answer["MillisBehindLatest"].as_u64().expect("a lag") / 1_000;
    assert!((79_200..79_260).contains(&behind_s), "22 h: {behind_s} s");
    assert!(world.inside.backdate("none", events("a"), now, none).await.is_err());
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
