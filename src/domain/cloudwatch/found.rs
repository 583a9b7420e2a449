//! Owns what ListMetrics is asked for and how its answers become series. Refuses metrics and
//! dimensions that are none of ours.

use crate::domain::cloudwatch::metric::Metric;
use crate::domain::cloudwatch::plan::{Plan, is_exact};
use crate::domain::cloudwatch::subject::{Kind, Series, Subject};
use std::sync::Arc;

/// One question to ListMetrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Of what the metrics should be.
    pub kind: Kind,
    /// The dimension that they must have.
    pub dimension: &'static str,
    /// The one metric, where one is enough to know the thing by.
    pub metric: Option<&'static str>,
}

impl Plan {
    /// What cannot be known without asking.
    pub fn wishes(&self) -> impl Iterator<Item = Wish> {
        let has_pattern = self.functions.iter().any(|function| !is_exact(&function.name));
        let wish = |wanted: bool, kind, dimension, metric| {
            wanted.then_some(Wish { kind, dimension, metric })
        };
        let name = |metric: Metric| Some(metric.name());
        [
            // Which metrics of a shard are on is for its stream's owner to choose, one by one.
            wish(self.shard_level, Kind::Shard, "ShardId", None),
            wish(self.consumers, Kind::FanOut, "ConsumerName", name(Metric::FanOutBehind)),
            wish(has_pattern, Kind::Function, "FunctionName", name(Metric::LambdaIteratorAge)),
            // Also for exact names: which destination they deliver to.
            wish(!self.firehose.is_empty(), Kind::Firehose, "DeliveryStreamName", None),
            wish(!self.flink.is_empty(), Kind::Flink, "Application", name(Metric::FlinkBehind)),
        ]
        .into_iter()
        .flatten()
    }
}

impl Wish {
    /// The series that a metric of this `name` with these dimensions, in any order, stands for.
    #[must_use]
    pub fn read(&self, name: &str, dimensions: &[(&str, &str)]) -> Vec<Series> {
        let Some(subject) = self.subject(dimensions) else { return Vec::new() };
        let metrics: Vec<Metric> = match (self.metric, Metric::named(self.kind, name).next()) {
            (_, None) => Vec::new(),
            // One stands for all: a consumer without an error has no metric of errors yet.
            (Some(_), Some(_)) => Metric::of(self.kind).collect(),
            (None, Some(_)) => Metric::named(self.kind, name).collect(),
        };
        let series = |metric| Series { subject: subject.clone(), metric };
        metrics.into_iter().map(series).collect()
    }

    fn subject(&self, dimensions: &[(&str, &str)]) -> Option<Subject> {
        let value = |name: &str| {
            let mut found = dimensions.iter().filter(|(other, _)| *other == name);
            found.next().map(|(_, value)| *value)
        };
        // Other dimensions make another series, which is none of these.
        let exactly = |count: usize| Some(()).filter(|()| dimensions.len() == count);
        match self.kind {
            Kind::Stream | Kind::Mapping => None,
            Kind::Shard => exactly(2)
                .and(value("StreamName").zip(value("ShardId")))
                .map(|(stream, shard)| Subject::Shard(stream.into(), shard.into())),
            Kind::FanOut => exactly(2)
                .and(value("StreamName").zip(value("ConsumerName")))
                .map(|(stream, consumer)| Subject::FanOut(stream.into(), consumer.into())),
            Kind::Function => {
                exactly(1).and(value("FunctionName")).map(|name| Subject::Function(name.into()))
            }
            Kind::Firehose => exactly(1)
                .and(value("DeliveryStreamName"))
                .map(|name| Subject::Firehose(name.into())),
            Kind::Flink => {
                // A series for each shard or task would be beyond number.
                let part = ["ShardId", "Task", "Operator", "Parallelism"];
                if part.iter().any(|part| value(part).is_some()) {
                    return None;
                }
                let rest = dimensions.iter().filter(|(name, _)| *name != "Application");
                let rest: Arc<[(Arc<str>, Arc<str>)]> =
                    rest.map(|(name, value)| ((*name).into(), (*value).into())).collect();
                value("Application").map(|name| Subject::Flink(name.into(), rest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_asked_for() {
        let kinds = |plan: &Plan| plan.wishes().map(|wish| wish.kind).collect::<Vec<_>>();
        let mut plan = Plan::default();
        assert_eq!(kinds(&plan), [Kind::Shard, Kind::FanOut]);
        (plan.shard_level, plan.consumers) = (false, false);
        plan.functions = vec![crate::domain::cloudwatch::plan::Function {
            name: "exact".into(),
            event_source_mappings: vec![],
        }];
        assert_eq!(kinds(&plan), []);
        plan.functions[0].name = "billing-*".into();
        plan.firehose = vec!["pipe".into()];
        plan.flink = vec!["*".into()];
        assert_eq!(kinds(&plan), [Kind::Function, Kind::Firehose, Kind::Flink]);
    }

    #[test]
    fn listed_metrics_are_read() {
        let check = |kind, metric, name: &str, dimensions: &[(&str, &str)], expected: usize| {
            let wish = Wish { kind, dimension: "", metric };
            assert_eq!(wish.read(name, dimensions).len(), expected, "{name} {dimensions:?}");
        };
        let shard = [("ShardId", "shardId-0"), ("StreamName", "a")];
        check(Kind::Shard, None, "IteratorAgeMilliseconds", &shard, 1);
        check(Kind::Shard, None, "GetRecords.IteratorAgeMilliseconds", &shard, 0);
        check(Kind::Shard, None, "IncomingBytes", &shard[..1], 0);
        let consumer = [("StreamName", "a"), ("ConsumerName", "mail")];
        let behind = "SubscribeToShardEvent.MillisBehindLatest";
        check(Kind::FanOut, Some(behind), behind, &consumer, 6);
        check(Kind::FanOut, Some(behind), behind, &[consumer[0], consumer[1], shard[0]], 0);
        let pipe = [("DeliveryStreamName", "p")];
        check(Kind::Firehose, None, "DeliveryToS3.DataFreshness", &pipe, 1);
        check(Kind::Firehose, None, "BackupToS3.Success", &pipe, 0);
        let flink = [("Id", "orders"), ("Application", "app"), ("Flow", "Input")];
        check(Kind::Flink, Some("millisBehindLatest"), "millisBehindLatest", &flink, 1);
        let part = [flink[1], ("ShardId", "shardId-0")];
        check(Kind::Flink, Some("millisBehindLatest"), "millisBehindLatest", &part, 0);
    }
}
