//! Owns what can be told about everything at one moment, for metrics, pages and JSON. Refuses to
//! decide: the engine filled it in.

use crate::domain::alert::AlertView;
use crate::domain::capacity::StreamLoad;
use crate::domain::cloudwatch::{Metric, Subject};
use crate::domain::lag::{Assessment, CheckpointLag};
use crate::domain::plan::Commitment;
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use crate::domain::time::{Moment, Wall};
use std::time::Duration;

/// Everything known at `now`, in a stable order (by name).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// The moment all figures are as of.
    pub now: Moment,
    /// Every consumer seen reading through us.
    pub consumers: Vec<ConsumerView>,
    /// What the control plane said of the account; `None` where it was not asked or may not be.
    pub account: Option<AccountSettings>,
    /// Every stream seen, described or polled.
    pub streams: Vec<StreamView>,
    /// What is put to the shards of each stream that is written to: by this pod, or by all in a hub.
    pub loads: Vec<StreamLoad>,
    /// What CloudWatch said beside the five metrics of each stream.
    pub cloudwatch: Vec<SubjectView>,
    /// Alerts that are pending or firing, and those resolved of late.
    pub alerts: Vec<AlertView>,
    /// What was seen but not remembered, because a bound was reached.
    pub left_out: LeftOut,
}

/// Observations that were left out because a bound was reached, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Events about streams over `EngineLimits::streams_max`.
    pub stream_events: u64,
    /// Reads of shards over `EngineLimits::windows_max`.
    pub reads: u64,
    /// Points of CloudWatch's details that found no room.
    pub cloudwatch_points: u64,
}

/// One consumer of one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerView {
    /// The stream it reads.
    pub stream: StreamName,
    /// Its name.
    pub consumer: ConsumerName,
    /// The worst shard's verdict.
    pub worst: Assessment,
    /// Which shard that is.
    pub worst_shard: ShardId,
    /// Every shard it reads or read of late, by id.
    pub shards: Vec<ShardView>,
}

/// One consumer's reading of one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardView {
    /// The shard.
    pub shard: ShardId,
    /// Its verdict.
    pub assessment: Assessment,
    /// When it was last read, or its lease first seen.
    pub last_observed: Wall,
    /// How far durable progress is behind, where a lease table is watched. Never delivery lag.
    pub checkpoint: Option<CheckpointLag>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamView {
    /// Its name.
    pub stream: StreamName,
    /// What the control plane said, when it has.
    pub description: Option<StreamDescription>,
    /// What CloudWatch said, the newest settled point of each metric.
    pub cloudwatch: CloudWatchView,
    /// Whether its sequence numbers tell the time; `None` while too few were seen.
    pub sequence_clock_usable: Option<bool>,
}

/// One shard of a stream, as ListShards said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// The shard.
    pub shard: ShardId,
    /// `ParentShardId` and `AdjacentParentShardId`, where there are any.
    pub parents: Vec<ShardId>,
}

/// What DescribeStreamSummary said.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamDescription {
    /// Records older than this are trimmed.
    pub retention: Duration,
    /// Open shards.
    pub open_shards: u32,
    /// `PROVISIONED` or `ON_DEMAND`.
    pub mode: String,
    /// `ACTIVE`, …
    pub status: String,
    /// The largest record, data and partition key together, if the stream says.
    pub record_bytes_max: Option<u64>,
    /// `StreamCreationTimestamp`: another one means another stream under the same name.
    pub created_at: Option<Wall>,
    /// What else there is to know.
    pub details: StreamDetails,
    /// When this was learned.
    pub at: Moment,
}

/// What DescribeAccountSettings said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSettings {
    /// Whether it pays for on-demand advantage; `None` where that was not said.
    pub commitment: Option<Commitment>,
    /// Since when.
    pub started_at: Option<Wall>,
    /// When it may end at the earliest.
    pub earliest_end_at: Option<Wall>,
    /// When this was learned.
    pub at: Moment,
}

/// What the control plane said of a stream beside what every figure needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamDetails {
    /// Whether records are encrypted where they are kept; `None` where it was not said.
    pub encrypted: Option<bool>,
    /// The metrics that CloudWatch has for each shard, by its names; empty: enhanced monitoring is
    /// off.
    pub shard_metrics: Vec<String>,
    /// Who is registered for enhanced fan-out; `None` where that was not asked or not permitted.
    pub consumers: Option<Vec<FanOutConsumer>>,
}

/// A consumer registered for enhanced fan-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FanOutConsumer {
    /// Its name, which a consumer made anew keeps.
    pub name: String,
    /// Its ARN, which a consumer made anew does not keep.
    pub arn: String,
    /// `ACTIVE`, …
    pub status: String,
    /// When it was registered.
    pub created_at: Option<Wall>,
}

/// The CloudWatch metrics that are polled for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CloudWatchMetric {
    /// `IncomingRecords`, Sum.
    IncomingRecords,
    /// `IncomingBytes`, Sum.
    IncomingBytes,
    /// `GetRecords.IteratorAgeMilliseconds`, Maximum.
    IteratorAge,
    /// `WriteProvisionedThroughputExceeded`, Sum.
    WriteThrottles,
    /// `ReadProvisionedThroughputExceeded`, Sum.
    ReadThrottles,
}

impl CloudWatchMetric {
    /// Every metric.
    pub const ALL: [Self; 5] = [
        Self::IncomingRecords,
        Self::IncomingBytes,
        Self::IteratorAge,
        Self::WriteThrottles,
        Self::ReadThrottles,
    ];
}

/// One value CloudWatch gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CloudWatchPoint {
    /// The period's start, CloudWatch's own timestamp.
    pub at: Wall,
    /// The period.
    pub period: Duration,
    /// The statistic's value in the metric's unit (records, bytes, milliseconds, count).
    pub value: f64,
}

/// What CloudWatch said of one thing: a stream's details, a shard, a consumer, a function, ….
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectView {
    /// The thing.
    pub subject: Subject,
    /// The newest settled point of each metric that had one.
    pub points: Vec<(Metric, CloudWatchPoint)>,
}

/// The newest settled point of each metric; `None` where CloudWatch had none. Missing is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CloudWatchView {
    /// `IncomingRecords`.
    pub incoming_records: Option<CloudWatchPoint>,
    /// `IncomingBytes`.
    pub incoming_bytes: Option<CloudWatchPoint>,
    /// `GetRecords.IteratorAgeMilliseconds`.
    pub iterator_age: Option<CloudWatchPoint>,
    /// `WriteProvisionedThroughputExceeded`.
    pub write_throttles: Option<CloudWatchPoint>,
    /// `ReadProvisionedThroughputExceeded`.
    pub read_throttles: Option<CloudWatchPoint>,
}

impl CloudWatchView {
    /// The slot of one metric.
    pub fn slot(&mut self, metric: CloudWatchMetric) -> &mut Option<CloudWatchPoint> {
        match metric {
            CloudWatchMetric::IncomingRecords => &mut self.incoming_records,
            CloudWatchMetric::IncomingBytes => &mut self.incoming_bytes,
            CloudWatchMetric::IteratorAge => &mut self.iterator_age,
            CloudWatchMetric::WriteThrottles => &mut self.write_throttles,
            CloudWatchMetric::ReadThrottles => &mut self.read_throttles,
        }
    }
}
