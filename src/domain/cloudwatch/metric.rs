//! Owns the closed list of metrics that are asked for: CloudWatch's names and statistics, and how a
//! value is to be read. Refuses Average where it hides the one that matters: of an age it hides the
//! reader that lags, of throttles it is a ratio of calls.

use crate::domain::cloudwatch::subject::Kind;
use crate::domain::snapshot::CloudWatchMetric;

/// CloudWatch's statistics that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Of all samples of the period.
    Sum,
    /// The largest sample.
    Maximum,
    /// Sum by count.
    Average,
}

impl Statistic {
    /// CloudWatch's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "Sum",
            Self::Maximum => "Maximum",
            Self::Average => "Average",
        }
    }
}

/// What a value becomes for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A sum over the period: per second.
    Rate,
    /// Milliseconds, read as seconds. Below zero it was not reported.
    Milliseconds,
    /// Seconds. Below zero it was not reported.
    Seconds,
    /// A share, 0..1.
    Ratio,
}

impl Reading {
    /// The value in base units; `None` where it says nothing (`-1` of an application that has not
    /// reported yet, a period of no length).
    #[must_use]
    pub fn read(self, value: f64, period_seconds: f64) -> Option<f64> {
        let read = match self {
            Self::Rate => value / period_seconds,
            Self::Milliseconds => value / 1_000.0,
            Self::Seconds | Self::Ratio => value,
        };
        (read.is_finite() && read >= 0.0).then_some(read)
    }
}

/// Declares each metric once: what it is of, CloudWatch's name, statistic and reading.
macro_rules! metrics {
    ($($id:ident: $kind:ident, $name:literal, $statistic:ident, $reading:ident;)*) => {
        /// A metric with its statistic. Statistics of one metric stand next to each other, so that
        /// they are asked for in one request, where AWS may bill them as one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $(#[doc = concat!("`", $name, "`, ", stringify!($statistic), ", of a ", stringify!($kind), ".")]
            $id,)*
        }

        impl Metric {
            /// Every metric, in the order in which they are asked for.
            pub const ALL: &[Self] = &[$(Self::$id),*];

            /// What it is of.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$id => Kind::$kind,)* }
            }

            /// CloudWatch's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$id => $name,)* }
            }

            /// CloudWatch's statistic.
            #[must_use]
            pub const fn statistic(self) -> Statistic {
                match self { $(Self::$id => Statistic::$statistic,)* }
            }

            /// How its values are read.
            #[must_use]
            pub const fn reading(self) -> Reading {
                match self { $(Self::$id => Reading::$reading,)* }
            }
        }
    };
}

metrics! {
    IncomingRecords: Stream, "IncomingRecords", Sum, Rate;
    IncomingBytes: Stream, "IncomingBytes", Sum, Rate;
    IteratorAge: Stream, "GetRecords.IteratorAgeMilliseconds", Maximum, Milliseconds;
    WriteThrottles: Stream, "WriteProvisionedThroughputExceeded", Sum, Rate;
    ReadThrottles: Stream, "ReadProvisionedThroughputExceeded", Sum, Rate;
    PutFailed: Stream, "PutRecords.FailedRecords", Sum, Rate;
    PutThrottled: Stream, "PutRecords.ThrottledRecords", Sum, Rate;
    PutSucceeded: Stream, "PutRecords.SuccessfulRecords", Sum, Rate;
    PutTried: Stream, "PutRecords.TotalRecords", Sum, Rate;
    PutBatchSuccess: Stream, "PutRecords.Success", Average, Ratio;
    PutBatchLatency: Stream, "PutRecords.Latency", Average, Milliseconds;
    PutBatchLatencyMax: Stream, "PutRecords.Latency", Maximum, Milliseconds;
    PutSuccess: Stream, "PutRecord.Success", Average, Ratio;
    PutLatency: Stream, "PutRecord.Latency", Average, Milliseconds;
    PutLatencyMax: Stream, "PutRecord.Latency", Maximum, Milliseconds;
    GetBytes: Stream, "GetRecords.Bytes", Sum, Rate;
    GetRecords: Stream, "GetRecords.Records", Sum, Rate;
    GetSuccess: Stream, "GetRecords.Success", Average, Ratio;
    GetLatency: Stream, "GetRecords.Latency", Average, Milliseconds;
    GetLatencyMax: Stream, "GetRecords.Latency", Maximum, Milliseconds;

    // Without `GetRecords.` before it: the name of another level.
    ShardIteratorAge: Shard, "IteratorAgeMilliseconds", Maximum, Milliseconds;
    ShardIncomingRecords: Shard, "IncomingRecords", Sum, Rate;
    ShardIncomingBytes: Shard, "IncomingBytes", Sum, Rate;
    ShardOutgoingRecords: Shard, "OutgoingRecords", Sum, Rate;
    ShardOutgoingBytes: Shard, "OutgoingBytes", Sum, Rate;
    ShardWriteThrottles: Shard, "WriteProvisionedThroughputExceeded", Sum, Rate;
    ShardReadThrottles: Shard, "ReadProvisionedThroughputExceeded", Sum, Rate;

    FanOutBehind: FanOut, "SubscribeToShardEvent.MillisBehindLatest", Maximum, Milliseconds;
    FanOutRecords: FanOut, "SubscribeToShardEvent.Records", Sum, Rate;
    FanOutBytes: FanOut, "SubscribeToShardEvent.Bytes", Sum, Rate;
    FanOutSuccess: FanOut, "SubscribeToShardEvent.Success", Average, Ratio;
    FanOutSubscribed: FanOut, "SubscribeToShard.Success", Sum, Rate;
    FanOutRefused: FanOut, "SubscribeToShard.RateExceeded", Sum, Rate;

    LambdaIteratorAge: Function, "IteratorAge", Maximum, Milliseconds;
    MappingPolled: Mapping, "PolledEventCount", Sum, Rate;
    MappingFiltered: Mapping, "FilteredOutEventCount", Sum, Rate;
    MappingInvoked: Mapping, "InvokedEventCount", Sum, Rate;
    MappingFailed: Mapping, "FailedInvokeEventCount", Sum, Rate;
    MappingDropped: Mapping, "DroppedEventCount", Sum, Rate;
    MappingHandedOn: Mapping, "OnFailureDestinationDeliveredEventCount", Sum, Rate;

    FirehoseBehind: Firehose, "KinesisMillisBehindLatest", Maximum, Milliseconds;
    FirehoseRecords: Firehose, "DataReadFromKinesisStream.Records", Sum, Rate;
    FirehoseBytes: Firehose, "DataReadFromKinesisStream.Bytes", Sum, Rate;
    FirehoseThrottled: Firehose, "ThrottledGetRecords", Sum, Rate;
    FirehoseS3: Firehose, "DeliveryToS3.DataFreshness", Maximum, Seconds;
    FirehoseIceberg: Firehose, "DeliveryToIceberg.DataFreshness", Maximum, Seconds;
    FirehoseSplunk: Firehose, "DeliveryToSplunk.DataFreshness", Maximum, Seconds;
    FirehoseOpenSearch: Firehose, "DeliveryToAmazonOpenSearchService.DataFreshness", Maximum, Seconds;
    FirehoseHttp: Firehose, "DeliveryToHttpEndpoint.DataFreshness", Maximum, Seconds;

    FlinkBehind: Flink, "millisBehindLatest", Maximum, Milliseconds;
}

impl Metric {
    /// Every metric of one kind of thing.
    pub fn of(kind: Kind) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |metric| metric.kind() == kind)
    }

    /// Metrics that a kind of thing has by this name of CloudWatch's, one for each statistic.
    pub fn named(kind: Kind, name: &str) -> impl Iterator<Item = Self> {
        Self::of(kind).filter(move |metric| metric.name() == name)
    }

    /// One of the five that verdicts and alerts may look at; the others are only told.
    #[must_use]
    pub fn basic(self) -> Option<CloudWatchMetric> {
        CloudWatchMetric::ALL.into_iter().find(|basic| Self::from(*basic) == self)
    }

    /// Where Firehose delivers to, for the metrics that tell of one destination alone.
    #[must_use]
    pub const fn destination(self) -> Option<&'static str> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "five of the list have a destination")]
        match self {
            Self::FirehoseS3 => Some("s3"),
            Self::FirehoseIceberg => Some("iceberg"),
            Self::FirehoseSplunk => Some("splunk"),
            Self::FirehoseOpenSearch => Some("opensearch"),
            Self::FirehoseHttp => Some("http_endpoint"),
            _ => None,
        }
    }
}

impl From<CloudWatchMetric> for Metric {
    fn from(basic: CloudWatchMetric) -> Self {
        match basic {
            CloudWatchMetric::IncomingRecords => Self::IncomingRecords,
            CloudWatchMetric::IncomingBytes => Self::IncomingBytes,
            CloudWatchMetric::IteratorAge => Self::IteratorAge,
            CloudWatchMetric::WriteThrottles => Self::WriteThrottles,
            CloudWatchMetric::ReadThrottles => Self::ReadThrottles,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_one_metric_are_neighbours_and_no_metric_is_twice() {
        let names: Vec<_> = Metric::ALL.iter().map(|m| (m.kind(), m.name())).collect();
        for (index, name) in names.iter().enumerate() {
            let same: Vec<_> = (0..names.len()).filter(|at| names[*at] == *name).collect();
            assert!(same.last().unwrap() - same[0] < same.len(), "{name:?} is split");
            assert!(same.contains(&index));
        }
        let mut asked: Vec<_> =
            Metric::ALL.iter().map(|m| (m.kind(), m.name(), m.statistic().as_str())).collect();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), Metric::ALL.len());
        assert_eq!(Metric::of(Kind::Stream).count(), 20);
        // The five of the article come first.
        let first: Vec<_> = Metric::ALL.iter().take(6).map(|m| m.basic()).collect();
        assert_eq!(
            first,
            CloudWatchMetric::ALL.map(Some).into_iter().chain([None]).collect::<Vec<_>>()
        );
    }

    #[test]
    fn values_are_read_in_base_units() {
        let check = |reading: Reading, value, expected| {
            assert_eq!(reading.read(value, 60.0), expected, "{reading:?} {value}");
        };
        check(Reading::Rate, 600.0, Some(10.0));
        check(Reading::Milliseconds, 42_500.0, Some(42.5));
        check(Reading::Milliseconds, -1.0, None);
        check(Reading::Seconds, 7.0, Some(7.0));
        check(Reading::Ratio, 0.5, Some(0.5));
        check(Reading::Ratio, f64::NAN, None);
        assert_eq!(Reading::Rate.read(1.0, 0.0), None);
    }
}
