//! Owns what rules there are without configuration, what a rule reads, and when a rule makes no
//! sense. Refuses to remember: `machine` does.

use crate::domain::alert::glob;
use crate::domain::alert::{Missing, Reading, Rule, Severity, Signal};
use crate::domain::lag::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use thiserror::Error;

/// Why a rule can't be used.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RuleFault {
    /// It would have no `alertname`.
    #[error("a rule has no name")]
    NoName,
    /// Two rules would tell of alerts that nobody can tell apart.
    #[error("rule {name}: another rule has this name")]
    DuplicateName {
        /// The name both have.
        name: String,
    },
    /// NaN or infinite.
    #[error("rule {name}: a threshold is not a finite number")]
    NotFinite {
        /// The rule.
        name: String,
    },
    /// It would fire and clear at the same value.
    #[error("rule {name}: clear_below {clear_below} is higher than above {above}")]
    ClearsAboveThreshold {
        /// The rule.
        name: String,
        /// As configured.
        above: f64,
        /// As configured.
        clear_below: f64,
    },
}

/// The rules that are in force unless configuration overrides them by name.
#[must_use]
pub fn builtin() -> Vec<Rule> {
    vec![
        Rule {
            name: "KinesisConsumerLagHigh".to_owned(),
            severity: Severity::Warning,
            signal: Signal::DeliveryLag,
            above: 60.0,
            clear_below: 30.0,
            hold: Duration::from_secs(60),
            keep_firing: Duration::from_secs(120),
            ..everywhere()
        },
        Rule {
            name: "KinesisConsumerStopped".to_owned(),
            severity: Severity::Critical,
            signal: Signal::Stopped,
            above: 0.5,
            clear_below: 0.5,
            hold: Duration::from_secs(60),
            keep_firing: Duration::ZERO,
            ..everywhere()
        },
    ]
}

/// What the built-in rules have in common.
fn everywhere() -> Rule {
    Rule {
        name: String::new(),
        severity: Severity::Info,
        stream: "*".to_owned(),
        consumer: "*".to_owned(),
        signal: Signal::DeliveryLag,
        above: 0.0,
        clear_below: 0.0,
        hold: Duration::ZERO,
        keep_firing: Duration::ZERO,
        // A reading that is gone says nothing about the consumer.
        missing: Missing::Keep,
        annotations: BTreeMap::new(),
    }
}

/// Everything that is wrong with `rules`, in their order; empty when all can be used together.
#[must_use]
pub fn faults(rules: &[Rule]) -> Vec<RuleFault> {
    let mut names = BTreeSet::new();
    let mut faults = Vec::new();
    for rule in rules {
        let name = rule.name.clone();
        if name.is_empty() {
            faults.push(RuleFault::NoName);
        } else if !names.insert(&rule.name) {
            faults.push(RuleFault::DuplicateName { name: name.clone() });
        }
        let (above, clear_below) = (rule.above, rule.clear_below);
        if !above.is_finite() || !clear_below.is_finite() {
            faults.push(RuleFault::NotFinite { name });
        } else if clear_below > above {
            faults.push(RuleFault::ClearsAboveThreshold { name, above, clear_below });
        }
    }
    faults
}

impl Rule {
    /// Whether the rule looks at this reading at all.
    #[must_use]
    pub fn selects(&self, reading: &Reading) -> bool {
        glob::matches(&self.stream, &reading.stream)
            && glob::matches(&self.consumer, &reading.consumer)
    }
}

impl Signal {
    /// The signal's value in its unit; `None` when the reading does not tell.
    #[must_use]
    pub fn value(self, reading: &Reading) -> Option<f64> {
        match self {
            Self::DeliveryLag => reading.lag_seconds.filter(|seconds| !seconds.is_nan()),
            Self::Stopped => stopped(reading.status),
        }
    }
}

fn stopped(status: Status) -> Option<f64> {
    match status {
        Status::Stopped => Some(1.0),
        // Losing data hides whether it still reads: worse than stopped, and so no reason to
        // resolve what says stopped.
        Status::Unknown | Status::LosingData => None,
        Status::Ok
        | Status::Idle
        | Status::Released
        | Status::Rewound
        | Status::Lagging
        | Status::FallingBehind
        | Status::Stalled => Some(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_rules_are_sound() {
        assert_eq!(faults(&builtin()), []);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let rule = |name: &str, above, clear_below| Rule {
            name: name.to_owned(),
            above,
            clear_below,
            ..everywhere()
        };
        let told: Vec<String> =
            faults(&[rule("", 1.0, 1.0), rule("A", 1.0, 2.0), rule("A", f64::NAN, 1.0)])
                .iter()
                .map(ToString::to_string)
                .collect();
        assert_eq!(
            told,
            [
                "a rule has no name",
                "rule A: clear_below 2 is higher than above 1",
                "rule A: another rule has this name",
                "rule A: a threshold is not a finite number",
            ]
        );
    }

    #[test]
    fn unknown_is_not_running() {
        let check = |status, expected| assert_eq!(stopped(status), expected, "{status:?}");
        check(Status::Stopped, Some(1.0));
        check(Status::Idle, Some(0.0));
        check(Status::Released, Some(0.0));
        check(Status::Unknown, None);
        check(Status::LosingData, None);
    }
}
