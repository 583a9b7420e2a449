//! Owns the names of Kinesis' operations as a closed list with an arm for the unknown. Refuses to
//! refuse: an operation that we do not know passes.

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// One record.
    PutRecord,
    /// Up to 500 records.
    PutRecords,
    /// A read by iterator.
    GetRecords,
    /// Where a read begins.
    GetShardIterator,
    /// Any other that the label names.
    Known(&'static str),
    /// One that this version has not heard of.
    Other,
}

/// Operations that pass through and are told apart in metrics. The closed list keeps the label's
/// values closed.
const KNOWN: &[&str] = &[
    "AddTagsToStream",
    "CreateStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteResourcePolicy",
    "DeleteStream",
    "DeregisterStreamConsumer",
    "DescribeAccountSettings",
    "DescribeLimits",
    "DescribeStream",
    "DescribeStreamConsumer",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetResourcePolicy",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreamConsumers",
    "ListStreams",
    "ListTagsForResource",
    "ListTagsForStream",
    "MergeShards",
    "PutResourcePolicy",
    "ReceiveQueueRecords",
    "RegisterStreamConsumer",
    "RemoveTagsFromStream",
    "SplitShard",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "SubscribeToShard",
    "TagResource",
    "UntagResource",
    "UpdateAccountSettings",
    "UpdateMaxRecordSize",
    "UpdateShardCount",
    "UpdateStreamMode",
    "UpdateStreamWarmThroughput",
];

impl Operation {
    /// From the value of `X-Amz-Target`; `None` if it names another service.
    #[must_use]
    pub fn from_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix("Kinesis_20131202.")?;
        Some(match name {
            "PutRecord" => Self::PutRecord,
            "PutRecords" => Self::PutRecords,
            "GetRecords" => Self::GetRecords,
            "GetShardIterator" => Self::GetShardIterator,
            _ => KNOWN.iter().find(|known| **known == name).map_or(Self::Other, |n| Self::Known(n)),
        })
    }

    /// The name of every operation that is known.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["PutRecord", "PutRecords", "GetRecords", "GetShardIterator"]
            .into_iter()
            .chain(KNOWN.iter().copied())
    }

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PutRecord => "PutRecord",
            Self::PutRecords => "PutRecords",
            Self::GetRecords => "GetRecords",
            Self::GetShardIterator => "GetShardIterator",
            Self::Known(name) => name,
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let check = |target, expected: Option<&str>| {
            assert_eq!(Operation::from_target(target).map(Operation::as_str), expected);
        };
        check("Kinesis_20131202.PutRecord", Some("PutRecord"));
        check("Kinesis_20131202.ListShards", Some("ListShards"));
        check("Kinesis_20131202.Invented", Some("other"));
        check("DynamoDB_20120810.PutItem", None);
    }
}
