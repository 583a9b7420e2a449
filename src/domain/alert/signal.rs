//! Owns the closed list of what a rule can look at: each signal's name, unit, subject and source.
//! Refuses to reckon a value: the engine and `figures` do.

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Seconds of delivery lag of a consumer's worst shard.
    DeliveryLag,
    /// 1 while the consumer's status is `stopped`, 0 while it is seen to read; no value while its
    /// status says neither.
    Stopped,
    /// 1 while the status is `falling_behind`, 0 while it is another that tells.
    FallingBehind,
    /// 1 while the status is `stalled`, 0 while it is another that tells.
    Stalled,
    /// Seconds until records are trimmed unread; endless while the lag does not grow, 0 while the
    /// status is `losing_data`.
    TimeToDataLoss,
    /// Delivery lag as a share of the stream's live retention, 0..1.
    RetentionUsed,
    /// Seconds of lag gained per second.
    LagVelocity,
    /// How fast the freshness budget burns, as a multiple of what is worth waking somebody: the
    /// larger of min(1 h, 5 min) / 14.4 and min(6 h, 30 min) / 6.
    FreshnessBurn,
    /// Throttled reads of a stream per second, as CloudWatch counted them.
    ReadThrottles,
    /// Share of a stream's records that were throttled, 0..1, as CloudWatch counted them.
    WriteThrottles,
    /// Share of a stream's records that Kinesis did not store, 0..1, on the wire, over 5 minutes.
    PutFailures,
    /// 1 while CloudWatch counts records of a stream that used to pass here and does no more.
    Bypassed,
    /// A shard's load against 1 MB/s or 1,000 records/s, whichever is nearer.
    WriteUtilization,
    /// Sagas of one kind that fell silent half-way.
    SagasStuck,
    /// Seconds since CloudWatch was first asked in vain; 0 while it answers.
    CloudWatchSilence,
    /// Seconds since a receiver was first told in vain; 0 while it takes what it is told.
    NotificationSilence,
    /// Always 1.
    Always,
}

/// What a signal's number means, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; a threshold may be a duration.
    Seconds,
    /// A share, 0..1.
    Ratio,
    /// 0 or 1.
    Flag,
    /// Things per second.
    PerSecond,
    /// Seconds per second.
    Velocity,
    /// Times as much.
    Factor,
    /// Things.
    Count,
}

/// What an alert of the signal is about, and so which labels it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A consumer of a stream.
    Consumer,
    /// A stream.
    Stream,
    /// A shard of a stream.
    Shard,
    /// A kind of saga.
    Saga,
    /// A receiver of notifications.
    Receiver,
    /// This process.
    Process,
}

/// Who says the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// What passed through us, and what we count of ourselves.
    Wire,
    /// CloudWatch, minutes late.
    CloudWatch,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 17] = [
        Self::DeliveryLag,
        Self::Stopped,
        Self::FallingBehind,
        Self::Stalled,
        Self::TimeToDataLoss,
        Self::RetentionUsed,
        Self::LagVelocity,
        Self::FreshnessBurn,
        Self::ReadThrottles,
        Self::WriteThrottles,
        Self::PutFailures,
        Self::Bypassed,
        Self::WriteUtilization,
        Self::SagasStuck,
        Self::CloudWatchSilence,
        Self::NotificationSilence,
        Self::Always,
    ];

    const fn facts(self) -> (&'static str, Unit, Scope, Source) {
        use Scope::{Consumer, Process, Receiver, Saga, Shard, Stream};
        use Source::{CloudWatch, Wire};
        match self {
            Self::DeliveryLag => ("delivery_lag", Unit::Seconds, Consumer, Wire),
            Self::Stopped => ("stopped", Unit::Flag, Consumer, Wire),
            Self::FallingBehind => ("falling_behind", Unit::Flag, Consumer, Wire),
            Self::Stalled => ("stalled", Unit::Flag, Consumer, Wire),
            Self::TimeToDataLoss => ("time_to_data_loss", Unit::Seconds, Consumer, Wire),
            Self::RetentionUsed => ("retention_used", Unit::Ratio, Consumer, Wire),
            Self::LagVelocity => ("lag_velocity", Unit::Velocity, Consumer, Wire),
            Self::FreshnessBurn => ("freshness_burn", Unit::Factor, Consumer, Wire),
            Self::ReadThrottles => ("read_throttles", Unit::PerSecond, Stream, CloudWatch),
            Self::WriteThrottles => ("write_throttles", Unit::Ratio, Stream, CloudWatch),
            Self::PutFailures => ("put_failures", Unit::Ratio, Stream, Wire),
            Self::Bypassed => ("bypassed", Unit::Flag, Stream, CloudWatch),
            Self::WriteUtilization => ("shard_write_utilization", Unit::Ratio, Shard, Wire),
            Self::SagasStuck => ("sagas_stuck", Unit::Count, Saga, Wire),
            Self::CloudWatchSilence => ("cloudwatch_silence", Unit::Seconds, Process, Wire),
            Self::NotificationSilence => ("notification_silence", Unit::Seconds, Receiver, Wire),
            Self::Always => ("always", Unit::Flag, Process, Wire),
        }
    }

    /// The name in a rule file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// What its number means.
    #[must_use]
    pub const fn unit(self) -> Unit {
        self.facts().1
    }

    /// What an alert of it is about.
    #[must_use]
    pub const fn scope(self) -> Scope {
        self.facts().2
    }

    /// Who says it.
    #[must_use]
    pub const fn source(self) -> Source {
        self.facts().3
    }

    /// The signal of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.as_str() == name)
    }
}

impl Scope {
    /// For a sentence.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Consumer => "a consumer of a stream",
            Self::Stream => "a stream",
            Self::Shard => "a shard of a stream",
            Self::Saga => "a kind of saga",
            Self::Receiver => "a receiver",
            Self::Process => "this process",
        }
    }

    /// The labels of what it is about.
    #[must_use]
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Consumer => &["stream", "consumer"],
            Self::Stream => &["stream"],
            Self::Shard => &["stream", "shard"],
            Self::Saga => &["saga"],
            Self::Receiver => &["receiver"],
            Self::Process => &[],
        }
    }
}
