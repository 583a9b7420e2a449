//! Owns the built-in rules. Refuses to read files: what overrides a rule is configuration.

use super::Missing;
use super::Rule;
use super::Severity;
use super::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

/// The rules in force where nothing overrides them.
#[must_use]
pub fn builtin() -> Vec<Rule> {
    let lag = Rule {
        name: "KinesisConsumerLagHigh".to_owned(),
        severity: Severity::Warning,
        stream: "*".to_owned(),
        consumer: "*".to_owned(),
        signal: Signal::DeliveryLag,
        above: 60.0,
        clear_below: 30.0,
        hold: Duration::from_secs(60),
        keep_firing: Duration::from_secs(120),
        missing: Missing::Keep,
        annotations: BTreeMap::new(),
    };
    let stopped = Rule {
        name: "KinesisConsumerStopped".to_owned(),
        severity: Severity::Critical,
        signal: Signal::Stopped,
        above: 0.5,
        clear_below: 0.5,
        keep_firing: Duration::ZERO,
        ..lag.clone()
    };
    vec![lag, stopped]
}
