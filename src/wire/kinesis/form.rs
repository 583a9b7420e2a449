//! Owns the two wire forms of Kinesis' bodies. Refuses a third: such a body passes unread.

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireForm {
    /// AWS JSON 1.1: blobs in base64, times in seconds.
    Json,
    /// The AWS SDKs for Java: blobs as byte strings, times as tag 1 with whole milliseconds.
    Cbor,
}

impl WireForm {
    /// From a `Content-Type`.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        [Self::Json, Self::Cbor]
            .into_iter()
            .find(|form| content_type.starts_with(form.content_type()))
    }

    /// The `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }
}
