//! Owns a small CloudWatch: GetMetricData in smithy's rpc-v2-cbor, the one protocol that
//! aws-sdk-cloudwatch speaks, answered from the demo's actual traffic. Refuses every other
//! operation, and metric math, in CloudWatch's own shape.

use super::cbor::Tree;
use super::traffic::Statistic;
use super::traffic::Traffic;
use crate::domain::snapshot::CloudWatchMetric;
use aws_smithy_cbor::Encoder;
use aws_smithy_types::DateTime;
use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::post;
use http::StatusCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// The most points that one answer of CloudWatch holds. A request for more is refused here, for
/// pages are of no use to a demo.
const POINTS_MAX: u64 = 100_800;
const QUERIES_MAX: usize = 500;

type Shared = Arc<Mutex<Traffic>>;

/// The demo's CloudWatch as a router over `traffic`.
pub(super) fn router(traffic: Shared) -> Router {
    let route = "/service/GraniteServiceVersion20100801/operation/{operation}";
    Router::new().route(route, post(operate)).with_state(traffic)
}

async fn operate(
    State(traffic): State<Shared>,
    Path(operation): Path<String>,
    body: Bytes,
) -> Response {
    let answer = match operation.as_str() {
        "GetMetricData" => Tree::parse(&body)
            .map_err(|_| Refusal("SerializationException", "the body is not CBOR".to_owned()))
            .and_then(|request| metric_data(&request, &traffic)),
        other => Err(Refusal("UnknownOperationException", format!("no operation {other} here"))),
    };
    match answer {
        Ok(body) => cbor(StatusCode::OK, body),
        Err(refusal) => cbor(StatusCode::BAD_REQUEST, refusal.body()),
    }
}

fn cbor(status: StatusCode, body: Vec<u8>) -> Response {
    let headers = [("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")];
    (status, headers, body).into_response()
}

/// An error of the service: its type and a sentence.
struct Refusal(&'static str, String);

impl Refusal {
    fn invalid(why: impl Into<String>) -> Self {
        Self("InvalidParameterValueException", why.into())
    }

    fn body(self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(2).str("__type").str(&format!("com.amazonaws.cloudwatch#{}", self.0));
        encoder.str("message").str(&self.1);
        encoder.into_writer()
    }
}

/// One question, understood.
struct Query<'a> {
    id: &'a str,
    label: &'a str,
    period_s: u64,
    statistic: Statistic,
    /// None for a metric that this CloudWatch does not have: no points, as the real one answers.
    series: Option<(&'a str, CloudWatchMetric)>,
}

fn metric_data(request: &Tree, traffic: &Mutex<Traffic>) -> Result<Vec<u8>, Refusal> {
    let queries = request.get("MetricDataQueries").map(Tree::items).unwrap_or_default();
    if queries.is_empty() || queries.len() > QUERIES_MAX {
        return Err(Refusal::invalid("MetricDataQueries must hold 1 to 500 queries"));
    }
    let queries = queries.iter().map(query).collect::<Result<Vec<_>, _>>()?;
    let (start_s, end_s) = (seconds(request, "StartTime")?, seconds(request, "EndTime")?);
    if start_s >= end_s {
        return Err(Refusal::invalid("EndTime must be after StartTime"));
    }
    let points =
        queries.iter().map(|query| (end_s - start_s).div_ceil(query.period_s)).sum::<u64>();
    if points > POINTS_MAX {
        return Err(Refusal::invalid("more points than this demo answers at once"));
    }
    let ascending = request
        .get("ScanBy")
        .and_then(Tree::text)
        .is_some_and(|order| order == "TimestampAscending");
    let traffic = traffic.lock().unwrap_or_else(PoisonError::into_inner);
    let mut encoder = Encoder::new(Vec::new());
    encoder.map(2).str("Messages").array(0).str("MetricDataResults").array(queries.len());
    for query in queries {
        let window = (start_s, end_s);
        let mut points = query.series.map_or_else(Vec::new, |(stream, metric)| {
            traffic.points(stream, metric, query.statistic, window, query.period_s)
        });
        if !ascending {
            points.reverse();
        }
        encoder.map(5).str("Id").str(query.id).str("Label").str(query.label);
        encoder.str("StatusCode").str("Complete").str("Timestamps").array(points.len());
        for (start_s, _) in &points {
            encoder.timestamp(&DateTime::from_secs(i64::try_from(*start_s).unwrap_or(i64::MAX)));
        }
        encoder.str("Values").array(points.len());
        for (_, value) in &points {
            encoder.double(*value);
        }
    }
    Ok(encoder.into_writer())
}

fn query(tree: &Tree) -> Result<Query<'_>, Refusal> {
    let text = |tree: &'_ Tree, key: &str| tree.get(key).and_then(Tree::text).map(str::to_owned);
    let missing = |key: &str| Refusal::invalid(format!("{key} is missing"));
    let id = tree.get("Id").and_then(Tree::text).ok_or_else(|| missing("Id"))?;
    let stat = tree.get("MetricStat").ok_or_else(|| missing("MetricStat (no metric math here)"))?;
    let metric = stat.get("Metric").ok_or_else(|| missing("Metric"))?;
    let name =
        metric.get("MetricName").and_then(Tree::text).ok_or_else(|| missing("MetricName"))?;
    let statistic = stat
        .get("Stat")
        .and_then(Tree::text)
        .and_then(Statistic::named)
        .ok_or_else(|| Refusal::invalid("Stat must be one of the five basic statistics"))?;
    let period_s = match stat.get("Period") {
        Some(Tree::Int(period)) => u64::try_from(*period).ok().filter(|period| *period > 0),
        _ => None,
    };
    let period_s = period_s.ok_or_else(|| Refusal::invalid("Period must be 1 s or more"))?;
    let ours = text(metric, "Namespace").as_deref() == Some("AWS/Kinesis");
    let stream = match metric.get("Dimensions").map(Tree::items).unwrap_or_default() {
        [only] if text(only, "Name").as_deref() == Some("StreamName") => {
            only.get("Value").and_then(Tree::text)
        }
        _ => None,
    };
    let series = stream.zip(kind(name)).filter(|_| ours);
    let label = tree.get("Label").and_then(Tree::text).unwrap_or(name);
    Ok(Query { id, label, period_s, statistic, series })
}

fn kind(name: &str) -> Option<CloudWatchMetric> {
    CloudWatchMetric::ALL.into_iter().find(|metric| self::name(*metric) == name)
}

const fn name(metric: CloudWatchMetric) -> &'static str {
    match metric {
        CloudWatchMetric::IncomingRecords => "IncomingRecords",
        CloudWatchMetric::IncomingBytes => "IncomingBytes",
        CloudWatchMetric::IteratorAge => "GetRecords.IteratorAgeMilliseconds",
        CloudWatchMetric::WriteThrottles => "WriteProvisionedThroughputExceeded",
        CloudWatchMetric::ReadThrottles => "ReadProvisionedThroughputExceeded",
    }
}

fn seconds(request: &Tree, key: &str) -> Result<u64, Refusal> {
    match request.get(key) {
        Some(Tree::Time(at)) if *at >= 0.0 => Ok(*at as u64),
        _ => Err(Refusal::invalid(format!("{key} must be a time"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::demo::serve::serve;
    use aws_sdk_cloudwatch::config::BehaviorVersion;
    use aws_sdk_cloudwatch::config::Credentials;
    use aws_sdk_cloudwatch::config::Region;
    use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
    use aws_sdk_cloudwatch::types::Dimension;
    use aws_sdk_cloudwatch::types::Metric;
    use aws_sdk_cloudwatch::types::MetricDataQuery;
    use aws_sdk_cloudwatch::types::MetricStat;
    use aws_sdk_cloudwatch::types::StatusCode as Outcome;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    async fn client(tasks: &mut JoinSet<()>) -> aws_sdk_cloudwatch::Client {
        let mut traffic = Traffic::default();
        traffic.record("orders", CloudWatchMetric::IncomingRecords, 3.0, 1_800_000_000);
        traffic.record("orders", CloudWatchMetric::IncomingRecords, 4.0, 1_800_000_059);
        traffic.record("orders", CloudWatchMetric::IncomingRecords, 5.0, 1_800_000_060);
        traffic.record("orders", CloudWatchMetric::IteratorAge, 250.0, 1_800_000_060);
        let router = router(Arc::new(Mutex::new(traffic)));
        let address = serve(router, tasks, CancellationToken::new()).await.expect("a port");
        let config = aws_sdk_cloudwatch::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("demo", "demo", None, None, "demo"))
            .endpoint_url(format!("http://{address}"))
            .build();
        aws_sdk_cloudwatch::Client::from_conf(config)
    }

    fn ask(id: &str, stream: &str, metric: &str, stat: &str) -> MetricDataQuery {
        let dimension = Dimension::builder().name("StreamName").value(stream).build();
        let metric = Metric::builder().namespace("AWS/Kinesis").metric_name(metric);
        let metric = metric.dimensions(dimension).build();
        let stat = MetricStat::builder().metric(metric).period(60).stat(stat).build();
        MetricDataQuery::builder().id(id).metric_stat(stat).build()
    }

    #[tokio::test]
    async fn the_real_client_reads_the_answers() {
        let mut tasks = JoinSet::new();
        let client = client(&mut tasks).await;
        let answer = client
            .get_metric_data()
            .start_time(DateTime::from_secs(1_799_999_880))
            .end_time(DateTime::from_secs(1_800_000_180))
            .metric_data_queries(ask("a", "orders", "IncomingRecords", "Sum"))
            .metric_data_queries(ask(
                "b",
                "orders",
                "GetRecords.IteratorAgeMilliseconds",
                "Maximum",
            ))
            .metric_data_queries(ask("c", "orders", "IncomingBytes", "Sum"))
            .metric_data_queries(ask("d", "other", "IncomingRecords", "Sum"))
            .send()
            .await
            .expect("an answer");
        let expected: [(&str, &[i64], &[f64]); 4] = [
            ("a", &[1_800_000_060, 1_800_000_000], &[5.0, 7.0]),
            ("b", &[1_800_000_060], &[250.0]),
            ("c", &[], &[]),
            ("d", &[], &[]),
        ];
        assert_eq!(answer.metric_data_results().len(), expected.len());
        for (result, (id, at, values)) in answer.metric_data_results().iter().zip(expected) {
            assert_eq!(result.id(), Some(id));
            assert_eq!(result.status_code(), Some(&Outcome::Complete));
            let seconds: Vec<_> = result.timestamps().iter().map(DateTime::secs).collect();
            assert_eq!((seconds.as_slice(), result.values()), (at, values));
        }
    }

    #[tokio::test]
    async fn what_it_cannot_do_it_refuses_in_shape() {
        let mut tasks = JoinSet::new();
        let client = client(&mut tasks).await;
        let error = client.list_metrics().send().await.expect_err("not here");
        assert_eq!(error.code(), Some("UnknownOperationException"));
        let error = client
            .get_metric_data()
            .start_time(DateTime::from_secs(60))
            .end_time(DateTime::from_secs(120))
            .metric_data_queries(ask("a", "orders", "IncomingRecords", "p99"))
            .send()
            .await
            .expect_err("no percentiles");
        assert_eq!(error.code(), Some("InvalidParameterValueException"));
    }
}
