//! Owns what waits for which receiver and what each was told: order, collapse, fallback, and the
//! changes that must be on disk before they count. Refuses to deliver, to write and to read clocks.
//!
//! The laws, for each receiver that takes what it is given: an alert that fired is delivered at
//! least once, what was delivered as firing is delivered as resolved, nothing is resolved before its
//! firing, and nothing fires after its own end. They hold over crashes, because a group goes on only
//! when the end of its last delivery is on disk.

mod book;
mod collapse;

use crate::domain::alert::Notice;
use crate::domain::backoff::Backoff;
use crate::domain::outbox::book::Book;
use crate::domain::time::{Moment, Wall};
use std::sync::Arc;
use std::time::Duration;

/// Most notices that wait for one receiver: each alert of a full board once, some 2 MiB. Over it,
/// what only repeats makes room first, then the oldest; both are counted.
pub const WAITING_MAX: usize = 1_000;

/// Most alerts that a receiver is remembered to have been told of: beyond it, the oldest is
/// forgotten. Several times what a board can hold.
pub const TOLD_MAX: usize = 4_000;

/// One receiver, as far as waiting for it goes.
#[derive(Debug, Clone)]
pub struct Line {
    /// The receiver's name.
    pub name: Arc<str>,
    /// Who gets what this one does not take, by position.
    pub fallback: Option<usize>,
    /// How long a notice may fail here before the fallback gets it too.
    pub fallback_after: Duration,
}

/// What changes on disk. Applied in order, they give what [`Outbox::new`] takes back.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A notice waits, in place of the one that had this number.
    Put(Arc<str>, u64, Arc<Notice>),
    /// It does not wait any more.
    Remove(Arc<str>, u64),
    /// The receiver was told that the alert of this fingerprint fires.
    Told(Arc<str>, u64, Told),
    /// It was told of its end.
    Forget(Arc<str>, u64),
}

/// What a receiver knows of an alert that it was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When the alert began.
    pub starts_at: Wall,
}

/// What a disk gave back.
#[derive(Debug, Default)]
pub struct Kept {
    /// Receiver, number, notice, in order of number.
    pub waiting: Vec<(String, u64, Notice)>,
    /// Receiver, fingerprint, what it knows.
    pub told: Vec<(String, u64, Told)>,
}

/// Why a notice does not reach a receiver as a message of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A newer one of its group says all that it said.
    Collapsed,
    /// Too many waited.
    Full,
    /// It could not be delivered for too long.
    Expired,
    /// It went to the fallback.
    HandedOver,
}

/// One notice on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number.
    pub seq: u64,
    /// What the receiver is to be told: alerts whose firing it never saw are not resolved to it.
    pub notice: Arc<Notice>,
    /// How often it failed so far.
    pub failures: u32,
}

/// What there is to do for a receiver.
#[derive(Debug, Default)]
pub struct Next {
    /// To be delivered now; each of a group of its own.
    pub jobs: Vec<Job>,
    /// When to ask again although nothing happened, in monotonic time.
    pub wake_at: Option<Duration>,
    /// What became of others.
    pub fates: Vec<(usize, Fate)>,
}

/// The changes since the last [`Outbox::take_changes`], and the number of the newest.
#[derive(Debug, Default)]
struct Ledger {
    version: u64,
    changes: Vec<Change>,
}

impl Ledger {
    fn note(&mut self, change: Change) -> u64 {
        self.version += 1;
        self.changes.push(change);
        self.version
    }
}

/// The waiting notices of all receivers.
#[derive(Debug)]
pub struct Outbox {
    books: Vec<Book>,
    ledger: Ledger,
    committed: u64,
    /// Nobody waits for the disk.
    ahead: bool,
    age_max: Duration,
}

impl Outbox {
    /// What was kept waits again; what was kept for receivers that are no more is forgotten.
    /// `age_max` is how long a notice is worth delivering.
    #[must_use]
    pub fn new(lines: Vec<Line>, kept: Kept, age_max: Duration, now: Moment) -> Self {
        let version = kept.waiting.iter().map(|(_, seq, _)| *seq).max().unwrap_or(0);
        let books = lines.into_iter().map(Book::new).collect();
        let ledger = Ledger { version, changes: Vec::new() };
        let mut outbox = Self { books, ledger, committed: version, ahead: false, age_max };
        for (name, seq, notice) in kept.waiting {
            // The monotonic clock began again with the process: the calendar says how old it is.
            let left = age_max.saturating_sub(now.wall.since(notice.at.wall));
            match outbox.books.iter_mut().find(|book| *book.line.name == *name) {
                Some(book) => book.restore(seq, Arc::new(notice), now.mono + left),
                None => drop(outbox.ledger.note(Change::Remove(name.into(), seq))),
            }
        }
        for (name, fingerprint, told) in kept.told {
            match outbox.books.iter_mut().find(|book| *book.line.name == *name) {
                Some(book) => book.restore_told(fingerprint, told),
                None => drop(outbox.ledger.note(Change::Forget(name.into(), fingerprint))),
            }
        }
        outbox
    }

    /// Has every receiver told; a fallback only of the ends of what it was told. Says what became
    /// of others by that.
    pub fn offer(&mut self, notice: &Arc<Notice>, now: Moment) -> Vec<(usize, Fate)> {
        let mut fates = Vec::new();
        for index in 0..self.books.len() {
            let offered = match self.is_fallback(index) {
                true => self.books.get(index).and_then(|book| book.ends_of(notice)),
                false => Some(Arc::clone(notice)),
            };
            fates.extend(offered.and_then(|notice| self.push(index, notice, now)));
        }
        fates
    }

    /// What can be delivered to this receiver now, at most `max` at once. `last` is for the end of
    /// the process: each notice is tried once, whatever it waits for.
    pub fn next(&mut self, receiver: usize, now: Moment, max: usize, last: bool) -> Next {
        let mut next = Next::default();
        loop {
            let committed = if self.ahead { u64::MAX } else { self.committed };
            let Some(book) = self.books.get_mut(receiver) else { return next };
            let taken = book.next(now, committed, max, last, &mut self.ledger);
            next.fates.extend(taken.fates.into_iter().map(|fate| (receiver, fate)));
            for notice in taken.not_for_it {
                self.hand_over(receiver, notice, now, &mut next.fates);
            }
            next.jobs = taken.jobs;
            next.wake_at = taken.wake_at;
            // What was left out made room to look further.
            if !next.jobs.is_empty() || !taken.again {
                return next;
            }
        }
    }

    /// The receiver has it, but for the alerts of these fingerprints, which it refused.
    pub fn delivered(&mut self, receiver: usize, job: &Job, refused: &[u64]) {
        if let Some(book) = self.books.get_mut(receiver) {
            book.delivered(job, refused, &mut self.ledger);
        }
    }

    /// It may go better later: after `asked`, or after the backoff if that is longer.
    pub fn failed(
        &mut self,
        receiver: usize,
        jobs: &[Job],
        now: Moment,
        (backoff, chance): (&Backoff, f64),
        asked: Duration,
    ) -> Vec<(usize, Fate)> {
        let Some(book) = self.books.get_mut(receiver) else { return Vec::new() };
        let mut late = book.failed(jobs, now, (backoff, chance), asked);
        let mut fates = Vec::new();
        for notice in late.drain(..) {
            self.hand_over(receiver, notice, now, &mut fates);
        }
        fates
    }

    /// It will never take it.
    pub fn refused(&mut self, receiver: usize, job: &Job, now: Moment) -> Vec<(usize, Fate)> {
        let mut fates = Vec::new();
        let Some(book) = self.books.get_mut(receiver) else { return fates };
        if let Some(notice) = book.refused(job, &mut self.ledger) {
            self.hand_over(receiver, notice, now, &mut fates);
        }
        fates
    }

    /// What must be written, and the number to tell [`Outbox::committed`] when it is.
    pub fn take_changes(&mut self) -> (Vec<Change>, u64) {
        (std::mem::take(&mut self.ledger.changes), self.ledger.version)
    }

    /// Everything that a new file must hold; what waited to be written is a part of it. With the
    /// number to tell [`Outbox::committed`] when it is.
    pub fn take_whole(&mut self) -> (Vec<Change>, u64) {
        let (_superseded, version) = self.take_changes();
        (self.books.iter().flat_map(Book::whole).collect(), version)
    }

    /// How many changes wait to be written.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.ledger.changes.len()
    }

    /// Everything up to this number is on disk, or there is no disk.
    pub fn committed(&mut self, version: u64) {
        self.committed = self.committed.max(version);
        self.books.iter_mut().for_each(|book| book.settled(version));
    }

    /// Whether what is not on disk counts all the same, while that is slow.
    pub fn go_ahead(&mut self, ahead: bool) {
        self.ahead = ahead;
    }

    /// How many wait for this receiver, and since when the oldest does.
    #[must_use]
    pub fn waiting(&self, receiver: usize) -> (usize, Option<Wall>) {
        self.books.get(receiver).map_or((0, None), Book::waiting)
    }

    /// Whether, since the end of the process came, everything that can be was tried.
    #[must_use]
    pub fn is_exhausted(&self, receiver: usize) -> bool {
        self.books.get(receiver).is_none_or(Book::is_exhausted)
    }

    /// Forgets everything that waits for this receiver; how many that were.
    pub fn clear(&mut self, receiver: usize) -> usize {
        self.books.get_mut(receiver).map_or(0, Book::clear)
    }

    fn is_fallback(&self, receiver: usize) -> bool {
        self.books.iter().any(|book| book.line.fallback == Some(receiver))
    }

    fn push(&mut self, index: usize, notice: Arc<Notice>, now: Moment) -> Option<(usize, Fate)> {
        let give_up_at = now.mono.saturating_add(self.age_max);
        let fate = self.books.get_mut(index)?.push(notice, give_up_at, &mut self.ledger)?;
        Some((index, fate))
    }

    fn hand_over(
        &mut self,
        from: usize,
        notice: Arc<Notice>,
        now: Moment,
        fates: &mut Vec<(usize, Fate)>,
    ) {
        let Some(to) = self.books.get(from).and_then(|book| book.line.fallback) else { return };
        fates.push((from, Fate::HandedOver));
        fates.extend(self.push(to, notice, now));
    }
}

#[cfg(test)]
mod tests;
