//! Owns what the rules on streams look at: CloudWatch's figures while they are fresh, puts on our
//! wire, and whether the one has traffic that the other lacks. Refuses to take a missing point for
//! zero.

use super::{Memory, Stream};
use crate::domain::alert::figures::Ledger;
use crate::domain::alert::{Reading, Signal, Subject};
use crate::domain::capacity::{ShardLoad, TopSeen};
use crate::domain::snapshot::CloudWatchPoint;
use crate::domain::stream::StreamName;
use crate::domain::time::{Moment, Wall};
use std::time::Duration;

/// A CloudWatch point this old says nothing about now.
const STALE_AFTER: Duration = Duration::from_secs(600);
/// Shards that are watched for being hot; the idlest of more are not.
const SHARDS_MAX: usize = 1_000;

impl Memory {
    /// A reading for each stream of which CloudWatch or our own wire tells.
    pub(in crate::domain::engine) fn stream_readings(
        &self,
        ledger: &Ledger,
        now: Moment,
    ) -> Vec<Reading> {
        let blind = ledger.is_cloudwatch_silent(now);
        let readings = self.streams.iter().map(|(name, stream)| {
            let mut reading = Reading::of(Subject::Stream { stream: name.to_string() });
            reading.blind = blind;
            stream.rates(&mut reading, now.wall);
            reading.set(Signal::PutFailures, ledger.put_failures(name.as_str()));
            let put = ledger.put_at(name.as_str());
            reading.set(Signal::Bypassed, stream.bypassed(stream.passed.max(put), now.wall));
            reading
        });
        readings.collect()
    }

    /// A reading for each shard that is written to: the busiest, where there are more than are
    /// followed.
    pub(in crate::domain::engine) fn shard_readings(&self, now: Moment) -> Vec<Reading> {
        let mut shards: Vec<_> = self
            .load_views(now.mono)
            .into_iter()
            .flat_map(|load| {
                let stream = load.stream;
                load.shards.into_iter().map(move |shard| (stream.clone(), shard))
            })
            .collect();
        if shards.len() > SHARDS_MAX {
            shards
                .sort_by(|(_, a), (_, b)| b.rates.utilization().total_cmp(&a.rates.utilization()));
            shards.truncate(SHARDS_MAX);
        }
        let reading = |(stream, load): (StreamName, ShardLoad)| {
            let (stream, shard) = (stream.to_string(), load.shard.to_string());
            let mut reading = Reading::of(Subject::Shard { stream, shard });
            reading.set(Signal::WriteUtilization, Some(load.rates.utilization()));
            reading.tell("records", Some(format!("{:.1} per second", load.rates.records)));
            reading.tell("bytes", Some(format!("{:.0} per second", load.rates.bytes)));
            reading.tell("heaviest_key", load.tops.first().map(heaviest));
            reading
        };
        shards.into_iter().map(reading).collect()
    }
}

/// Whose key fills the shard: it is known to the process alone that counted it.
fn heaviest(seen: &TopSeen) -> String {
    let share = seen.top.share * 100.0;
    match &seen.by {
        Some(by) => {
            format!("at least {share:.0} % of what {} puts to it, pod {}", by.service, by.pod)
        }
        None => format!("at least {share:.0} % of what this process puts to it"),
    }
}

impl Stream {
    fn rates(&self, reading: &mut Reading, now: Wall) {
        let per_second = |point: Option<CloudWatchPoint>| {
            let point = fresh(point, now)?;
            Some(point.value / point.period.as_secs_f64()).filter(|rate| rate.is_finite())
        };
        reading.set(Signal::ReadThrottles, per_second(self.cloudwatch.read_throttles));
        let refused = per_second(self.cloudwatch.write_throttles);
        let stored = per_second(self.cloudwatch.incoming_records);
        let share = refused.zip(stored).map(|(refused, stored)| refused / (refused + stored));
        reading.set(Signal::WriteThrottles, share);
        let said = |rate: Option<f64>| rate.map(|rate| format!("{rate:.1} per second"));
        reading.tell("incoming_records", said(stored));
        reading.tell("write_throttles", said(refused));
    }

    /// Whether CloudWatch counts records in a minute that began after the last one passed here. Of
    /// a stream that never passed here nothing is said: it may be nobody's of ours.
    fn bypassed(&self, passed: Option<Moment>, now: Wall) -> Option<f64> {
        let passed = passed?.wall;
        let point = fresh(self.cloudwatch.incoming_records, now)?;
        let is_later = point.at >= passed.plus(Duration::from_secs(60));
        Some(f64::from(u8::from(is_later && point.value > 0.0)))
    }

    /// Whether nobody needs to catch up any more.
    pub(super) fn is_going(&self) -> bool {
        self.description.as_ref().is_some_and(|description| description.status == "DELETING")
    }
}

fn fresh(point: Option<CloudWatchPoint>, now: Wall) -> Option<CloudWatchPoint> {
    point.filter(|point| now.since(point.at.plus(point.period)) <= STALE_AFTER)
}
