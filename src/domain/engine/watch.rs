//! Owns what the engine's alerts rest on beside verdicts: the board, what we count of ourselves,
//! freshness budgets. Refuses to judge a consumer, and to tell anything once the process is ending.

use super::Alerting;
use super::memory::{Judged, Memory};
use super::reading;
use crate::domain::alert::board::{Board, Policy};
use crate::domain::alert::figures::{Figures, Ledger};
use crate::domain::alert::freshness::{Budgets, Objective};
use crate::domain::alert::saved::Saved;
use crate::domain::alert::silence::Silence;
use crate::domain::alert::{AlertView, Labels, Notice, Reading, Rule};
use crate::domain::time::Moment;
use std::time::Duration;

/// Everything that alerts rest on.
#[derive(Debug)]
pub(super) struct Watch {
    board: Board,
    ledger: Ledger,
    budgets: Budgets,
    is_draining: bool,
    /// A hub that stands by alerts nobody.
    stands_by: bool,
    /// Without rules nobody needs readings.
    has_rules: bool,
}

impl Watch {
    pub(super) fn new(rules: Vec<Rule>, labels: Labels, repeat: Duration) -> Self {
        let mut policy = Policy::default();
        policy.grouping.repeat = repeat;
        let has_rules = rules.iter().any(|rule| rule.enabled);
        let board = Board::new(rules, labels, policy);
        Self {
            board,
            ledger: Ledger::default(),
            budgets: Budgets::default(),
            is_draining: false,
            stands_by: false,
            has_rules,
        }
    }

    /// Before anything has happened: how alerts are told of.
    pub(super) fn telling(self, policy: Policy, objective: Objective) -> Self {
        Self { board: self.board.under(policy), budgets: Budgets::new(objective), ..self }
    }

    /// Other rules, or another way of telling, from now on: what is on goes on.
    pub(super) fn change(&mut self, alerting: Alerting, now: Moment) {
        let Alerting { rules, policy, objective } = alerting;
        self.has_rules = rules.iter().any(|rule| rule.enabled);
        self.budgets.aim(objective);
        self.board.change(rules, policy, now);
    }

    pub(super) fn has_rules(&self) -> bool {
        let may = !self.is_draining && !self.stands_by;
        may && (self.has_rules || self.board.has_last_words())
    }

    /// Alerts from now on, or no more; with each change all begin anew.
    pub(super) fn alert(&mut self, on: bool) {
        if std::mem::replace(&mut self.stands_by, !on) == on {
            self.board.clear();
        }
    }

    pub(super) fn take(&mut self, figures: Figures, now: Moment) {
        self.ledger.take(figures, now);
    }

    pub(super) fn silence(&mut self, silences: Vec<Silence>) {
        self.board.silence(silences);
    }

    /// From here on what is seen is our own end: a consumer whose connections close has not stopped.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
    }

    pub(super) fn step(
        &mut self,
        judged: &[Judged<'_>],
        memory: &Memory,
        now: Moment,
    ) -> Vec<Notice> {
        if !self.has_rules() {
            return Vec::new();
        }
        let sidecar_fails = memory.sidecar_fails(now.mono);
        let mut readings = Vec::with_capacity(2 * judged.len() + 4);
        readings.extend(judged.iter().map(|judged| reading::of(judged, sidecar_fails)));
        self.budgets.note(&mut readings, now.mono);
        readings.extend(memory.stream_readings(&self.ledger, now));
        readings.extend(self.ledger.readings(now));
        readings.extend(memory.shard_readings(now));
        let word = |index: usize, told: &mut Reading| {
            if let Some(judged) = judged.get(index) {
                reading::word(told, judged);
            }
        };
        self.board.step_wording(&mut readings, word, now)
    }

    pub(super) fn wake_at(&self) -> Option<Duration> {
        self.board.wake_at().filter(|_| !self.is_draining)
    }

    pub(super) fn alerts(&self) -> Vec<AlertView> {
        self.board.alerts()
    }

    pub(super) fn export(&self, now: Moment) -> Saved {
        self.board.export(now)
    }

    pub(super) fn restore(&mut self, saved: Saved, now: Moment) {
        self.board.restore(saved, now);
    }
}
