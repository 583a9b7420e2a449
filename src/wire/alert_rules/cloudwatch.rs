//! Owns the rules as CloudWatch alarms on Kinesis's own metrics, in a CloudFormation template for
//! one stream. Refuses to call the stream's greatest age a consumer's lag: it says so.

use super::{Fit, Rendered, comment, head, quoted};
use crate::domain::alert::signal::Signal;
use crate::domain::alert::{Missing, Rule};

const PARAMETERS: &str = r#"AWSTemplateFormatVersion: "2010-09-09"
Description: Alarms on one Kinesis stream, after Kinescope's rules
Parameters:
  StreamName:
    Type: String
    Description: The stream's name
  RetentionHours:
    Type: Number
    Default: 24
    Description: How long the stream keeps records; an alarm cannot ask
  AlarmTopic:
    Type: String
    Default: ""
    Description: An SNS topic to be told of alarms and of their end; empty for none
Conditions:
  IsTold: !Not [!Equals [!Ref AlarmTopic, ""]]
Resources:
"#;

const DIFFERENCES: &str = "\
# What none of these alarms can say: a threshold of its own to clear at, for how long an alarm must
# be clear, a reminder, the consumer, the shard, and why. Figures come minutes late, and a period is
# at least a minute.
";

/// The rules in force as alarms.
#[must_use]
pub fn cloudwatch(rules: &[Rule], runbooks: &str) -> Rendered {
    let mut text = head("CloudWatch alarms on the metrics of AWS/Kinesis.", "cloudwatch");
    text.push_str(DIFFERENCES);
    text.push_str(PARAMETERS);
    let mut fits = Vec::new();
    for rule in rules {
        let (fit, alarm) = alarm(rule);
        let fit = if rule.enabled { fit } else { Fit::Not("the rule is off") };
        text.push_str(&comment(rule, fit, "  "));
        if !matches!(fit, Fit::Not(_)) {
            text.push_str(&alarm.map(|alarm| alarm.text(rule, runbooks)).unwrap_or_default());
        }
        fits.push((rule.name.clone(), fit));
    }
    Rendered { text, fits }
}

/// Metrics by the names that the expression has for them, each with its statistic.
struct Alarm {
    metrics: &'static [(&'static str, &'static str, &'static str)],
    expression: &'static str,
    operator: &'static str,
    threshold: f64,
}

const AGE: &[(&str, &str, &str)] = &[("age", "GetRecords.IteratorAgeMilliseconds", "Maximum")];

fn alarm(rule: &Rule) -> (Fit, Option<Alarm>) {
    let above = "GreaterThanThreshold";
    let threshold = rule.when.threshold;
    let alarm = |metrics, expression, operator| Alarm { metrics, expression, operator, threshold };
    let one_for_all = "the greatest age of all consumers, by the iterator and not by the tip";
    let (fit, alarm) = match rule.when.signal {
        Signal::DeliveryLag => (Fit::Nearly(one_for_all), alarm(AGE, "age / 1000", above)),
        Signal::RetentionUsed => (
            Fit::Nearly("the greatest age of all consumers; the retention is a parameter"),
            alarm(AGE, "age / (${RetentionHours} * 3600000)", above),
        ),
        Signal::TimeToDataLoss => (
            Fit::Nearly("the time left to a reader that stands still; a slow one has longer"),
            alarm(AGE, "${RetentionHours} * 3600 - age / 1000", "LessThanThreshold"),
        ),
        Signal::ReadThrottles => (
            Fit::Nearly("clears at the threshold itself"),
            alarm(
                &[("refused", "ReadProvisionedThroughputExceeded", "Sum")],
                "refused / PERIOD(refused)",
                above,
            ),
        ),
        Signal::WriteThrottles => (
            Fit::Nearly("clears at the threshold itself"),
            alarm(
                &[
                    ("refused", "WriteProvisionedThroughputExceeded", "Sum"),
                    ("stored", "IncomingRecords", "Sum"),
                ],
                "refused / (refused + stored)",
                above,
            ),
        ),
        Signal::PutFailures => (
            Fit::Nearly("PutRecords of all producers; a failed PutRecord is not in it"),
            alarm(
                &[
                    ("failed", "PutRecords.FailedRecords", "Sum"),
                    ("total", "PutRecords.TotalRecords", "Sum"),
                ],
                "failed / total",
                above,
            ),
        ),
        Signal::Stopped | Signal::FallingBehind | Signal::Stalled | Signal::LagVelocity => {
            return (Fit::Not("CloudWatch knows no consumer of GetRecords and no trend"), None);
        }
        Signal::FreshnessBurn => {
            return (Fit::Not("a share of hours is beyond one alarm's evaluation range"), None);
        }
        Signal::WriteUtilization => {
            return (Fit::Not("needs a metric for each shard, by names that change"), None);
        }
        Signal::Bypassed
        | Signal::SagasStuck
        | Signal::CloudWatchSilence
        | Signal::NotificationSilence
        | Signal::Always => {
            return (Fit::Not("AWS/Kinesis has no figure of it"), None);
        }
    };
    (fit, Some(alarm))
}

impl Alarm {
    fn text(&self, rule: &Rule, runbooks: &str) -> String {
        let minutes = rule.hold.as_secs().div_ceil(60).max(1);
        let missing = match rule.missing {
            Missing::Keep => "ignore",
            Missing::Fire => "breaching",
            Missing::Clear => "notBreaching",
        };
        let id: String = rule.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let name = format!("{}-${{StreamName}}", rule.name);
        let runbook = quoted(&format!("{runbooks}{}.md", rule.name));
        let mut text = format!(
            "  {id}:\n    Type: AWS::CloudWatch::Alarm\n    Properties:\n      \
             AlarmName: !Sub {}\n      AlarmDescription: {runbook}\n      \
             ComparisonOperator: {}\n      Threshold: {}\n      EvaluationPeriods: {minutes}\n      \
             DatapointsToAlarm: {minutes}\n      TreatMissingData: {missing}\n      \
             AlarmActions: !If [IsTold, [!Ref AlarmTopic], !Ref AWS::NoValue]\n      \
             OKActions: !If [IsTold, [!Ref AlarmTopic], !Ref AWS::NoValue]\n      Metrics:\n",
            quoted(&name),
            self.operator,
            self.threshold
        );
        let value = if self.expression.contains('$') { "!Sub " } else { "" };
        text.push_str(&format!(
            "        - Id: value\n          Expression: {value}{}\n          ReturnData: true\n",
            quoted(self.expression)
        ));
        for (id, metric, statistic) in self.metrics {
            text.push_str(&format!(
                "        - Id: {id}\n          ReturnData: false\n          MetricStat:\n            \
                 Metric:\n              Namespace: AWS/Kinesis\n              MetricName: {metric}\n              \
                 Dimensions: [{{ Name: StreamName, Value: !Ref StreamName }}]\n            \
                 Period: 60\n            Stat: {statistic}\n"
            ));
        }
        text
    }
}
