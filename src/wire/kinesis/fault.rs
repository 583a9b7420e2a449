//! Owns the errors that are ours, in Kinesis' shape. Refuses Kinesis' throttling types: those would
//! send people to reshard. Every answer of ours carries `x-kinescope-error` with the reason.

use super::form::WireForm;
use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;

/// An AWS account's number: twelve digits, small enough to be carried by value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// From its twelve digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 12] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which of the lists under `proxy.allow` a request is not on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AllowList {
    /// `proxy.allow.access_keys`.
    AccessKeys,
    /// `proxy.allow.streams`.
    Streams,
    /// `proxy.allow.operations`.
    Operations,
}

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
    /// The access key's account is certainly another than ours: what we sign would be stored, and
    /// paid for, in the wrong one.
    AccountMismatch {
        /// The account of the application's access key.
        application: AccountId,
        /// The account of our credentials.
        ours: AccountId,
    },
    /// Not on one of the lists under `proxy.allow`.
    NotAllowed(AllowList),
    /// The request came through a sidecar of ours already: our upstream leads back to us.
    LoopDetected,
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
            Self::AccountMismatch { .. } => "account_mismatch",
            Self::NotAllowed(_) => "not_allowed",
            Self::LoopDetected => "loop_detected",
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
    /// SDK; the others are not, because a retry would fail alike.
    #[must_use]
    pub fn answer(self) -> (u16, &'static str, Cow<'static, str>) {
        let (status, kind) = self.kind();
        (status, kind, self.sentence())
    }

    const fn kind(self) -> (u16, &'static str) {
        match self {
            Self::NotFound => (404, "UnknownOperationException"),
            Self::WrongService => (400, "UnknownOperationException"),
            Self::BrowserRefused
            | Self::ForeignHost
            | Self::AccountMismatch { .. }
            | Self::NotAllowed(_) => (403, "AccessDeniedException"),
            Self::Unsigned => (403, "MissingAuthenticationTokenException"),
            Self::StreamingSignature => (400, "ValidationException"),
            Self::LoopDetected => (508, "LoopDetectedException"),
            Self::BodyTooLarge => (413, "RequestEntityTooLargeException"),
            Self::BodyIncomplete => (400, "SerializationException"),
            Self::Overloaded
            | Self::NoCredentials
            | Self::UpstreamUnreachable
            | Self::UpstreamReset
            | Self::UpstreamTimeout => (503, "ServiceUnavailable"),
        }
    }

    fn sentence(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NotFound => {
                "kinescope: send Kinesis calls as POST to / or /app/NAME of this port."
            }
            Self::BrowserRefused => {
                "kinescope: requests with an Origin header are refused; call from the application, not from a page."
            }
            Self::ForeignHost => {
                "kinescope: the Host header must be the loopback address that this port listens on."
            }
            Self::Unsigned => {
                "kinescope: the request has no complete SigV4 Authorization header; give the client credentials, any that it would use for Kinesis."
            }
            Self::WrongService => {
                "kinescope: this request is for another AWS service; set AWS_ENDPOINT_URL_KINESIS, not AWS_ENDPOINT_URL."
            }
            Self::StreamingSignature => {
                "kinescope: chunk-signed bodies (STREAMING-…) are not part of Kinesis' protocol."
            }
            Self::AccountMismatch { application, ours } => {
                return Cow::Owned(format!(
                    "kinescope: the application's access key belongs to account {application}, this sidecar's credentials to account {ours}; give the sidecar credentials of the application's account."
                ));
            }
            Self::NotAllowed(AllowList::AccessKeys) => {
                "kinescope: this access key is not on the list proxy.allow.access_keys; add it there or use one that is."
            }
            Self::NotAllowed(AllowList::Streams) => {
                "kinescope: this stream is not on the list proxy.allow.streams; add it there or use one that is."
            }
            Self::NotAllowed(AllowList::Operations) => {
                "kinescope: this operation is not on the list proxy.allow.operations; add it there or call Kinesis directly."
            }
            Self::LoopDetected => {
                "kinescope: this request came through a sidecar already; set proxy.upstream.endpoint, or unset it, so that it does not lead back to a sidecar."
            }
            Self::BodyTooLarge => {
                "kinescope: the request body is larger than limits.body_bytes_max."
            }
            Self::BodyIncomplete => "kinescope: the request body ended before its length.",
            Self::Overloaded => {
                "kinescope: too many requests are in flight in this sidecar; nothing was sent, try again."
            }
            Self::NoCredentials => {
                "kinescope: no AWS credentials yet; nothing was sent, try again."
            }
            Self::UpstreamUnreachable => {
                "kinescope: Kinesis could not be reached; nothing was sent, try again."
            }
            Self::UpstreamReset => {
                "kinescope: the connection to Kinesis broke before its answer; whether it acted is unknown."
            }
            Self::UpstreamTimeout => {
                "kinescope: Kinesis did not answer in time; whether it acted is unknown."
            }
        })
    }

    /// The body, in the form that the client speaks.
    #[must_use]
    pub fn body(self, form: WireForm) -> Vec<u8> {
        let (_, kind, message) = self.answer();
        match form {
            WireForm::Json => {
                serde_json::json!({ "__type": kind, "message": message }).to_string().into_bytes()
            }
            WireForm::Cbor => cbor(kind, &message).unwrap_or_default(),
        }
    }
}

fn cbor(kind: &str, message: &str) -> Result<Vec<u8>, minicbor::encode::Error<Infallible>> {
    let mut encoder = minicbor::Encoder::new(Vec::new());
    encoder.map(2)?.str("__type")?.str(kind)?.str("message")?.str(message)?;
    Ok(encoder.into_writer())
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Resend, error_message, error_type, resend};
    use super::*;

    const ALL: [Fault; 18] = [
        Fault::NotFound,
        Fault::BrowserRefused,
        Fault::ForeignHost,
        Fault::Unsigned,
        Fault::WrongService,
        Fault::StreamingSignature,
        Fault::AccountMismatch {
            application: AccountId(*b"111122223333"),
            ours: AccountId(*b"044455556666"),
        },
        Fault::NotAllowed(AllowList::AccessKeys),
        Fault::NotAllowed(AllowList::Streams),
        Fault::NotAllowed(AllowList::Operations),
        Fault::LoopDetected,
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
            let (status, kind, message) = fault.answer();
            assert!(status >= 400);
            for throttling in
                ["Throttl", "LimitExceeded", "ProvisionedThroughput", "TooMany", "SlowDown"]
            {
                assert!(!kind.contains(throttling), "{fault:?}");
            }
            assert!(message.starts_with("kinescope: ") && message.ends_with('.'), "{fault:?}");
            for form in [WireForm::Json, WireForm::Cbor] {
                let body = fault.body(form);
                assert_eq!(error_type(form, &body).as_deref(), Some(kind), "{form:?}");
                assert_eq!(error_message(form, &body).as_deref(), Some(&*message), "{form:?}");
            }
        }
    }

    #[test]
    fn what_may_pass_in_a_moment_is_retried_and_nothing_else() {
        for fault in ALL {
            let (status, kind, _) = fault.answer();
            let retried = matches!(status, 500 | 502 | 503 | 504);
            assert_eq!(retried, kind == "ServiceUnavailable", "{fault:?}");
        }
    }

    #[test]
    fn a_refusal_of_who_asks_is_not_sent_again_by_a_sidecar_before_us() {
        for fault in ALL.into_iter().filter(|fault| fault.answer().0 == 403) {
            let (status, kind, message) = fault.answer();
            assert_eq!(resend(status, Some(kind), Some(&message), true, false), Resend::No);
        }
        let (status, kind, message) = Fault::LoopDetected.answer();
        assert_eq!(resend(status, Some(kind), Some(&message), true, false), Resend::No);
    }

    #[test]
    fn a_mismatch_names_both_accounts() {
        let [application, ours] = ["111122223333", "044455556666"].map(AccountId::parse);
        let fault =
            Fault::AccountMismatch { application: application.unwrap(), ours: ours.unwrap() };
        let (_, kind, message) = fault.answer();
        assert_eq!((kind, fault.reason()), ("AccessDeniedException", "account_mismatch"));
        assert!(message.contains("111122223333") && message.contains("044455556666"), "{message}");
        assert!(
            ["", "12345678901", "1234567890123", "12345678901x"]
                .iter()
                .all(|text| AccountId::parse(text).is_none())
        );
    }
}
