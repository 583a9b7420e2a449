//! Owns living through a recording of signals again: which notices would have gone out, and when.
//! Refuses to make up what was not recorded: a figure counts until the next, five minutes at most.

use crate::domain::alert::board::{Board, Policy};
use crate::domain::alert::freshness::{Budgets, Objective};
use crate::domain::alert::silence::Silence;
use crate::domain::alert::{Labels, Notice, Reading, Rule, Subject};
use crate::domain::time::{Moment, Wall};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often the rules are looked at.
const STEP: Duration = Duration::from_secs(1);
/// A recorded figure is out of date after so long, as in Prometheus.
const STALE_AFTER: Duration = Duration::from_secs(300);

/// What is to be lived through, and by which rules.
#[derive(Debug)]
pub struct Replay {
    /// The rules in force.
    pub rules: Vec<Rule>,
    /// Part of every alert's identity.
    pub external_labels: Labels,
    /// How alerts are told of.
    pub policy: Policy,
    /// Silences in force.
    pub silences: Vec<Silence>,
    /// What the budget is reckoned against.
    pub objective: Objective,
}

impl Replay {
    /// Every notice of the recording, whose readings are in the order of their times. Goes on for
    /// `after` beyond its end, so that what it left pending is seen to fire.
    #[must_use]
    pub fn run(self, recording: Vec<(Wall, Reading)>, after: Duration) -> Vec<Notice> {
        self.watched(recording, after, &mut |_, _| ())
    }

    /// [`Replay::run`], which says on its way how much of how much time it has lived through.
    #[must_use]
    pub fn watched(
        self,
        recording: Vec<(Wall, Reading)>,
        after: Duration,
        progress: &mut dyn FnMut(Duration, Duration),
    ) -> Vec<Notice> {
        let Self { rules, external_labels, policy, silences, objective } = self;
        let mut board = Board::new(rules, external_labels, policy);
        board.silence(silences);
        let mut budgets = Budgets::new(objective);
        let mut told = Vec::new();
        let (Some(first), Some(last)) = (recording.first(), recording.last()) else { return told };
        let (begin, end) = (first.0, last.0.plus(after));
        let mut coming = recording.into_iter().peekable();
        let mut known: BTreeMap<Arc<Subject>, (Wall, Reading)> = BTreeMap::new();
        let mut wall = begin;
        while wall <= end {
            while let Some((at, reading)) = coming.next_if(|(at, _)| *at <= wall) {
                known.insert(Arc::clone(&reading.subject), (at, reading));
            }
            known.retain(|_, (at, _)| wall.since(*at) <= STALE_AFTER);
            let now = Moment { wall, mono: wall.since(begin) };
            let mut readings: Vec<Reading> =
                known.values().map(|(_, reading)| reading.clone()).collect();
            budgets.note(&mut readings, now.mono);
            told.extend(board.step_wording(&mut readings, |_, _| {}, now));
            progress(now.mono, end.since(begin));
            wall = wall.plus(STEP);
        }
        told
    }
}
