//! Owns what becomes of alerts when rules, or the way of telling, change under them: one whose rule
//! is still there by its name goes on where it stood; the others are taken back, and with a reason.
//! Refuses to forget what receivers believe on.

use super::{Board, Policy};
use crate::domain::alert::entry::Entry;
use crate::domain::alert::group::{Counts, Group};
use crate::domain::alert::{Labels, Rule, Subject};
use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Board {
    /// Puts these rules and this policy in force in place of the earlier ones. What is taken back is
    /// told at the next step.
    pub fn change(&mut self, rules: Vec<Rule>, policy: Policy, now: Moment) {
        let before = std::mem::replace(&mut self.rules, rules);
        let regroups = self.policy.grouping != policy.grouping;
        self.policy = policy;
        self.held_back.clear();
        let mut told_at: BTreeMap<Arc<Labels>, Wall> = BTreeMap::new();
        for ((place, subject), mut entry) in std::mem::take(&mut self.entries) {
            let Some(was) = before.get(place) else { continue };
            let place = match self.successor(was, &subject) {
                Ok(place) => place,
                Err(why) => {
                    let because = format!("the configuration has changed: {why}");
                    self.orphans.extend(entry.taken_back(because, now));
                    continue;
                }
            };
            self.carry(&mut entry, (was, place), &subject, now);
            let told = self.groups.get(&entry.group).and_then(|(group, _)| group.told_at());
            entry.group = Arc::new(self.policy.grouping.labels(&entry.labels));
            if let Some(told) = told {
                let newest = told_at.entry(Arc::clone(&entry.group)).or_default();
                *newest = told.max(*newest);
            }
            self.entries.insert((place, subject), entry);
        }
        if regroups {
            let grouping = &self.policy.grouping;
            let group =
                |(labels, at)| (labels, (Group::restored(at, grouping, now), Counts::default()));
            self.groups = told_at.into_iter().map(group).collect();
        }
    }

    /// Where the rule is now that watches as `was` did, or why there is none.
    fn successor(&self, was: &Rule, subject: &Subject) -> Result<usize, String> {
        let name = &was.name;
        let found = self.rules.iter().enumerate().find(|(_, rule)| rule.name == *name);
        match found {
            None => Err(format!("there is no rule {name} any more")),
            Some((_, rule)) if !rule.enabled => Err(format!("the rule {name} is switched off")),
            Some((place, rule)) if rule.when.signal == was.when.signal && rule.watches(subject) => {
                Ok(place)
            }
            Some(_) => Err(format!("the rule {name} does not look at this any more")),
        }
    }

    /// Takes an alert over from the rule that `was` to the one at `place`. Another severity is
    /// another identity: who was told of the one is told of its end.
    fn carry(
        &mut self,
        entry: &mut Entry,
        (was, place): (&Rule, usize),
        subject: &Subject,
        now: Moment,
    ) {
        let labels = self.labels(place, subject);
        if *entry.labels != labels {
            let because = "the configuration has changed: it goes on under other labels";
            self.orphans.extend(entry.relabelled(labels, because, now));
        }
        if let Some(is) = self.rules.get(place) {
            entry.changed(was, is, now);
        }
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
