//! Owns what this process counts of itself as signals: puts that failed, sagas that are stuck,
//! CloudWatch and receivers that do not answer. Refuses to read a counter: `app` does, every few
//! seconds, and passes the totals in.

use crate::domain::alert::signal::Signal;
use crate::domain::alert::{Reading, Subject};
use crate::domain::time::{Moment, Wall};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Over which time the share of failed puts is reckoned.
const PUTS_WINDOW: Duration = Duration::from_secs(300);
/// Looks at the counters that are kept of a stream: one every fifteen seconds, and one to spare.
const LOOKS_MAX: usize = 24;
/// Streams, sagas and receivers that are followed, each; their names are bounded where they are
/// counted.
const NAMES_MAX: usize = 1_000;
/// What CloudWatch says is not to be relied on when it has not answered for so long.
const BLIND_AFTER: Duration = Duration::from_secs(180);
/// Seconds of a receiver that was told in vain just now.
const IN_VAIN_LEAST: f64 = 0.001;

/// What was counted since the start, as of one moment. Empty where this process counts no such
/// thing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// By stream.
    pub puts: BTreeMap<String, PutTotals>,
    /// By kind of saga: how many are stuck now.
    pub sagas_stuck: BTreeMap<String, f64>,
    /// Where CloudWatch is polled.
    pub cloudwatch: Option<CloudWatchTotals>,
    /// By receiver.
    pub receivers: BTreeMap<String, ReceiverTotals>,
}

/// Records that were put through us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PutTotals {
    /// All of them.
    pub records: u64,
    /// Those that Kinesis did not store.
    pub failed: u64,
}

/// Calls to CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CloudWatchTotals {
    /// How often it was asked.
    pub asked: u64,
    /// When a poll was last answered without a fault.
    pub answered_at: Option<Wall>,
}

/// What became of notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiverTotals {
    /// Taken.
    pub delivered: u64,
    /// Not taken: tried again, given up or dropped.
    pub failed: u64,
}

/// What the figures are compared with: earlier ones.
#[derive(Debug, Default)]
pub struct Ledger {
    newest: Figures,
    puts: BTreeMap<String, Puts>,
    cloudwatch: InVain<CloudWatchTotals>,
    receivers: BTreeMap<String, InVain<ReceiverTotals>>,
    taken: bool,
}

#[derive(Debug, Default)]
struct Puts {
    /// When, and the totals then.
    looks: VecDeque<(Duration, PutTotals)>,
    /// When a record was last put.
    moved: Option<Moment>,
}

/// Something that is asked, and answers or not.
#[derive(Debug, Default)]
struct InVain<Totals> {
    /// As of the last answer, or the first look.
    known: Option<Totals>,
    /// Monotonic.
    since: Option<Duration>,
}

impl<Totals: Copy> InVain<Totals> {
    fn look(&mut self, totals: Totals, answered: bool, asked: bool, now: Duration) {
        if answered || self.known.is_none() {
            *self = Self { known: Some(totals), since: None };
        } else if asked && self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// Since when, in seconds; `None` before the first look.
    fn seconds(&self, now: Duration) -> Option<f64> {
        self.known?;
        Some(self.since.map_or(0.0, |since| now.saturating_sub(since).as_secs_f64()))
    }
}

impl Ledger {
    /// Takes in the counters as of `now`.
    pub fn take(&mut self, figures: Figures, now: Moment) {
        let at = now.mono;
        for (stream, totals) in &figures.puts {
            if !self.puts.contains_key(stream) && self.puts.len() >= NAMES_MAX {
                continue;
            }
            let is_new = !self.puts.contains_key(stream);
            let puts = self.puts.entry(stream.clone()).or_default();
            // A counter that was not there at the look before has begun at zero since.
            if is_new && self.taken {
                puts.looks.push_back((at, PutTotals::default()));
            }
            if puts.looks.back().is_some_and(|(_, before)| before.records < totals.records) {
                puts.moved = Some(now);
            }
            puts.looks.push_back((at, *totals));
            let old = |look: Option<&(Duration, PutTotals)>| {
                look.is_some_and(|(look, _)| at.saturating_sub(*look) >= PUTS_WINDOW)
            };
            while puts.looks.len() > LOOKS_MAX || old(puts.looks.get(1)) {
                puts.looks.pop_front();
            }
        }
        if let Some(totals) = figures.cloudwatch {
            let known = self.cloudwatch.known;
            let answered = known.is_some_and(|known| known.answered_at != totals.answered_at);
            let asked = known.is_some_and(|known| known.asked < totals.asked);
            self.cloudwatch.look(totals, answered, asked, at);
        }
        for (receiver, totals) in figures.receivers.iter().take(NAMES_MAX) {
            // Its counters begin at zero, and a failure before the first look counts.
            let followed = self
                .receivers
                .entry(receiver.clone())
                .or_insert_with(|| InVain { known: Some(ReceiverTotals::default()), since: None });
            let known = followed.known.unwrap_or_default();
            let answered = known.delivered < totals.delivered;
            followed.look(*totals, answered, known.failed < totals.failed, at);
        }
        self.newest = figures;
        self.taken = true;
    }

    /// Whether CloudWatch has not answered for so long that nothing is known through it.
    #[must_use]
    pub fn is_cloudwatch_silent(&self, now: Moment) -> bool {
        let seconds = self.cloudwatch.seconds(now.mono);
        seconds.is_some_and(|seconds| seconds >= BLIND_AFTER.as_secs_f64())
    }

    /// When a record was last put to the stream through us.
    #[must_use]
    pub fn put_at(&self, stream: &str) -> Option<Moment> {
        self.puts.get(stream)?.moved
    }

    /// Streams to which records were put through us.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.puts.keys().map(String::as_str)
    }

    /// Share of the stream's records that were not stored, over five minutes; `None` where none
    /// were put.
    #[must_use]
    pub fn put_failures(&self, stream: &str) -> Option<f64> {
        let looks = &self.puts.get(stream)?.looks;
        let ((_, first), (_, last)) = (looks.front()?, looks.back()?);
        let records = last.records.saturating_sub(first.records);
        let failed = last.failed.saturating_sub(first.failed);
        (records > 0).then(|| (failed as f64 / records as f64).min(1.0))
    }

    /// The readings of everybody who is neither a consumer nor a stream, as of `now`.
    #[must_use]
    pub fn readings(&self, now: Moment) -> Vec<Reading> {
        let mut process = Reading::of(Subject::Process);
        process.set(Signal::Always, Some(1.0));
        process.set(Signal::CloudWatchSilence, self.cloudwatch.seconds(now.mono));
        let answered = self.cloudwatch.known.and_then(|totals| totals.answered_at);
        process.tell("answered_at", answered.map(|at| at.to_string()));
        let mut all = vec![process];
        for (saga, stuck) in self.newest.sagas_stuck.iter().take(NAMES_MAX) {
            let mut reading = Reading::of(Subject::Saga { saga: saga.clone() });
            reading.set(Signal::SagasStuck, Some(*stuck));
            all.push(reading);
        }
        for (receiver, followed) in &self.receivers {
            let mut reading = Reading::of(Subject::Receiver { receiver: receiver.clone() });
            let totals = self.newest.receivers.get(receiver).copied().unwrap_or_default();
            // One that was told nothing yet may be as dead as it was before a restart.
            let was_told = totals != ReceiverTotals::default();
            let seconds = followed.seconds(now.mono).filter(|_| was_told);
            // Zero would say that it takes what it is told.
            let least = followed.since.map_or(0.0, |_| IN_VAIN_LEAST);
            let seconds = seconds.map(|seconds| seconds.max(least));
            reading.set(Signal::NotificationSilence, seconds);
            reading.tell("failed_since_start", was_told.then(|| totals.failed.to_string()));
            all.push(reading);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(second))
    }

    #[test]
    fn puts_are_a_share_of_five_minutes() {
        let mut ledger = Ledger::default();
        let mut look = |second, records, failed| {
            let puts = [("orders".to_owned(), PutTotals { records, failed })].into();
            ledger.take(Figures { puts, ..Figures::default() }, at(second));
            ledger.put_failures("orders")
        };
        assert_eq!(look(0, 100, 50), None, "what was before the first look is not known");
        assert_eq!(look(15, 100, 50), None);
        assert_eq!(look(30, 200, 51), Some(0.01));
        assert_eq!(look(60, 300, 51), Some(0.005));
        assert_eq!(look(390, 300, 51), None, "nothing was put for five minutes");
        assert_eq!(look(400, 310, 61), Some(1.0));
        assert_eq!(ledger.put_at("orders"), Some(at(400)));
        assert_eq!(ledger.put_at("bills"), None);
    }

    #[test]
    fn cloudwatch_is_silent_when_it_is_asked_in_vain() {
        let mut ledger = Ledger::default();
        let mut check = |second, asked, answered: Option<u64>, expected: Option<f64>| {
            let answered_at = answered.map(|second| Wall::from_ms(second * 1_000));
            let cloudwatch = Some(CloudWatchTotals { asked, answered_at });
            ledger.take(Figures { cloudwatch, ..Figures::default() }, at(second));
            let process = ledger.readings(at(second)).remove(0);
            assert_eq!(process.value(Signal::CloudWatchSilence), expected, "{second}");
            ledger.is_cloudwatch_silent(at(second))
        };
        check(0, 0, None, Some(0.0));
        check(60, 0, None, Some(0.0)); // Nobody asks: there is no stream.
        check(75, 1, None, Some(0.0));
        assert!(!check(150, 3, None, Some(75.0)));
        assert!(check(300, 5, None, Some(225.0)));
        assert!(!check(315, 6, Some(310), Some(0.0)));
        check(400, 7, Some(310), Some(0.0));
        check(460, 8, Some(310), Some(60.0));
        let mut without = Ledger::default();
        without.take(Figures::default(), at(0));
        assert_eq!(without.readings(at(0)).remove(0).value(Signal::CloudWatchSilence), None);
    }

    #[test]
    fn a_receiver_fails_until_it_takes_something() {
        let mut ledger = Ledger::default();
        let mut check = |second, delivered, failed, expected| {
            let totals = ReceiverTotals { delivered, failed };
            let receivers = [("hook".to_owned(), totals)].into();
            ledger.take(Figures { receivers, ..Figures::default() }, at(second));
            let hook = ledger.readings(at(second)).remove(1);
            assert_eq!(hook.value(Signal::NotificationSilence), expected, "{second}");
        };
        check(0, 0, 0, None);
        check(15, 0, 1, Some(0.001));
        check(30, 0, 2, Some(15.0));
        check(115, 0, 2, Some(100.0));
        check(130, 1, 2, Some(0.0));
        check(145, 1, 2, Some(0.0));
        check(160, 1, 3, Some(0.001));
        check(175, 1, 3, Some(15.0));
    }
}
