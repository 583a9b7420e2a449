//! Owns the translation between the plan's words and the SDK's. Refuses to decide anything.

use crate::domain::time::Wall;
use crate::io::cloudwatch::plan;
use crate::io::cloudwatch::plan::Query;
use crate::io::cloudwatch::plan::ResultStatus;
use crate::io::cloudwatch::plan::Window;
use aws_sdk_cloudwatch::types::Dimension;
use aws_sdk_cloudwatch::types::Metric;
use aws_sdk_cloudwatch::types::MetricDataQuery;
use aws_sdk_cloudwatch::types::MetricDataResult;
use aws_sdk_cloudwatch::types::MetricStat;
use aws_sdk_cloudwatch::types::StatusCode;
use aws_smithy_types::DateTime;

/// The query at `index` of its batch.
pub(super) fn query(index: usize, query: &Query, window: Window) -> MetricDataQuery {
    let (name, statistic) = plan::name_and_statistic(query.metric);
    let dimension = Dimension::builder().name("StreamName").value(query.stream.as_str()).build();
    let metric = Metric::builder().namespace("AWS/Kinesis").metric_name(name);
    let period_seconds = i32::try_from(window.period.as_secs()).unwrap_or(i32::MAX);
    let asked = MetricStat::builder()
        .metric(metric.dimensions(dimension).build())
        .period(period_seconds)
        .stat(statistic)
        .build();
    MetricDataQuery::builder().id(plan::id(index)).metric_stat(asked).build()
}

/// CloudWatch's word on a result.
pub(super) fn status(code: Option<&StatusCode>) -> ResultStatus {
    match code {
        Some(StatusCode::Complete) => ResultStatus::Complete,
        Some(StatusCode::PartialData) => ResultStatus::Partial,
        Some(StatusCode::InternalError) => ResultStatus::InternalError,
        Some(StatusCode::Forbidden) => ResultStatus::Forbidden,
        // The SDK's enum grows with the service.
        Some(_) | None => ResultStatus::Other,
    }
}

/// A time as the SDK has it.
pub(super) fn date_time(wall: Wall) -> DateTime {
    DateTime::from_millis(i64::try_from(wall.as_ms()).unwrap_or(i64::MAX))
}

/// A result's values with their times; those at no possible time are left out.
pub(super) fn values(result: &MetricDataResult) -> impl Iterator<Item = (Wall, f64)> {
    let pairs = result.timestamps().iter().zip(result.values());
    pairs.filter_map(|(at, value)| Some((wall(at)?, *value)))
}

fn wall(time: &DateTime) -> Option<Wall> {
    Some(Wall::from_ms(u64::try_from(time.to_millis().ok()?).ok()?))
}
