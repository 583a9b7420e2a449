//! Owns how alert rules are read: the built-in ones, overridden by name, and new ones. Refuses to
//! evaluate them.

use super::value::Pattern;
use super::value::Threshold;
use super::walk::Spot;
use super::walk::Table;
use crate::domain::alert::Missing;
use crate::domain::alert::Rule;
use crate::domain::alert::Sense;
use crate::domain::alert::Severity;
use crate::domain::alert::Signal;
use crate::domain::alert::When;
use crate::domain::alert::rule::RuleFault;
use crate::domain::alert::signal::Unit;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one definition says of a rule; what it does not say stays as it was.
struct Said {
    severity: Option<Severity>,
    stream: Option<Pattern>,
    consumer: Option<Pattern>,
    signal: Option<Signal>,
    /// On which side, from where, and back to where.
    limits: Vec<(Sense, Option<Threshold>, Option<Threshold>)>,
    hold: Option<Duration>,
    keep_firing: Option<Duration>,
    grace: Option<Duration>,
    missing: Option<Missing>,
    enabled: Option<bool>,
    annotations: BTreeMap<String, String>,
}

/// Reads the definitions of one file, or those written inline, over the rules so far.
pub(super) fn read(definitions: &[Spot<'_>], rules: &mut Vec<Rule>) {
    let mut seen = Vec::new();
    for spot in definitions {
        let mut table = spot.table();
        let name_spot = table.key("name");
        let said = Said::read(&mut table);
        table.done();
        let Some(name) = name_spot.maybe::<String>().filter(|name| !name.is_empty()) else {
            if spot.is_map() && !name_spot.given() {
                spot.fault("should have a `name`");
            }
            continue;
        };
        if seen.contains(&name) {
            name_spot.fault("given twice; keep one");
            continue;
        }
        match rules.iter_mut().find(|rule| rule.name == name) {
            Some(rule) => said.over(rule, spot),
            None => rules.extend(said.complete(&name, spot, rules)),
        }
        seen.push(name);
    }
}

impl Said {
    fn read(table: &mut Table<'_>) -> Self {
        let mut select = table.key("select").table();
        let mut when = table.key("when").table();
        let mut annotations = BTreeMap::new();
        for (name, value) in table.key("annotations").table().open() {
            annotations.extend(value.maybe().map(|text: String| (name.to_owned(), text)));
        }
        let said = Self {
            severity: table.key("severity").maybe(),
            stream: select.key("stream").maybe(),
            consumer: select.key("consumer").maybe(),
            signal: when.key("signal").maybe(),
            limits: [
                (Sense::Above, "above", "clear_below"),
                (Sense::Below, "below", "clear_above"),
            ]
            .map(|(sense, from, back)| (sense, when.key(from).maybe(), when.key(back).maybe()))
            .into_iter()
            .filter(|(_, from, back)| from.is_some() || back.is_some())
            .collect(),
            hold: table.key("for").maybe(),
            keep_firing: table.key("keep_firing_for").maybe(),
            grace: table.key("grace").maybe(),
            missing: table.key("missing").maybe(),
            enabled: table.key("enabled").maybe(),
            annotations,
        };
        select.done();
        when.done();
        said
    }

    /// Changes a rule that exists already.
    fn over(self, rule: &mut Rule, spot: &Spot<'_>) {
        rule.when = self.when(rule.when, spot);
        rule.severity = self.severity.unwrap_or(rule.severity);
        if let Some(Pattern(stream)) = self.stream {
            rule.stream = stream;
        }
        if let Some(Pattern(consumer)) = self.consumer {
            rule.consumer = consumer;
        }
        rule.hold = self.hold.unwrap_or(rule.hold);
        rule.keep_firing = self.keep_firing.unwrap_or(rule.keep_firing);
        rule.grace = self.grace.or(rule.grace);
        rule.missing = self.missing.unwrap_or(rule.missing);
        rule.enabled = self.enabled.unwrap_or(rule.enabled);
        rule.annotations.extend(self.annotations);
        for fault in rule.faults() {
            spot.fault(match fault {
                RuleFault::ClearsWhereItFires { .. } => match rule.when.sense {
                    Sense::Above => "`clear_below` should not be higher than `above`".to_owned(),
                    Sense::Below => "`clear_above` should not be lower than `below`".to_owned(),
                },
                RuleFault::SelectsNothing { of, what, .. } => {
                    format!("its signal is of {of}: `select` should not name a {what}")
                }
                RuleFault::NoName
                | RuleFault::DuplicateName { .. }
                | RuleFault::NotFinite { .. } => fault.to_string(),
            });
        }
    }

    /// The condition, over the one so far.
    fn when(&self, old: When, spot: &Spot<'_>) -> When {
        let signal = self.signal.unwrap_or(old.signal);
        let mut when = When { signal, ..old };
        let is_whole = self.limits.iter().any(|(_, from, back)| from.is_some() && back.is_some());
        if signal != old.signal && !is_whole {
            spot.fault(
                "another signal has another unit: give both its thresholds, `above` and \
                 `clear_below` or `below` and `clear_above`",
            );
        }
        match self.limits.as_slice() {
            [] => {}
            [(sense, from, back)] => {
                if *sense != when.sense && (from.is_none() || back.is_none()) {
                    spot.fault(
                        "the other side of a threshold needs both `below` and `clear_above`",
                    );
                }
                when.sense = *sense;
                let number = |threshold: &Option<Threshold>, or: f64| {
                    threshold.map_or(or, |threshold| in_unit(threshold, signal, spot))
                };
                when.threshold = number(from, when.threshold);
                when.clear = number(back, when.clear);
            }
            _ => spot.fault("`when` should have either `above` or `below`, not both"),
        }
        when
    }

    /// Makes a new rule, if what was said is enough for one.
    fn complete(mut self, name: &str, spot: &Spot<'_>, rules: &[Rule]) -> Option<Rule> {
        let from = self.limits.iter().find_map(|(sense, from, _)| Some((*sense, (*from)?)));
        let (Some(severity), Some(signal), Some((sense, from)), Some(hold)) =
            (self.severity, self.signal, from, self.hold)
        else {
            let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
            spot.fault(format!(
                "a new rule should have severity, when.signal, when.above or when.below, and for; \
                 rules that can be overridden in part: {}",
                names.join(", ")
            ));
            return None;
        };
        // Without a second threshold it clears where it fires.
        for (_, from, back) in &mut self.limits {
            *back = back.or(*from);
        }
        let threshold = in_unit(from, signal, spot);
        let mut rule = Rule {
            name: name.to_owned(),
            severity,
            stream: "*".to_owned(),
            consumer: "*".to_owned(),
            when: When { signal, sense, threshold, clear: threshold },
            hold,
            keep_firing: Duration::ZERO,
            grace: None,
            missing: Missing::Keep,
            enabled: true,
            annotations: BTreeMap::new(),
        };
        self.over(&mut rule, spot);
        Some(rule)
    }
}

/// A threshold as a number in the signal's unit.
fn in_unit(threshold: Threshold, signal: Signal, spot: &Spot<'_>) -> f64 {
    match (threshold, signal.unit()) {
        (Threshold::Number(number), _) => number,
        (Threshold::Seconds(seconds), Unit::Seconds) => seconds,
        (Threshold::Seconds(seconds), unit) => {
            let name = signal.as_str();
            spot.fault(match unit {
                Unit::Flag => {
                    format!("the signal `{name}` is 0 or 1: its thresholds should be plain numbers")
                }
                Unit::Seconds
                | Unit::Ratio
                | Unit::PerSecond
                | Unit::Velocity
                | Unit::Factor
                | Unit::Count => {
                    format!(
                        "the signal `{name}` is no time: its thresholds should be plain numbers"
                    )
                }
            });
            seconds
        }
    }
}
