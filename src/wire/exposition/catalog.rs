//! Owns the names and help sentences of the families that a snapshot yields. Refuses values.
//! Names are CONTRACT's; each sentence says how the figure is known: on the wire, from CloudWatch
//! or from the control plane.

/// One family's name and help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Family {
    /// The metric's name.
    pub name: &'static str,
    /// One sentence for a person.
    pub help: &'static str,
}

/// Declares the families and, from the same lines, the list of all their names.
macro_rules! catalog {
    ($($id:ident: $name:literal, $help:literal;)*) => {
        $(#[doc = concat!("`", $name, "`")]
        pub(super) const $id: Family = Family { name: $name, help: $help };)*

        /// Every family that `exposition` can write, for the test that dashboards and rules name
        /// nothing else.
        pub const FAMILIES: &[&str] = &[$($name),*];
    };
}

catalog! {
    DELIVERY_LAG: "kinesis_consumer_delivery_lag_seconds",
        "How far the consumer's reads are behind the tip of the shard, as GetRecords answers said on the wire of this pod, plus the time since when the reader fell silent.";
    CHECKPOINT_LAG: "kinesis_consumer_checkpoint_lag_seconds",
        "How far the consumer's checkpoint in its lease table is behind the tip of the shard, by the wire's own deliveries (observed) or by the second inside the sequence number (sequence_clock, to two seconds).";
    LAG_VELOCITY: "kinesis_consumer_lag_velocity_ratio",
        "Seconds of delivery lag gained per second on the worst shard, reckoned from the wire of this pod; 1 is a stopped reader, below 0 it catches up.";
    TIME_TO_CATCH_UP: "kinesis_consumer_time_to_catch_up_seconds",
        "Time until the worst shard's delivery lag is gone at its present velocity, reckoned from the wire of this pod; absent unless the lag shrinks.";
    TIME_TO_DATA_LOSS: "kinesis_consumer_time_to_data_loss_seconds",
        "Time until records expire unread at the present velocity, reckoned from the wire of this pod and the stream's retention; absent unless the lag grows.";
    RETENTION_USED: "kinesis_consumer_retention_used_ratio",
        "The worst shard's delivery lag, from the wire of this pod, as a share of the stream's retention, from the control plane.";
    CONSUMER_STATUS: "kinesis_consumer_status",
        "The worst shard's status as the wire of this pod shows it, 1 for the status in force and 0 for every other.";
    CONSUMER_SHARDS: "kinesis_consumer_shards",
        "How many of the shards that the consumer reads in this pod have each status, from the wire.";
    LAST_OBSERVED: "kinesis_consumer_last_observed_timestamp_seconds",
        "When the wire of this pod last showed the consumer reading the shard, in seconds since 1970.";
    CLOUDWATCH_ITERATOR_AGE: "kinesis_cloudwatch_iterator_age_seconds",
        "Age of the last record of the stream's GetRecords calls, CloudWatch's GetRecords.IteratorAgeMilliseconds, statistic Maximum, minutes late.";
    CLOUDWATCH_INCOMING_RECORDS: "kinesis_cloudwatch_incoming_records_per_second",
        "Records put per second, CloudWatch's IncomingRecords, Sum over the period, minutes late.";
    CLOUDWATCH_INCOMING_BYTES: "kinesis_cloudwatch_incoming_bytes_per_second",
        "Bytes put per second, CloudWatch's IncomingBytes, Sum over the period, minutes late.";
    CLOUDWATCH_READ_THROTTLES: "kinesis_cloudwatch_read_throttles_per_second",
        "Throttled reads per second, CloudWatch's ReadProvisionedThroughputExceeded, Sum over the period, minutes late.";
    CLOUDWATCH_WRITE_THROTTLES: "kinesis_cloudwatch_write_throttles_per_second",
        "Throttled writes per second, CloudWatch's WriteProvisionedThroughputExceeded, Sum over the period, minutes late.";
    STREAM_INFO: "kinesis_stream_info",
        "Always 1, with the stream's capacity mode, status, encryption at rest and whether CloudWatch has metrics of its shards, as the control plane described them.";
    STREAM_OPEN_SHARDS: "kinesis_stream_open_shards",
        "Open shards of the stream as the control plane described it.";
    STREAM_RETENTION: "kinesis_stream_retention_seconds",
        "How long the stream keeps records, as the control plane described it.";
    STREAM_FAN_OUT_CONSUMERS: "kinesis_stream_fan_out_consumers",
        "Consumers registered with the stream for enhanced fan-out, as the control plane listed them; absent where it may not be asked.";
    SEQUENCE_CLOCK_USABLE: "kinescope_sequence_clock_usable",
        "Whether the stream's sequence numbers agree with the arrival times of records on the wire, so that the age of a checkpoint may be read from them; absent while too few records were seen.";
    ALERTS: "kinescope_alerts",
        "Alerts of this process that are pending or firing, and those resolved of late.";
    BUILD_INFO: "kinescope_build_info",
        "Always 1, with this program's version and source revision.";
    SERIES_LEFT_OUT: "kinescope_series_left_out_total",
        "Series that expositions left out because metrics.max_series was reached, added up over expositions.";
}
