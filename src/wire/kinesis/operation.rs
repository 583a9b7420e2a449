//! Owns the names of Kinesis' operations as a closed list with an arm for the unknown. Refuses to
//! refuse: an operation that we do not know passes. Source: reference/wire-and-proxy.md 1.1.

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
    /// A read that Kinesis pushes, for up to five minutes.
    SubscribeToShard,
    /// Records that a queue hands out; unlike a shard's they are acknowledged one by one.
    ReceiveQueueRecords,
    /// The same of records that were received too often.
    ReceiveDeadLetterQueueRecords,
    /// Any other that the label names.
    Known(&'static str),
    /// One that this version has not heard of.
    Other,
}

/// Those that we read.
const READ: [Operation; 7] = [
    Operation::PutRecord,
    Operation::PutRecords,
    Operation::GetRecords,
    Operation::GetShardIterator,
    Operation::SubscribeToShard,
    Operation::ReceiveQueueRecords,
    Operation::ReceiveDeadLetterQueueRecords,
];

/// Other operations on records: the model's `OperationType` `data`.
const DATA: [&str; 5] = [
    "AcknowledgeDeadLetterQueueRecords",
    "AcknowledgeQueueRecords",
    "RestoreDeadLetterQueueRecords",
    "UpdateDeadLetterQueueRecordsVisibility",
    "UpdateQueueRecordsVisibility",
];

/// Operations on streams, queues and channels themselves: `OperationType` `control`. The closed
/// lists keep the label's values closed.
const CONTROL: [&str; 45] = [
    "AddTagsToStream",
    "CreateChannel",
    "CreateQueue",
    "CreateStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteChannel",
    "DeleteQueue",
    "DeleteResourcePolicy",
    "DeleteStream",
    "DeregisterStreamConsumer",
    "DescribeAccountSettings",
    "DescribeChannel",
    "DescribeLimits",
    "DescribeQueue",
    "DescribeStream",
    "DescribeStreamConsumer",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetResourcePolicy",
    "IncreaseStreamRetentionPeriod",
    "ListChannels",
    "ListQueues",
    "ListShards",
    "ListStreamConsumers",
    "ListStreams",
    "ListTagsForResource",
    "ListTagsForStream",
    "MergeShards",
    "PutResourcePolicy",
    "RegisterStreamConsumer",
    "RemoveTagsFromStream",
    "SplitShard",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "TagResource",
    "UntagResource",
    "UpdateAccountSettings",
    "UpdateChannel",
    "UpdateMaxRecordSize",
    "UpdateQueue",
    "UpdateShardCount",
    "UpdateStreamMode",
    "UpdateStreamRecordDistributionStrategy",
    "UpdateStreamWarmThroughput",
];

impl Operation {
    /// From the value of `X-Amz-Target`; `None` if it names another service.
    #[must_use]
    pub fn from_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix("Kinesis_20131202.")?;
        let read = READ.into_iter().find(|read| read.as_str() == name);
        let known = || DATA.iter().chain(&CONTROL).find(|known| **known == name);
        Some(read.unwrap_or_else(|| known().map_or(Self::Other, |known| Self::Known(known))))
    }

    /// The name of every operation that is known.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let read = READ.into_iter().map(Self::as_str);
        read.chain(DATA.iter().chain(&CONTROL).copied())
    }

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PutRecord => "PutRecord",
            Self::PutRecords => "PutRecords",
            Self::GetRecords => "GetRecords",
            Self::GetShardIterator => "GetShardIterator",
            Self::SubscribeToShard => "SubscribeToShard",
            Self::ReceiveQueueRecords => "ReceiveQueueRecords",
            Self::ReceiveDeadLetterQueueRecords => "ReceiveDeadLetterQueueRecords",
            Self::Known(name) => name,
            Self::Other => "other",
        }
    }

    /// Whether it is about records (the model's `OperationType` `data`), and so goes to the data
    /// hosts. An unknown one is taken for control: most are.
    #[must_use]
    pub fn is_data(self) -> bool {
        match self {
            Self::PutRecord
            | Self::PutRecords
            | Self::GetRecords
            | Self::GetShardIterator
            | Self::SubscribeToShard
            | Self::ReceiveQueueRecords
            | Self::ReceiveDeadLetterQueueRecords => true,
            Self::Known(name) => DATA.contains(&name),
            Self::Other => false,
        }
    }

    /// Whether Kinesis waits on purpose before it answers.
    #[must_use]
    pub const fn is_long_poll(self) -> bool {
        matches!(self, Self::ReceiveQueueRecords | Self::ReceiveDeadLetterQueueRecords)
    }

    /// Whether it is about a queue (the model's `ResourceType` `queue`), and so goes to the queue
    /// hosts. Each such operation, and no other, has it in its name.
    #[must_use]
    pub fn is_queue(self) -> bool {
        self.as_str().contains("Queue")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

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

    #[test]
    fn the_model_has_57_and_each_is_told_from_the_others() {
        let names: HashSet<&str> =
            READ.iter().map(|read| read.as_str()).chain(DATA).chain(CONTROL).collect();
        assert_eq!(names.len(), 57);
        for name in &names {
            let target = format!("Kinesis_20131202.{name}");
            assert_eq!(Operation::from_target(&target).map(Operation::as_str), Some(*name));
        }
        let all = || {
            names.iter().filter_map(|n| Operation::from_target(&format!("Kinesis_20131202.{n}")))
        };
        assert_eq!(all().filter(|operation| operation.is_data()).count(), 12);
        assert_eq!(all().filter(|operation| operation.is_queue()).count(), 12);
    }

    #[test]
    fn data_or_control() {
        let check = |name: &str, data, queue| {
            let operation = Operation::from_target(&format!("Kinesis_20131202.{name}")).unwrap();
            assert_eq!((operation.is_data(), operation.is_queue()), (data, queue), "{name}");
        };
        check("GetShardIterator", true, false);
        check("PutRecords", true, false);
        check("SubscribeToShard", true, false);
        check("ListShards", false, false);
        check("DescribeChannel", false, false);
        check("UpdateQueueRecordsVisibility", true, true);
        check("AcknowledgeQueueRecords", true, true);
        check("ReceiveDeadLetterQueueRecords", true, true);
        check("ListQueues", false, true);
        check("Invented", false, false);
    }
}
