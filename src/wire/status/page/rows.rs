//! Owns what all parts of the page share: how many rows are shown, how a status looks, how long ago
//! something was. Refuses to tell anything by colour alone: every tone has a sign and a word.

use crate::domain::lag::{Assessment, Status};
use crate::domain::time::Wall;
use crate::wire::status::figures;
use std::cmp::Reverse;

/// As many rows as fit, and how many more there are.
pub(super) struct Rows<T> {
    pub(super) shown: Vec<T>,
    pub(super) more: usize,
}

impl<T> Rows<T> {
    pub(super) fn first(rows: impl ExactSizeIterator<Item = T>, max: usize) -> Self {
        Self { more: rows.len().saturating_sub(max), shown: rows.take(max).collect() }
    }

    pub(super) fn map<U>(self, row: impl FnMut(T) -> U) -> Rows<U> {
        Rows { shown: self.shown.into_iter().map(row).collect(), more: self.more }
    }
}

/// The worst first; equals stay in the order of their names.
pub(super) fn ranked<T>(all: &[T], max: usize, verdict: fn(&T) -> &Assessment) -> Rows<&T> {
    let mut rows: Vec<&T> = all.iter().collect();
    rows.sort_by_key(|row| {
        let verdict = verdict(row);
        Reverse((verdict.status, verdict.lag.map(|lag| lag.value)))
    });
    Rows::first(rows.into_iter(), max)
}

/// How good or bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::wire::status) enum Tone {
    Good,
    Calm,
    Warn,
    Bad,
}

impl Tone {
    /// Of the style sheet.
    pub(in crate::wire::status) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Calm => "calm",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    /// A sign of a shape of its own, for who does not see the colour.
    pub(in crate::wire::status) const fn sign(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Calm => "○",
            Self::Warn => "▲",
            Self::Bad => "■",
        }
    }
}

/// A word with its tone.
pub(super) struct Badge {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Badge {
    pub(super) fn of(status: Status) -> Self {
        Self { text: words(status), tone: tone(status) }
    }
}

pub(super) const fn tone(status: Status) -> Tone {
    match status {
        Status::Ok | Status::Idle => Tone::Good,
        Status::Released | Status::Unknown => Tone::Calm,
        Status::Rewound | Status::Lagging => Tone::Warn,
        Status::FallingBehind | Status::Stalled | Status::Stopped | Status::LosingData => Tone::Bad,
    }
}

pub(super) fn words(status: Status) -> String {
    status.as_str().replace('_', " ")
}

/// How many of `statuses` are which, the worst first: `1 stopped, 2 ok`.
pub(super) fn tally(statuses: impl Iterator<Item = Status> + Clone) -> String {
    let counts = Status::ALL.into_iter().rev().filter_map(|status| {
        let count = statuses.clone().filter(|found| *found == status).count();
        (count > 0).then(|| format!("{count} {}", words(status)))
    });
    counts.collect::<Vec<_>>().join(", ")
}

pub(super) fn ago(at: Wall, now: Wall) -> String {
    format!("{} ago", figures::span(now.since(at)))
}
