//! Owns what CloudWatch said of things that no verdict looks at, the newest point of each series,
//! within a bound. Refuses to keep what has stopped being told.

use crate::domain::cloudwatch::{Metric, Subject, Told};
use crate::domain::snapshot::{CloudWatchPoint, SubjectView};
use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most series; a thousand streams with every metric and a few shards each have thirty thousand.
const SERIES_MAX: usize = 100_000;
/// A series without a new point for so long is forgotten: longer than the longest interval.
const FORGET_AFTER: Duration = Duration::from_secs(3 * 3_600);
/// Between two looks for what is to be forgotten.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The newest point of each series.
#[derive(Debug, Default)]
pub(super) struct Details {
    subjects: BTreeMap<Subject, BTreeMap<Metric, CloudWatchPoint>>,
    series: usize,
    left_out: u64,
    looked_at: Duration,
}

impl Details {
    /// Takes a point in, unless it is older than what is known.
    pub(super) fn take(&mut self, told: Told) {
        let Told { series, point } = told;
        let metrics = self.subjects.get_mut(&series.subject);
        if let Some(old) = metrics.and_then(|metrics| metrics.get_mut(&series.metric)) {
            if old.at <= point.at {
                *old = point;
            }
        } else if self.series < SERIES_MAX {
            self.series += 1;
            self.subjects.entry(series.subject).or_default().insert(series.metric, point);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Forgets what has not been told for long.
    pub(super) fn forget(&mut self, now: Moment) {
        if now.mono < self.looked_at.saturating_add(LOOK_EVERY) {
            return;
        }
        self.looked_at = now.mono;
        let is_live = |at: Wall| now.wall.since(at) < FORGET_AFTER;
        self.subjects.retain(|_, metrics| {
            metrics.retain(|_, point| is_live(point.at));
            !metrics.is_empty()
        });
        self.series = self.subjects.values().map(BTreeMap::len).sum();
    }

    /// Every series, by thing and metric.
    pub(super) fn views(&self) -> Vec<SubjectView> {
        let views = self.subjects.iter().map(|(subject, metrics)| SubjectView {
            subject: subject.clone(),
            points: metrics.iter().map(|(metric, point)| (*metric, *point)).collect(),
        });
        views.collect()
    }

    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cloudwatch::Series;

    fn told(function: &str, minute: u64, value: f64) -> Told {
        let subject = Subject::Function(function.into());
        let period = Duration::from_secs(60);
        Told {
            series: Series { subject, metric: Metric::LambdaIteratorAge },
            point: CloudWatchPoint { at: Wall::from_ms(minute * 60_000), period, value },
        }
    }

    #[test]
    fn the_newest_point_stays_until_it_is_old() {
        let mut details = Details::default();
        for (minute, value) in [(5, 1.0), (7, 2.0), (6, 3.0), (7, 4.0)] {
            details.take(told("f", minute, value));
        }
        let views = details.views();
        assert_eq!(views.len(), 1);
        assert_eq!(views[0].points[0].1.value, 4.0);
        let at = |minutes: u64| Moment::default().plus(Duration::from_secs(minutes * 60));
        details.forget(at(100));
        assert_eq!(details.views().len(), 1);
        details.forget(at(187));
        assert_eq!((details.views().len(), details.series), (0, 0));
    }

    #[test]
    fn what_is_over_the_bound_is_counted() {
        let mut details = Details::default();
        (0..SERIES_MAX + 3).for_each(|index| details.take(told(&index.to_string(), 1, 1.0)));
        assert_eq!((details.views().len(), details.left_out()), (SERIES_MAX, 3));
        details.take(told("7", 2, 5.0));
        assert_eq!(details.left_out(), 3, "what is known is still told");
    }
}
