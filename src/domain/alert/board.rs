//! Owns all alerts together: who is watched by which rule, what is told and when again. Refuses to
//! deliver, to read clocks, and to grow without bound.

use crate::domain::alert::entry::Entry;
use crate::domain::alert::machine;
use crate::domain::alert::{AlertView, Labels, Missing, Notice, NoticeReason, Reading, Rule};
use crate::domain::time::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Most alerts known at once, pending, firing and resolved of late: some 2 MiB of annotations, and
/// more than anybody reads. A resolved one makes room; where none is, what comes is left out and
/// counted, and what is on stays on.
pub const ALERTS_MAX: usize = 1_000;

/// What makes a group of alerts: one alert each, as long as no rule is per shard.
const GROUP_BY: [&str; 4] = ["alertname", "consumer", "region", "stream"];

/// Which rule (by position) watches whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    rule: usize,
    stream: String,
    consumer: String,
}

impl Key {
    fn identity(&self) -> (&str, &str) {
        (&self.stream, &self.consumer)
    }
}

/// All alerts of one process.
#[derive(Debug)]
pub struct Board {
    rules: Vec<Rule>,
    external_labels: BTreeMap<String, String>,
    repeat_interval: Duration,
    entries: BTreeMap<Key, Entry>,
    notices: u64,
    left_out: usize,
}

impl Board {
    /// A board on which nothing has happened yet. `external_labels` (the region among them) become
    /// part of every identity; empty ones are left away, and none can replace a label of ours. A
    /// `repeat_interval` of zero never repeats.
    #[must_use]
    pub fn new(
        rules: Vec<Rule>,
        external_labels: BTreeMap<String, String>,
        repeat_interval: Duration,
    ) -> Self {
        let entries = BTreeMap::new();
        Self { rules, external_labels, repeat_interval, entries, notices: 0, left_out: 0 }
    }

    /// Takes in everybody's signals as of `now` and says what is to be told. Who has no reading any
    /// more is treated as each rule's `missing` says.
    pub fn step(&mut self, readings: &[Reading], now: Moment) -> Vec<Notice> {
        self.left_out = 0;
        let mut stepped = BTreeSet::new();
        let mut told = Vec::new();
        for rule in 0..self.rules.len() {
            for reading in readings {
                if let Some(key) = self.place(rule, reading)
                    && stepped.insert(key.clone())
                {
                    told.extend(self.step_one(&key, Some(reading), now));
                }
            }
        }
        let gone: Vec<Key> =
            self.entries.keys().filter(|key| !stepped.contains(key)).cloned().collect();
        for key in gone {
            told.extend(self.step_one(&key, None, now));
        }
        let rules = &self.rules;
        // A rule that fires on silence has to remember whom it heard.
        let remembers = |key: &Key| rules.get(key.rule).is_some_and(|r| r.missing == Missing::Fire);
        self.entries.retain(|key, entry| !entry.is_over() || remembers(key));
        told
    }

    /// Forgets every alert, without a word.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// When [`Board::step`] is due although no signal changed, in monotonic time.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let due = |(key, entry): (&Key, &Entry)| {
            entry.wake_at(self.rules.get(key.rule)?, self.repeat_interval)
        };
        self.entries.iter().filter_map(due).min()
    }

    /// Everything pending or firing, and what was resolved in the last 15 minutes as of the last
    /// step, in a stable order.
    #[must_use]
    pub fn alerts(&self) -> Vec<AlertView> {
        self.entries.iter().filter_map(|(key, entry)| entry.view(self.labels(key))).collect()
    }

    /// How many alerts the last step had no room for.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Where the rule keeps what it knows of the reading; `None` when there is nothing to keep, or
    /// no room.
    fn place(&mut self, rule_index: usize, reading: &Reading) -> Option<Key> {
        let rule = self.rules.get(rule_index).filter(|rule| rule.selects(reading))?;
        let (stream, consumer) = (reading.stream.clone(), reading.consumer.clone());
        let key = Key { rule: rule_index, stream, consumer };
        if self.entries.contains_key(&key) {
            return Some(key);
        }
        if !machine::raises(rule.signal.value(reading), rule) && rule.missing != Missing::Fire {
            return None;
        }
        if self.entries.len() >= ALERTS_MAX && !self.make_room() {
            self.left_out += 1;
            return None;
        }
        self.entries.insert(key.clone(), Entry::default());
        Some(key)
    }

    /// Forgets the alert that was resolved first.
    fn make_room(&mut self) -> bool {
        let ended = self.entries.iter().filter_map(|(key, entry)| Some((entry.ended_at()?, key)));
        let oldest = ended.min().map(|(_, key)| key.clone());
        oldest.is_some_and(|key| self.entries.remove(&key).is_some())
    }

    fn step_one(&mut self, key: &Key, reading: Option<&Reading>, now: Moment) -> Option<Notice> {
        let rule = self.rules.get(key.rule)?;
        let entry = self.entries.get_mut(key)?;
        let reason = entry.step(rule, key.identity(), reading, self.repeat_interval, now)?;
        self.notice(key, reason, now)
    }

    fn notice(&mut self, key: &Key, reason: NoticeReason, now: Moment) -> Option<Notice> {
        let labels = self.labels(key);
        let mut group_labels = labels.clone();
        group_labels.retain(|name, _| GROUP_BY.contains(&name.as_str()));
        let alerts = vec![self.entries.get(key)?.view(labels)?];
        self.notices += 1;
        let (id, group_key) = (self.notices, group_key(&group_labels));
        Some(Notice { id, group_key, group_labels, reason, alerts, at: now })
    }

    fn labels(&self, key: &Key) -> Labels {
        let mut labels = self.external_labels.clone();
        labels.insert("stream".to_owned(), key.stream.clone());
        labels.insert("consumer".to_owned(), key.consumer.clone());
        if let Some(rule) = self.rules.get(key.rule) {
            labels.insert("alertname".to_owned(), rule.name.clone());
            labels.insert("severity".to_owned(), rule.severity.as_str().to_owned());
        }
        labels.retain(|_, value| !value.is_empty());
        labels
    }
}

/// As Alertmanager writes it for its root route: `{}:{alertname="…", stream="…"}`.
fn group_key(labels: &Labels) -> String {
    let pair = |(name, value): (&String, &String)| {
        let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        format!("{name}=\"{value}\"")
    };
    format!("{{}}:{{{}}}", labels.iter().map(pair).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
