//! Owns a look at a few records of a stream, and what injection would make of them. Refuses to take
//! much of the read limits that the stream's own readers share.

use super::aws::said;
use crate::app::commands::envelope::root;
use crate::domain::envelope::aggregate::Aggregated;
use crate::domain::envelope::{Insertion, examine, unsplice};
use crate::domain::trace::TraceState;
use crate::io::clock::Clock;
use crate::wire::envelope_api::inject;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{Record, Shard, ShardIteratorType};
use aws_smithy_types::DateTime;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Records that are looked at, over all shards.
const RECORDS_MAX: usize = 50;
/// Shards that are read: each gives its share of the records.
const SHARDS_MAX: usize = 5;
/// GetRecords calls for one shard in one span: a shard takes five a second, of all its readers.
const PAGES_MAX: usize = 2;

/// Where reading begins: the newest span that holds any record.
const SPANS: [(Option<Duration>, &str); 3] = [
    (Some(Duration::from_secs(60)), "of the last minute's"),
    (Some(Duration::from_secs(3_600)), "of the last hour's"),
    (None, "of the oldest kept"),
];

/// The open shards that are read.
pub(super) struct Shards(Vec<String>);

impl Shards {
    pub(super) fn of(shards: &[Shard]) -> Self {
        let open = |shard: &&Shard| {
            shard.sequence_number_range().is_none_or(|r| r.ending_sequence_number().is_none())
        };
        let ids = shards.iter().filter(open).map(|shard| shard.shard_id().to_owned());
        Self(ids.take(SHARDS_MAX).collect())
    }
}

/// A few records.
pub(super) struct Sample {
    /// Each one's data, and its partition key's length in bytes.
    pub(super) records: Vec<(Vec<u8>, usize)>,
    /// When they are from.
    pub(super) span: &'static str,
}

/// Reads a few of the newest records; why not, where that is so.
pub(super) async fn read(
    kinesis: &Client,
    stream: &str,
    shards: &Shards,
    clock: &Clock,
) -> Result<Sample, String> {
    let each = RECORDS_MAX.div_ceil(shards.0.len().max(1));
    for (back, span) in SPANS {
        let mut records = Vec::new();
        for shard in &shards.0 {
            let begin = back.map(|back| clock.now().wall.minus(back).as_ms());
            records.extend(pages(kinesis, stream, shard, begin, each).await?);
        }
        if !records.is_empty() {
            let plain = |record: Record| {
                let key_bytes = record.partition_key.map_or(0, |key| key.len());
                (record.data.into_inner(), key_bytes)
            };
            return Ok(Sample { records: records.into_iter().map(plain).collect(), span });
        }
    }
    Err("it holds none".to_owned())
}

/// Up to `most` records of one shard, from a time in milliseconds since the epoch or the beginning.
async fn pages(
    kinesis: &Client,
    stream: &str,
    shard: &str,
    begin_ms: Option<u64>,
    most: usize,
) -> Result<Vec<Record>, String> {
    let call = kinesis.get_shard_iterator().stream_name(stream).shard_id(shard);
    let call = match begin_ms.and_then(|ms| i64::try_from(ms).ok()) {
        Some(ms) => call
            .shard_iterator_type(ShardIteratorType::AtTimestamp)
            .timestamp(DateTime::from_millis(ms)),
        None => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
    };
    let answer = call.send().await.map_err(|error| said("kinesis:GetShardIterator", &error))?;
    let (mut next, mut records) = (answer.shard_iterator, Vec::new());
    for _ in 0..PAGES_MAX {
        let Some(iterator) = next else { break };
        let limit = i32::try_from(most - records.len()).unwrap_or(1);
        let call = kinesis.get_records().shard_iterator(iterator).limit(limit);
        let answer = call.send().await.map_err(|error| said("kinesis:GetRecords", &error))?;
        let at_the_tip = answer.millis_behind_latest.unwrap_or_default() == 0;
        records.extend(answer.records);
        records.truncate(most);
        next = answer.next_shard_iterator;
        if records.len() == most || at_the_tip {
            break;
        }
    }
    Ok(records)
}

/// What injection would make of some records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    records: usize,
    injected: usize,
    bytes_added: usize,
    left: BTreeMap<&'static str, usize>,
    kinds: BTreeMap<&'static str, usize>,
}

/// Judges each record as the proxy would, were its policy to inject. `record_bytes_max` counts data
/// and partition key together.
pub(super) fn judge(
    records: &[(Vec<u8>, usize)],
    aggregated: Aggregated,
    record_bytes_max: usize,
) -> Found {
    let insertion = Insertion::new(&root(), &TraceState::default());
    let mut found = Found { records: records.len(), ..Found::default() };
    for (data, key_bytes) in records {
        *found.kinds.entry(examine(data).kind.as_str()).or_default() += 1;
        let room = record_bytes_max.saturating_sub(*key_bytes);
        let verdict = match (unsplice(data), inject(data, &insertion, aggregated, room)) {
            // A sidecar is at work already: this is no record that its producer wrote.
            (Cow::Owned(_), _) => Err("injected_already"),
            (Cow::Borrowed(_), Ok(out)) => Ok(out.len() - data.len()),
            (Cow::Borrowed(_), Err(verdict)) => Err(verdict.as_str()),
        };
        match verdict {
            Ok(bytes) => {
                found.injected += 1;
                found.bytes_added += bytes;
            }
            Err(why) => *found.left.entry(why).or_default() += 1,
        }
    }
    found
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |counts: &BTreeMap<&'static str, usize>| {
            let counts = counts.iter().map(|(what, count)| format!("{what} {count}"));
            let counts: Vec<String> = counts.collect();
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        };
        let Self { records, injected, bytes_added, left, kinds } = self;
        write!(
            f,
            "{records} records could be injected: {injected} (+{bytes_added} bytes); left: {}; \
             kinds: {}",
            counts(left),
            counts(kinds)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_judged_as_the_proxy_does() {
        let ours = {
            let insertion = Insertion::new(&root(), &TraceState::default());
            inject(b"{\"a\":1}", &insertion, Aggregated::Tags, usize::MAX).unwrap()
        };
        let added = ours.len() - 7;
        let check = |payload: &[u8], limit: usize, expected: Result<usize, &'static str>| {
            let found = judge(&[(payload.to_vec(), 10)], Aggregated::Tags, limit);
            assert_eq!(found.injected, usize::from(expected.is_ok()), "{found}");
            assert_eq!(found.bytes_added, expected.unwrap_or_default(), "{found}");
            let left: Vec<_> = found.left.keys().copied().collect();
            assert_eq!(left, expected.err().into_iter().collect::<Vec<_>>());
        };
        check(b"{\"a\":1}", 1 << 20, Ok(added));
        check(b"{\"a\":1}", 7 + added + 10, Ok(added));
        check(b"{\"a\":1}", 7 + added + 9, Err("record_too_large"));
        check(b"[1]", 1 << 20, Err("not_object"));
        check(&ours, 1 << 20, Err("injected_already"));
    }

    #[test]
    fn said_in_a_line() {
        let found = judge(&[(b"[1]".to_vec(), 1), (b"[2]".to_vec(), 1)], Aggregated::Off, 100);
        let text = found.to_string();
        let expected = "2 records could be injected: 0 (+0 bytes); left: not_object 2; kinds: ";
        assert!(text.starts_with(expected), "{text}");
    }
}
