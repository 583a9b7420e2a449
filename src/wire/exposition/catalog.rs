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
        "How far the consumer's reads are behind the tip of the shard, as GetRecords answers said on the wire of this pod, in a hub of all pods, plus the time since when the reader fell silent.";
    CHECKPOINT_LAG: "kinesis_consumer_checkpoint_lag_seconds",
        "How far the consumer's checkpoint in its lease table is behind the tip of the shard, by the wire's own deliveries (observed) or by the second inside the sequence number (sequence_clock, to two seconds).";
    LAG_VELOCITY: "kinesis_consumer_lag_velocity_ratio",
        "Seconds of delivery lag gained per second on the worst shard, reckoned from the wire of this pod, in a hub of all pods; 1 is a stopped reader, below 0 it catches up.";
    TIME_TO_CATCH_UP: "kinesis_consumer_time_to_catch_up_seconds",
        "Time until the worst shard's delivery lag is gone at its present velocity, reckoned from the wire of this pod; absent unless the lag shrinks.";
    TIME_TO_DATA_LOSS: "kinesis_consumer_time_to_data_loss_seconds",
        "Time until records expire unread at the present velocity, reckoned from the wire of this pod and the stream's retention; absent unless the lag grows.";
    RETENTION_USED: "kinesis_consumer_retention_used_ratio",
        "The worst shard's delivery lag, from the wire of this pod, as a share of the stream's retention, from the control plane.";
    CONSUMER_STATUS: "kinesis_consumer_status",
        "The worst shard's status as the wire of this pod, in a hub of all pods, shows it, 1 for the status in force and 0 for every other.";
    CONSUMER_SHARDS: "kinesis_consumer_shards",
        "How many of the shards that the consumer reads in this pod, in a hub in all pods, have each status, from the wire.";
    LAST_OBSERVED: "kinesis_consumer_last_observed_timestamp_seconds",
        "When the wire of this pod, in a hub of any pod, last showed the consumer reading the shard, in seconds since 1970.";
    WRITE_UTILIZATION: "kinesis_shard_write_utilization_ratio",
        "Share of the shard's write capacity, 1 MB/s or 1,000 records/s, whichever is nearer, that all pods with a sidecar used over the last half minute.";
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
    PUT_FAILED: "kinesis_cloudwatch_put_failed_records_per_second",
        "Records per second that PutRecords answered with an error, CloudWatch's PutRecords.FailedRecords, Sum over the period, minutes late.";
    PUT_THROTTLED: "kinesis_cloudwatch_put_throttled_records_per_second",
        "Records per second that PutRecords throttled, CloudWatch's PutRecords.ThrottledRecords, Sum over the period, minutes late.";
    PUT_SUCCEEDED: "kinesis_cloudwatch_put_successful_records_per_second",
        "Records per second that PutRecords stored, CloudWatch's PutRecords.SuccessfulRecords, Sum over the period, minutes late.";
    PUT_TRIED: "kinesis_cloudwatch_put_tried_records_per_second",
        "Records per second in PutRecords calls, CloudWatch's PutRecords.TotalRecords, Sum over the period, minutes late.";
    PUT_BATCH_SUCCESS: "kinesis_cloudwatch_put_batch_success_ratio",
        "Share of PutRecords calls that stored a record at least, CloudWatch's PutRecords.Success, Average, minutes late.";
    PUT_BATCH_LATENCY: "kinesis_cloudwatch_put_batch_latency_average_seconds",
        "How long PutRecords calls took, CloudWatch's PutRecords.Latency, Average, minutes late.";
    PUT_BATCH_LATENCY_MAX: "kinesis_cloudwatch_put_batch_latency_maximum_seconds",
        "How long the longest PutRecords call took, CloudWatch's PutRecords.Latency, Maximum, minutes late.";
    PUT_SUCCESS: "kinesis_cloudwatch_put_success_ratio",
        "Share of PutRecord calls that stored the record, CloudWatch's PutRecord.Success, Average, minutes late.";
    PUT_LATENCY: "kinesis_cloudwatch_put_latency_average_seconds",
        "How long PutRecord calls took, CloudWatch's PutRecord.Latency, Average, minutes late.";
    PUT_LATENCY_MAX: "kinesis_cloudwatch_put_latency_maximum_seconds",
        "How long the longest PutRecord call took, CloudWatch's PutRecord.Latency, Maximum, minutes late.";
    GET_BYTES: "kinesis_cloudwatch_get_bytes_per_second",
        "Bytes per second that GetRecords gave, CloudWatch's GetRecords.Bytes, Sum over the period, minutes late.";
    GET_RECORDS: "kinesis_cloudwatch_get_records_per_second",
        "Records per second that GetRecords gave, CloudWatch's GetRecords.Records, Sum over the period, minutes late.";
    GET_SUCCESS: "kinesis_cloudwatch_get_success_ratio",
        "Share of GetRecords calls that were answered, CloudWatch's GetRecords.Success, Average, minutes late.";
    GET_LATENCY: "kinesis_cloudwatch_get_latency_average_seconds",
        "How long GetRecords calls took, CloudWatch's GetRecords.Latency, Average, minutes late.";
    GET_LATENCY_MAX: "kinesis_cloudwatch_get_latency_maximum_seconds",
        "How long the longest GetRecords call took, CloudWatch's GetRecords.Latency, Maximum, minutes late.";
    SHARD_ITERATOR_AGE: "kinesis_cloudwatch_shard_iterator_age_seconds",
        "Age of the last record of the shard's GetRecords calls, CloudWatch's shard-level IteratorAgeMilliseconds, Maximum, minutes late.";
    SHARD_INCOMING_RECORDS: "kinesis_cloudwatch_shard_incoming_records_per_second",
        "Records put into the shard per second, CloudWatch's shard-level IncomingRecords, Sum over the period, minutes late.";
    SHARD_INCOMING_BYTES: "kinesis_cloudwatch_shard_incoming_bytes_per_second",
        "Bytes put into the shard per second, CloudWatch's shard-level IncomingBytes, Sum over the period, minutes late.";
    SHARD_OUTGOING_RECORDS: "kinesis_cloudwatch_shard_outgoing_records_per_second",
        "Records read from the shard per second, CloudWatch's OutgoingRecords, Sum over the period, minutes late.";
    SHARD_OUTGOING_BYTES: "kinesis_cloudwatch_shard_outgoing_bytes_per_second",
        "Bytes read from the shard per second, CloudWatch's OutgoingBytes, Sum over the period, minutes late.";
    SHARD_WRITE_THROTTLES: "kinesis_cloudwatch_shard_write_throttles_per_second",
        "Throttled writes to the shard per second, CloudWatch's shard-level WriteProvisionedThroughputExceeded, Sum over the period, minutes late.";
    SHARD_READ_THROTTLES: "kinesis_cloudwatch_shard_read_throttles_per_second",
        "Throttled reads of the shard per second, CloudWatch's shard-level ReadProvisionedThroughputExceeded, Sum over the period, minutes late.";
    FAN_OUT_BEHIND: "kinesis_cloudwatch_fan_out_behind_seconds",
        "How far the enhanced fan-out consumer is behind the tip, CloudWatch's SubscribeToShardEvent.MillisBehindLatest, Maximum, minutes late.";
    FAN_OUT_RECORDS: "kinesis_cloudwatch_fan_out_records_per_second",
        "Records per second delivered to the enhanced fan-out consumer, CloudWatch's SubscribeToShardEvent.Records, Sum over the period, minutes late.";
    FAN_OUT_BYTES: "kinesis_cloudwatch_fan_out_bytes_per_second",
        "Bytes per second delivered to the enhanced fan-out consumer, CloudWatch's SubscribeToShardEvent.Bytes, Sum over the period, minutes late.";
    FAN_OUT_SUCCESS: "kinesis_cloudwatch_fan_out_success_ratio",
        "Share of events that reached the enhanced fan-out consumer, CloudWatch's SubscribeToShardEvent.Success, Average, minutes late.";
    FAN_OUT_SUBSCRIBED: "kinesis_cloudwatch_fan_out_subscriptions_per_second",
        "SubscribeToShard calls per second that succeeded, CloudWatch's SubscribeToShard.Success, Sum over the period, minutes late.";
    FAN_OUT_REFUSED: "kinesis_cloudwatch_fan_out_refused_subscriptions_per_second",
        "SubscribeToShard calls per second that came too often, CloudWatch's SubscribeToShard.RateExceeded, Sum over the period, minutes late.";
    LAMBDA_ITERATOR_AGE: "kinesis_cloudwatch_lambda_iterator_age_seconds",
        "Age of the last record of the batches that were sent to the function, CloudWatch's IteratorAge, Maximum; of all its event sources together, minutes late.";
    MAPPING_POLLED: "kinesis_cloudwatch_lambda_mapping_polled_events_per_second",
        "Events per second that the event source mapping read, CloudWatch's PolledEventCount, Sum over the period, minutes late.";
    MAPPING_FILTERED: "kinesis_cloudwatch_lambda_mapping_filtered_out_events_per_second",
        "Events per second that the event source mapping's filter left out, CloudWatch's FilteredOutEventCount, Sum over the period, minutes late.";
    MAPPING_INVOKED: "kinesis_cloudwatch_lambda_mapping_invoked_events_per_second",
        "Events per second that the function was invoked with, CloudWatch's InvokedEventCount, Sum over the period, minutes late.";
    MAPPING_FAILED: "kinesis_cloudwatch_lambda_mapping_failed_invoke_events_per_second",
        "Events per second of failed invocations, CloudWatch's FailedInvokeEventCount, Sum over the period, minutes late.";
    MAPPING_DROPPED: "kinesis_cloudwatch_lambda_mapping_dropped_events_per_second",
        "Events per second that were dropped for their age or number of tries, CloudWatch's DroppedEventCount, Sum over the period, minutes late.";
    MAPPING_HANDED_ON: "kinesis_cloudwatch_lambda_mapping_on_failure_delivered_events_per_second",
        "Events per second that went to the destination for failures, CloudWatch's OnFailureDestinationDeliveredEventCount, Sum over the period, minutes late.";
    FIREHOSE_BEHIND: "kinesis_cloudwatch_firehose_behind_seconds",
        "How far the Firehose stream is behind the tip of its data stream, CloudWatch's KinesisMillisBehindLatest, Maximum, minutes late.";
    FIREHOSE_RECORDS: "kinesis_cloudwatch_firehose_read_records_per_second",
        "Records per second that the Firehose stream read from its data stream, CloudWatch's DataReadFromKinesisStream.Records, Sum over the period, minutes late.";
    FIREHOSE_BYTES: "kinesis_cloudwatch_firehose_read_bytes_per_second",
        "Bytes per second that the Firehose stream read from its data stream, CloudWatch's DataReadFromKinesisStream.Bytes, Sum over the period, minutes late.";
    FIREHOSE_THROTTLED: "kinesis_cloudwatch_firehose_read_throttles_per_second",
        "Throttled reads of the Firehose stream per second, CloudWatch's ThrottledGetRecords, Sum over the period, minutes late.";
    FIREHOSE_FRESHNESS: "kinesis_cloudwatch_firehose_freshness_seconds",
        "Age of the oldest record that the Firehose stream has not delivered, CloudWatch's DeliveryTo….DataFreshness, Maximum, minutes late.";
    FLINK_BEHIND: "kinesis_cloudwatch_flink_behind_seconds",
        "How far the Flink application is behind the tip of the source, CloudWatch's millisBehindLatest, Maximum; absent while it reports -1, minutes late.";
    ALERTS: "kinescope_alerts",
        "Alerts of this process that are pending or firing, and those resolved of late.";
    BUILD_INFO: "kinescope_build_info",
        "Always 1, with this program's version and source revision.";
    SERIES_LEFT_OUT: "kinescope_series_left_out_total",
        "Series that expositions left out because metrics.max_series was reached, added up over expositions.";
}
