//! Owns what the engine's alerts rest on beside verdicts: the board, what we count of ourselves,
//! freshness budgets. Refuses to judge a consumer, and to tell anything once the process is ending.

use super::memory::Memory;
use crate::domain::alert::board::{Board, Policy};
use crate::domain::alert::figures::{Figures, Ledger};
use crate::domain::alert::freshness::{Freshness, Objective};
use crate::domain::alert::saved::Saved;
use crate::domain::alert::silence::Silence;
use crate::domain::alert::{AlertView, Labels, Notice, Reading, Rule, Signal, Subject};
use crate::domain::time::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Consumers whose budget is kept: 1.5 KiB each while it burns, nothing else.
const BUDGETS_MAX: usize = 1_000;

/// Everything that alerts rest on.
#[derive(Debug)]
pub(super) struct Watch {
    board: Board,
    objective: Objective,
    ledger: Ledger,
    budgets: BTreeMap<Arc<Subject>, Freshness>,
    is_draining: bool,
    /// Without rules nobody needs readings.
    has_rules: bool,
    rules: Vec<Rule>,
    labels: Labels,
}

impl Watch {
    pub(super) fn new(rules: Vec<Rule>, labels: Labels, repeat: Duration) -> Self {
        let mut policy = Policy::default();
        policy.grouping.repeat = repeat;
        let has_rules = rules.iter().any(|rule| rule.enabled);
        let board = Board::new(rules.clone(), labels.clone(), policy);
        Self {
            board,
            objective: Objective::default(),
            ledger: Ledger::default(),
            budgets: BTreeMap::new(),
            is_draining: false,
            has_rules,
            rules,
            labels,
        }
    }

    /// Before anything has happened: how alerts are told of.
    pub(super) fn telling(self, policy: Policy, objective: Objective) -> Self {
        let board = Board::new(self.rules.clone(), self.labels.clone(), policy);
        Self { board, objective, ..self }
    }

    pub(super) fn has_rules(&self) -> bool {
        self.has_rules && !self.is_draining
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
        mut readings: Vec<Reading>,
        memory: &Memory,
        now: Moment,
    ) -> Vec<Notice> {
        if self.is_draining || !self.has_rules {
            return Vec::new();
        }
        readings.iter_mut().for_each(|reading| self.budget(reading, now));
        self.budgets.retain(|_, budget| !budget.is_clean(now.mono));
        readings.extend(memory.stream_readings(&self.ledger, now));
        readings.extend(self.ledger.readings(now));
        self.board.step(&readings, now)
    }

    fn budget(&mut self, reading: &mut Reading, now: Moment) {
        let lag = reading.value(Signal::DeliveryLag);
        let is_old = lag.is_some_and(|lag| lag > self.objective.target.as_secs_f64());
        let is_known = self.budgets.contains_key(&reading.subject);
        if !is_known && (!is_old || self.budgets.len() >= BUDGETS_MAX) {
            // Nothing has burned.
            reading.set(Signal::FreshnessBurn, lag.filter(|_| !is_old).map(|_| 0.0));
            return;
        }
        let budget = self.budgets.entry(Arc::clone(&reading.subject)).or_default();
        budget.see(lag, &self.objective, now.mono);
        let burn = budget.burn(&self.objective, now.mono);
        reading.set(Signal::FreshnessBurn, Some(burn.of_waking()));
        if burn.of_waking() > 0.5 {
            for (name, times) in [("burn_1h", burn.of_1h), ("burn_6h", burn.of_6h)] {
                reading.tell(name, Some(format!("{times:.1} times the budget's pace")));
            }
        }
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
