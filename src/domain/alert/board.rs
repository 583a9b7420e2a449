//! Owns all alerts together: who is watched by which rule, what is told and when again. Refuses to
//! deliver, to read clocks, and to grow without bound.

mod change;

use crate::domain::alert::entry::{Entry, Leaving};
use crate::domain::alert::group::{self, Counts, Group, Grouping};
use crate::domain::alert::machine;
use crate::domain::alert::saved::{Saved, SavedAlert, SavedGroup};
use crate::domain::alert::silence::{Mute, Silence, to_next_minute};
use crate::domain::alert::suppress::{self, Causes, Suppressed};
use crate::domain::alert::{AlertState, AlertView, Labels, Missing, Notice, NoticeReason};
use crate::domain::alert::{Reading, Rule, Subject};
use crate::domain::time::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Most alerts known at once, pending, firing and resolved of late: some 2 MiB of annotations, and
/// more than anybody reads. A resolved one makes room; where none is, what comes is left out and
/// counted, and what is on stays on.
pub const ALERTS_MAX: usize = 1_000;

/// How alerts are told of.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// What makes a group, and when groups are told of.
    pub grouping: Grouping,
    /// Most alerts of one rule that are told of at once; more are held back and counted.
    pub storm_limit: usize,
    /// An alert that nothing tells of any more ends after so long.
    pub gone_after: Duration,
    /// Other processes tell of alerts by the same names: what is not seen here any more, one of
    /// them may see.
    pub lets_go: bool,
    /// For so long after a restart nothing ends that was on before it: not everybody was heard yet.
    pub settle: Duration,
    /// When nobody is told.
    pub mutes: Vec<Mute>,
    /// In front of a runbook's name.
    pub runbooks: String,
    /// Where a person finds our status page; empty: nowhere.
    pub status_page: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grouping: Grouping::default(),
            storm_limit: 100,
            gone_after: Duration::from_secs(15 * 60),
            lets_go: false,
            // A sidecar tells a new hub everything within ten seconds.
            settle: Duration::from_secs(12),
            mutes: Vec::new(),
            runbooks: "alerts/runbooks/".to_owned(),
            status_page: String::new(),
        }
    }
}

/// Which rule (by position) watches whom.
type Key = (usize, Arc<Subject>);

/// All alerts of one process.
#[derive(Debug)]
pub struct Board {
    rules: Vec<Rule>,
    external_labels: Labels,
    policy: Policy,
    silences: Vec<Silence>,
    entries: BTreeMap<Key, Entry>,
    groups: BTreeMap<Arc<Labels>, (Group, Counts)>,
    /// What receivers believe on and no rule watches any more.
    orphans: Vec<AlertView>,
    notices: u64,
    left_out: usize,
    held_back: BTreeMap<usize, usize>,
    /// When what keeps an alert from being told may end, in monotonic time.
    suppressed_until: Option<Duration>,
}

impl Board {
    /// A board on which nothing has happened yet. `external_labels` (the region among them) become
    /// part of every identity; empty ones are left away, and none can replace a label of ours.
    #[must_use]
    pub fn new(rules: Vec<Rule>, external_labels: Labels, policy: Policy) -> Self {
        Self {
            rules,
            external_labels,
            policy,
            silences: Vec::new(),
            entries: BTreeMap::new(),
            groups: BTreeMap::new(),
            orphans: Vec::new(),
            notices: 0,
            left_out: 0,
            held_back: BTreeMap::new(),
            suppressed_until: None,
        }
    }

    /// The same board with another policy: before anything has happened.
    #[must_use]
    pub fn under(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Puts these silences in force in place of the earlier ones.
    pub fn silence(&mut self, silences: Vec<Silence>) {
        self.silences = silences;
    }

    /// Takes in everybody's signals as of `now` and says what is to be told. Who has no reading any
    /// more is treated as each rule's `missing` says.
    pub fn step(&mut self, readings: &[Reading], now: Moment) -> Vec<Notice> {
        self.evaluate(readings, now);
        self.suppress(now);
        let mut told = self.lay_orphans(now);
        told.extend(self.tell(now));
        let rules = &self.rules;
        // A rule that fires on silence has to remember whom it heard.
        let remembers = |key: &Key| rules.get(key.0).is_some_and(|r| r.missing == Missing::Fire);
        self.entries.retain(|key, entry| !entry.is_over() || remembers(key));
        told
    }

    /// Whether there is something to tell of that no rule watches any more.
    #[must_use]
    pub fn has_last_words(&self) -> bool {
        !self.orphans.is_empty()
    }

    /// Forgets every alert, without a word.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.groups.clear();
        self.orphans.clear();
    }

    /// When [`Board::step`] is due although no signal changed, in monotonic time.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let due = |(key, entry): (&Key, &Entry)| {
            entry.wake_at(self.rules.get(key.0)?, self.policy.gone_after)
        };
        let entries = self.entries.iter().filter_map(due).min();
        let groups = self.groups.values();
        let groups = groups
            .filter_map(|(group, counts)| group.wake_at(*counts, &self.policy.grouping))
            .min();
        entries.into_iter().chain(groups).chain(self.suppressed_until).min()
    }

    /// Everything pending or firing, and what was resolved in the last 15 minutes as of the last
    /// step, in a stable order.
    #[must_use]
    pub fn alerts(&self) -> Vec<AlertView> {
        self.entries.values().filter_map(Entry::shown).collect()
    }

    /// How many alerts the last step had no room for.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// How many alerts that are on the storm limits keep from being told, by rule.
    pub fn held_back(&self) -> impl Iterator<Item = (&str, usize)> {
        let name = |(rule, count): (&usize, &usize)| {
            self.rules.get(*rule).map(|rule| (rule.name.as_str(), *count))
        };
        self.held_back.iter().filter_map(name)
    }

    /// What another process needs to go on as if this one had never ended.
    #[must_use]
    pub fn export(&self, now: Moment) -> Saved {
        let alert = |(key, entry): (&Key, &Entry)| entry.export(&self.rules.get(key.0)?.name, now);
        let group = |(labels, (group, _)): (&Arc<Labels>, &(Group, Counts))| {
            let told_at = group.told_at()?;
            Some(SavedGroup { labels: Labels::clone(labels), told_at })
        };
        Saved {
            notices: self.notices,
            alerts: self.entries.iter().filter_map(alert).collect(),
            groups: self.groups.iter().filter_map(group).collect(),
        }
    }

    /// Goes on where another process left off. What was told and is watched by no rule any more is
    /// resolved at the next step, since nothing else ever would.
    pub fn restore(&mut self, saved: Saved, now: Moment) {
        self.notices = self.notices.max(saved.notices);
        for alert in saved.alerts {
            let place = self.rules.iter().position(|rule| rule.name == alert.rule && rule.enabled);
            let subject = place
                .and_then(|place| self.rules.get(place))
                .and_then(|rule| Subject::of_labels(rule.when.signal.scope(), &alert.labels));
            match place.zip(subject) {
                Some((place, subject)) if self.labels(place, &subject) == alert.labels => {
                    let labels = alert.labels.clone();
                    let group = self.policy.grouping.labels(&labels);
                    let mut entry = Entry::new(labels, group);
                    entry.restore(alert, self.policy.settle, now);
                    self.entries.insert((place, Arc::new(subject)), entry);
                }
                _ if alert.told => self.orphans.extend(orphan(alert, now)),
                _ => {}
            }
        }
        for SavedGroup { labels, told_at } in saved.groups {
            let group = Group::restored(told_at, &self.policy.grouping, now);
            self.groups.insert(Arc::new(labels), (group, Counts::default()));
        }
    }

    fn evaluate(&mut self, readings: &[Reading], now: Moment) {
        self.left_out = 0;
        let mut stepped = BTreeSet::new();
        for rule in 0..self.rules.len() {
            for reading in readings {
                if let Some(key) = self.place(rule, reading)
                    && stepped.insert(key.clone())
                {
                    self.step_one(&key, Some(reading), now);
                }
            }
        }
        let gone: Vec<Key> =
            self.entries.keys().filter(|key| !stepped.contains(*key)).cloned().collect();
        for key in gone {
            self.step_one(&key, None, now);
        }
    }

    /// Where the rule keeps what it knows of the reading; `None` when there is nothing to keep, or
    /// no room.
    fn place(&mut self, rule_index: usize, reading: &Reading) -> Option<Key> {
        let rule = self.rules.get(rule_index).filter(|rule| rule.selects(reading))?;
        let key = (rule_index, Arc::clone(&reading.subject));
        if self.entries.contains_key(&key) {
            return Some(key);
        }
        if !machine::raises(rule.sees(Some(reading)), rule) && rule.missing != Missing::Fire {
            return None;
        }
        if self.entries.len() >= ALERTS_MAX && !self.make_room() {
            self.left_out += 1;
            return None;
        }
        let labels = self.labels(rule_index, &reading.subject);
        let group = self.policy.grouping.labels(&labels);
        self.entries.insert(key.clone(), Entry::new(labels, group));
        Some(key)
    }

    /// Forgets the alert that was resolved first.
    fn make_room(&mut self) -> bool {
        let ended = self.entries.iter().filter_map(|(key, entry)| Some((entry.expires()?, key)));
        let oldest = ended.min().map(|(_, key)| key.clone());
        oldest.is_some_and(|key| self.entries.remove(&key).is_some())
    }

    fn step_one(&mut self, key: &Key, reading: Option<&Reading>, now: Moment) {
        let Some(rule) = self.rules.get(key.0) else { return };
        if let Some(entry) = self.entries.get_mut(key) {
            let Policy { gone_after, lets_go, .. } = self.policy;
            entry.step(rule, &key.1, reading, Leaving { gone_after, lets_go }, now);
            if let Some(reading) = reading {
                entry.obstacle = suppress::obstacle(&self.rules, rule, reading);
            }
            entry.link(&self.policy.runbooks, &rule.name, &self.policy.status_page);
        }
    }

    /// Says of each alert that is on why it is not told, if it is not.
    fn suppress(&mut self, now: Moment) {
        let mut causes = Causes::default();
        let mut told: BTreeMap<usize, usize> = BTreeMap::new();
        for ((place, subject), entry) in self.entries.iter().filter(|(_, entry)| entry.is_on()) {
            let Some(rule) = self.rules.get(*place) else { continue };
            causes.note(rule, subject);
            *told.entry(*place).or_default() += usize::from(entry.told);
        }
        self.held_back.clear();
        self.suppressed_until = None;
        for ((place, subject), entry) in &mut self.entries {
            entry.suppressed = None;
            let Some(rule) = self.rules.get(*place).filter(|_| entry.is_on()) else { continue };
            let inhibited = entry.obstacle.clone().or_else(|| causes.of(rule, subject));
            let labels = &*entry.labels;
            let mute = || self.policy.mutes.iter().find(|mute| mute.holds(labels, now.wall));
            let silence = || self.silences.iter().find(|silence| silence.holds(labels, now.wall));
            let mut ends = None;
            entry.suppressed = if let Some(why) = inhibited {
                Some(Suppressed::Inhibited(why))
            } else if let Some(mute) = mute() {
                ends = Some(to_next_minute(now.wall));
                Some(Suppressed::Muted(mute.name.clone()))
            } else if let Some(silence) = silence() {
                ends = Some(silence.ends_at.since(now.wall));
                Some(Suppressed::Silenced(silence.id.clone()))
            } else if entry.told {
                None
            } else {
                let told = told.entry(*place).or_default();
                let is_full = *told >= self.policy.storm_limit;
                *told += usize::from(!is_full);
                *self.held_back.entry(*place).or_default() += usize::from(is_full);
                is_full.then_some(Suppressed::Storm(self.policy.storm_limit))
            };
            let ends = ends.map(|left| now.mono.saturating_add(left));
            self.suppressed_until = self.suppressed_until.into_iter().chain(ends).min();
        }
        self.held_back.retain(|_, count| *count > 0);
    }

    /// Tells of each group what is due.
    fn tell(&mut self, now: Moment) -> Vec<Notice> {
        for (_, counts) in self.groups.values_mut() {
            *counts = Counts::default();
        }
        for entry in self.entries.values() {
            let counts = match (entry.is_on(), entry.told) {
                (false, false) => continue,
                (true, false) if entry.suppressed.is_some() => continue,
                (true, false) => Counts { fresh: 1, ..Counts::default() },
                (true, true) if entry.suppressed.is_some() => {
                    Counts { quiet: 1, ..Counts::default() }
                }
                (true, true) => Counts { told: 1, ..Counts::default() },
                (false, true) => Counts { resolved: 1, ..Counts::default() },
            };
            let (_, sum) = self.groups.entry(Arc::clone(&entry.group)).or_default();
            sum.fresh += counts.fresh;
            sum.told += counts.told;
            sum.quiet += counts.quiet;
            sum.resolved += counts.resolved;
        }
        let grouping = &self.policy.grouping;
        let due: BTreeMap<Arc<Labels>, NoticeReason> = self
            .groups
            .iter_mut()
            .filter_map(|(labels, (group, counts))| {
                Some((Arc::clone(labels), group.decide(*counts, grouping, now)?))
            })
            .collect();
        let mut members: BTreeMap<Arc<Labels>, Vec<Key>> = BTreeMap::new();
        for (key, entry) in self.entries.iter().filter(|(_, it)| due.contains_key(&it.group)) {
            members.entry(Arc::clone(&entry.group)).or_default().push(key.clone());
        }
        let told = due.into_iter().map(|(labels, reason)| {
            let members = members.remove(&labels).unwrap_or_default();
            self.notice(&labels, &members, reason, now)
        });
        let told: Vec<Notice> = told.collect();
        self.groups.retain(|_, (group, _)| *group != Group::default());
        told
    }

    /// Puts the group's alerts into one notice; from now on they count as told.
    fn notice(
        &mut self,
        labels: &Arc<Labels>,
        members: &[Key],
        reason: NoticeReason,
        now: Moment,
    ) -> Notice {
        let mut alerts = Vec::new();
        let mut counts = Counts::default();
        for key in members {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            let is_on = entry.is_on();
            if is_on && entry.suppressed.is_some() || !is_on && !entry.told {
                counts.quiet += usize::from(is_on && entry.told);
                continue;
            }
            entry.told = is_on;
            counts.told += usize::from(is_on);
            let mut view = if is_on { entry.view() } else { Some(entry.last_word(now)) };
            if let Some((view, held)) = view.as_mut().zip(self.held_back.get(&key.0)) {
                let said = format!("{held} more of this rule are not told (storm limit)");
                view.annotations.insert("held_back".to_owned(), said);
            }
            alerts.extend(view);
        }
        if let Some((_, known)) = self.groups.get_mut(labels) {
            *known = counts;
        }
        self.numbered(Labels::clone(labels), reason, alerts, now)
    }

    fn numbered(
        &mut self,
        group_labels: Labels,
        reason: NoticeReason,
        alerts: Vec<AlertView>,
        now: Moment,
    ) -> Notice {
        self.notices += 1;
        let (id, group_key) = (self.notices, group::key(&group_labels));
        Notice { id, group_key, group_labels, reason, alerts, at: now }
    }

    fn lay_orphans(&mut self, now: Moment) -> Vec<Notice> {
        let orphans = std::mem::take(&mut self.orphans);
        let lay = |alert: AlertView| {
            let labels = self.policy.grouping.labels(&alert.labels);
            self.numbered(labels, NoticeReason::AllResolved, vec![alert], now)
        };
        orphans.into_iter().map(lay).collect()
    }

    fn labels(&self, rule: usize, subject: &Subject) -> Labels {
        let mut labels = self.external_labels.clone();
        for (name, value) in subject.pairs() {
            labels.insert(name.to_owned(), value.to_owned());
        }
        if let Some(rule) = self.rules.get(rule) {
            labels.insert("alertname".to_owned(), rule.name.clone());
            labels.insert("severity".to_owned(), rule.severity.as_str().to_owned());
        }
        labels.retain(|_, value| !value.is_empty());
        labels
    }
}

/// The last word on an alert that no rule watches any more; `None` if nobody was told of it.
fn orphan(saved: SavedAlert, now: Moment) -> Option<AlertView> {
    use crate::domain::alert::saved::SavedState;
    let (starts_at, ends_at) = match saved.state {
        SavedState::Pending { .. } => return None,
        SavedState::Firing { since } | SavedState::Kept { since, .. } => {
            (since, now.wall.max(since))
        }
        SavedState::Resolved { since, ended } => (since, ended),
    };
    let because = "the configuration has changed: nothing watches this any more";
    let mut annotations = saved.annotations;
    annotations.entry("resolved_because".to_owned()).or_insert_with(|| because.to_owned());
    Some(AlertView {
        labels: saved.labels,
        annotations,
        state: AlertState::Resolved,
        starts_at,
        ends_at: Some(ends_at),
    })
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
