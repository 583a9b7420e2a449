//! Owns the names of Kinesis things: stream, shard, consumer, sequence number. Refuses to know
//! where they were read.

use std::fmt;
use std::sync::Arc;

/// A cheap, immutable name; cloning one counts a reference.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// A data stream's name (not its ARN).
    StreamName
);
name!(
    /// A shard's id, such as `shardId-000000000002`; `unknown` for a read that could not be placed.
    ShardId
);
name!(
    /// Who reads: the service's name, the `consumer` label.
    ConsumerName
);
name!(
    /// A record's sequence number, decimal digits as Kinesis wrote them.
    SequenceNumber
);

impl StreamName {
    /// The stream's name out of `arn:…:stream/NAME` or `arn:…:stream/NAME/consumer/…`.
    #[must_use]
    pub fn from_arn(arn: &str) -> Option<Self> {
        let (prefix, path) = arn.split_once(":stream/")?;
        let name = path.split('/').next().filter(|name| !name.is_empty())?;
        prefix.starts_with("arn:").then(|| Self::from(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_of_an_arn() {
        let check = |arn, expected: Option<&str>| {
            assert_eq!(StreamName::from_arn(arn).as_ref().map(StreamName::as_str), expected);
        };
        check("arn:aws:kinesis:us-east-1:123456789012:stream/orders", Some("orders"));
        check("arn:aws-cn:kinesis:cn-north-1:1:stream/o/consumer/mail:17", Some("o"));
        check("arn:aws:kinesis:us-east-1:1:stream/", None);
        check("orders", None);
    }
}
