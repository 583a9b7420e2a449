//! Owns the rules that are in force without configuration, and the reasons for their figures.
//! Refuses to know an engine that is not ours.

use crate::domain::alert::signal::Signal;
use crate::domain::alert::{Missing, Rule, Sense, Severity, When};
use std::collections::BTreeMap;
use std::time::Duration;

const MINUTE: u64 = 60;

/// Every built-in rule, in the order in which they are shown; overridden by name.
#[must_use]
pub fn builtin() -> Vec<Rule> {
    let mut rules = consumers();
    rules.extend(streams());
    rules.extend(ourselves());
    rules
}

fn consumers() -> Vec<Rule> {
    vec![
        rule("KinesisConsumerLagHigh", Severity::Warning, Signal::DeliveryLag)
            .above(60.0, 30.0)
            .lasts(MINUTE, 2 * MINUTE),
        // AWS's recommended alarm on the iterator's age: half of the retention, 15 of 15 minutes.
        rule("KinesisConsumerLagCritical", Severity::Critical, Signal::RetentionUsed)
            .above(0.5, 0.4)
            .lasts(15 * MINUTE, 5 * MINUTE),
        rule("KinesisConsumerFallingBehind", Severity::Warning, Signal::FallingBehind)
            .above(0.5, 0.5)
            .lasts(10 * MINUTE, 5 * MINUTE),
        rule("KinesisConsumerStalled", Severity::Critical, Signal::Stalled)
            .above(0.5, 0.5)
            .lasts(2 * MINUTE, MINUTE),
        rule("KinesisConsumerStopped", Severity::Critical, Signal::Stopped)
            .above(0.5, 0.5)
            .lasts(MINUTE, 0),
        // Records are lost within the hour: time enough to raise the retention, if told at once.
        rule("KinesisDataLossImminent", Severity::Critical, Signal::TimeToDataLoss)
            .below(3_600.0, 7_200.0)
            .lasts(MINUTE, 5 * MINUTE),
        // 1: 14.4 times the budget's pace over an hour, or 6 times over six.
        rule("KinesisFreshnessBudgetBurn", Severity::Critical, Signal::FreshnessBurn)
            .above(1.0, 1.0)
            .lasts(2 * MINUTE, 5 * MINUTE),
    ]
}

fn streams() -> Vec<Rule> {
    vec![
        // Six a minute: a reader that was refused once has read again; one that always is has not.
        rule("KinesisReadThrottled", Severity::Warning, Signal::ReadThrottles)
            .above(0.1, 0.0)
            .lasts(5 * MINUTE, 5 * MINUTE)
            .missing(Missing::Clear),
        // AWS's recommended alarm: 1 %, 5 of 5 minutes; no data is no throttling.
        rule("KinesisWriteThrottled", Severity::Warning, Signal::WriteThrottles)
            .above(0.01, 0.005)
            .lasts(5 * MINUTE, 5 * MINUTE)
            .missing(Missing::Clear),
        rule("KinesisPutFailures", Severity::Warning, Signal::PutFailures)
            .above(0.01, 0.005)
            .lasts(5 * MINUTE, 5 * MINUTE)
            .missing(Missing::Clear),
        rule("KinesisHotShard", Severity::Warning, Signal::WriteUtilization)
            .above(0.8, 0.6)
            .lasts(5 * MINUTE, 5 * MINUTE),
        rule("KinescopeBypassed", Severity::Warning, Signal::Bypassed)
            .above(0.5, 0.5)
            .lasts(15 * MINUTE, 0),
    ]
}

fn ourselves() -> Vec<Rule> {
    vec![
        rule("KinesisSagaStuck", Severity::Warning, Signal::SagasStuck).above(0.0, 0.0).lasts(0, 0),
        rule("KinescopeCloudWatchFailing", Severity::Warning, Signal::CloudWatchSilence)
            .above(600.0, 60.0)
            .lasts(0, 0),
        rule("KinescopeNotificationFailing", Severity::Warning, Signal::NotificationSilence)
            .above(120.0, 0.0)
            .lasts(0, 0),
        Rule {
            enabled: false,
            ..rule("KinescopeWatchdog", Severity::Info, Signal::Always).above(0.5, 0.5).lasts(0, 0)
        },
    ]
}

/// A rule on everybody that has the signal. A reading that is gone says nothing about its subject,
/// so that nothing is resolved by silence unless a rule says so.
fn rule(name: &str, severity: Severity, signal: Signal) -> Rule {
    Rule {
        name: name.to_owned(),
        severity,
        stream: "*".to_owned(),
        consumer: "*".to_owned(),
        when: When { signal, sense: Sense::Above, threshold: 0.0, clear: 0.0 },
        hold: Duration::ZERO,
        keep_firing: Duration::ZERO,
        grace: None,
        missing: Missing::Keep,
        enabled: true,
        annotations: BTreeMap::new(),
    }
}

impl Rule {
    fn above(mut self, threshold: f64, clear: f64) -> Self {
        self.when = When { sense: Sense::Above, threshold, clear, ..self.when };
        self
    }

    fn below(mut self, threshold: f64, clear: f64) -> Self {
        self.when = When { sense: Sense::Below, threshold, clear, ..self.when };
        self
    }

    fn lasts(mut self, hold_seconds: u64, keep_firing_seconds: u64) -> Self {
        self.hold = Duration::from_secs(hold_seconds);
        self.keep_firing = Duration::from_secs(keep_firing_seconds);
        self
    }

    fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }
}
