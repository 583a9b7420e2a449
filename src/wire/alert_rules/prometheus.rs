//! Owns the rules as a Prometheus rule file, readable from 2.42 on: neither `query_offset` nor group
//! labels. Hysteresis is said by asking `ALERTS` whether the alert is on already.

use super::{Fit, Rendered, comment, head, quoted};
use crate::domain::alert::freshness::Objective;
use crate::domain::alert::signal::{Scope, Signal};
use crate::domain::alert::{Rule, Sense};
use std::time::Duration;

/// Often enough that `for: 1m` means a minute.
const INTERVAL_SECONDS: u64 = 15;

/// What no rule file can say.
const DIFFERENCES: &str = "\
# How these differ from the same rules inside Kinescope, whatever `exact` says:
# - A series that is absent resolves here. Kinescope leaves an alert as it was, unless the rule says
#   otherwise, and says since when it has had no value.
# - Grace after a first read or a resharding, flapping alerts that are kept on, storm limits and
#   inhibition are not here; inhibition, silences and mute times are Alertmanager's.
# - Consumers are taken together over all sidecars: the worst one counts.
";

/// The rules that are in force, for Prometheus.
#[must_use]
pub fn prometheus(rules: &[Rule], objective: &Objective, runbooks: &str) -> Rendered {
    let mut text = head("Alert rules over the metrics that Kinescope exports.", "prometheus");
    text.push_str(DIFFERENCES);
    text.push_str("groups:\n  - name: kinescope\n");
    text.push_str(&format!("    interval: {INTERVAL_SECONDS}s\n    rules:\n"));
    let mut fits = Vec::new();
    for rule in rules {
        let said = Said::of(rule, objective);
        let fit = if rule.enabled { said.fit } else { Fit::Not("the rule is off") };
        text.push_str(&comment(rule, fit, "      "));
        if !matches!(fit, Fit::Not(_)) {
            text.push_str(&entry(rule, &said.expression, runbooks, rule.severity.as_str()));
        }
        if rule.enabled && rule.when.signal == Signal::FreshnessBurn {
            text.push_str(&slow_burns(rule, objective, runbooks));
        }
        fits.push((rule.name.clone(), fit));
    }
    Rendered { text, fits }
}

/// Burns over days, which no process of ours lives through.
fn slow_burns(rule: &Rule, objective: &Objective, runbooks: &str) -> String {
    let lag = Query::new(rule).worst("kinesis_consumer_delivery_lag_seconds", "");
    let burn = |windows, factor: f64| burns(&lag, objective, windows, factor * rule.when.threshold);
    let expression = format!("{}\nor\n{}", burn(("1d", "2h"), 3.0), burn(("3d", "6h"), 1.0));
    let slow = Rule { hold: Duration::from_secs(900), ..rule.clone() };
    let only = Fit::Nearly("only here: windows of days, 3 and 1 times the budget's pace");
    comment(rule, only, "      ") + &entry(&slow, &expression, runbooks, "warning")
}

fn entry(rule: &Rule, expression: &str, runbooks: &str, severity: &str) -> String {
    let mut text = format!("      - alert: {}\n        expr: |-\n", rule.name);
    for line in expression.lines() {
        text.push_str(&format!("          {line}\n"));
    }
    for (key, value) in [("for", rule.hold), ("keep_firing_for", rule.keep_firing)] {
        if !value.is_zero() {
            text.push_str(&format!("        {key}: {}\n", duration(value)));
        }
    }
    text.push_str(&format!("        labels:\n          severity: {severity}\n"));
    text.push_str("        annotations:\n");
    let of: Vec<String> = rule
        .when
        .signal
        .scope()
        .labels()
        .iter()
        .map(|label| format!("{label} {{{{ $labels.{label} }}}}"))
        .collect();
    let of = if of.is_empty() { String::new() } else { format!(" of {}", of.join(", ")) };
    let signal = rule.when.signal.as_str();
    let summary = format!("{signal}{of} is {{{{ $value | humanize }}}}");
    let mut annotations = rule.annotations.clone();
    annotations.entry("summary".to_owned()).or_insert(summary);
    let runbook = format!("{runbooks}{}.md", rule.name);
    annotations.entry("runbook_url".to_owned()).or_insert(runbook);
    for (name, value) in &annotations {
        text.push_str(&format!("          {}: {}\n", quoted(name), quoted(value)));
    }
    text
}

struct Said {
    fit: Fit,
    expression: String,
}

/// The parts that a rule's expressions are made of.
struct Query<'a> {
    rule: &'a Rule,
    by: String,
    selector: String,
}

impl<'a> Query<'a> {
    fn new(rule: &'a Rule) -> Self {
        let scope = rule.when.signal.scope();
        let by = match scope {
            Scope::Receiver => "receiver".to_owned(),
            Scope::Process => String::new(),
            Scope::Consumer | Scope::Stream | Scope::Shard | Scope::Saga => {
                let labels = scope.labels().join(", ");
                format!("region, {labels}")
            }
        };
        let selected = [("stream", &rule.stream), ("consumer", &rule.consumer)];
        let selected = selected.iter().filter(|(_, pattern)| *pattern != "*");
        let selector = selected
            .map(|(label, pattern)| match pattern.contains(['*', '?']) {
                false => format!("{label}={}", quoted(pattern)),
                true => format!("{label}=~{}", quoted(&regex(pattern))),
            })
            .collect::<Vec<_>>()
            .join(", ");
        Self { rule, by, selector }
    }

    fn series(&self, family: &str, matcher: &str) -> String {
        let all: Vec<&str> =
            [matcher, &self.selector].into_iter().filter(|text| !text.is_empty()).collect();
        if all.is_empty() { family.to_owned() } else { format!("{family}{{{}}}", all.join(", ")) }
    }

    fn worst(&self, family: &str, matcher: &str) -> String {
        let worst = match self.rule.when.sense {
            Sense::Above => "max",
            Sense::Below => "min",
        };
        format!("{worst} by ({}) ({})", self.by, self.series(family, matcher))
    }

    fn sum_of(&self, family: &str, matcher: &str, window: &str) -> String {
        format!("sum by ({}) (increase({}[{window}]))", self.by, self.series(family, matcher))
    }

    /// Whether the alert is on, for what should stay as it is.
    fn is_on(&self) -> String {
        let alerts = format!(
            "ALERTS{{alertname={}, alertstate=\"firing\", severity=\"{}\"}}",
            quoted(&self.rule.name),
            self.rule.severity.as_str()
        );
        format!("and on ({}) {alerts}", self.by)
    }

    /// The rule's condition on this figure, and while it is on, its weaker one.
    fn condition(&self, figure: &str) -> String {
        let when = self.rule.when;
        let (sign, threshold, clear) = match when.sense {
            Sense::Above => (">", when.threshold, when.clear),
            Sense::Below => ("<", when.threshold, when.clear),
        };
        if threshold == clear {
            return format!("{figure} {sign} {threshold}");
        }
        format!("{figure} {sign} {threshold}\nor ({figure} {sign} {clear} {})", self.is_on())
    }

    /// A status, which others may hide.
    fn status(&self, status: &str, hidden_by: &str) -> String {
        let family = "kinesis_consumer_status";
        let is = format!(
            "max by ({}) ({})",
            self.by,
            self.series(family, &format!("status=\"{status}\""))
        );
        let hidden = format!("status=~\"{hidden_by}\"");
        let hidden = format!("max by ({}) ({})", self.by, self.series(family, &hidden));
        format!("{is} > 0.5\nor ({hidden} > 0.5 {})", self.is_on())
    }
}

impl Said {
    fn of(rule: &Rule, objective: &Objective) -> Self {
        let query = Query::new(rule);
        let figure = |family: &str| Self::exact(query.condition(&query.worst(family, "")));
        match rule.when.signal {
            Signal::DeliveryLag => figure("kinesis_consumer_delivery_lag_seconds"),
            Signal::RetentionUsed => figure("kinesis_consumer_retention_used_ratio"),
            Signal::LagVelocity => figure("kinesis_consumer_lag_velocity_ratio"),
            Signal::ReadThrottles => figure("kinesis_cloudwatch_read_throttles_per_second"),
            Signal::WriteUtilization => figure("kinesis_shard_write_utilization_ratio"),
            Signal::Stopped => Self::exact(query.status("stopped", "unknown|losing_data")),
            Signal::FallingBehind => {
                Self::exact(query.status("falling_behind", "unknown|losing_data|stopped"))
            }
            Signal::Stalled => Self::exact(query.status("stalled", "unknown|losing_data|stopped")),
            Signal::TimeToDataLoss => Self::data_loss(&query),
            Signal::FreshnessBurn => Self::freshness(&query, objective),
            Signal::WriteThrottles => {
                let refused = query.worst("kinesis_cloudwatch_write_throttles_per_second", "");
                let stored = query.worst("kinesis_cloudwatch_incoming_records_per_second", "");
                let share = format!("({refused} / ({refused} + {stored}))");
                Self::exact(query.condition(&share))
            }
            Signal::PutFailures => Self::put_failures(&query),
            Signal::Bypassed => Self::bypassed(&query),
            Signal::SagasStuck => {
                let stuck = query.worst("kinesis_sagas", "state=\"stuck\"");
                Self::exact(query.condition(&stuck))
            }
            Signal::CloudWatchSilence => {
                let last = "max(kinescope_cloudwatch_last_success_timestamp_seconds)";
                let why =
                    "silent before the first success, and loud while there is nothing to poll";
                let threshold = rule.when.threshold;
                Self::nearly(why, format!("time() - {last} > {threshold}"))
            }
            Signal::NotificationSilence => Self::notifications(&query),
            Signal::Always => Self::exact("vector(1)".to_owned()),
        }
    }

    fn exact(expression: String) -> Self {
        Self { fit: Fit::Exact, expression }
    }

    fn nearly(why: &'static str, expression: String) -> Self {
        Self { fit: Fit::Nearly(why), expression }
    }

    fn data_loss(query: &Query<'_>) -> Self {
        let left = query.worst("kinesis_consumer_time_to_data_loss_seconds", "");
        let lost = query.series("kinesis_consumer_status", "status=\"losing_data\"");
        let lost = format!("\nor (1 - max by ({}) ({lost})) < 0.5", query.by);
        let why = "a lag whose pace is not known clears it here";
        Self::nearly(why, query.condition(&left) + &lost)
    }

    fn freshness(query: &Query<'_>, objective: &Objective) -> Self {
        let lag = query.worst("kinesis_consumer_delivery_lag_seconds", "");
        let threshold = query.rule.when.threshold;
        let fast = burns(&lag, objective, ("1h", "5m"), 14.4 * threshold);
        let slow = burns(&lag, objective, ("6h", "30m"), 6.0 * threshold);
        let why = "looks at the lag every 15 s to a minute, not every second";
        Self::nearly(why, format!("{fast}\nor\n{slow}"))
    }

    fn put_failures(query: &Query<'_>) -> Self {
        let failed = query.sum_of("kinesis_put_failures_total", "", "5m");
        let put = query.sum_of("kinesis_records_total", "direction=\"put\"", "5m");
        let why = "over all sidecars together, and increase() reckons beyond the samples";
        Self::nearly(why, query.condition(&format!("({failed} / {put})")))
    }

    fn bypassed(query: &Query<'_>) -> Self {
        let counted = query.worst("kinesis_cloudwatch_incoming_records_per_second", "");
        let passed = |window| query.sum_of("kinesis_records_total", "", window);
        let why = "passed here means within a day, and no more within 15 minutes";
        let on = format!("on ({})", query.by);
        let (once, of_late) = (passed("1d"), passed("15m"));
        let expression =
            format!("({counted} > 0 and {on} ({once} > 0))\nunless {on} ({of_late} > 0)");
        Self::nearly(why, expression)
    }

    fn notifications(query: &Query<'_>) -> Self {
        let window = format!("{}s", query.rule.when.threshold.max(300.0));
        let count = |outcome: &str| query.sum_of("kinescope_notifications_total", outcome, &window);
        let failed = count("outcome=~\"retried|undeliverable|dropped\"");
        let delivered = count("outcome=\"delivered\"");
        let why = "failures and no delivery in a window, not since the first failure";
        Self::nearly(why, format!("{failed} > 0\nunless on (receiver) ({delivered} > 0)"))
    }
}

/// Both windows above the factor: the share of the window above the target, over the budget.
fn burns(lag: &str, objective: &Objective, (long, short): (&str, &str), factor: f64) -> String {
    let target = objective.target.as_secs_f64();
    // Per cent to a share, in as many digits as were written.
    let budget = format!("((100 - {}) / 100)", objective.percent);
    let over = |window: &str| {
        let of = seconds(window);
        // Some hundred looks a window are enough, and what Prometheus can afford.
        let step = match of {
            0..=3_600 => INTERVAL_SECONDS,
            3_601..=21_600 => 60,
            _ => 600,
        };
        format!(
            "sum_over_time(({lag} > bool {target})[{window}:{step}s]) * {step} / {of} / {budget} > {factor}"
        )
    };
    format!("({}\nand\n{})", over(long), over(short))
}

/// Seconds of a window such as `6h`.
fn seconds(window: &str) -> u64 {
    let unit = match window.chars().last() {
        Some('d') => 86_400,
        Some('h') => 3_600,
        Some('m') => 60,
        Some(_) | None => 1,
    };
    let digits = window.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    digits.parse::<u64>().unwrap_or_default() * unit
}

/// A glob as RE2, which Prometheus anchors at both ends.
fn regex(glob: &str) -> String {
    let mut out = String::new();
    for letter in glob.chars() {
        match letter {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            letter if letter.is_alphanumeric() || "_-".contains(letter) => out.push(letter),
            letter => {
                out.push('\\');
                out.push(letter);
            }
        }
    }
    out
}

fn duration(of: Duration) -> String {
    match of.as_millis() {
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::builtin::builtin;

    #[test]
    fn selections_and_hysteresis_are_said() {
        let mut rule = builtin().remove(0);
        rule.stream = "orders.*-?".to_owned();
        rule.consumer = "mail".to_owned();
        rule.hold = Duration::from_millis(1_500);
        let text = prometheus(&[rule], &Objective::default(), "r/").text;
        let of = r#"max by (region, stream, consumer) (kinesis_consumer_delivery_lag_seconds{stream=~"orders\\..*-.", consumer="mail"})"#;
        assert!(
            text.contains(&format!("          {of} > 60\n          or ({of} > 30 and on")),
            "{text}"
        );
        assert!(text.contains("for: 1500ms\n        keep_firing_for: 2m\n"), "{text}");
    }
}
