//! Owns what is asked of CloudWatch and how its answer is read: window, queries, pages, points.
//! Refuses to call anyone, and to turn what is missing into zero.
//! Sources: reference/metrics.md 3.1, 3.6, 9 (17-21).

use crate::domain::snapshot::CloudWatchMetric;
use crate::domain::snapshot::CloudWatchPoint;
use crate::domain::stream::StreamName;
use crate::domain::time::Wall;
use std::time::Duration;

/// Most queries GetMetricData takes.
pub(super) const QUERIES_MAX: usize = 500;

/// Periods that each poll covers: a point missed by one poll, or late, is seen by the next.
const PERIODS: u32 = 5;

/// The times asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The first period's start.
    pub start: Wall,
    /// The last period's end; what begins here or later may still change.
    pub end: Wall,
    /// The length of a period; whole seconds.
    pub period: Duration,
}

impl Window {
    /// The last settled periods: whole ones that ended at least `delay` before `now`.
    #[must_use]
    pub(super) fn settled(now: Wall, delay: Duration, period: Duration) -> Self {
        let period = Duration::from_secs(period.as_secs().max(1));
        let until = now.minus(delay).as_seconds();
        let end = Wall::from_ms((until - until % period.as_secs()) * 1_000);
        Self { start: end.minus(period * PERIODS), end, period }
    }

    fn holds(&self, at: Wall) -> bool {
        at >= self.start && at.plus(self.period) <= self.end
    }
}

/// What is asked about one metric of one stream. Its id is its place in the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// The stream.
    pub stream: StreamName,
    /// The metric.
    pub metric: CloudWatchMetric,
}

/// All metrics of `streams`, in batches that GetMetricData takes; a stream's metrics stay together.
pub(super) fn batches(streams: &[StreamName]) -> impl Iterator<Item = Vec<Query>> {
    streams.chunks(QUERIES_MAX / CloudWatchMetric::ALL.len()).map(|streams| {
        let queries = |stream: &StreamName| {
            let stream = stream.clone();
            CloudWatchMetric::ALL.map(|metric| Query { stream: stream.clone(), metric })
        };
        streams.iter().flat_map(queries).collect()
    })
}

/// The id of the query at `index`; an id must begin with a lower-case letter.
#[must_use]
pub(super) fn id(index: usize) -> String {
    format!("q{index}")
}

/// A metric's name and statistic in CloudWatch. Never Average: of an age it hides the one reader
/// that lags, of throttles it is a ratio of calls.
#[must_use]
pub(super) const fn name_and_statistic(metric: CloudWatchMetric) -> (&'static str, &'static str) {
    match metric {
        CloudWatchMetric::IncomingRecords => ("IncomingRecords", "Sum"),
        CloudWatchMetric::IncomingBytes => ("IncomingBytes", "Sum"),
        CloudWatchMetric::IteratorAge => ("GetRecords.IteratorAgeMilliseconds", "Maximum"),
        CloudWatchMetric::WriteThrottles => ("WriteProvisionedThroughputExceeded", "Sum"),
        CloudWatchMetric::ReadThrottles => ("ReadProvisionedThroughputExceeded", "Sum"),
    }
}

/// How complete CloudWatch calls one query's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultStatus {
    /// All of them.
    Complete,
    /// More follow, on the next page or when asked again; these hold.
    Partial,
    /// CloudWatch failed; values there are hold.
    InternalError,
    /// Not allowed.
    Forbidden,
    /// A word newer than this code, or none.
    Other,
}

impl ResultStatus {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial_data",
            Self::InternalError => "internal_error",
            Self::Forbidden => "forbidden",
            Self::Other => "other",
        }
    }

    /// Whether CloudWatch did what it was asked.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        match self {
            Self::Complete | Self::Partial | Self::Other => false,
            Self::InternalError | Self::Forbidden => true,
        }
    }
}

/// The answer to one batch, put together page by page.
#[derive(Debug)]
pub(super) struct Answer {
    window: Window,
    newest: Vec<Option<CloudWatchPoint>>,
}

impl Answer {
    /// No values yet for `batch`.
    #[must_use]
    pub(super) fn new(window: Window, batch: &[Query]) -> Self {
        Self { window, newest: vec![None; batch.len()] }
    }

    /// Takes in some values of the query `id`, in any order, from any page. Values that are not
    /// settled, not numbers, or not asked for are left out.
    pub(super) fn add(&mut self, id: &str, values: impl Iterator<Item = (Wall, f64)>) {
        let index = id.strip_prefix('q').and_then(|index| index.parse::<usize>().ok());
        let Some(newest) = index.and_then(|index| self.newest.get_mut(index)) else { return };
        for (at, value) in values.filter(|(at, value)| self.window.holds(*at) && value.is_finite())
        {
            // Of two values for one period the later told is the corrected one.
            if newest.is_none_or(|old| at >= old.at) {
                *newest = Some(CloudWatchPoint { at, period: self.window.period, value });
            }
        }
    }

    /// The newest settled point of each query that has one.
    pub(super) fn points(&self, batch: &[Query]) -> impl Iterator<Item = (Query, CloudWatchPoint)> {
        batch
            .iter()
            .zip(&self.newest)
            .filter_map(|(query, newest)| Some((query.clone(), (*newest)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minute: u64) -> Wall {
        Wall::from_ms(minute * 60_000)
    }

    #[test]
    fn windows_are_whole_settled_periods() {
        let check = |now_ms, delay_seconds, period_seconds, start_seconds, end_seconds| {
            let (delay, period) =
                (Duration::from_secs(delay_seconds), Duration::from_secs(period_seconds));
            let window = Window::settled(Wall::from_ms(now_ms), delay, period);
            let seconds = (window.start.as_ms(), window.end.as_ms());
            assert_eq!(seconds, (start_seconds * 1_000_u64, end_seconds * 1_000_u64));
        };
        check(6_000_000, 120, 60, 5_580, 5_880);
        check(6_059_999, 120, 60, 5_580, 5_880);
        check(6_060_000, 120, 60, 5_640, 5_940);
        check(6_000_000, 0, 300, 4_500, 6_000);
        check(6_000_000, 120, 0, 5_875, 5_880);
    }

    #[test]
    fn batches_hold_every_metric_of_every_stream_once() {
        let streams: Vec<StreamName> =
            (0..101).map(|index| format!("s{index}").as_str().into()).collect();
        let batches: Vec<_> = batches(&streams).collect();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [500, 5]);
        let mut all: Vec<_> =
            batches.concat().iter().map(|it| (it.stream.clone(), it.metric)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 505);
        assert_eq!(super::batches(&[]).count(), 0);
    }

    fn answer() -> (Answer, Vec<Query>) {
        let batch = batches(&["orders".into()]).next().unwrap();
        let window = Window { start: at(10), end: at(15), period: MINUTE };
        (Answer::new(window, &batch), batch)
    }

    fn newest(values: &[&[(Wall, f64)]]) -> Option<(u64, f64)> {
        let (mut answer, batch) = answer();
        for page in values {
            answer.add("q2", page.iter().copied());
        }
        let points: Vec<_> = answer.points(&batch).collect();
        assert!(points.iter().all(|(query, _)| query.metric == CloudWatchMetric::IteratorAge));
        points.first().map(|(_, point)| (point.at.as_seconds() / 60, point.value))
    }

    #[test]
    fn the_newest_settled_point_in_any_order() {
        let check = |values: &[&[(Wall, f64)]], expected| assert_eq!(newest(values), expected);
        check(&[], None);
        check(&[&[]], None);
        check(&[&[(at(12), 1.0), (at(13), 2.0)]], Some((13, 2.0)));
        check(&[&[(at(13), 2.0), (at(12), 1.0)]], Some((13, 2.0)));
        check(&[&[(at(12), 1.0)], &[(at(14), 3.0)], &[(at(13), 2.0)]], Some((14, 3.0)));
        check(&[&[(at(13), 2.0)], &[(at(13), 5.0)]], Some((13, 5.0)));
        // Not settled, before the window, not a number.
        check(&[&[(at(15), 9.0), (at(12), 1.0)]], Some((12, 1.0)));
        check(&[&[(at(9), 9.0)]], None);
        check(&[&[(at(14), f64::NAN), (at(12), 0.0)]], Some((12, 0.0)));
    }

    #[test]
    fn what_was_not_asked_for_is_left_out() {
        let (mut answer, batch) = answer();
        for id in ["", "q", "q5", "q-1", "e1", "q99999999999999999999999"] {
            answer.add(id, [(at(12), 1.0)].into_iter());
        }
        assert_eq!(answer.points(&batch).count(), 0);
    }

    proptest! {
        #[test]
        fn every_id_leads_back(index in 0..QUERIES_MAX) {
            let streams: Vec<StreamName> =
                (0..100).map(|index| format!("s{index}").as_str().into()).collect();
            let batch = batches(&streams).next().unwrap();
            let window = Window { start: at(10), end: at(15), period: MINUTE };
            let mut answer = Answer::new(window, &batch);
            answer.add(&id(index), [(at(14), 7.0)].into_iter());
            let points: Vec<_> = answer.points(&batch).collect();
            prop_assert_eq!(points.len(), 1);
            prop_assert_eq!(&points[0].0, &batch[index]);
        }
    }
}
