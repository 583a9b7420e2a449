//! Owns what KPL's aggregation makes of traffic: how many records fit into one, and whether they
//! come soon enough. Refuses to promise what one process's rate cannot fill.

use super::shards::IN_BYTES_PER_SECOND;
use super::traffic::Traffic;

/// One PUT payload unit: a larger aggregate saves nothing more.
const AGGREGATE_BYTES_MAX: u32 = 25 << 10;
/// Magic, checksum and the first partition key, estimated.
const FRAME_BYTES: u32 = 60;
/// Tags, lengths and the key's index of one record within, estimated.
const RECORD_BYTES: u32 = 10;
/// How long KPL waits for more records by default (`RecordMaxBufferedTime`), in seconds.
const BUFFERED_SECONDS: f64 = 0.1;

/// Records that travel together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aggregated {
    /// Records in one aggregate.
    pub records: u32,
    /// Of one aggregate.
    pub bytes: u32,
}

/// Why aggregation does nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotWorthIt {
    /// Two of them exceed a PUT payload unit.
    #[error("two records do not fit into one PUT payload unit of 25 KiB")]
    TooLarge,
    /// They come too slowly.
    #[error(
        "at this rate one producer has fewer than two records for a shard within the 100 ms that \
         KPL waits by default (RecordMaxBufferedTime)"
    )]
    TooSlow,
}

impl NotWorthIt {
    /// As the JSON says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "records_too_large",
            Self::TooSlow => "records_too_slow",
        }
    }
}

/// How many records one producer can put together.
pub(super) fn aggregate(traffic: &Traffic) -> Result<Aggregated, NotWorthIt> {
    let fit =
        (AGGREGATE_BYTES_MAX - FRAME_BYTES) / traffic.record_bytes.saturating_add(RECORD_BYTES);
    if fit < 2 {
        return Err(NotWorthIt::TooLarge);
    }
    // Aggregates are made for each shard apart; records are then no limit, bytes are.
    let bytes = traffic.peak_records_per_second * f64::from(traffic.record_bytes);
    let shards = (bytes / IN_BYTES_PER_SECOND).ceil().max(1.0);
    let in_time =
        traffic.records_per_second * BUFFERED_SECONDS / (f64::from(traffic.producers) * shards);
    let records = (2..=fit).rev().find(|records| f64::from(*records) <= in_time);
    let records = records.ok_or(NotWorthIt::TooSlow)?;
    Ok(Aggregated { records, bytes: FRAME_BYTES + records * (traffic.record_bytes + RECORD_BYTES) })
}

impl Aggregated {
    /// The traffic as Kinesis sees it then.
    #[must_use]
    pub fn traffic(&self, before: &Traffic) -> Traffic {
        let records = f64::from(self.records);
        Traffic {
            records_per_second: before.records_per_second / records,
            peak_records_per_second: before.peak_records_per_second / records,
            record_bytes: self.bytes,
            ..before.clone()
        }
    }
}
