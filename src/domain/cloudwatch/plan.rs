//! Owns the list of all series that are wanted: in the order of what matters, of the things that
//! are selected, are this replica's and were not given up. Refuses to ask for one twice.

use crate::domain::alert::glob;
use crate::domain::cloudwatch::budget::Detail;
use crate::domain::cloudwatch::metric::Metric;
use crate::domain::cloudwatch::share::Share;
use crate::domain::cloudwatch::subject::{Kind, Series, Subject};
use crate::domain::stream::StreamName;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// A Lambda function whose lag is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name, or a pattern of names.
    pub name: String,
    /// Its event source mappings that have metrics, by UUID.
    pub event_source_mappings: Vec<String>,
}

/// What is wanted beside the streams' own metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Shards with enhanced monitoring, where there are any.
    pub shard_level: bool,
    /// Consumers with enhanced fan-out, where there are any.
    pub consumers: bool,
    /// Lambda functions.
    pub functions: Vec<Function>,
    /// Firehose streams, names or patterns.
    pub firehose: Vec<String>,
    /// Flink applications, names or patterns.
    pub flink: Vec<String>,
    /// Whose turn it is.
    pub share: Share,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            shard_level: true,
            consumers: true,
            functions: Vec::new(),
            firehose: Vec::new(),
            flink: Vec::new(),
            share: Share::default(),
        }
    }
}

/// Whether a name is meant as it is, and not as a pattern.
#[must_use]
pub fn is_exact(name: &str) -> bool {
    !name.contains(['*', '?'])
}

impl Plan {
    /// Every series of `streams`, of what is configured by name, and of what was `found`.
    #[must_use]
    pub fn series(&self, streams: &[StreamName], found: &[Series]) -> Vec<Series> {
        let ours: Vec<&StreamName> =
            streams.iter().filter(|stream| self.share.has(stream.as_str())).collect();
        let known: HashSet<&StreamName> = ours.iter().copied().collect();
        let mut seen = HashSet::new();
        let of_streams =
            ours.into_iter().filter(|stream| seen.insert(*stream)).flat_map(|stream| {
                let subject = Subject::Stream(stream.clone());
                Metric::of(Kind::Stream)
                    .map(move |metric| Series { subject: subject.clone(), metric })
            });
        let mut rest: BTreeSet<Series> = self.named().collect();
        rest.extend(found.iter().filter(|series| self.wants(&series.subject, &known)).cloned());
        let rest = rest.into_iter().filter(|it| self.share.has(it.subject.owner_key()));
        of_streams.chain(rest).collect()
    }

    /// What is asked for without waiting to be found: CloudWatch lists a new metric after a quarter of
    /// an hour, and one that was silent for two weeks no more.
    fn named(&self) -> impl Iterator<Item = Series> {
        let functions = self.functions.iter().flat_map(|function| {
            let name = Some(&function.name).filter(|name| is_exact(name));
            let mappings = function.event_source_mappings.iter();
            let mappings = mappings.map(|id| Subject::Mapping(id.as_str().into()));
            name.map(|name| Subject::Function(name.as_str().into())).into_iter().chain(mappings)
        });
        let exact = |names: &[String]| -> Vec<Arc<str>> {
            names.iter().filter(|name| is_exact(name)).map(|name| name.as_str().into()).collect()
        };
        let firehose = exact(&self.firehose).into_iter().map(Subject::Firehose);
        let flink = exact(&self.flink).into_iter().map(|name| Subject::Flink(name, [].into()));
        functions.chain(firehose).chain(flink).flat_map(|subject| {
            let kind = subject.kind();
            // Of destinations, only those that are found: a stream has one of the five.
            let plain = |metric: &Metric| metric.destination().is_none();
            Metric::of(kind)
                .filter(plain)
                .map(move |metric| Series { subject: subject.clone(), metric })
        })
    }

    fn wants(&self, subject: &Subject, streams: &HashSet<&StreamName>) -> bool {
        let named = |names: &[String], name: &str| names.iter().any(|it| glob::matches(it, name));
        match subject {
            Subject::Stream(_) | Subject::Mapping(_) => false,
            Subject::Shard(stream, _) => self.shard_level && streams.contains(stream),
            Subject::FanOut(stream, _) => self.consumers && streams.contains(stream),
            Subject::Function(name) => self.functions.iter().any(|f| glob::matches(&f.name, name)),
            Subject::Firehose(name) => named(&self.firehose, name),
            Subject::Flink(name, _) => named(&self.flink, name),
        }
    }
}

/// What of `series` is left when `given_up` is given up.
#[must_use]
pub fn without(series: &[Series], given_up: &[Detail]) -> Vec<Series> {
    let kept = |it: &&Series| !given_up.contains(&Detail::of(it.metric));
    series.iter().filter(kept).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(plan: &Plan, streams: &[&str], found: &[Series]) -> Vec<String> {
        let streams: Vec<StreamName> = streams.iter().map(|name| StreamName::from(*name)).collect();
        let mut subjects = Vec::new();
        for series in plan.series(&streams, found) {
            let dimensions = series.subject.dimensions();
            let values: Vec<_> = dimensions.iter().map(|(_, value)| *value).collect();
            let text = values.join("/");
            if !subjects.contains(&text) {
                subjects.push(text);
            }
        }
        subjects
    }

    fn shard(stream: &str) -> Series {
        let subject = Subject::Shard(stream.into(), "shardId-0".into());
        Series { subject, metric: Metric::ShardIteratorAge }
    }

    #[test]
    fn known_names_are_asked_for_and_found_ones_when_selected() {
        let mut plan = Plan::default();
        let fan_out = Subject::FanOut("a".into(), "mail".into());
        let pipe = |name: &str, metric| Series { subject: Subject::Firehose(name.into()), metric };
        let found = [
            shard("a"),
            shard("other"),
            Series { subject: fan_out, metric: Metric::FanOutBehind },
            pipe("pipe-2", Metric::FirehoseS3),
        ];
        assert_eq!(subjects(&plan, &["a", "b", "a"], &found), ["a", "b", "a/shardId-0", "a/mail"]);
        plan.firehose = vec!["pipe-1".into(), "pipe-?".into()];
        plan.consumers = false;
        let mapping = vec!["uuid".to_owned()];
        plan.functions = vec![Function { name: "f".into(), event_source_mappings: mapping }];
        plan.flink = vec!["app".into()];
        let expected = ["a", "a/shardId-0", "f", "uuid", "pipe-1", "pipe-2", "app"];
        assert_eq!(subjects(&plan, &["a"], &found), expected);
        plan.shard_level = false;
        assert_eq!(subjects(&plan, &["a"], &found).len(), expected.len() - 1);
    }

    #[test]
    fn replicas_divide_it_and_keep_a_streams_things_together() {
        let names: Vec<String> = (0..50).map(|index| format!("s{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found: Vec<Series> = names.iter().map(|name| shard(name)).collect();
        let mut all = Vec::new();
        for ordinal in 0..3 {
            let plan = Plan { share: Share { ordinal, replicas: 3 }, ..Plan::default() };
            let ours = subjects(&plan, &names, &found);
            for stream in ours.iter().filter(|it| !it.contains('/')) {
                assert!(ours.contains(&format!("{stream}/shardId-0")), "{stream} of {ordinal}");
            }
            all.extend(ours);
        }
        all.sort();
        let len = all.len();
        all.dedup();
        assert_eq!((len, all.len()), (100, 100));
    }
}
