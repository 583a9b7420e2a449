//! Owns which series are due, in how few asks, and what their answers bring that is new. Refuses to
//! lose a settled period to a fault: what was not answered in full is asked for again, by itself.

use crate::domain::cloudwatch::settling::Settling;
use crate::domain::cloudwatch::subject::{Job, Series};
use crate::domain::cloudwatch::window::{BACK_MAX, News, Track, Window};
use crate::domain::snapshot::CloudWatchPoint;
use crate::domain::time::Wall;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

/// Most queries GetMetricData takes.
pub const QUERIES_MAX: usize = 500;
/// Most points one answer of GetMetricData has.
pub const POINTS_MAX: u64 = 100_800;
/// Answers in a row without a word on a series, after which it has nothing to be told: some
/// emulators leave out what is empty.
const ABSENCES_MAX: u8 = 3;

/// How whole the answer to one query was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    /// All of its values are here.
    Yes,
    /// More are to be had by asking again.
    No,
    /// There is no use in asking again soon: not allowed, or the call failed.
    Refused,
    /// The answer had no result for the query.
    Absent,
}

/// The answer to one query: values at the start of their periods, in any order; of two for one
/// period the later is the corrected one.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// How whole.
    pub complete: Complete,
    /// The values.
    pub values: Vec<(Wall, f64)>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { complete: Complete::Absent, values: Vec::new() }
    }
}

/// One ask: up to 500 queries with one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Whose.
    pub job: Job,
    /// The times.
    pub window: Window,
    /// The queries; a query's number is its place here.
    pub series: Vec<Series>,
    places: Vec<usize>,
}

impl Batch {
    /// How many points CloudWatch counts for it, there or not.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.window.periods() * self.series.len() as u64
    }
}

/// A settled point that was not told before.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Whose.
    pub series: Series,
    /// The point.
    pub point: CloudWatchPoint,
}

/// Everything that is asked for, and how far each was answered.
#[derive(Debug)]
pub struct Ledger {
    period_s: u64,
    entries: Vec<(Series, Track)>,
    settling: BTreeMap<Job, Settling>,
}

impl Ledger {
    /// Asks for nothing yet: periods of whole seconds, settled after at least `delay`.
    #[must_use]
    pub fn new(period: Duration, delay: Duration) -> Self {
        Self {
            // One second at least, and no more than makes the number of a period fit.
            period_s: period.as_secs().max(1),
            entries: Vec::new(),
            settling: Job::ALL.map(|job| (job, Settling::new(delay))).into(),
        }
    }

    /// From now on asks for `wanted`, in this order; what it asked for before goes on where it was.
    pub fn want(&mut self, wanted: Vec<Series>) {
        if self.entries.iter().map(|(series, _)| series).eq(&wanted) {
            return;
        }
        let mut known: HashMap<Series, Track> = self.entries.drain(..).collect();
        let track = |series: Series| {
            let track = known.remove(&series).unwrap_or_default();
            (series, track)
        };
        self.entries = wanted.into_iter().map(track).collect();
    }

    /// From now on asks for points of this length. With another one nothing is known of any series.
    pub fn set_period(&mut self, period: Duration) {
        let period_s = period.as_secs().max(1);
        if period_s != self.period_s {
            self.period_s = period_s;
            self.entries.iter_mut().for_each(|(_, track)| *track = Track::default());
        }
    }

    /// How long a job's periods take to settle, as far as is known.
    #[must_use]
    pub fn delay(&self, job: Job) -> Duration {
        self.settling.get(&job).map_or(Duration::ZERO, Settling::delay)
    }

    /// What there is to ask at `now`, in the fewest calls.
    #[must_use]
    pub fn due(&self, now: Wall) -> Vec<Batch> {
        self.batches(now, |_| true)
    }

    /// What of that was answered only in part a moment ago.
    #[must_use]
    pub fn due_again(&self, now: Wall) -> Vec<Batch> {
        self.batches(now, |track| track.again)
    }

    fn batches(&self, now: Wall, wanted: impl Fn(&Track) -> bool) -> Vec<Batch> {
        let earliest = self.number(now.minus(BACK_MAX)).saturating_add(1);
        let mut groups: BTreeMap<(Job, u32, u32), Vec<usize>> = BTreeMap::new();
        for (place, (series, track)) in self.entries.iter().enumerate() {
            let job = series.subject.kind().job();
            let end = self.number(now.minus(self.delay(job)));
            if let Some(start) = track.start(end, earliest).filter(|_| wanted(track)) {
                groups.entry((job, start, end)).or_default().push(place);
            }
        }
        let mut batches = Vec::new();
        for ((job, start, end), places) in groups {
            let window = Window { start: self.at(start), end: self.at(end), period: self.period() };
            let fitting = POINTS_MAX / window.periods().max(1);
            let most = QUERIES_MAX.min(usize::try_from(fitting).unwrap_or(QUERIES_MAX)).max(1);
            let mut rest = places.as_slice();
            while !rest.is_empty() {
                let (these, others) = rest.split_at(self.cut(rest, most));
                rest = others;
                let series = these.iter().filter_map(|at| self.entries.get(*at));
                let series = series.map(|(series, _)| series.clone()).collect();
                batches.push(Batch { job, window, series, places: these.to_vec() });
            }
        }
        batches
    }

    /// How many of `places` go into one call: at most `most`, and not a part of a metric's statistics.
    fn cut(&self, places: &[usize], most: usize) -> usize {
        let metric = |at: usize| {
            let (series, _) = self.entries.get(*places.get(at)?)?;
            Some((&series.subject, series.metric.name()))
        };
        let whole = |at: &usize| metric(*at) != metric(at - 1);
        if places.len() <= most {
            return places.len();
        }
        (1..=most).rev().find(whole).unwrap_or(most)
    }

    /// Takes in what was answered to `batch`, in the order of its queries; those without an answer
    /// are absent. Gives what is new or corrected, in order of time for each series.
    pub fn take(&mut self, batch: &Batch, answers: Vec<Answer>, now: Wall) -> Vec<Told> {
        let mut told = Vec::new();
        let (start, end) = (self.number(batch.window.start), self.number(batch.window.end));
        let (period, period_s) = (self.period(), self.period_s);
        let Some(settling) = self.settling.get_mut(&batch.job) else { return told };
        let mut answers = answers.into_iter();
        for place in &batch.places {
            let Answer { complete, values } = answers.next().unwrap_or_default();
            let values = in_order(values, start..end, period_s);
            let Some((series, track)) = self.entries.get_mut(*place) else { continue };
            for (number, value) in &values {
                let at = Wall::from_ms(u64::from(*number) * period_s * 1_000);
                match track.news(*number, *value) {
                    News::Known => continue,
                    News::New => settling.told(),
                    News::Changed => settling.changed(now.since(at.plus(period))),
                }
                let point = CloudWatchPoint { at, period, value: *value };
                told.push(Told { series: series.clone(), point });
            }
            settle(track, complete, end, &values);
        }
        told
    }

    /// A round of asks is over: what it showed may move the delays.
    pub fn finish_round(&mut self) {
        self.settling.values_mut().for_each(Settling::finish_round);
    }

    fn period(&self) -> Duration {
        Duration::from_secs(self.period_s)
    }

    fn number(&self, at: Wall) -> u32 {
        number(at, self.period_s)
    }

    fn at(&self, number: u32) -> Wall {
        Wall::from_ms(u64::from(number) * self.period_s * 1_000)
    }
}

fn number(at: Wall, period_s: u64) -> u32 {
    u32::try_from(at.as_seconds() / period_s).unwrap_or(u32::MAX)
}

/// What of `values` was asked for and is a number, one for each period, in order of time.
fn in_order(values: Vec<(Wall, f64)>, asked: Range<u32>, period_s: u64) -> Vec<(u32, f64)> {
    let numbered = values.into_iter().map(|(at, value)| (number(at, period_s), value));
    let mut kept: Vec<(u32, f64)> =
        numbered.filter(|(at, value)| asked.contains(at) && value.is_finite()).collect();
    // Backwards, so that of two values for one period the one told later comes first and stays.
    kept.reverse();
    kept.sort_by_key(|(at, _)| *at);
    kept.dedup_by_key(|(at, _)| *at);
    kept
}

fn settle(track: &mut Track, complete: Complete, end: u32, values: &[(u32, f64)]) {
    match complete {
        Complete::Yes => track.answered(end, values),
        Complete::No => track.again = true,
        Complete::Refused => track.again = false,
        Complete::Absent => {
            track.again = false;
            track.absences += 1;
            if track.absences >= ABSENCES_MAX {
                track.answered(end, values);
            }
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
