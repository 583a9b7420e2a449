//! Owns the decision to send a request a second time. Refuses unless a complete answer proves that
//! nothing was stored: no answer, a 5xx, and a 200 with failures prove nothing.

/// What to send after a complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// Nothing: the answer is the application's.
    No,
    /// The bytes that the application sent: what we added may have been too much.
    Original,
    /// The same bytes with a new signature.
    SignAgain {
        /// The credentials have expired, and new ones are needed first; else it is the clock, which
        /// the answer's `Date` puts right.
        expired: bool,
    },
}

/// The request was refused for what it is. `SerializationException` is the front end's, the others
/// the model's and HTTP's.
const REFUSED_BODY: [&str; 5] = [
    "ValidationException",
    "InvalidArgumentException",
    "SerializationException",
    "RequestEntityTooLarge",
    "RequestEntityTooLargeException",
];

/// The temporary credentials are over. Kinesis answers 400 `ExpiredTokenException`, "The security
/// token included in the request is expired"; the short name is that of other services.
const EXPIRED: [&str; 2] = ["ExpiredTokenException", "ExpiredToken"];

/// The clock, and nothing else.
const CLOCK: [&str; 3] = ["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"];

/// The clock or a wrong signature: the message tells. With `RequestTimeTooSkewed` these are the AWS
/// SDK's codes (aws-runtime 1.10, `service_clock_skew::CLOCK_SKEW_ERROR_CODES`), which takes none of
/// them for skew either before it has measured more than four minutes. Kinesis answers 400
/// `InvalidSignatureException`, "Signature expired: … is now earlier than …" or "Signature not yet
/// current: … is still later than …".
const CLOCK_OR_KEY: [&str; 4] =
    ["InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure", "AccessDeniedException"];

/// Whether a request is sent again after this complete answer, and what. `enlarged`: we added to
/// its body. `resigned`: what was answered here was the second sending; there is no third.
#[must_use]
pub fn resend(
    status: u16,
    error_type: Option<&str>,
    message: Option<&str>,
    enlarged: bool,
    resigned: bool,
) -> Resend {
    let is = |names: &[&str]| error_type.is_some_and(|name| names.contains(&name));
    let says = |words: &[&str]| {
        message.is_some_and(|text| {
            let text = text.to_ascii_lowercase();
            words.iter().any(|words| text.contains(words))
        })
    };
    if resigned || !matches!(status, 400 | 403 | 413) {
        return Resend::No;
    }
    if status != 413 {
        if is(&EXPIRED)
            || is(&CLOCK_OR_KEY) && says(&["security token included in the request is expired"])
        {
            return Resend::SignAgain { expired: true };
        }
        if is(&CLOCK)
            || is(&CLOCK_OR_KEY) && says(&["signature expired", "signature not yet current"])
        {
            return Resend::SignAgain { expired: false };
        }
    }
    // Whoever stands between Kinesis and us may refuse a body for its size without a type.
    let too_large = || error_type.is_none() && says(&["too large", "size", "length", "exceed"]);
    if enlarged && (status == 413 || status == 400 && (is(&REFUSED_BODY) || too_large())) {
        return Resend::Original;
    }
    Resend::No
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRED: Resend = Resend::SignAgain { expired: true };
    const CLOCK: Resend = Resend::SignAgain { expired: false };
    const EARLIER: &str =
        "Signature expired: 20260325T143453Z is now earlier than 20260325T143751Z";
    const LATER: &str =
        "Signature not yet current: 20261017T093750Z is still later than 20261017T093639Z";
    const TOKEN: &str = "The security token included in the request is expired";
    const WRONG: &str =
        "The request signature we calculated does not match the signature you provided.";

    fn check(status: u16, kind: &str, message: &str, expected: Resend) {
        let [kind, message] =
            [kind, message].map(|text| Some(text).filter(|text| !text.is_empty()));
        assert_eq!(resend(status, kind, message, true, false), expected, "{status} {kind:?}");
        assert_eq!(resend(status, kind, message, true, true), Resend::No, "a third time: {kind:?}");
        let plain = if expected == Resend::Original { Resend::No } else { expected };
        assert_eq!(resend(status, kind, message, false, false), plain, "not enlarged: {kind:?}");
    }

    #[test]
    fn the_original_after_a_refusal_of_the_body() {
        for kind in REFUSED_BODY {
            check(400, kind, "1 validation error detected", Resend::Original);
            check(403, kind, "1 validation error detected", Resend::No);
        }
        check(413, "", "", Resend::Original);
        check(413, "Whatever", "", Resend::Original);
        check(400, "", "Request body too large", Resend::Original);
        check(400, "", "Bad Request", Resend::No);
    }

    #[test]
    fn signed_again_after_expiry_and_skew() {
        for status in [400, 403] {
            check(status, "ExpiredTokenException", TOKEN, EXPIRED);
            check(status, "ExpiredToken", "", EXPIRED);
            check(status, "AccessDeniedException", TOKEN, EXPIRED);
            check(status, "InvalidSignatureException", EARLIER, CLOCK);
            check(status, "InvalidSignatureException", LATER, CLOCK);
            check(status, "SignatureDoesNotMatch", EARLIER, CLOCK);
            check(status, "RequestTimeTooSkewed", "", CLOCK);
            check(status, "RequestExpired", "Request has expired.", CLOCK);
        }
    }

    #[test]
    fn nothing_else_is_sent_twice() {
        for (kind, message) in [
            ("InvalidSignatureException", WRONG),
            ("InvalidSignatureException", ""),
            ("AccessDeniedException", "User is not authorized to perform kinesis:PutRecord"),
            (
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ),
            ("ProvisionedThroughputExceededException", "Rate exceeded for shard"),
            ("LimitExceededException", "Rate exceeded: size"),
            ("KMSThrottlingException", ""),
            ("ResourceNotFoundException", "Stream order-size-exceeded under account 1 not found."),
            ("ExpiredIteratorException", "Iterator expired."),
            ("DryRunOperationException", ""),
            ("", ""),
        ] {
            check(400, kind, message, Resend::No);
            check(403, kind, message, Resend::No);
        }
        for status in [0, 200, 301, 404, 408, 429, 500, 502, 503, 504] {
            for kind in ["ValidationException", "ExpiredTokenException", "RequestTimeTooSkewed"] {
                check(status, kind, EARLIER, Resend::No);
            }
        }
        check(413, "ExpiredTokenException", TOKEN, Resend::Original);
    }
}
