//! Owns the alerts. A stand-in until the board's own branch is merged.

use super::{AlertView, Notice, Reading, Rule};
use crate::domain::time::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// Every alert and its group.
#[derive(Debug)]
pub struct Board;

impl Board {
    /// A board that knows no alert yet.
    #[must_use]
    pub fn new(_: Vec<Rule>, _: BTreeMap<String, String>, _: Duration) -> Self {
        Self
    }

    /// Takes readings in and says what is to be told.
    pub fn step(&mut self, _: &[Reading], _: Moment) -> Vec<Notice> {
        Vec::new()
    }

    /// When a hold or a repeat is due, in monotonic time.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        None
    }

    /// Every alert.
    #[must_use]
    pub fn alerts(&self) -> Vec<AlertView> {
        Vec::new()
    }
}
