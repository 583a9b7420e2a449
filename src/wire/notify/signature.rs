//! Owns the signature of Standard Webhooks 1.0.0 (HMAC-SHA256, `v1`), by one or two live keys.
//! Refuses to show a key. Source: reference/alerts.md 1.4.

use base64_simd::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use thiserror::Error;

/// What a key begins with.
const PREFIX: &str = "whsec_";
/// Two, so that one can be replaced while receivers still know only the other.
const KEYS_MAX: usize = 2;

/// Why a file holds no keys. Never what it holds instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeysFault {
    /// Not one line.
    #[error("holds no key: it should hold one or two lines that begin with `whsec_`")]
    None,
    /// More than may live at once.
    #[error("holds more than two keys: one that is used, and one that takes its place")]
    TooMany,
    /// Not base64 behind the prefix, or of no length for a key.
    #[error("holds a line that is no key: `whsec_` and the base64 of 24 to 64 bytes")]
    Malformed,
}

/// The keys that sign, in the order in which they were written.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys(Vec<Vec<u8>>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Keys {
    /// The keys of a file's text, one a line; empty lines do not count.
    ///
    /// # Errors
    /// When these are not one or two keys.
    pub fn parse(text: &str) -> Result<Self, KeysFault> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let key = |line: &str| {
            let bytes = STANDARD.decode_to_vec(line.strip_prefix(PREFIX)?).ok()?;
            (24..=64).contains(&bytes.len()).then_some(bytes)
        };
        let keys: Option<Vec<Vec<u8>>> = lines.map(key).collect();
        match keys.ok_or(KeysFault::Malformed)? {
            keys if keys.is_empty() => Err(KeysFault::None),
            keys if keys.len() > KEYS_MAX => Err(KeysFault::TooMany),
            keys => Ok(Self(keys)),
        }
    }

    /// The header `webhook-signature` of a body that is sent under this id at this time, in seconds
    /// since 1970.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_seconds: u64, body: &[u8]) -> String {
        let signed = |key: &Vec<u8>| {
            // HMAC takes a key of any length.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", STANDARD.encode_to_string(mac.finalize().into_bytes())))
        };
        self.0.iter().filter_map(signed).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_specification_s_example() {
        let sign = |keys: &str| {
            let body = br#"{"email":"test@example.com","username":"test_user"}"#;
            Keys::parse(keys).unwrap().sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body)
        };
        let expected = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
        assert_eq!(sign(KEY), expected);
        let two = sign(&format!("{OTHER}\n\n  {KEY}\n"));
        assert!(two.ends_with(expected) && two.matches("v1,").count() == 2, "{two}");
    }

    #[test]
    fn keys_are_one_or_two() {
        let check = |text: &str, expected| assert_eq!(Keys::parse(text).err(), expected);
        check(KEY, None);
        check(&format!("{KEY}\r\n{OTHER}\r\n"), None);
        check("", Some(KeysFault::None));
        check(&format!("{KEY}\n{OTHER}\n{KEY}"), Some(KeysFault::TooMany));
        check("C2FVsBQIhrscChlQIMV+b5sSYspob7oD", Some(KeysFault::Malformed));
        check("whsec_c2hvcnQ=", Some(KeysFault::Malformed));
        check("whsec_not base64", Some(KeysFault::Malformed));
        assert_eq!(format!("{:?}", Keys::parse(KEY)), "Ok([secret])");
    }
}
