//! Owns what is tried and said of each stream: permissions, what injection would change, who reads
//! it. Refuses to look at more than a handful, and says how many it left out.

use super::aws::{is_permission, said};
use super::sample::{self, Shards};
use super::{CHECK_MAX, Table, Verdict, late};
use crate::app::config::{Deliver, Propagate, Propagation, Proxy, StreamPolicy};
use crate::domain::alert::glob;
use crate::domain::envelope::aggregate::Aggregated;
use crate::io::clock::Clock;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::StreamDescriptionSummary;

/// Streams that are looked at: each costs up to a minute where nothing answers.
const STREAMS_MAX: usize = 20;

/// Kinesis's record limit where the stream does not say another.
const RECORD_BYTES: usize = 1 << 20;

/// Looks at every stream that the configuration names, and at those of `listed` that its policies
/// match.
pub(super) async fn check(
    kinesis: &Client,
    proxy: &Proxy,
    listed: &[String],
    clock: &Clock,
    table: &mut Table<'_>,
) {
    let mut streams = wanted(proxy, listed);
    if streams.is_empty() {
        table.tell("streams", Verdict::skipped("none is named, and none is listed"));
    }
    let left_out = streams.len().saturating_sub(STREAMS_MAX);
    streams.truncate(STREAMS_MAX);
    for stream in &streams {
        one(kinesis, proxy, stream, clock, table).await;
    }
    if left_out > 0 {
        let why = format!("{left_out} more match and were not looked at");
        table.tell("streams", Verdict::skipped(why));
    }
}

/// Streams by name: those that the configuration names, then listed ones, allowed and in order.
fn wanted(proxy: &Proxy, listed: &[String]) -> Vec<String> {
    let patterns = proxy.streams.iter().map(|policy| &policy.pattern).chain(&proxy.allow.streams);
    let named = patterns.filter(|pattern| !pattern.contains(['*', '?']));
    let allowed = |name: &&String| {
        let globs = &proxy.allow.streams;
        globs.is_empty() || globs.iter().any(|pattern| glob::matches(pattern, name))
    };
    let mut wanted: Vec<String> = Vec::new();
    for name in named.chain(listed).filter(allowed) {
        if !wanted.contains(name) {
            wanted.push(name.clone());
        }
    }
    wanted
}

async fn one(kinesis: &Client, proxy: &Proxy, stream: &str, clock: &Clock, table: &mut Table<'_>) {
    let what = |check: &str| format!("stream {stream}: {check}");
    table.trying(&what("describe"));
    let (verdict, summary) = summary(kinesis, stream).await;
    table.tell(&what("describe"), verdict);
    table.trying(&what("shards"));
    let (verdict, shards) = shards(kinesis, stream).await;
    table.tell(&what("shards"), verdict);
    table.trying(&what("injection"));
    let policy = policy(proxy, stream);
    let limit = record_limit(&policy, summary.as_ref());
    let sampled = async {
        let Some(shards) = shards else { return Err("its shards are not known".to_owned()) };
        sample::read(kinesis, stream, &shards, clock).await
    };
    let sampled = tokio::time::timeout(CHECK_MAX, sampled).await;
    let intent = intent(proxy.propagation, &policy, limit);
    let verdict = match sampled.unwrap_or_else(|_| Err("its records take too long".to_owned())) {
        Ok(sample) => {
            let found = sample::judge(&sample.records, policy.aggregated, limit.0);
            Verdict::ok(format!("{intent}; {} {found}", sample.span))
        }
        Err(why) => Verdict::skipped(format!("{intent}; no record was looked at: {why}")),
    };
    table.tell(&what("injection"), verdict);
    let arn = summary.as_ref().map(StreamDescriptionSummary::stream_arn);
    table.trying(&what("readers"));
    let verdict = readers(kinesis, arn).await;
    table.tell(&what("readers"), verdict);
}

/// The policy of a stream: the first that matches.
fn policy(proxy: &Proxy, stream: &str) -> StreamPolicy {
    let matching = |policy: &&StreamPolicy| glob::matches(&policy.pattern, stream);
    proxy.streams.iter().find(matching).cloned().unwrap_or_default()
}

/// The largest record in bytes, and who says so.
fn record_limit(
    policy: &StreamPolicy,
    summary: Option<&StreamDescriptionSummary>,
) -> (usize, &'static str) {
    let kib = summary.and_then(StreamDescriptionSummary::max_record_size_in_kib);
    let stream = kib.and_then(|kib| usize::try_from(kib).ok()).map(|kib| kib * 1_024);
    match (policy.max_record_bytes, stream) {
        (Some(bytes), _) => (bytes, "by the configuration"),
        (None, Some(bytes)) => (bytes, "by the stream"),
        (None, None) => (RECORD_BYTES, "assumed, as the stream does not say"),
    }
}

/// What is meant to be done, in the configuration's words.
fn intent(propagation: Propagation, policy: &StreamPolicy, limit: (usize, &str)) -> String {
    let propagate = match (propagation, policy.propagate, policy.propagate_percent) {
        (Propagation::Off, ..) => "propagation is off for every stream".to_owned(),
        (Propagation::Auto, Propagate::Inject, 100) => "inject".to_owned(),
        (Propagation::Auto, Propagate::Inject, percent) => format!("inject {percent} % of calls"),
        (Propagation::Auto, Propagate::Observe, _) => "observe, nothing is changed".to_owned(),
        (Propagation::Auto, Propagate::Off, _) => "off, nothing is read or changed".to_owned(),
    };
    let deliver = match policy.deliver {
        Deliver::Keep => "keep",
        Deliver::Strip => "strip",
    };
    let aggregated = match policy.aggregated {
        Aggregated::Tags => "tags",
        Aggregated::Json => "json",
        Aggregated::Off => "off",
    };
    let (pattern, (bytes, who)) = (&policy.pattern, limit);
    format!(
        "policy {pattern}: {propagate}; deliver {deliver}; aggregated {aggregated}; records up to \
         {bytes} bytes ({who})"
    )
}

async fn summary(kinesis: &Client, stream: &str) -> (Verdict, Option<StreamDescriptionSummary>) {
    let call = kinesis.describe_stream_summary().stream_name(stream).send();
    match tokio::time::timeout(CHECK_MAX, call).await {
        Ok(Ok(answer)) => match answer.stream_description_summary {
            Some(summary) => {
                let (status, shards) = (summary.stream_status(), summary.open_shard_count());
                let hours = summary.retention_period_hours();
                let found = format!("{status}, {shards} open shards, {hours} h of retention");
                (Verdict::ok(found), Some(summary))
            }
            None => (Verdict::failed("the answer describes no stream"), None),
        },
        Ok(Err(error)) => (Verdict::failed(said("kinesis:DescribeStreamSummary", &error)), None),
        Err(_) => (late(), None),
    }
}

pub(super) async fn shards(kinesis: &Client, stream: &str) -> (Verdict, Option<Shards>) {
    let call = kinesis.list_shards().stream_name(stream).send();
    match tokio::time::timeout(CHECK_MAX, call).await {
        Ok(Ok(answer)) => {
            let shards = Shards::of(answer.shards());
            (Verdict::ok(format!("{} listed", answer.shards().len())), Some(shards))
        }
        Ok(Err(error)) => (Verdict::failed(said("kinesis:ListShards", &error)), None),
        Err(_) => (late(), None),
    }
}

/// The registered fan-out consumers. Polling readers leave no trace at Kinesis.
async fn readers(kinesis: &Client, arn: Option<&str>) -> Verdict {
    let Some(arn) = arn.filter(|arn| !arn.is_empty()) else {
        return Verdict::skipped("the stream's ARN is not known");
    };
    let call = kinesis.list_stream_consumers().stream_arn(arn).send();
    match tokio::time::timeout(CHECK_MAX, call).await {
        Ok(Ok(answer)) => {
            let names = answer.consumers().iter().map(|consumer| consumer.consumer_name());
            let names: Vec<&str> = names.collect();
            let named = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Verdict::ok(format!(
                "registered fan-out consumers: {named}; which of them, and of readers that poll, \
                 bypass the sidecars cannot be seen from here"
            ))
        }
        Ok(Err(error)) if is_permission(&error) => {
            Verdict::skipped("kinesis:ListStreamConsumers is not permitted, and not needed to run")
        }
        Ok(Err(error)) => Verdict::skipped(said("kinesis:ListStreamConsumers", &error)),
        Err(_) => late(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::config::{Config, Flags, load};
    use std::collections::BTreeMap;

    fn proxy(streams: &[(&str, Propagate)], allow: &[&str]) -> Proxy {
        let config: Config = load(None, &BTreeMap::new(), &Flags::default()).unwrap();
        let mut proxy = config.proxy;
        proxy.streams = streams
            .iter()
            .map(|(pattern, propagate)| StreamPolicy {
                pattern: (*pattern).to_owned(),
                propagate: *propagate,
                ..StreamPolicy::default()
            })
            .collect();
        proxy.allow.streams = allow.iter().map(|text| (*text).to_owned()).collect();
        proxy
    }

    #[test]
    fn streams_that_are_looked_at() {
        let check = |streams: &[&str], allow: &[&str], expected: &[&str]| {
            let streams: Vec<_> = streams.iter().map(|text| (*text, Propagate::Inject)).collect();
            let listed = ["a".to_owned(), "b".to_owned()];
            assert_eq!(wanted(&proxy(&streams, allow), &listed), expected);
        };
        check(&[], &[], &["a", "b"]);
        check(&["c", "b", "a*"], &[], &["c", "b", "a"]);
        check(&["c"], &["a", "d"], &["a", "d"]);
        check(&[], &["x*"], &[]);
    }

    #[test]
    fn what_is_meant() {
        let proxy = proxy(&[("a", Propagate::Observe), ("b", Propagate::Inject)], &[]);
        let check = |stream: &str, propagation, expected: &str| {
            let policy = policy(&proxy, stream);
            let intent = intent(propagation, &policy, record_limit(&policy, None));
            assert!(intent.starts_with(expected), "{intent}");
        };
        check("a", Propagation::Auto, "policy a: observe, nothing is changed; deliver keep");
        check("b", Propagation::Off, "policy b: propagation is off for every stream; deliver");
        check(
            "c",
            Propagation::Auto,
            "policy *: inject; deliver keep; aggregated tags; records up \
             to 1048576 bytes (assumed",
        );
    }
}
