//! Owns why an alert that is on is not told of, and who may say so: a cause that explains it, a
//! mute window, a silence, a storm. Refuses to keep anybody from hearing that it is over.

use crate::domain::alert::Severity;
use crate::domain::alert::signal::{Scope, Signal, Source};
use crate::domain::alert::{Obstacle, Reading, Rule, Subject};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Why nobody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Suppressed {
    /// Something explains it, of which people are told.
    Inhibited(String),
    /// A mute window, by name.
    Muted(String),
    /// A silence, by id.
    Silenced(String),
    /// So many of its rule are told already.
    Storm(usize),
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inhibited(why) => write!(f, "inhibited: {why}"),
            Self::Muted(name) => write!(f, "mute window {name}"),
            Self::Silenced(id) => write!(f, "silence {id}"),
            Self::Storm(limit) => write!(f, "storm limit: {limit} alerts of this rule are told"),
        }
    }
}

/// Why an alert of this rule on this reading would say nothing new. What nobody would tell of hides
/// nothing: credentials that fail are told by the rule on reads that all fail, while it is in force.
pub(super) fn obstacle(rules: &[Rule], rule: &Rule, reading: &Reading) -> Option<String> {
    let obstacle = reading.obstacle.as_ref().filter(|obstacle| rule.yields_to(obstacle))?;
    match obstacle {
        Obstacle::Stream(why) => Some(why.clone()),
        Obstacle::Credentials(why) => {
            let teller = rules.iter().find(|it| it.tells_of(obstacle) && it.selects(reading))?;
            Some(format!("{why}, of which {} tells", teller.name))
        }
    }
}

/// What is on, as far as it explains other alerts.
#[derive(Debug, Default)]
pub(super) struct Causes<'a> {
    /// By subject: a rule of severity critical.
    critical: BTreeMap<Arc<Subject>, &'a str>,
    /// The rule that says that CloudWatch does not answer.
    cloudwatch: Option<&'a str>,
}

impl<'a> Causes<'a> {
    /// Takes in an alert that is on.
    pub(super) fn note(&mut self, rule: &'a Rule, subject: &Arc<Subject>) {
        if rule.severity == Severity::Critical {
            self.critical.entry(Arc::clone(subject)).or_insert(&rule.name);
        }
        if rule.when.signal == Signal::CloudWatchSilence {
            self.cloudwatch = Some(&rule.name);
        }
    }

    /// What explains an alert of this rule: a critical one of the same subject, or that nobody
    /// knows what CloudWatch would say.
    pub(super) fn of(&self, rule: &Rule, subject: &Arc<Subject>) -> Option<String> {
        let said = |name: &str| format!("{name} is on");
        // What is critical of the process as a whole explains nothing else of it.
        let may = rule.severity < Severity::Critical && subject.scope() != Scope::Process;
        let critical = self.critical.get(subject).filter(|_| may).copied();
        let blind = rule.when.signal.source() == Source::CloudWatch;
        critical.or(self.cloudwatch.filter(|_| blind)).map(said)
    }
}
