//! Owns the errors that are ours, in Kinesis' shape. Refuses Kinesis' throttling types: those would
//! send people to reshard. Every answer of ours carries `x-kinescope-error` with the reason.

use super::form::WireForm;

/// Why we answer instead of Kinesis. The closed list behind the header and the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Not `POST /` or `POST /app/NAME`.
    NotFound,
    /// `Origin` is there: a browser, and we are not for pages.
    BrowserRefused,
    /// `Host` is not a loopback name: a page may have rebound its name to us.
    ForeignHost,
    /// No SigV4 header, or a broken one.
    Unsigned,
    /// Signed for, or aimed at, another service.
    WrongService,
    /// A signed chunked upload, which no Kinesis client makes.
    StreamingSignature,
    /// The body is over `limits.body_bytes_max`.
    BodyTooLarge,
    /// The client stopped in the middle of its body.
    BodyIncomplete,
    /// Over `limits.in_flight_max` or `limits.buffered_bytes_max`.
    Overloaded,
    /// No credentials yet, or no more.
    NoCredentials,
    /// Kinesis' address could not be found, or it refused the connection.
    UpstreamUnreachable,
    /// The connection to Kinesis broke before its answer began.
    UpstreamReset,
    /// Kinesis did not answer in time.
    UpstreamTimeout,
}

impl Fault {
    /// The reason: header value and metric label.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::BrowserRefused => "browser_refused",
            Self::ForeignHost => "foreign_host",
            Self::Unsigned => "unsigned",
            Self::WrongService => "wrong_service",
            Self::StreamingSignature => "streaming_signature",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyIncomplete => "body_incomplete",
            Self::Overloaded => "overloaded",
            Self::NoCredentials => "no_credentials",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    /// HTTP status, error type, and a sentence that says what to do. The 503s are retried by every
    /// SDK; the 4xx are not, because a retry would fail alike.
    #[must_use]
    pub const fn answer(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::NotFound => (
                404,
                "UnknownOperationException",
                "kinescope: send Kinesis calls as POST to / or /app/NAME of this port.",
            ),
            Self::BrowserRefused => (
                403,
                "AccessDeniedException",
                "kinescope: requests with an Origin header are refused; call from the application, not from a page.",
            ),
            Self::ForeignHost => (
                403,
                "AccessDeniedException",
                "kinescope: the Host header must be the loopback address that this port listens on.",
            ),
            Self::Unsigned => (
                403,
                "MissingAuthenticationTokenException",
                "kinescope: the request has no complete SigV4 Authorization header; give the client credentials, any that it would use for Kinesis.",
            ),
            Self::WrongService => (
                400,
                "UnknownOperationException",
                "kinescope: this request is for another AWS service; set AWS_ENDPOINT_URL_KINESIS, not AWS_ENDPOINT_URL.",
            ),
            Self::StreamingSignature => (
                400,
                "ValidationException",
                "kinescope: chunk-signed bodies (STREAMING-…) are not part of Kinesis' protocol.",
            ),
            Self::BodyTooLarge => (
                413,
                "RequestEntityTooLargeException",
                "kinescope: the request body is larger than limits.body_bytes_max.",
            ),
            Self::BodyIncomplete => (
                400,
                "SerializationException",
                "kinescope: the request body ended before its length.",
            ),
            Self::Overloaded => (
                503,
                "ServiceUnavailable",
                "kinescope: too many requests are in flight in this sidecar; nothing was sent, try again.",
            ),
            Self::NoCredentials => (
                503,
                "ServiceUnavailable",
                "kinescope: no AWS credentials yet; nothing was sent, try again.",
            ),
            Self::UpstreamUnreachable => (
                503,
                "ServiceUnavailable",
                "kinescope: Kinesis could not be reached; nothing was sent, try again.",
            ),
            Self::UpstreamReset => (
                503,
                "ServiceUnavailable",
                "kinescope: the connection to Kinesis broke before its answer; whether it acted is unknown.",
            ),
            Self::UpstreamTimeout => (
                503,
                "ServiceUnavailable",
                "kinescope: Kinesis did not answer in time; whether it acted is unknown.",
            ),
        }
    }

    /// The body, in the form that the client speaks.
    #[must_use]
    pub fn body(self, form: WireForm) -> Vec<u8> {
        let _ = form;
        let (_, kind, message) = self.answer();
        serde_json::json!({ "__type": kind, "message": message }).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Fault; 13] = [
        Fault::NotFound,
        Fault::BrowserRefused,
        Fault::ForeignHost,
        Fault::Unsigned,
        Fault::WrongService,
        Fault::StreamingSignature,
        Fault::BodyTooLarge,
        Fault::BodyIncomplete,
        Fault::Overloaded,
        Fault::NoCredentials,
        Fault::UpstreamUnreachable,
        Fault::UpstreamReset,
        Fault::UpstreamTimeout,
    ];

    #[test]
    fn never_a_throttling_type_and_always_readable() {
        for fault in ALL {
            let (status, kind, _) = fault.answer();
            assert!(status >= 400);
            for throttling in
                ["Throttl", "LimitExceeded", "ProvisionedThroughput", "TooMany", "SlowDown"]
            {
                assert!(!kind.contains(throttling), "{fault:?}");
            }
            assert_eq!(
                super::super::outcome::error_type(WireForm::Json, &fault.body(WireForm::Json))
                    .as_deref(),
                Some(kind)
            );
        }
    }
}
