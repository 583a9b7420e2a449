//! Owns the checks of what the poller of CloudWatch needs: one call of each kind, over one metric.
//! Refuses to ask for what costs more than a thousandth of a cent.

use super::aws::said;
use super::{Table, Verdict, within};
use crate::domain::time::Wall;
use crate::io::clock::Clock;
use crate::io::credentials::SdkSettings;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Metric, MetricDataQuery, MetricStat};
use aws_smithy_types::DateTime;
use std::time::Duration;

/// Where Kinesis's metrics are.
const NAMESPACE: &str = "AWS/Kinesis";
/// What is asked for: one period.
const PERIOD: Duration = Duration::from_secs(60);

/// A line for each of the two calls.
pub(super) async fn check(
    sdk: &SdkSettings,
    endpoint: Option<String>,
    clock: &Clock,
    table: &mut Table<'_>,
) {
    let client = sdk.cloudwatch(endpoint);
    table.trying("cloudwatch: figures");
    let verdict = within(figures(&client, clock)).await;
    table.tell("cloudwatch: figures", verdict);
    table.trying("cloudwatch: metrics");
    let verdict = within(metrics(&client)).await;
    table.tell("cloudwatch: metrics", verdict);
}

/// A metric that nobody has: what is tried is the call.
async fn figures(client: &Client, clock: &Clock) -> Verdict {
    let metric = Metric::builder().namespace(NAMESPACE).metric_name("IncomingRecords").build();
    let period = i32::try_from(PERIOD.as_secs()).unwrap_or(i32::MAX);
    let asked = MetricStat::builder().metric(metric).period(period).stat("Sum").build();
    let now = clock.now().wall;
    let at = |wall: Wall| DateTime::from_millis(i64::try_from(wall.as_ms()).unwrap_or(i64::MAX));
    let call = client
        .get_metric_data()
        .metric_data_queries(MetricDataQuery::builder().id("q0").metric_stat(asked).build())
        .start_time(at(now.minus(PERIOD)))
        .end_time(at(now));
    match call.send().await {
        Ok(_) => Verdict::ok("GetMetricData answers"),
        Err(error) => Verdict::failed(said("cloudwatch:GetMetricData", &error)),
    }
}

async fn metrics(client: &Client) -> Verdict {
    match client.list_metrics().namespace(NAMESPACE).send().await {
        Ok(_) => Verdict::ok("ListMetrics answers"),
        Err(error) => Verdict::failed(said("cloudwatch:ListMetrics", &error)),
    }
}
