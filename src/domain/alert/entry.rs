//! Owns one alert's life: its machine, the evidence of when it was last bad, whether anybody was
//! told of it, how often it came back. Refuses to know of other alerts: `board` does.

use crate::domain::alert::machine::{self, Machine, Seen, State, Transition};
use crate::domain::alert::saved::{SavedAlert, SavedState};
use crate::domain::alert::suppress::Suppressed;
use crate::domain::alert::text;
use crate::domain::alert::{
    AlertState, AlertView, LET_GO, Labels, Missing, Reading, Rule, Subject,
};
use crate::domain::lag::Status;
use crate::domain::time::{Moment, Wall};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A resolved alert stays visible this long, as with Prometheus.
pub(super) const RESOLVED_FOR: Duration = Duration::from_secs(15 * 60);

/// An alert flaps when it fires for the third time within the hour. From then on it must be clear
/// for a quarter of an hour, so that people hear of it once.
const FLAPS: usize = 3;
const FLAPS_WITHIN: Duration = Duration::from_secs(3_600);
const FLAPPING_KEEPS: Duration = Duration::from_secs(15 * 60);

/// What becomes of an alert of which nothing tells any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    /// It ends after so long.
    pub(super) gone_after: Duration,
    /// Another process may go on with it.
    pub(super) lets_go: bool,
}

/// The past of an alert that was resolved.
#[derive(Debug)]
struct Ended {
    starts_at: Wall,
    ends_at: Wall,
    /// When it is not shown any more, in monotonic time.
    expires: Duration,
    annotations: BTreeMap<String, String>,
}

impl Ended {
    /// Of what fired at `since` and ends now.
    fn of(annotations: BTreeMap<String, String>, since: Moment, now: Moment) -> Self {
        Self {
            starts_at: since.wall,
            // The calendar may have been set back; an alert that ends before it starts is refused.
            ends_at: now.wall.max(since.wall),
            expires: now.mono.saturating_add(RESOLVED_FOR),
            annotations,
        }
    }
}

/// One rule's alert on one subject.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its identity, and of it what makes its group.
    pub(super) labels: Arc<Labels>,
    pub(super) group: Arc<Labels>,
    /// Receivers know that it fires.
    pub(super) told: bool,
    /// Why they are not told, as of the last step.
    pub(super) suppressed: Option<Suppressed>,
    /// Why it says nothing new.
    pub(super) obstacle: Option<String>,
    machine: Machine,
    /// Its rule has another condition than when it fired.
    rejudge: bool,
    /// This process has seen its subject itself.
    is_seen: bool,
    /// It did, and does not any more, as of the last step: somebody else may.
    let_go: bool,
    /// What is so recent that being bad does not count yet.
    grace: Option<&'static str>,
    /// As of the last value that was not clear; what is told repeats them, on resolve too.
    annotations: BTreeMap<String, String>,
    /// Since when it has been bad, pending included.
    bad_since: Option<Wall>,
    /// Since when the signal has had no value.
    missing_since: Option<Wall>,
    /// Since when nobody tells of the subject at all, in monotonic time.
    gone_since: Option<Duration>,
    /// Of one that another process left on: before this it does not end, in monotonic time.
    settles_at: Duration,
    /// When it fired, in monotonic time.
    fires: VecDeque<Duration>,
    ended: Option<Ended>,
}

impl Entry {
    pub(super) fn new(labels: Labels, group: Labels) -> Self {
        Self {
            labels: Arc::new(labels),
            group: Arc::new(group),
            told: false,
            suppressed: None,
            obstacle: None,
            machine: Machine::default(),
            rejudge: false,
            is_seen: false,
            let_go: false,
            grace: None,
            annotations: BTreeMap::new(),
            bad_since: None,
            missing_since: None,
            gone_since: None,
            settles_at: Duration::ZERO,
            fires: VecDeque::new(),
            ended: None,
        }
    }

    /// Takes in the reading as of `now`, `None` when there is none.
    pub(super) fn step(
        &mut self,
        rule: &Rule,
        subject: &Subject,
        reading: Option<&Reading>,
        leaving: Leaving,
        now: Moment,
    ) {
        let released = |reading: &Reading| reading.status == Some(Status::Released);
        self.is_seen |= reading.is_some();
        self.let_go = leaving.lets_go && self.is_seen && reading.is_none_or(released);
        let seen = rule.sees(reading);
        let disturbed = reading.and_then(|reading| reading.disturbed);
        let recent =
            disturbed.filter(|it| now.mono.saturating_sub(it.at) < rule.grace()).map(|it| it.by);
        self.grace = recent;
        self.judge_anew(seen, rule, reading, now);
        let settles = now.mono < self.settles_at;
        let keep = if settles { Duration::MAX } else { self.keep(rule) };
        let transition = self.machine.step(seen, recent.is_some(), rule, keep, now);
        match seen {
            Seen::Value(_) => self.missing_since = None,
            Seen::Nothing | Seen::Blind => {
                self.missing_since = self.missing_since.or(Some(now.wall));
            }
        }
        self.gone_since = match reading {
            Some(_) => None,
            None => self.gone_since.or(Some(now.mono)),
        };
        match transition {
            Transition::Fired => self.fired(now),
            Transition::Resolved { since } => {
                self.end(text::resolved_because(rule, reading), since, now);
            }
            Transition::None => {}
        }
        if self.is_active() {
            self.bad_since = self.bad_since.or(Some(now.wall));
        }
        // What keeps an alert on without a value says nothing new about it.
        let fresh = matches!(seen, Seen::Value(_)) || self.annotations.is_empty();
        if self.is_active() && fresh && !machine::clears(seen, rule) {
            self.annotations = text::annotations(rule, subject, reading);
            self.note_history();
        }
        if !self.is_active() {
            self.forget(now);
        }
        self.leave(rule, leaving.gone_after, now);
    }

    /// What no longer counts as bad under a changed rule ends at once, and not for having got better.
    fn judge_anew(&mut self, seen: Seen, rule: &Rule, reading: Option<&Reading>, now: Moment) {
        if !self.rejudge || !matches!(seen, Seen::Value(_)) {
            return;
        }
        self.rejudge = false;
        if !machine::raises(seen, rule)
            && let Some(since) = self.machine.end()
        {
            self.end(text::ended_by_change(rule, reading), since, now);
        }
    }

    /// Goes on under a rule that was `was`. For what it would not have fired yet, it is pending
    /// again: that is told as an end.
    pub(super) fn changed(&mut self, was: &Rule, is: &Rule, now: Moment) {
        self.rejudge |= was.when != is.when;
        if let Some(since) = self.machine.unfire(was.hold, is.hold, now) {
            self.end(text::must_last(is), since, now);
        }
    }

    /// Goes on under other labels; the end of what was told under the earlier ones.
    pub(super) fn relabelled(
        &mut self,
        labels: Labels,
        because: &str,
        now: Moment,
    ) -> Option<AlertView> {
        let end = self.told.then(|| match self.machine.on_since() {
            Some(since) => {
                let mut annotations = self.annotations.clone();
                annotations.insert("resolved_because".to_owned(), because.to_owned());
                self.over(&Ended::of(annotations, since, now))
            }
            None => self.last_word(now),
        });
        self.labels = Arc::new(labels);
        self.told = false;
        end
    }

    /// Its end, as nothing watches it any more; `None` where nobody was told of it.
    pub(super) fn taken_back(mut self, because: String, now: Moment) -> Option<AlertView> {
        if let Some(since) = self.machine.end() {
            self.end(because, since, now);
        }
        self.told.then(|| self.last_word(now))
    }

    /// Says where more is to be read, unless the rule does.
    pub(super) fn link(&mut self, runbooks: &str, rule: &str, status_page: &str) {
        if !self.is_active() {
            return;
        }
        let mut link = |name: &str, to: String| {
            self.annotations.entry(name.to_owned()).or_insert(to);
        };
        link("runbook_url", format!("{runbooks}{rule}.md"));
        if !status_page.is_empty() {
            link("status_page", status_page.to_owned());
        }
    }

    /// Ends what nobody tells of any more. Where silence counts as firing, that is no end.
    fn leave(&mut self, rule: &Rule, gone_after: Duration, now: Moment) {
        let Some(since) = self.gone_since.filter(|_| rule.missing != Missing::Fire) else { return };
        if !self.is_active() || now.mono.saturating_sub(since) < gone_after {
            return;
        }
        let because = "nothing tells of it any more: its source is gone, which is no recovery";
        match self.machine.end() {
            Some(since) => self.end(because.to_owned(), since, now),
            None => self.forget(now),
        }
    }

    /// When a step is due although nothing changed, in monotonic time.
    pub(super) fn wake_at(&self, rule: &Rule, gone_after: Duration) -> Option<Duration> {
        let gone = self.gone_since.filter(|_| self.is_active() && rule.missing != Missing::Fire);
        let expires = self.ended.as_ref().filter(|_| !self.is_active()).map(|ended| ended.expires);
        let gone = gone.map(|since| since.saturating_add(gone_after));
        let settled = if self.is_on() { self.settles_at } else { Duration::ZERO };
        let step = self.machine.wake_at(rule, self.keep(rule)).map(|at| at.max(settled));
        step.into_iter().chain(expires).chain(gone).min()
    }

    /// Pending or on.
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.machine.state(), State::Inactive)
    }

    /// Firing or kept.
    pub(super) fn is_on(&self) -> bool {
        self.machine.on_since().is_some()
    }

    /// Nothing to tell or to show.
    pub(super) fn is_over(&self) -> bool {
        !self.is_active() && self.ended.is_none() && !self.told
    }

    /// When it will not be shown any more, if that is all there is to it.
    pub(super) fn expires(&self) -> Option<Duration> {
        let ended = self.ended.as_ref().filter(|_| !self.is_active() && !self.told);
        ended.map(|ended| ended.expires)
    }

    /// How it looks to who is told; `None` when it is over.
    pub(super) fn view(&self) -> Option<AlertView> {
        let on = |state, since: Moment| AlertView {
            labels: Labels::clone(&self.labels),
            annotations: self.current_annotations(),
            state,
            starts_at: since.wall,
            ends_at: None,
        };
        match self.machine.state() {
            State::Pending { since, .. } => Some(on(AlertState::Pending, since)),
            State::Firing { since } | State::Kept { since, .. } => {
                Some(on(AlertState::Firing, since))
            }
            State::Inactive => self.ended.as_ref().map(|ended| self.over(ended)),
        }
    }

    /// That it is over, for who believes it on; it may be pending again already.
    pub(super) fn last_word(&self, now: Moment) -> AlertView {
        match &self.ended {
            Some(ended) => self.over(ended),
            // Another process saw the end.
            None => AlertView {
                labels: Labels::clone(&self.labels),
                annotations: self.annotations.clone(),
                state: AlertState::Resolved,
                starts_at: self.bad_since.unwrap_or(now.wall),
                ends_at: Some(now.wall),
            },
        }
    }

    fn over(&self, ended: &Ended) -> AlertView {
        AlertView {
            labels: Labels::clone(&self.labels),
            annotations: ended.annotations.clone(),
            state: AlertState::Resolved,
            starts_at: ended.starts_at,
            ends_at: Some(ended.ends_at),
        }
    }

    /// How it looks on the page: with what only we know of it.
    pub(super) fn shown(&self) -> Option<AlertView> {
        let mut view = self.view()?;
        if let State::Kept { clear, .. } = self.machine.state() {
            let kept = format!("clear for {}", text::people_duration(clear));
            view.annotations.insert("kept".to_owned(), kept);
        }
        if let Some(by) = self.grace.filter(|_| view.state == AlertState::Pending) {
            view.annotations
                .insert("grace".to_owned(), format!("does not count so soon after {by}"));
        }
        if self.let_go && self.is_active() {
            let why = "not seen here any more; whoever sees it goes on with it".to_owned();
            view.annotations.insert(LET_GO.to_owned(), why);
        }
        if let Some(suppressed) = &self.suppressed {
            view.annotations.insert("suppressed_by".to_owned(), suppressed.to_string());
        }
        Some(view)
    }

    /// How long it must be clear.
    fn keep(&self, rule: &Rule) -> Duration {
        if self.is_flapping() { rule.keep_firing.max(FLAPPING_KEEPS) } else { rule.keep_firing }
    }

    fn is_flapping(&self) -> bool {
        self.fires.len() >= FLAPS
    }

    fn fired(&mut self, now: Moment) {
        let old = |at: Option<&Duration>| {
            at.is_some_and(|at| now.mono.saturating_sub(*at) > FLAPS_WITHIN)
        };
        while old(self.fires.front()) || self.fires.len() > FLAPS {
            self.fires.pop_front();
        }
        self.fires.push_back(now.mono);
    }

    fn note_history(&mut self) {
        let since = self.bad_since.map(|since| since.to_string());
        self.annotations.extend(since.map(|since| ("since".to_owned(), since)));
        let ends = self.fires.front().zip(self.fires.back());
        if let Some((first, last)) = ends.filter(|_| self.is_flapping()) {
            let within = text::people_duration(last.saturating_sub(*first));
            let (times, keeps) = (self.fires.len(), text::people_duration(FLAPPING_KEEPS));
            let said = format!("fired {times} times within {within}; on until clear for {keeps}");
            self.annotations.insert("flapping".to_owned(), said);
        }
    }

    fn end(&mut self, because: String, since: Moment, now: Moment) {
        let mut annotations = std::mem::take(&mut self.annotations);
        if self.let_go {
            annotations.insert(LET_GO.to_owned(), "another may see it still".to_owned());
        }
        annotations.insert("resolved_because".to_owned(), because);
        self.ended = Some(Ended::of(annotations, since, now));
    }

    fn forget(&mut self, now: Moment) {
        self.annotations.clear();
        self.bad_since = None;
        self.suppressed = None;
        if self.ended.as_ref().is_some_and(|ended| ended.expires <= now.mono) && !self.told {
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

    /// What another process needs to go on with it.
    pub(super) fn export(&self, rule: &str, now: Moment) -> Option<SavedAlert> {
        // An end that somebody waits for is worth more than time spent pending again.
        let ended = self.ended.as_ref().filter(|_| !self.is_active() || self.told);
        let state = match (self.machine.state(), ended) {
            (State::Firing { since }, _) => SavedState::Firing { since: since.wall },
            (State::Kept { since, clear }, _) => SavedState::Kept { since: since.wall, clear },
            (State::Pending { .. } | State::Inactive, Some(ended)) => {
                SavedState::Resolved { since: ended.starts_at, ended: ended.ends_at }
            }
            (State::Pending { since, held }, None) => {
                SavedState::Pending { since: since.wall, held }
            }
            (State::Inactive, None) => return None,
        };
        let ended = ended.filter(|_| !self.is_on());
        let annotations = ended.map_or(&self.annotations, |ended| &ended.annotations);
        let wall = |at: &Duration| now.wall.minus(now.mono.saturating_sub(*at));
        Some(SavedAlert {
            rule: rule.to_owned(),
            labels: Labels::clone(&self.labels),
            annotations: annotations.clone(),
            state,
            bad_since: self.bad_since,
            fires: self.fires.iter().map(wall).collect(),
            told: self.told,
        })
    }

    /// Goes on where another process left off. What is on does not end within `settle`: those who
    /// tell that it is well may be heard before those who tell that it is not.
    pub(super) fn restore(&mut self, saved: SavedAlert, settle: Duration, now: Moment) {
        self.settles_at = now.mono.saturating_add(settle);
        let moment =
            |wall: Wall| Moment { wall, mono: now.mono.saturating_sub(now.wall.since(wall)) };
        self.told = saved.told;
        self.bad_since = saved.bad_since;
        self.fires = saved.fires.iter().map(|wall| moment(*wall).mono).collect();
        let state = match saved.state {
            SavedState::Pending { since, held } => State::Pending { since: moment(since), held },
            SavedState::Firing { since } => State::Firing { since: moment(since) },
            SavedState::Kept { since, clear } => State::Kept { since: moment(since), clear },
            SavedState::Resolved { since, ended } => {
                let left = RESOLVED_FOR.saturating_sub(now.wall.since(ended));
                self.ended = Some(Ended {
                    starts_at: since,
                    ends_at: ended,
                    expires: now.mono.saturating_add(left),
                    annotations: saved.annotations,
                });
                return;
            }
        };
        self.machine = Machine::restored(state);
        self.annotations = saved.annotations;
    }
}
