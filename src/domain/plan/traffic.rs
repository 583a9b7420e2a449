//! Owns the traffic that is planned for, and which traffic there cannot be. Refuses to guess.

/// The most that a record may have, data and partition key together, where the stream allows it.
pub(super) const RECORD_BYTES_MAX: u32 = 10 << 20;
/// What a stream allows a record until it is told otherwise.
pub(super) const RECORD_BYTES_DEFAULT: u32 = 1 << 20;
/// Retention: a day to a year.
const HOURS: std::ops::RangeInclusive<u32> = 24..=8_760;
/// Fan-out consumers of one stream, on-demand advantage.
pub(super) const FAN_OUT_ADVANTAGE_MAX: u32 = 50;
/// Fan-out consumers of one stream in the other modes.
pub(super) const FAN_OUT_MAX: u32 = 20;
/// Beyond any account's quota: a slip of the keyboard.
const RECORDS_PER_SECOND_MAX: f64 = 1e9;
/// The same of readers and of processes that put.
const PROGRAMS_MAX: u32 = 100_000;

/// What one stream carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Records put in a second, on average over a month: what is paid by volume.
    pub records_per_second: f64,
    /// In the busiest second: what shards must carry.
    pub peak_records_per_second: f64,
    /// Of one record, data and partition key together.
    pub record_bytes: u32,
    /// Readers that share the shards' reads: each reads everything.
    pub consumers: u32,
    /// Readers with enhanced fan-out: each reads everything, by itself.
    pub fan_out_consumers: u32,
    /// How long records are kept.
    pub hours_retained: u32,
    /// Processes that put: aggregation happens within one of them.
    pub producers: u32,
}

/// Traffic that there cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No rate.
    #[error("should be a number from 0 to 1,000,000,000")]
    Rate,
    /// A peak below the average.
    #[error("should be at least the average rate, and at most 1,000,000,000")]
    Peak,
    /// A record that Kinesis does not take.
    #[error(
        "should be from 1 to 10485760: Kinesis takes no record above 10 MiB, partition key included"
    )]
    Record,
    /// More readers than there are.
    #[error("should be at most 100,000")]
    Consumers,
    /// More than may be registered.
    #[error(
        "should be at most 50: that is on-demand advantage's limit for a stream (20 in the other \
         modes)"
    )]
    FanOut,
    /// No writer, or more than there are.
    #[error("should be from 1 to 100,000")]
    Producers,
    /// Kinesis keeps nothing shorter or longer.
    #[error("should be from 24 to 8760: a day to a year")]
    Retention,
}

impl Fault {
    /// What is faulty, in words that a command line may join.
    #[must_use]
    pub fn of(self) -> &'static str {
        match self {
            Self::Rate => "records per second",
            Self::Peak => "peak records per second",
            Self::Record => "record size bytes",
            Self::Consumers => "consumers",
            Self::FanOut => "fan out consumers",
            Self::Producers => "producers",
            Self::Retention => "hours retained",
        }
    }
}

impl Traffic {
    /// # Errors
    /// Every fault, at once.
    pub(super) fn check(&self) -> Result<(), Vec<Fault>> {
        let rate = |value: f64| (0.0..=RECORDS_PER_SECOND_MAX).contains(&value);
        let peak = self.peak_records_per_second;
        let found: Vec<Fault> = [
            (!rate(self.records_per_second)).then_some(Fault::Rate),
            (!rate(peak) || peak < self.records_per_second).then_some(Fault::Peak),
            (!(1..=RECORD_BYTES_MAX).contains(&self.record_bytes)).then_some(Fault::Record),
            (self.fan_out_consumers > FAN_OUT_ADVANTAGE_MAX).then_some(Fault::FanOut),
            (self.consumers > PROGRAMS_MAX).then_some(Fault::Consumers),
            (!(1..=PROGRAMS_MAX).contains(&self.producers)).then_some(Fault::Producers),
            (!HOURS.contains(&self.hours_retained)).then_some(Fault::Retention),
        ]
        .into_iter()
        .flatten()
        .collect();
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}
