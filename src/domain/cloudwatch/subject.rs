//! Owns the things that CloudWatch has metrics of, as its namespaces and dimensions name them.
//! Refuses to know a metric's values.

use crate::domain::cloudwatch::metric::Metric;
use crate::domain::stream::{ConsumerName, ShardId, StreamName};
use std::sync::Arc;

/// What kind of thing a metric is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A data stream.
    Stream,
    /// A shard with enhanced monitoring.
    Shard,
    /// A consumer with enhanced fan-out.
    FanOut,
    /// A Lambda function.
    Function,
    /// An event source mapping of Lambda.
    Mapping,
    /// A Firehose stream.
    Firehose,
    /// An application of Managed Service for Apache Flink.
    Flink,
}

impl Kind {
    /// CloudWatch's namespace.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Stream | Self::Shard | Self::FanOut => "AWS/Kinesis",
            Self::Function | Self::Mapping => "AWS/Lambda",
            Self::Firehose => "AWS/Firehose",
            Self::Flink => "AWS/KinesisAnalytics",
        }
    }

    /// Whose freshness is told together.
    #[must_use]
    pub const fn job(self) -> Job {
        match self {
            Self::Stream => Job::Streams,
            Self::Shard => Job::Shards,
            Self::FanOut => Job::FanOut,
            Self::Function | Self::Mapping => Job::Lambda,
            Self::Firehose => Job::Firehose,
            Self::Flink => Job::Flink,
        }
    }
}

/// What is polled together, succeeds or fails together and settles alike: the label `job`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Streams.
    Streams,
    /// Shards.
    Shards,
    /// Consumers with enhanced fan-out.
    FanOut,
    /// Lambda functions and event source mappings.
    Lambda,
    /// Firehose streams.
    Firehose,
    /// Flink applications.
    Flink,
}

impl Job {
    /// Every job.
    pub const ALL: [Self; 6] =
        [Self::Streams, Self::Shards, Self::FanOut, Self::Lambda, Self::Firehose, Self::Flink];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Shards => "shards",
            Self::FanOut => "fan_out",
            Self::Lambda => "lambda",
            Self::Firehose => "firehose",
            Self::Flink => "flink",
        }
    }
}

/// One thing that has metrics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A data stream.
    Stream(StreamName),
    /// A shard of it.
    Shard(StreamName, ShardId),
    /// A consumer of it with enhanced fan-out.
    FanOut(StreamName, ConsumerName),
    /// A Lambda function, by name.
    Function(Arc<str>),
    /// An event source mapping, by UUID.
    Mapping(Arc<str>),
    /// A Firehose stream, by name.
    Firehose(Arc<str>),
    /// A Flink application, by name, and the dimensions that its metric has beside that name:
    /// which they are is the application's own business.
    Flink(Arc<str>, Arc<[(Arc<str>, Arc<str>)]>),
}

impl Subject {
    /// What kind of thing it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Stream(_) => Kind::Stream,
            Self::Shard(..) => Kind::Shard,
            Self::FanOut(..) => Kind::FanOut,
            Self::Function(_) => Kind::Function,
            Self::Mapping(_) => Kind::Mapping,
            Self::Firehose(_) => Kind::Firehose,
            Self::Flink(..) => Kind::Flink,
        }
    }

    /// CloudWatch's dimensions, name and value.
    #[must_use]
    pub fn dimensions(&self) -> Vec<(&str, &str)> {
        match self {
            Self::Stream(stream) => vec![("StreamName", stream.as_str())],
            Self::Shard(stream, shard) => {
                vec![("StreamName", stream.as_str()), ("ShardId", shard.as_str())]
            }
            Self::FanOut(stream, consumer) => {
                vec![("StreamName", stream.as_str()), ("ConsumerName", consumer.as_str())]
            }
            Self::Function(name) => vec![("FunctionName", name)],
            Self::Mapping(id) => vec![("EventSourceMappingUUID", id)],
            Self::Firehose(name) => vec![("DeliveryStreamName", name)],
            Self::Flink(name, rest) => {
                let rest = rest.iter().map(|(name, value)| (&**name, &**value));
                std::iter::once(("Application", &**name)).chain(rest).collect()
            }
        }
    }

    /// What a hub's replicas divide among themselves: a stream's shards and consumers go with it.
    #[must_use]
    pub fn owner_key(&self) -> &str {
        match self {
            Self::Stream(stream) | Self::Shard(stream, _) | Self::FanOut(stream, _) => {
                stream.as_str()
            }
            Self::Function(name)
            | Self::Mapping(name)
            | Self::Firehose(name)
            | Self::Flink(name, _) => name,
        }
    }
}

/// One row of figures: a metric, with its statistic, of one thing. One query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The thing.
    pub subject: Subject,
    /// The metric.
    pub metric: Metric,
}
