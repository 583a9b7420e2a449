//! Owns the translation between our words and the SDK's, both ways, and the call itself. Refuses to
//! decide anything.

use crate::domain::cloudwatch::Batch;
use crate::domain::cloudwatch::Series;
use crate::domain::cloudwatch::Window;
use crate::domain::cloudwatch::found::Wish;
use crate::domain::time::Wall;
use crate::io::cloudwatch::ask::Ask;
use crate::io::cloudwatch::ask::Given;
use crate::io::cloudwatch::ask::Listing;
use crate::io::cloudwatch::ask::Page;
use crate::io::cloudwatch::ask::Refused;
use crate::io::cloudwatch::ask::ResultStatus;
use crate::io::credentials::fault::Fault;
use aws_sdk_cloudwatch::types::Dimension;
use aws_sdk_cloudwatch::types::DimensionFilter;
use aws_sdk_cloudwatch::types::MessageData;
use aws_sdk_cloudwatch::types::Metric;
use aws_sdk_cloudwatch::types::MetricDataQuery;
use aws_sdk_cloudwatch::types::MetricDataResult;
use aws_sdk_cloudwatch::types::MetricStat;
use aws_sdk_cloudwatch::types::RecentlyActive;
use aws_sdk_cloudwatch::types::ScanBy;
use aws_sdk_cloudwatch::types::StatusCode;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// AWS's CloudWatch, or what stands in for it.
#[derive(Debug, Clone)]
pub struct Sdk(pub aws_sdk_cloudwatch::Client);

impl Ask for Sdk {
    async fn data(&self, batch: &Batch, token: Option<&str>) -> Result<Page, Refused> {
        let queries = batch.series.iter().enumerate();
        let queries = queries.map(|(index, series)| query(index, series, batch.window)).collect();
        let call = self
            .0
            .get_metric_data()
            .set_metric_data_queries(Some(queries))
            .start_time(date_time(batch.window.start))
            .end_time(date_time(batch.window.end))
            .scan_by(ScanBy::TimestampDescending)
            .set_next_token(token.map(str::to_owned));
        let page = call.send().await.map_err(refused)?;
        Ok(Page {
            results: page.metric_data_results().iter().map(given).collect(),
            messages: messages(page.messages()),
            next: page.next_token.filter(|next| !next.is_empty()),
        })
    }

    async fn list(&self, wish: Wish, token: Option<&str>) -> Result<Listing, Refused> {
        let filter = DimensionFilter::builder().name(wish.dimension).build();
        let call = self
            .0
            .list_metrics()
            .namespace(wish.kind.namespace())
            .dimensions(filter)
            .set_metric_name(wish.metric.map(str::to_owned))
            // A closed shard is listed for two weeks; it has nothing to tell.
            .recently_active(RecentlyActive::Pt3H)
            .set_next_token(token.map(str::to_owned));
        let page = call.send().await.map_err(refused)?;
        let mut series = Vec::new();
        for metric in page.metrics() {
            let pairs = metric.dimensions().iter().filter_map(|it| Some((it.name()?, it.value()?)));
            let dimensions: Vec<_> = pairs.collect();
            series.extend(wish.read(metric.metric_name().unwrap_or_default(), &dimensions));
        }
        Ok(Listing { series, next: page.next_token.filter(|next| !next.is_empty()) })
    }
}

fn refused<E>(error: SdkError<E, HttpResponse>) -> Refused
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    Refused { fault: Fault::of(&error), text: DisplayErrorContext(&error).to_string() }
}

fn query(index: usize, series: &Series, window: Window) -> MetricDataQuery {
    let dimensions = series.subject.dimensions().into_iter();
    let dimensions = dimensions
        .map(|(name, value)| Dimension::builder().name(name).value(value).build())
        .collect();
    let metric = Metric::builder()
        .namespace(series.metric.kind().namespace())
        .metric_name(series.metric.name())
        .set_dimensions(Some(dimensions));
    let asked = MetricStat::builder()
        .metric(metric.build())
        .period(i32::try_from(window.period.as_secs()).unwrap_or(i32::MAX))
        .stat(series.metric.statistic().as_str())
        .build();
    // An id must begin with a lower-case letter.
    MetricDataQuery::builder().id(format!("q{index}")).metric_stat(asked).build()
}

fn given(result: &MetricDataResult) -> Given {
    let number = result.id().and_then(|id| id.strip_prefix('q'));
    let pairs = result.timestamps().iter().zip(result.values());
    Given {
        index: number.and_then(|index| index.parse().ok()),
        status: status(result.status_code()),
        // Those at no possible time are left out.
        values: pairs.filter_map(|(at, value)| Some((wall(at)?, *value))).collect(),
        messages: messages(result.messages()),
    }
}

fn messages(messages: &[MessageData]) -> Vec<(String, String)> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    messages.iter().map(|message| (text(message.code()), text(message.value()))).collect()
}

fn status(code: Option<&StatusCode>) -> ResultStatus {
    match code {
        Some(StatusCode::Complete) => ResultStatus::Complete,
        Some(StatusCode::PartialData) => ResultStatus::Partial,
        Some(StatusCode::InternalError) => ResultStatus::InternalError,
        Some(StatusCode::Forbidden) => ResultStatus::Forbidden,
        // The SDK's enum grows with the service.
        Some(_) | None => ResultStatus::Other,
    }
}

fn date_time(wall: Wall) -> DateTime {
    DateTime::from_millis(i64::try_from(wall.as_ms()).unwrap_or(i64::MAX))
}

fn wall(time: &DateTime) -> Option<Wall> {
    Some(Wall::from_ms(u64::try_from(time.to_millis().ok()?).ok()?))
}
