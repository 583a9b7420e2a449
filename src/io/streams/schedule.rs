//! Owns when each stream is described: the pace over all and the pace of each. Refuses to read a
//! clock or to call anyone. Limits: reference/metrics.md 3.4 (20 calls a second for an account).

use crate::domain::backoff::Backoff;
use crate::domain::stream::StreamName;
use crate::io::credentials::fault::Fault;
use std::collections::BTreeMap;
use std::time::Duration;

/// Time between two calls, whatever is due: a hundred sidecars start together.
pub(super) const SPACING: Duration = Duration::from_secs(1);

/// Most streams on the schedule; one more than that is refused.
pub(super) const STREAMS_MAX: usize = 1_000;

/// A refresh is put off by up to this share of itself, so that pods drift apart.
const SPREAD: f64 = 0.2;

const THROTTLED: Backoff = Backoff {
    initial: Duration::from_secs(2),
    factor: 2.0,
    max: Duration::from_secs(120),
    jitter: 0.5,
};

const FAILED: Backoff = Backoff {
    initial: Duration::from_secs(15),
    factor: 2.0,
    max: Duration::from_secs(900),
    jitter: 0.2,
};

/// All times are monotonic.
#[derive(Debug)]
pub(super) struct Schedule {
    refresh: Duration,
    /// No call before this.
    not_before: Duration,
    throttled: u32,
    streams: BTreeMap<StreamName, Due>,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Duration,
    failures: u32,
}

impl Schedule {
    pub(super) const fn new(refresh: Duration) -> Self {
        let (not_before, throttled) = (Duration::ZERO, 0);
        Self { refresh, not_before, throttled, streams: BTreeMap::new() }
    }

    /// A stream was asked about: described at once if new, else when it is due anyway. False when
    /// there are too many.
    pub(super) fn ask(&mut self, stream: StreamName, now: Duration) -> bool {
        if self.streams.contains_key(&stream) {
            return true;
        }
        let room = self.streams.len() < STREAMS_MAX;
        if room {
            self.streams.insert(stream, Due { at: now, failures: 0 });
        }
        room
    }

    /// Which stream comes next, and when.
    pub(super) fn next(&self) -> Option<(StreamName, Duration)> {
        let (stream, due) = self.streams.iter().min_by_key(|(_, due)| due.at)?;
        Some((stream.clone(), due.at.max(self.not_before)))
    }

    /// A call begins; the next one keeps its distance.
    pub(super) fn begin(&mut self, now: Duration) {
        self.not_before = now + SPACING;
    }

    /// `stream` was described.
    pub(super) fn described(&mut self, stream: &StreamName, now: Duration, chance: f64) {
        self.throttled = 0;
        if let Some(due) = self.streams.get_mut(stream) {
            *due = Due { at: now + self.refresh.mul_f64(1.0 + SPREAD * chance), failures: 0 };
        }
    }

    /// `stream` was not. Throttling holds everything; anything else only that stream.
    pub(super) fn failed(&mut self, stream: &StreamName, fault: Fault, now: Duration, chance: f64) {
        match fault {
            Fault::Throttled => {
                self.throttled = self.throttled.saturating_add(1);
                self.not_before = now + THROTTLED.delay(self.throttled, chance).max(SPACING);
            }
            // Whoever sees it again asks again.
            Fault::NotFound => drop(self.streams.remove(stream)),
            Fault::Denied | Fault::Refused | Fault::Broken | Fault::TimedOut | Fault::Unsent => {
                if let Some(due) = self.streams.get_mut(stream) {
                    due.failures = due.failures.saturating_add(1);
                    due.at = now + FAILED.delay(due.failures, chance);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Duration = Duration::from_secs(300);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn next(schedule: &Schedule) -> Option<(String, Duration)> {
        schedule.next().map(|(stream, at)| (stream.to_string(), at))
    }

    fn two() -> (Schedule, StreamName) {
        let mut schedule = Schedule::new(REFRESH);
        schedule.ask("a".into(), seconds(10));
        schedule.ask("b".into(), seconds(20));
        schedule.begin(seconds(30));
        (schedule, "a".into())
    }

    #[test]
    fn one_call_a_second_and_each_stream_once_a_refresh() {
        let (mut schedule, a) = two();
        schedule.described(&a, seconds(30), 0.0);
        assert_eq!(next(&schedule), Some(("b".into(), seconds(31))));
        schedule.described(&"b".into(), seconds(31), 1.0);
        assert!(schedule.ask(a, seconds(50)), "asking again changes nothing");
        assert_eq!(next(&schedule), Some(("a".into(), seconds(330))));
    }

    #[test]
    fn throttling_holds_everything_and_grows() {
        let (mut schedule, a) = two();
        schedule.failed(&a, Fault::Throttled, seconds(30), 0.5);
        assert_eq!(next(&schedule), Some(("a".into(), seconds(32))));
        schedule.failed(&a, Fault::Throttled, seconds(32), 0.5);
        assert_eq!(next(&schedule), Some(("a".into(), seconds(36))));
    }

    #[test]
    fn denial_holds_its_stream_only() {
        let (mut schedule, a) = two();
        schedule.failed(&a, Fault::Denied, seconds(30), 0.5);
        assert_eq!(next(&schedule), Some(("b".into(), seconds(31))));
        schedule.failed(&"b".into(), Fault::NotFound, seconds(31), 0.5);
        assert_eq!(next(&schedule), Some(("a".into(), seconds(45))), "b is forgotten");
    }

    #[test]
    fn bounded() {
        let mut schedule = Schedule::new(REFRESH);
        for index in 0..STREAMS_MAX {
            assert!(schedule.ask(format!("s{index}").as_str().into(), seconds(0)));
        }
        assert!(!schedule.ask("one-more".into(), seconds(0)));
        assert!(schedule.ask("s0".into(), seconds(0)));
    }
}
