//! Owns what waits for one receiver, in order within each group, and what it was told. Refuses to
//! grow without bound.

use super::collapse::{self, ToldOf};
use super::{Change, Fate, Job, Ledger, Line, TOLD_MAX, Told, WAITING_MAX};
use crate::domain::alert::fingerprint::fingerprint;
use crate::domain::alert::{AlertState, Labels, Notice};
use crate::domain::backoff::Backoff;
use crate::domain::time::{Moment, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A notice that waits.
#[derive(Debug)]
struct Entry {
    notice: Arc<Notice>,
    /// The change that must be on disk before it is delivered.
    version: u64,
    give_up_at: Duration,
    failures: u32,
    first_failed_at: Option<Duration>,
    not_before: Duration,
    in_work: bool,
    /// The fallback has it too.
    handed_over: bool,
    /// The end of the process has come, and this was tried.
    tried_last: bool,
}

#[derive(Debug)]
pub(super) struct Book {
    pub(super) line: Line,
    waiting: BTreeMap<u64, Entry>,
    told: ToldOf,
    /// Groups whose last delivery is not on disk yet, and the change that says it.
    settling: BTreeMap<String, u64>,
    /// Of the receiver, in a row.
    failures: u32,
    resume_at: Duration,
    in_work: usize,
}

/// What [`Book::next`] found.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) jobs: Vec<Job>,
    pub(super) wake_at: Option<Duration>,
    pub(super) fates: Vec<Fate>,
    /// Ends of what this receiver was never told: perhaps its fallback was.
    pub(super) not_for_it: Vec<Arc<Notice>>,
    /// Something was left out: there may be more.
    pub(super) again: bool,
}

impl Book {
    pub(super) fn new(line: Line) -> Self {
        Self {
            line,
            waiting: BTreeMap::new(),
            told: ToldOf::new(),
            settling: BTreeMap::new(),
            failures: 0,
            resume_at: Duration::ZERO,
            in_work: 0,
        }
    }

    pub(super) fn restore(&mut self, seq: u64, notice: Arc<Notice>, give_up_at: Duration) {
        self.waiting.insert(seq, Entry::new(notice, 0, give_up_at));
    }

    pub(super) fn restore_told(&mut self, fingerprint: u64, told: Told) {
        self.told.insert(fingerprint, told);
    }

    /// All of it, as changes of an empty book.
    pub(super) fn whole(&self) -> Vec<Change> {
        let name = || Arc::clone(&self.line.name);
        let waiting = self.waiting.iter();
        let waiting = waiting.map(|(seq, entry)| Change::Put(name(), *seq, entry.notice.clone()));
        let told = self.told.iter();
        let told = told.map(|(number, told)| Change::Told(name(), *number, told.clone()));
        waiting.chain(told).collect()
    }

    /// Puts a notice last of its group, or in the place of the last one.
    pub(super) fn push(
        &mut self,
        notice: Arc<Notice>,
        give_up_at: Duration,
        ledger: &mut Ledger,
    ) -> Option<Fate> {
        let name = Arc::clone(&self.line.name);
        let mut of_group =
            self.waiting.iter_mut().rev().filter(|(_, e)| e.notice.group_key == notice.group_key);
        if let Some((seq, last)) = of_group.next()
            && !last.in_work
            && collapse::says_all(&notice, &last.notice, &self.told)
        {
            let notice = collapse::in_place_of(&last.notice, notice);
            last.notice = Arc::clone(&notice);
            last.give_up_at = give_up_at;
            last.handed_over = false;
            last.version = ledger.note(Change::Put(name, *seq, notice));
            return Some(Fate::Collapsed);
        }
        let fate = (self.waiting.len() >= WAITING_MAX).then(|| self.make_room(ledger)).flatten();
        let seq = ledger.version + 1;
        let version = ledger.note(Change::Put(name, seq, Arc::clone(&notice)));
        self.waiting.insert(seq, Entry::new(notice, version, give_up_at));
        fate
    }

    fn make_room(&mut self, ledger: &mut Ledger) -> Option<Fate> {
        let idle = || self.waiting.iter().filter(|(_, entry)| !entry.in_work);
        let repeats = |(_, e): &(&u64, &Entry)| collapse::only_repeats(&e.notice, &self.told);
        let seq = *idle().find(repeats).or_else(|| idle().next())?.0;
        self.remove(seq, ledger);
        Some(Fate::Full)
    }

    pub(super) fn next(
        &mut self,
        now: Moment,
        committed: u64,
        max: usize,
        last: bool,
        ledger: &mut Ledger,
    ) -> Taken {
        let mut taken = Taken::default();
        // One that fails is asked by one alone, so that it is not stormed when it comes back.
        if !last && (now.mono < self.resume_at || self.failures > 0 && self.in_work > 0) {
            let waits = !self.waiting.is_empty() && self.in_work == 0;
            taken.wake_at = waits.then_some(self.resume_at);
            return taken;
        }
        let mut ready: Vec<(u32, u64)> = Vec::new();
        let mut groups = BTreeSet::new();
        for (seq, entry) in &self.waiting {
            let is_first = groups.insert(entry.notice.group_key.as_str());
            let settled =
                self.settling.get(&entry.notice.group_key).is_none_or(|v| *v <= committed);
            if !is_first || entry.in_work || !settled || entry.version > committed {
                continue;
            }
            if last && entry.tried_last {
                continue;
            }
            if !last && entry.not_before > now.mono {
                taken.wake_at =
                    Some(taken.wake_at.map_or(entry.not_before, |at| at.min(entry.not_before)));
                continue;
            }
            ready.push((entry.failures, *seq));
            if self.failures == 0 && ready.len() >= max {
                break;
            }
        }
        if self.failures > 0 {
            // Another notice than the one that failed tells more about the receiver.
            ready.sort_unstable();
            ready.truncate(max);
        }
        for (_, seq) in ready {
            self.take_up(seq, now, last, &mut taken, ledger);
        }
        taken
    }

    fn take_up(
        &mut self,
        seq: u64,
        now: Moment,
        last: bool,
        taken: &mut Taken,
        ledger: &mut Ledger,
    ) {
        let Some(entry) = self.waiting.get_mut(&seq) else { return };
        if now.mono >= entry.give_up_at {
            taken.fates.push(Fate::Expired);
            taken.again = true;
            self.remove(seq, ledger);
            return;
        }
        let Some(notice) = collapse::tellable(&entry.notice, &self.told) else {
            let (notice, handed_over) = (Arc::clone(&entry.notice), entry.handed_over);
            taken.not_for_it.extend((!handed_over).then_some(notice));
            taken.again = true;
            self.remove(seq, ledger);
            return;
        };
        entry.in_work = true;
        entry.tried_last = last;
        taken.jobs.push(Job { seq, notice, failures: entry.failures });
        self.in_work += 1;
    }

    pub(super) fn delivered(&mut self, job: &Job, refused: &[u64], ledger: &mut Ledger) {
        for alert in &job.notice.alerts {
            let (name, number) = (Arc::clone(&self.line.name), fingerprint(&alert.labels));
            match alert.state {
                AlertState::Pending => {}
                AlertState::Firing if refused.contains(&number) => {}
                AlertState::Firing => {
                    let told = Told { starts_at: alert.starts_at };
                    if self.told.insert(number, told.clone()).as_ref() != Some(&told) {
                        ledger.note(Change::Told(name, number, told));
                    }
                }
                AlertState::Resolved => {
                    if self.told.remove(&number).is_some() {
                        ledger.note(Change::Forget(name, number));
                    }
                }
            }
        }
        self.bound_told(ledger);
        self.failures = 0;
        self.resume_at = Duration::ZERO;
        self.finish(job, ledger);
    }

    pub(super) fn failed(
        &mut self,
        jobs: &[Job],
        now: Moment,
        (backoff, chance): (&Backoff, f64),
        asked: Duration,
    ) -> Vec<Arc<Notice>> {
        self.failures = self.failures.saturating_add(1);
        self.resume_at = now.mono + backoff.delay(self.failures, chance).max(asked);
        let mut late = BTreeSet::new();
        for job in jobs {
            let Some(entry) = self.waiting.get_mut(&job.seq) else { continue };
            entry.in_work = false;
            self.in_work = self.in_work.saturating_sub(1);
            entry.failures = entry.failures.saturating_add(1);
            entry.not_before = now.mono + backoff.delay(entry.failures, chance).max(asked);
            let since = *entry.first_failed_at.get_or_insert(now.mono);
            if now.mono.saturating_sub(since) >= self.line.fallback_after {
                late.insert(entry.notice.group_key.clone());
            }
        }
        self.late(&late)
    }

    /// Everything of these groups that the fallback does not have yet: an end follows its firing.
    fn late(&mut self, groups: &BTreeSet<String>) -> Vec<Arc<Notice>> {
        if self.line.fallback.is_none() || groups.is_empty() {
            return Vec::new();
        }
        let mut notices = Vec::new();
        for entry in self.waiting.values_mut() {
            if !entry.handed_over && groups.contains(&entry.notice.group_key) {
                entry.handed_over = true;
                notices.push(Arc::clone(&entry.notice));
            }
        }
        notices
    }

    /// Gives it up; returns it if the fallback does not have it.
    pub(super) fn refused(&mut self, job: &Job, ledger: &mut Ledger) -> Option<Arc<Notice>> {
        let handed_over = self.waiting.get(&job.seq).is_none_or(|entry| entry.handed_over);
        for alert in job.notice.alerts.iter().filter(|a| a.state == AlertState::Resolved) {
            let number = fingerprint(&alert.labels);
            if self.told.remove(&number).is_some() {
                ledger.note(Change::Forget(Arc::clone(&self.line.name), number));
            }
        }
        self.finish(job, ledger);
        (!handed_over).then(|| Arc::clone(&job.notice))
    }

    /// The ends in `notice` of what this receiver was told, or will be.
    pub(super) fn ends_of(&self, notice: &Arc<Notice>) -> Option<Arc<Notice>> {
        let waits = |labels: &Labels| {
            let fires = |e: &Entry| {
                let mut alerts = e.notice.alerts.iter();
                alerts.any(|a| a.state == AlertState::Firing && a.labels == *labels)
            };
            self.waiting.values().any(fires)
        };
        collapse::only(notice, |alert| {
            let known = || self.told.contains_key(&fingerprint(&alert.labels));
            alert.state == AlertState::Resolved && (known() || waits(&alert.labels))
        })
    }

    pub(super) fn settled(&mut self, version: u64) {
        self.settling.retain(|_, at| *at > version);
    }

    pub(super) fn waiting(&self) -> (usize, Option<Wall>) {
        let oldest = self.waiting.values().map(|entry| entry.notice.at.wall).min();
        (self.waiting.len(), oldest)
    }

    /// What follows a notice that failed in its group cannot be tried.
    pub(super) fn is_exhausted(&self) -> bool {
        let mut blocked = BTreeSet::new();
        self.waiting.values().all(|entry| {
            let group = entry.notice.group_key.as_str();
            let failed = entry.tried_last && !entry.in_work;
            blocked.contains(group) || failed && blocked.insert(group)
        })
    }

    pub(super) fn clear(&mut self) -> usize {
        self.in_work = 0;
        std::mem::take(&mut self.waiting).len()
    }

    fn finish(&mut self, job: &Job, ledger: &mut Ledger) {
        self.in_work = self.in_work.saturating_sub(1);
        self.remove(job.seq, ledger);
        self.settling.insert(job.notice.group_key.clone(), ledger.version);
    }

    fn remove(&mut self, seq: u64, ledger: &mut Ledger) {
        if self.waiting.remove(&seq).is_some() {
            ledger.note(Change::Remove(Arc::clone(&self.line.name), seq));
        }
    }

    fn bound_told(&mut self, ledger: &mut Ledger) {
        if self.told.len() <= TOLD_MAX {
            return;
        }
        let oldest = self.told.iter().min_by_key(|(_, told)| told.starts_at);
        if let Some(number) = oldest.map(|(number, _)| *number) {
            self.told.remove(&number);
            ledger.note(Change::Forget(Arc::clone(&self.line.name), number));
        }
    }
}

impl Entry {
    fn new(notice: Arc<Notice>, version: u64, give_up_at: Duration) -> Self {
        Self {
            notice,
            version,
            give_up_at,
            failures: 0,
            first_failed_at: None,
            not_before: Duration::ZERO,
            in_work: false,
            handed_over: false,
            tried_last: false,
        }
    }
}
