//! Owns one alert's life: its machine, the evidence of when it was last bad, when it was last told
//! of. Refuses to know of other alerts: `board` does.

use crate::domain::alert::machine::{self, Machine, State, Transition};
use crate::domain::alert::text;
use crate::domain::alert::{AlertState, AlertView, Labels, NoticeReason, Reading, Rule};
use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;
use std::time::Duration;

/// A resolved alert stays visible this long, as with Prometheus.
pub(super) const RESOLVED_FOR: Duration = Duration::from_secs(15 * 60);

/// The past of an alert that was resolved.
#[derive(Debug)]
struct Ended {
    starts_at: Wall,
    ends_at: Wall,
    /// Monotonic.
    at: Duration,
    annotations: BTreeMap<String, String>,
}

/// One rule's alert on one consumer.
#[derive(Debug, Default)]
pub(super) struct Entry {
    machine: Machine,
    /// As of the last value that was not clear; what is told repeats them, on resolve too.
    annotations: BTreeMap<String, String>,
    /// Since when the signal has had no value.
    missing_since: Option<Wall>,
    /// Monotonic, of the last notice.
    told_at: Duration,
    ended: Option<Ended>,
}

impl Entry {
    /// Takes in the reading as of `now`, `None` when there is none, and says whether to tell.
    pub(super) fn step(
        &mut self,
        rule: &Rule,
        identity: (&str, &str),
        reading: Option<&Reading>,
        repeat_interval: Duration,
        now: Moment,
    ) -> Option<NoticeReason> {
        let value = reading.and_then(|reading| rule.signal.value(reading));
        let transition = self.machine.step(value, rule, now);
        match value {
            None => self.missing_since = self.missing_since.or(Some(now.wall)),
            Some(_) => self.missing_since = None,
        }
        // What keeps an alert on without a value says nothing new about it.
        let fresh = value.is_some() || self.annotations.is_empty();
        if self.is_active() && fresh && !machine::clears(value, rule) {
            self.annotations = text::annotations(rule, identity, reading);
        }
        match (transition, self.machine.state()) {
            (Transition::Fired, _) => self.tell(NoticeReason::First, now),
            (Transition::Resolved { since }, _) => {
                self.end(rule, reading, since, now);
                self.tell(NoticeReason::AllResolved, now)
            }
            (Transition::None, State::Firing { .. }) => match repeat_interval {
                Duration::ZERO => None,
                every if now.mono.saturating_sub(self.told_at) < every => None,
                _ => self.tell(NoticeReason::Repeat, now),
            },
            (Transition::None, State::Inactive) => {
                self.forget(now);
                None
            }
            (Transition::None, State::Pending { .. }) => None,
        }
    }

    /// When a step is due although nothing changed, in monotonic time.
    pub(super) fn wake_at(&self, rule: &Rule, repeat_interval: Duration) -> Option<Duration> {
        let other = match self.machine.state() {
            State::Firing { .. } if !repeat_interval.is_zero() => {
                Some(self.told_at.saturating_add(repeat_interval))
            }
            State::Inactive => {
                self.ended.as_ref().map(|ended| ended.at.saturating_add(RESOLVED_FOR))
            }
            State::Firing { .. } | State::Pending { .. } => None,
        };
        self.machine.wake_at(rule).into_iter().chain(other).min()
    }

    /// Pending or firing.
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.machine.state(), State::Inactive)
    }

    /// Nothing to tell or to show.
    pub(super) fn is_over(&self) -> bool {
        !self.is_active() && self.ended.is_none()
    }

    /// When it was resolved, in monotonic time, if that is all there is to show.
    pub(super) fn ended_at(&self) -> Option<Duration> {
        self.ended.as_ref().filter(|_| !self.is_active()).map(|ended| ended.at)
    }

    /// How it looks from outside; `None` when it is over.
    pub(super) fn view(&self, labels: Labels) -> Option<AlertView> {
        let on = |state, since: Moment| AlertView {
            labels: labels.clone(),
            annotations: self.current_annotations(),
            state,
            starts_at: since.wall,
            ends_at: None,
        };
        match self.machine.state() {
            State::Pending { since, .. } => Some(on(AlertState::Pending, since)),
            State::Firing { since, .. } => Some(on(AlertState::Firing, since)),
            State::Inactive => self.ended.as_ref().map(|ended| AlertView {
                annotations: ended.annotations.clone(),
                state: AlertState::Resolved,
                starts_at: ended.starts_at,
                ends_at: Some(ended.ends_at),
                labels,
            }),
        }
    }

    fn tell(&mut self, reason: NoticeReason, now: Moment) -> Option<NoticeReason> {
        self.told_at = now.mono;
        Some(reason)
    }

    fn end(&mut self, rule: &Rule, reading: Option<&Reading>, since: Moment, now: Moment) {
        let mut annotations = std::mem::take(&mut self.annotations);
        let because = text::resolved_because(rule, reading);
        annotations.insert("resolved_because".to_owned(), because);
        self.ended = Some(Ended {
            starts_at: since.wall,
            // The calendar may have been set back; an alert that ends before it starts is refused.
            ends_at: now.wall.max(since.wall),
            at: now.mono,
            annotations,
        });
    }

    fn forget(&mut self, now: Moment) {
        self.annotations.clear();
        let over = |ended: &Ended| now.mono.saturating_sub(ended.at) >= RESOLVED_FOR;
        if self.ended.as_ref().is_some_and(over) {
            self.ended = None;
        }
    }

    /// A value that is not current must not look as if it were.
    fn current_annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self.annotations.clone();
        if let Some(since) = self.missing_since {
            annotations.insert("no_value_since".to_owned(), since.to_string());
        }
        annotations
    }
}
