//! Owns what a failed call to an AWS service amounts to: one word of a closed set, for the metric
//! label, the log and the decision what to do. Refuses to decide when to try again.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// Why a call to AWS failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Too many calls.
    Throttled,
    /// Credentials or permissions are missing or wrong.
    Denied,
    /// The thing asked about does not exist.
    NotFound,
    /// The service refused the request for another reason.
    Refused,
    /// The service failed, or its answer could not be read.
    Broken,
    /// No answer in time.
    TimedOut,
    /// No connection, no credentials, no region: nothing was sent.
    Unsent,
}

impl Fault {
    /// The fault behind an SDK error.
    pub fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ServiceError(answer) => {
                Self::of_answer(answer.raw().status().as_u16(), answer.err().code())
            }
            SdkError::TimeoutError(_) => Self::TimedOut,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::TimedOut,
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => Self::Unsent,
            // The SDK's enum may grow; what is unknown is no worse than an unreadable answer.
            SdkError::ResponseError(_) | _ => Self::Broken,
        }
    }

    fn of_answer(status: u16, code: Option<&str>) -> Self {
        match code.unwrap_or_default() {
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "ProvisionedThroughputExceededException"
            | "LimitExceededException"
            | "SlowDown" => Self::Throttled,
            "AccessDenied"
            | "AccessDeniedException"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "OptInRequired"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Self::Denied,
            "ResourceNotFoundException" => Self::NotFound,
            _ => match status {
                429 => Self::Throttled,
                401 | 403 => Self::Denied,
                400..=499 => Self::Refused,
                _ => Self::Broken,
            },
        }
    }

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::TimedOut => "timed_out",
            Self::Unsent => "unsent",
        }
    }

    /// Whether the same call may succeed a moment later.
    #[must_use]
    pub const fn passes(self) -> bool {
        match self {
            Self::Throttled | Self::Broken | Self::TimedOut | Self::Unsent => true,
            Self::Denied | Self::NotFound | Self::Refused => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_named() {
        let check = |status, code, expected| {
            assert_eq!(Fault::of_answer(status, code), expected, "{status} {code:?}");
        };
        check(400, Some("ThrottlingException"), Fault::Throttled);
        check(400, Some("LimitExceededException"), Fault::Throttled);
        check(429, None, Fault::Throttled);
        check(400, Some("AccessDeniedException"), Fault::Denied);
        check(400, Some("ExpiredTokenException"), Fault::Denied);
        check(403, Some("SomethingNew"), Fault::Denied);
        check(400, Some("ResourceNotFoundException"), Fault::NotFound);
        check(400, Some("ValidationError"), Fault::Refused);
        check(500, Some("InternalServiceFault"), Fault::Broken);
        check(503, None, Fault::Broken);
    }
}
