//! Owns when a group of alerts is told of: at first, when some come or go, and again. Refuses to
//! know an alert: it is given how many there are of each kind. The words are Alertmanager's; unlike
//! there, the first and the last word of an incident never wait for an interval.

use crate::domain::alert::{Labels, NoticeReason};
use crate::domain::time::{Moment, Wall};
use std::time::Duration;

/// When groups are told of, and what makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// Labels whose values make a group.
    pub by: Vec<String>,
    /// How long the first alert of a group waits for others.
    pub wait: Duration,
    /// Between two notices on what came or went within an incident.
    pub interval: Duration,
    /// How long what is on may go unrepeated; zero: for ever.
    pub repeat: Duration,
}

impl Default for Grouping {
    fn default() -> Self {
        Self {
            by: ["alertname", "region", "stream", "consumer"].map(str::to_owned).into(),
            // Alerts that fire at the same evaluation are told together without any wait.
            wait: Duration::ZERO,
            interval: Duration::from_secs(5 * 60),
            repeat: Duration::from_secs(4 * 3_600),
        }
    }
}

impl Grouping {
    /// Of an alert's labels, those that make its group.
    #[must_use]
    pub(super) fn labels(&self, labels: &Labels) -> Labels {
        let mut group = labels.clone();
        group.retain(|name, _| self.by.contains(name));
        group
    }
}

/// How many alerts of a group there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// On, and nobody knows.
    pub(super) fresh: usize,
    /// On, and told.
    pub(super) told: usize,
    /// On and told, but silenced since.
    pub(super) quiet: usize,
    /// Over, and somebody believes it on.
    pub(super) resolved: usize,
}

/// What was told of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Group {
    /// When its first alert began to wait for others.
    waiting: Option<Duration>,
    /// Of the last notice, while the incident lasts.
    told: Option<Told>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    at: Wall,
    /// When it may be told what came or went, in monotonic time.
    interval_ends: Duration,
    /// When it is repeated.
    repeat_at: Duration,
}

impl Group {
    /// One of which another process told at `at`.
    pub(super) fn restored(at: Wall, grouping: &Grouping, now: Moment) -> Self {
        let elapsed = now.wall.since(at);
        let left = |of: Duration| now.mono.saturating_add(of.saturating_sub(elapsed));
        let (interval_ends, repeat_at) = (left(grouping.interval), left(grouping.repeat));
        Self { waiting: None, told: Some(Told { at, interval_ends, repeat_at }) }
    }

    /// When it was last told of, if the incident lasts.
    pub(super) fn told_at(&self) -> Option<Wall> {
        self.told.map(|told| told.at)
    }

    /// Whether to tell as of `now`, and why.
    pub(super) fn decide(
        &mut self,
        counts: Counts,
        grouping: &Grouping,
        now: Moment,
    ) -> Option<NoticeReason> {
        let Counts { fresh, told, quiet, resolved } = counts;
        let reason = if told + quiet + resolved == 0 {
            self.told = None;
            if fresh == 0 {
                self.waiting = None;
                return None;
            }
            let since = *self.waiting.get_or_insert(now.mono);
            let due = now.mono.saturating_sub(since) >= grouping.wait;
            due.then_some(NoticeReason::First)?
        } else if fresh + told + quiet == 0 {
            NoticeReason::AllResolved
        } else {
            let last = self.told.as_ref();
            let may = last.is_none_or(|last| last.interval_ends <= now.mono);
            let repeat = last.is_none_or(|last| last.repeat_at <= now.mono);
            match (fresh, resolved, told) {
                (1.., _, _) if may => NoticeReason::NewAlerts,
                (_, 1.., _) if may => NoticeReason::SomeResolved,
                (_, _, 1..) if repeat && !grouping.repeat.is_zero() => NoticeReason::Repeat,
                _ => return None,
            }
        };
        self.waiting = None;
        self.told = (reason != NoticeReason::AllResolved).then(|| Told {
            at: now.wall,
            interval_ends: now.mono.saturating_add(grouping.interval),
            repeat_at: now.mono.saturating_add(grouping.repeat),
        });
        Some(reason)
    }

    /// When `decide` is due although nothing changed, in monotonic time.
    pub(super) fn wake_at(&self, counts: Counts, grouping: &Grouping) -> Option<Duration> {
        let waits = self.waiting.map(|since| since.saturating_add(grouping.wait));
        let changed = counts.fresh + counts.resolved > 0;
        let told = self.told.as_ref();
        let interval = told.filter(|_| changed && waits.is_none()).map(|told| told.interval_ends);
        let repeats = counts.told > 0 && !grouping.repeat.is_zero();
        let repeat = told.filter(|_| repeats).map(|told| told.repeat_at);
        waits.into_iter().chain(interval).chain(repeat).min()
    }
}

/// As Alertmanager writes it for its root route: `{}:{alertname="…", stream="…"}`.
pub(super) fn key(labels: &Labels) -> String {
    let pair = |(name, value): (&String, &String)| {
        let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        format!("{name}=\"{value}\"")
    };
    format!("{{}}:{{{}}}", labels.iter().map(pair).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last_words_do_not_wait_for_the_interval() {
        let grouping = Grouping {
            wait: Duration::from_secs(10),
            interval: Duration::from_secs(100),
            repeat: Duration::from_secs(1_000),
            ..Grouping::default()
        };
        let mut group = Group::default();
        let mut check = |second, [fresh, told, quiet, resolved]: [usize; 4], expected, wake| {
            let counts = Counts { fresh, told, quiet, resolved };
            let now = Moment::default().plus(Duration::from_secs(second));
            assert_eq!(group.decide(counts, &grouping, now), expected, "{second}");
            // What was told is counted anew.
            let after = match expected {
                Some(_) => Counts { fresh: 0, told: fresh + told, quiet, resolved: 0 },
                None => counts,
            };
            assert_eq!(
                group.wake_at(after, &grouping),
                Option::<u64>::map(wake, Duration::from_secs),
                "{second}"
            );
        };
        check(0, [0, 0, 0, 0], None, None);
        check(1, [1, 0, 0, 0], None, Some(11));
        check(11, [2, 0, 0, 0], Some(NoticeReason::First), Some(1_011));
        check(12, [1, 2, 0, 0], None, Some(111));
        check(111, [1, 2, 0, 0], Some(NoticeReason::NewAlerts), Some(1_111));
        check(112, [0, 2, 0, 1], None, Some(211));
        check(211, [0, 2, 0, 1], Some(NoticeReason::SomeResolved), Some(1_211));
        check(1_211, [0, 2, 0, 0], Some(NoticeReason::Repeat), Some(2_211));
        check(2_300, [0, 0, 2, 0], None, None);
        check(2_301, [0, 0, 0, 2], Some(NoticeReason::AllResolved), None);
        check(2_302, [1, 0, 0, 0], None, Some(2_312));
        check(2_305, [0, 0, 0, 0], None, None);
    }

    #[test]
    fn group_key_is_quoted() {
        let check = |value: &str, expected| {
            let labels = [("alertname".to_owned(), value.to_owned())].into();
            assert_eq!(key(&labels), expected);
        };
        check("plain", r#"{}:{alertname="plain"}"#);
        check("a\"b\\c\n", r#"{}:{alertname="a\"b\\c\n"}"#);
    }
}
