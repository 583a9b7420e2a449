//! Owns the reasons for which a payload goes out as it came. Refuses to decide: the look does.

/// Why a payload goes out as it came. The closed list behind the label `verdict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leave {
    /// No bytes at all.
    Empty,
    /// Not JSON, or not only one JSON value.
    NotJson,
    /// JSON, but an array or a scalar.
    NotObject,
    /// Two root members have one name: which of them a reader takes is not ours to guess.
    DuplicateKeys,
    /// Nested deeper, wider, or of more objects than we follow.
    TooComplex,
    /// Already carries a valid context: kept, and linked.
    ContextPresent,
    /// Already carries something under `traceparent` or `tracestate` that is not a context.
    ContextInvalid,
    /// Already carries another tracer's context in `_datadog`.
    Datadog,
    /// gzip: its bytes are the producer's checksum's.
    Gzip,
    /// zstd, likewise.
    Zstd,
    /// Avro: its schema leaves no room.
    Avro,
    /// Led by a Glue Schema Registry header: its schema leaves no room.
    Glue,
    /// Led by Spring's embedded headers.
    Spring,
    /// Protocol buffers, by their wire format.
    Protobuf,
    /// A KPL aggregate whose user records are not to be touched.
    Aggregate,
    /// A KPL aggregate's magic, but not its checksum or form; consumers get it as one record.
    AggregateBroken,
    /// A KPL aggregate in an encoding that we could not give back byte for byte.
    AggregateForm,
}

impl Leave {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotJson => "not_json",
            Self::NotObject => "not_object",
            Self::DuplicateKeys => "duplicate_keys",
            Self::TooComplex => "too_complex",
            Self::ContextPresent => "context_present",
            Self::ContextInvalid => "context_invalid",
            Self::Datadog => "datadog",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Avro => "avro",
            Self::Glue => "glue",
            Self::Spring => "spring",
            Self::Protobuf => "protobuf",
            Self::Aggregate => "aggregate",
            Self::AggregateBroken => "aggregate_broken",
            Self::AggregateForm => "aggregate_form",
        }
    }
}
