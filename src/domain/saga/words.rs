//! Owns what a step's name says: forward, back, the end, or what another came to; and what a step
//! back undoes. Refuses to know a business: verbs come from configuration, with the defaults of the usual ones.

use crate::domain::alert::glob;
use std::sync::Arc;

/// Which steps lead back and which end a saga, as names with `*` and `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaWords {
    /// Steps that undo another.
    pub compensations: Vec<String>,
    /// Steps after which nothing is to come.
    pub ends: Vec<String>,
    /// Of the others, those that tell what a step came to: events among commands.
    pub reports: Vec<String>,
}

impl Default for SagaWords {
    fn default() -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            compensations: owned(&["RELEASE_*", "REFUND_*", "CANCEL_*", "COMPENSATE_*"]),
            ends: owned(&["SHIP_ORDER", "COMPLETE_*", "*_COMPLETED"]),
            // INVENTORY_RESERVED, PAYMENT_FAILED, OrderCreated.
            reports: owned(&["*ED", "*ed"]),
        }
    }
}

/// What a step is in its saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepKind {
    /// Leads on.
    Forward,
    /// Undoes another.
    Compensation,
    /// Is the last.
    End,
    /// Tells what another came to.
    Report,
}

impl StepKind {
    /// As it is told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Compensation => "compensation",
            Self::End => "end",
            Self::Report => "report",
        }
    }
}

impl SagaWords {
    /// What a step of this name is.
    #[must_use]
    pub fn kind(&self, step: &str) -> StepKind {
        let is = |words: &[String]| words.iter().any(|word| glob::matches(word, step));
        if is(&self.compensations) {
            StepKind::Compensation
        } else if is(&self.ends) {
            StepKind::End
        } else if is(&self.reports) {
            StepKind::Report
        } else {
            StepKind::Forward
        }
    }
}

/// Whether `back` undoes `forward`: both are about the same thing (`RELEASE_INVENTORY` and
/// `RESERVE_INVENTORY`), or `back` names the whole step (`COMPENSATE_RESERVE_INVENTORY`).
pub(super) fn undoes(back: &Arc<str>, forward: &Arc<str>) -> bool {
    let Some((_, thing)) = back.split_once('_') else { return false };
    thing == &**forward || forward.split_once('_').is_some_and(|(_, about)| about == thing)
}
