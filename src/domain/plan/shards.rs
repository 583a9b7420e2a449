//! Owns how many shards traffic needs, and which limit asks for them. Refuses to know prices.

use super::number::number;
use super::traffic::Traffic;

/// A shard takes 1 MiB and 1,000 records a second.
pub(super) const IN_BYTES_PER_SECOND: f64 = 1_048_576.0;
const IN_RECORDS_PER_SECOND: f64 = 1_000.0;
/// It gives 2 MiB a second to all readers without fan-out together.
const OUT_BYTES_PER_SECOND: f64 = 2.0 * IN_BYTES_PER_SECOND;

/// A limit of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// 1 MiB in.
    BytesIn,
    /// 1,000 records in.
    RecordsIn,
    /// 2 MiB out, shared by the readers without fan-out.
    SharedReads,
}

impl Limit {
    /// As the JSON says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BytesIn => "bytes_in",
            Self::RecordsIn => "records_in",
            Self::SharedReads => "shared_reads",
        }
    }

    /// As a person says it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::BytesIn => "bytes in",
            Self::RecordsIn => "records in",
            Self::SharedReads => "shared reads",
        }
    }
}

/// How many shards one limit asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// The limit.
    pub limit: Limit,
    /// At least one.
    pub shards: u64,
    /// How it was reckoned.
    pub formula: String,
}

/// How many shards traffic needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Shards {
    /// The most of all needs.
    pub needed: u64,
    /// What each limit asks for.
    pub needs: Vec<Need>,
}

impl Shards {
    /// What `limit` asks for.
    #[must_use]
    pub fn of(&self, limit: Limit) -> u64 {
        self.needs.iter().find(|need| need.limit == limit).map_or(1, |need| need.shards)
    }

    /// The limit that decides; the first where several ask for the same.
    #[must_use]
    pub fn decided_by(&self) -> Option<Limit> {
        self.needs.iter().find(|need| need.shards == self.needed).map(|need| need.limit)
    }
}

/// For the peak, with `shared` readers without fan-out. Fan-out never asks for more shards: each such
/// reader gets 2 MiB a second of a shard that takes 1 MiB.
pub(super) fn needed(traffic: &Traffic, shared: u32) -> Shards {
    let records = traffic.peak_records_per_second;
    let bytes = records * f64::from(traffic.record_bytes);
    let need = |limit, amount: f64, unit: &str, of_one: f64| Need {
        limit,
        shards: count(amount / of_one),
        formula: format!("{} {unit} ÷ {} a shard", number(amount), number(of_one)),
    };
    let needs = vec![
        need(Limit::BytesIn, bytes, "bytes/s", IN_BYTES_PER_SECOND),
        need(Limit::RecordsIn, records, "records/s", IN_RECORDS_PER_SECOND),
        need(Limit::SharedReads, bytes * f64::from(shared), "bytes/s read", OUT_BYTES_PER_SECOND),
    ];
    Shards { needed: needs.iter().map(|need| need.shards).max().unwrap_or(1), needs }
}

/// Whole shards, at least one.
fn count(shards: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded by Traffic::check: at most 1e9 records of 10 MiB for 100,000 readers, below 2^53"
    )]
    let whole = shards.ceil() as u64;
    whole.max(1)
}
