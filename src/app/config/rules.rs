//! Owns how alert rules are read: the built-in ones, overridden by name, and new ones. Refuses to
//! evaluate them.

use super::value::Pattern;
use super::value::Threshold;
use super::walk::Spot;
use super::walk::Table;
use crate::domain::alert::Missing;
use crate::domain::alert::Rule;
use crate::domain::alert::Severity;
use crate::domain::alert::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one definition says of a rule; what it does not say stays as it was.
struct Said {
    severity: Option<Severity>,
    stream: Option<Pattern>,
    consumer: Option<Pattern>,
    signal: Option<Signal>,
    above: Option<Threshold>,
    clear_below: Option<Threshold>,
    hold: Option<Duration>,
    keep_firing: Option<Duration>,
    missing: Option<Missing>,
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
            above: when.key("above").maybe(),
            clear_below: when.key("clear_below").maybe(),
            hold: table.key("for").maybe(),
            keep_firing: table.key("keep_firing_for").maybe(),
            missing: table.key("missing").maybe(),
            annotations,
        };
        select.done();
        when.done();
        said
    }

    /// Changes a rule that exists already.
    fn over(self, rule: &mut Rule, spot: &Spot<'_>) {
        let signal = self.signal.unwrap_or(rule.signal);
        if signal != rule.signal && (self.above.is_none() || self.clear_below.is_none()) {
            spot.fault("another signal has another unit: give `above` and `clear_below` too");
        }
        rule.signal = signal;
        rule.severity = self.severity.unwrap_or(rule.severity);
        if let Some(Pattern(stream)) = self.stream {
            rule.stream = stream;
        }
        if let Some(Pattern(consumer)) = self.consumer {
            rule.consumer = consumer;
        }
        rule.above = self.above.map_or(rule.above, |above| in_unit(above, signal, spot));
        rule.clear_below =
            self.clear_below.map_or(rule.clear_below, |below| in_unit(below, signal, spot));
        rule.hold = self.hold.unwrap_or(rule.hold);
        rule.keep_firing = self.keep_firing.unwrap_or(rule.keep_firing);
        rule.missing = self.missing.unwrap_or(rule.missing);
        rule.annotations.extend(self.annotations);
        if rule.clear_below > rule.above {
            spot.fault("`clear_below` should not be higher than `above`");
        }
    }

    /// Makes a new rule, if what was said is enough for one.
    fn complete(self, name: &str, spot: &Spot<'_>, rules: &[Rule]) -> Option<Rule> {
        let (Some(severity), Some(signal), Some(above), Some(hold)) =
            (self.severity, self.signal, self.above, self.hold)
        else {
            let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
            spot.fault(format!(
                "a new rule should have severity, when.signal, when.above and for; \
                 rules that can be overridden in part: {}",
                names.join(", ")
            ));
            return None;
        };
        let above = in_unit(above, signal, spot);
        let mut rule = Rule {
            name: name.to_owned(),
            severity,
            stream: "*".to_owned(),
            consumer: "*".to_owned(),
            signal,
            above,
            clear_below: above,
            hold,
            keep_firing: Duration::ZERO,
            missing: Missing::Keep,
            annotations: BTreeMap::new(),
        };
        self.over(&mut rule, spot);
        Some(rule)
    }
}

/// A threshold as a number in the signal's unit.
fn in_unit(threshold: Threshold, signal: Signal, spot: &Spot<'_>) -> f64 {
    match (threshold, signal) {
        (Threshold::Number(number), Signal::DeliveryLag | Signal::Stopped) => number,
        (Threshold::Seconds(seconds), Signal::DeliveryLag) => seconds,
        (Threshold::Seconds(seconds), Signal::Stopped) => {
            spot.fault("the signal `stopped` is 0 or 1: its thresholds should be plain numbers");
            seconds
        }
    }
}
