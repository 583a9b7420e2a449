//! Owns whom a rule looks at and when a rule makes no sense. Refuses to remember: `machine` does.

use crate::domain::alert::glob;
use crate::domain::alert::machine::Seen;
use crate::domain::alert::signal::{Scope, Signal, Source};
use crate::domain::alert::{Obstacle, Reading, Rule, Sense, Subject};
use std::collections::BTreeSet;
use std::time::Duration;
use thiserror::Error;

/// The longest grace that a rule has unless it names one.
const GRACE_MAX: Duration = Duration::from_secs(120);

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
    #[error("rule {name}: {clear} would clear it where {threshold} makes it fire")]
    ClearsWhereItFires {
        /// The rule.
        name: String,
        /// As configured.
        threshold: f64,
        /// As configured.
        clear: f64,
    },
    /// The signal is not one of a consumer.
    #[error("rule {name}: its signal is one of {of}, which has no {what} to select")]
    SelectsNothing {
        /// The rule.
        name: String,
        /// What the signal is of.
        of: &'static str,
        /// What was to be selected.
        what: &'static str,
    },
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
            faults.push(RuleFault::DuplicateName { name });
        }
        faults.extend(rule.faults());
    }
    faults
}

impl Rule {
    /// What is wrong with it alone.
    #[must_use]
    pub fn faults(&self) -> Vec<RuleFault> {
        let mut faults = Vec::new();
        let name = || self.name.clone();
        let (threshold, clear) = (self.when.threshold, self.when.clear);
        let crossed = match self.when.sense {
            Sense::Above => clear > threshold,
            Sense::Below => clear < threshold,
        };
        if !threshold.is_finite() || !clear.is_finite() {
            faults.push(RuleFault::NotFinite { name: name() });
        } else if crossed {
            faults.push(RuleFault::ClearsWhereItFires { name: name(), threshold, clear });
        }
        let scope = self.when.signal.scope();
        for (what, pattern) in [("stream", &self.stream), ("consumer", &self.consumer)] {
            if pattern != "*" && !scope.labels().contains(&what) {
                let of = scope.words();
                faults.push(RuleFault::SelectsNothing { name: name(), of, what });
            }
        }
        faults
    }

    /// Whether the rule looks at this reading at all.
    #[must_use]
    pub fn selects(&self, reading: &Reading) -> bool {
        self.watches(&reading.subject)
    }

    /// Whether the rule looks at readings of this subject.
    #[must_use]
    pub fn watches(&self, subject: &Subject) -> bool {
        let is = |pattern: &str, name: Option<&str>| {
            name.is_none_or(|name| glob::matches(pattern, name))
        };
        self.enabled
            && subject.scope() == self.when.signal.scope()
            && is(&self.stream, subject.stream())
            && is(&self.consumer, subject.consumer())
    }

    /// What the reading says of the rule's signal.
    #[must_use]
    pub fn sees(&self, reading: Option<&Reading>) -> Seen {
        match reading {
            None => Seen::Nothing,
            Some(reading) => match reading.value(self.when.signal) {
                Some(value) => Seen::Value(value),
                None if reading.blind && self.when.signal.source() == Source::CloudWatch => {
                    Seen::Blind
                }
                None => Seen::Nothing,
            },
        }
    }

    /// For how long after a disturbance time does not count.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace.unwrap_or_else(|| self.hold.min(GRACE_MAX))
    }

    /// Whether an alert of it says nothing new beside the obstacle. That a consumer does not read
    /// stays worth telling. Where credentials fail, so does that every read fails, which is how
    /// they are told of, and that records are lost: a longer retention would keep them.
    #[must_use]
    pub fn yields_to(&self, obstacle: &Obstacle) -> bool {
        let signal = self.when.signal;
        match obstacle {
            Obstacle::Stream(_) => signal.scope() == Scope::Consumer && signal != Signal::Stopped,
            Obstacle::Credentials(_) => matches!(
                signal,
                Signal::DeliveryLag
                    | Signal::RetentionUsed
                    | Signal::LagVelocity
                    | Signal::FallingBehind
                    | Signal::FreshnessBurn
            ),
        }
    }

    /// Whether it is the rule that tells a person of the obstacle, where one does.
    #[must_use]
    pub fn tells_of(&self, obstacle: &Obstacle) -> bool {
        match obstacle {
            Obstacle::Stream(_) => false,
            Obstacle::Credentials(_) => self.when.signal == Signal::Stalled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::When;
    use crate::domain::alert::builtin::builtin;

    #[test]
    fn builtin_rules_are_sound() {
        assert_eq!(faults(&builtin()), []);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let lag = builtin().remove(0);
        let rule = |name: &str, threshold, clear| Rule {
            name: name.to_owned(),
            when: When { threshold, clear, ..lag.when },
            ..lag.clone()
        };
        let below = |name: &str, threshold, clear| Rule {
            name: name.to_owned(),
            when: When { sense: Sense::Below, threshold, clear, ..lag.when },
            ..lag.clone()
        };
        let mut hot = builtin().into_iter().find(|it| it.name == "KinesisHotShard").unwrap();
        hot.consumer = "mail".to_owned();
        let rules = [
            rule("", 1.0, 1.0),
            rule("A", 1.0, 2.0),
            rule("A", f64::NAN, 1.0),
            below("B", 2.0, 1.0),
            hot,
        ];
        let told: Vec<String> = faults(&rules).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "a rule has no name",
                "rule A: 2 would clear it where 1 makes it fire",
                "rule A: another rule has this name",
                "rule A: a threshold is not a finite number",
                "rule B: 1 would clear it where 2 makes it fire",
                "rule KinesisHotShard: its signal is one of a shard of a stream, which has no \
                 consumer to select",
            ]
        );
    }
}
