//! Owns what is asked next about which stream. Refuses to read a clock, to call anyone, and to pace
//! the calls: `pace` does.

use crate::domain::backoff::Backoff;
use crate::domain::stream::StreamName;
use crate::io::credentials::fault::Fault;
use std::collections::BTreeMap;
use std::time::Duration;

/// A refresh is put off by up to this share of itself, so that pods drift apart.
const SPREAD: f64 = 0.2;

/// The shards of a new stream can wait for the descriptions of others that appear with it.
const SHARDS_AFTER: Duration = Duration::from_secs(5);

/// A list that may be out of date is not asked for again before this.
const RELIST_AFTER: Duration = Duration::from_secs(10);

/// So many times in a row a stream may not exist before it is forgotten: one that is deleted and
/// made again in a deployment is known again within minutes.
const NOT_FOUND_MAX: u32 = 6;

const FAILED: Backoff = Backoff {
    initial: Duration::from_secs(15),
    factor: 2.0,
    max: Duration::from_secs(900),
    jitter: 0.2,
};

/// What is asked about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// What it is.
    Describe,
    /// Its shards.
    List,
}

/// All times are monotonic.
#[derive(Debug)]
pub(super) struct Schedule {
    refresh: Duration,
    /// Most streams on it; one more than that is refused.
    streams_max: usize,
    /// A stream whose shards are asked for anew is described anew, too: how many are open has
    /// changed. Not in every pod of a fleet: they would all ask at once.
    describes_anew: bool,
    jobs: BTreeMap<(StreamName, Job), Due>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Duration,
    /// When it was last done, if it was.
    done_at: Option<Duration>,
    failures: u32,
}

impl Schedule {
    pub(super) const fn new(refresh: Duration, streams_max: usize, describes_anew: bool) -> Self {
        Self { refresh, streams_max, describes_anew, jobs: BTreeMap::new() }
    }

    /// A stream was asked about: at once if new. If it is known, its list of shards may be out of
    /// date. False when there are too many.
    pub(super) fn ask(&mut self, stream: StreamName, now: Duration) -> bool {
        if let Some(list) = self.jobs.get(&(stream.clone(), Job::List)) {
            // Before there is a list nothing on it can be new.
            let was_listed = list.done_at.is_some();
            self.hasten(&stream, Job::List, now);
            if self.describes_anew && was_listed {
                self.hasten(&stream, Job::Describe, now);
            }
            return true;
        }
        let room = self.jobs.len() < self.streams_max.saturating_mul(2);
        if room {
            let due = |at| Due { at, done_at: None, failures: 0 };
            self.jobs.insert((stream.clone(), Job::Describe), due(now));
            self.jobs.insert((stream, Job::List), due(now + SHARDS_AFTER));
        }
        room
    }

    /// What was done once is done again, soon and not at once after the last time.
    fn hasten(&mut self, stream: &StreamName, job: Job, now: Duration) {
        if let Some(due) = self.jobs.get_mut(&(stream.clone(), job))
            && let Some(done_at) = due.done_at
        {
            due.at = due.at.min(now.max(done_at + RELIST_AFTER));
        }
    }

    /// What comes next, and when.
    pub(super) fn next(&self) -> Option<(StreamName, Job, Duration)> {
        let ((stream, job), due) = self.jobs.iter().min_by_key(|(_, due)| due.at)?;
        Some((stream.clone(), *job, due.at))
    }

    /// It was done.
    pub(super) fn done(&mut self, stream: &StreamName, job: Job, now: Duration, chance: f64) {
        if let Some(due) = self.jobs.get_mut(&(stream.clone(), job)) {
            let at = now + self.refresh.mul_f64(1.0 + SPREAD * chance);
            *due = Due { at, done_at: Some(now), failures: 0 };
        }
    }

    /// It was not. Throttling is the pacer's business.
    pub(super) fn failed(
        &mut self,
        (stream, job): (&StreamName, Job),
        fault: Fault,
        now: Duration,
        chance: f64,
    ) {
        let Some(due) = self.jobs.get_mut(&(stream.clone(), job)) else { return };
        match fault {
            Fault::Throttled => due.at = now,
            Fault::NotFound
            | Fault::Denied
            | Fault::Refused
            | Fault::Broken
            | Fault::TimedOut
            | Fault::Unsent => {
                due.failures = due.failures.saturating_add(1);
                due.at = now + FAILED.delay(due.failures, chance);
            }
        }
        // Whoever sees it again asks again.
        if fault == Fault::NotFound && due.failures >= NOT_FOUND_MAX {
            for job in [Job::Describe, Job::List] {
                self.jobs.remove(&(stream.clone(), job));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn next(schedule: &Schedule) -> Option<(String, Job, u64)> {
        schedule.next().map(|(stream, job, at)| (stream.to_string(), job, at.as_secs()))
    }

    fn due(stream: &str, job: Job, at: u64) -> Option<(String, Job, u64)> {
        Some((stream.to_owned(), job, at))
    }

    #[test]
    fn descriptions_come_first_and_each_stream_once_a_refresh() {
        let mut schedule = Schedule::new(seconds(300), 10, false);
        schedule.ask("a".into(), seconds(10));
        schedule.ask("b".into(), seconds(12));
        let a = "a".into();
        assert_eq!(next(&schedule), due("a", Job::Describe, 10));
        schedule.done(&a, Job::Describe, seconds(10), 0.0);
        assert_eq!(next(&schedule), due("b", Job::Describe, 12));
        schedule.done(&"b".into(), Job::Describe, seconds(12), 1.0);
        assert_eq!(next(&schedule), due("a", Job::List, 15));
        schedule.done(&a, Job::List, seconds(15), 0.0);
        schedule.done(&"b".into(), Job::List, seconds(17), 0.0);
        assert_eq!(next(&schedule), due("a", Job::Describe, 310));
        // Asked again: a shard was seen that is on no list.
        schedule.ask(a.clone(), seconds(18));
        assert_eq!(next(&schedule), due("a", Job::List, 25));
        schedule.ask(a, seconds(50));
        assert_eq!(next(&schedule), due("a", Job::List, 25), "asking again defers nothing");
    }

    #[test]
    fn a_hub_describes_a_stream_anew_whose_shards_are_new() {
        let check = |describes_anew, expected| {
            let mut schedule = Schedule::new(seconds(300), 10, describes_anew);
            let a: StreamName = "a".into();
            schedule.ask(a.clone(), seconds(0));
            schedule.ask(a.clone(), seconds(1));
            assert_eq!(next(&schedule), due("a", Job::Describe, 0), "not done yet");
            schedule.done(&a, Job::Describe, seconds(2), 0.0);
            schedule.done(&a, Job::List, seconds(5), 0.0);
            schedule.ask(a, seconds(13));
            assert_eq!(next(&schedule), expected);
        };
        check(true, due("a", Job::Describe, 13));
        check(false, due("a", Job::List, 15));
    }

    #[test]
    fn a_failure_holds_its_stream_only() {
        let mut schedule = Schedule::new(seconds(300), 10, false);
        schedule.ask("a".into(), seconds(0));
        schedule.ask("b".into(), seconds(1));
        let a: StreamName = "a".into();
        schedule.failed((&a, Job::Describe), Fault::Throttled, seconds(1), 0.5);
        assert_eq!(next(&schedule), due("a", Job::Describe, 1));
        schedule.failed((&a, Job::Describe), Fault::Denied, seconds(2), 0.5);
        assert_eq!(next(&schedule), due("b", Job::Describe, 1));
        assert_eq!(schedule.jobs[&(a, Job::Describe)].at, seconds(17));
    }

    #[test]
    fn what_is_not_there_is_forgotten_in_the_end() {
        let mut schedule = Schedule::new(seconds(300), 10, false);
        let a: StreamName = "a".into();
        schedule.ask(a.clone(), seconds(0));
        for _ in 0..NOT_FOUND_MAX {
            assert!(schedule.next().is_some());
            schedule.failed((&a, Job::Describe), Fault::NotFound, seconds(1), 0.5);
        }
        assert_eq!(next(&schedule), None);
    }

    #[test]
    fn bounded() {
        let mut schedule = Schedule::new(seconds(300), 10, false);
        for index in 0..10 {
            assert!(schedule.ask(format!("s{index}").as_str().into(), seconds(0)));
        }
        assert!(!schedule.ask("one-more".into(), seconds(0)));
        assert!(schedule.ask("s0".into(), seconds(0)));
    }
}
