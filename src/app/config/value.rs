//! Owns how one plain value is read: durations, sizes, addresses, words of a closed list. Refuses
//! to default and to report; the walk does.

use crate::domain::alert::Missing;
use crate::domain::alert::Severity;
use crate::domain::alert::Signal;
use http::Uri;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A type that a plain value can mean. `None` from a reader is a wrong value.
pub(super) trait Meaning: Sized + 'static {
    /// What would be right, to follow "should be".
    fn wanted() -> String;

    /// Text of the file.
    fn of_text(text: &str) -> Option<Self>;

    /// A number of the file; text is wanted unless a type says otherwise.
    fn of_number(_number: &str) -> Option<Self> {
        None
    }

    /// `true` or `false` of the file.
    fn of_bool(_truth: bool) -> Option<Self> {
        None
    }

    /// A variable or flag, which has no types.
    fn of_loose(text: &str) -> Option<Self> {
        Self::of_text(text)
    }
}

impl Meaning for String {
    fn wanted() -> String {
        "text (a number or true/false is put in quotes to be text)".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        (!text.chars().any(char::is_control)).then(|| text.to_owned())
    }
}

impl Meaning for bool {
    fn wanted() -> String {
        "true or false".to_owned()
    }

    fn of_text(_text: &str) -> Option<Self> {
        None
    }

    fn of_bool(truth: bool) -> Option<Self> {
        Some(truth)
    }

    fn of_loose(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A count of things.
impl Meaning for usize {
    fn wanted() -> String {
        "a whole number from 1 to 1000000000".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok().filter(|count| (1..=1_000_000_000).contains(count))
    }

    fn of_number(number: &str) -> Option<Self> {
        Self::of_text(number)
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) usize);

impl Meaning for Bytes {
    fn wanted() -> String {
        "a size such as 512KiB, 16MiB or 1GiB, or a number of bytes, at most 64GiB".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.strip_prefix(digits)? {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        let bytes = digits.parse::<usize>().ok()?.checked_mul(unit)?;
        (1..=64 << 30).contains(&bytes).then_some(Self(bytes))
    }

    fn of_number(number: &str) -> Option<Self> {
        Self::of_text(number)
    }
}

impl Meaning for Duration {
    fn wanted() -> String {
        "a duration with its unit, such as 500ms, 60s, 5m, 4h or 1d, at most 365d".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        duration(text)
    }
}

/// `500ms`, `60s`, `5m`, `4h`, `1d`; whole numbers only, at most a year.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms: u64 = match text.strip_prefix(digits)? {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ms = digits.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (ms <= 365 * 86_400_000).then(|| Duration::from_millis(ms))
}

impl Meaning for SocketAddr {
    fn wanted() -> String {
        "an address and a port, such as 127.0.0.1:4590 or \"[::1]:4590\"".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// An http or https address without user, password and fragment; any path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) uri: Uri,
    /// As it was written, without the `/` that [`Uri`] adds.
    pub(super) text: String,
}

impl Meaning for Endpoint {
    fn wanted() -> String {
        "an http or https URL without user and password, such as http://localhost:4566".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority()?;
        let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        (web && plain && !text.contains('#')).then(|| Self { uri, text: text.to_owned() })
    }
}

/// A glob over names of streams or consumers: letters, digits, `_.-`, and `*`, `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(pub(super) String);

impl Meaning for Pattern {
    fn wanted() -> String {
        "a name in which `*` stands for any text and `?` for one character".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        let control = text.chars().any(char::is_control);
        (!control && (1..=256).contains(&text.len())).then(|| Self(text.to_owned()))
    }
}

/// A name that can be a part of a path: letters, digits, `_.-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(pub(super) String);

impl Meaning for Name {
    fn wanted() -> String {
        "1 to 64 letters, digits and `_.-`, beginning with a letter or digit".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        let right = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        (begins && text.len() <= 64 && text.bytes().all(right)).then(|| Self(text.to_owned()))
    }
}

/// The public half of an access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyId(pub(super) String);

impl Meaning for KeyId {
    fn wanted() -> String {
        "an access key id (never the secret key): letters, digits and `_`".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        let right = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let sized = (1..=128).contains(&text.len());
        (sized && text.bytes().all(right)).then(|| Self(text.to_owned()))
    }
}

/// A share of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Percent(pub(super) u8);

impl Meaning for Percent {
    fn wanted() -> String {
        "a whole number from 0 to 100".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok().filter(|percent| *percent <= 100).map(Self)
    }

    fn of_number(number: &str) -> Option<Self> {
        Self::of_text(number)
    }
}

/// A folder, or, in a variable, `null` for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder(pub(super) Option<PathBuf>);

impl Meaning for Folder {
    fn wanted() -> String {
        "a folder's path, or null for memory only".to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        let plain = !text.is_empty() && !text.chars().any(char::is_control);
        plain.then(|| Self(Some(PathBuf::from(text))))
    }

    fn of_loose(text: &str) -> Option<Self> {
        if text == "null" { Some(Self(None)) } else { Self::of_text(text) }
    }
}

/// Gives an enum its closed list of words.
macro_rules! words {
    ($type:ty { $($word:literal => $value:expr),+ $(,)? }) => {
        impl $crate::app::config::value::Meaning for $type {
            fn wanted() -> String {
                concat!("one of: ", $($word, ", "),+).trim_end_matches(", ").to_owned()
            }

            fn of_text(text: &str) -> Option<Self> {
                match text {
                    $($word => Some($value),)+
                    _ => None,
                }
            }
        }
    };
}
pub(super) use words;

words!(Severity {
    "info" => Self::Info,
    "warning" => Self::Warning,
    "critical" => Self::Critical,
});

impl Meaning for Signal {
    fn wanted() -> String {
        let names = Self::ALL.map(Self::as_str);
        format!("one of: {}", names.join(", "))
    }

    fn of_text(text: &str) -> Option<Self> {
        Self::of_name(text)
    }
}

words!(Missing {
    "keep" => Self::Keep,
    "fire" => Self::Fire,
    "clear" => Self::Clear,
});

/// A threshold in its signal's unit: a number, or a duration for a signal in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Threshold {
    /// A plain number.
    Number(f64),
    /// A duration, in seconds.
    Seconds(f64),
}

impl Meaning for Threshold {
    fn wanted() -> String {
        "a number that is not negative, or for a signal in seconds a duration such as 60s"
            .to_owned()
    }

    fn of_text(text: &str) -> Option<Self> {
        duration(text).map(|duration| Self::Seconds(duration.as_secs_f64()))
    }

    fn of_number(number: &str) -> Option<Self> {
        number.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0).map(Self::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, ms: Option<u64>| {
            assert_eq!(duration(text), ms.map(Duration::from_millis), "{text}");
        };
        check("500ms", Some(500));
        check("60s", Some(60_000));
        check("5m", Some(300_000));
        check("4h", Some(14_400_000));
        check("1d", Some(86_400_000));
        check("0s", Some(0));
        for wrong in ["", "s", "60", "1.5s", "-1s", "+1s", "1 s", "1w", "366d", "99999999999999d"] {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: Option<usize>| {
            assert_eq!(Bytes::of_text(text), bytes.map(Bytes), "{text}");
        };
        check("1024", Some(1024));
        check("512KiB", Some(524_288));
        check("16MiB", Some(16_777_216));
        check("1GiB", Some(1_073_741_824));
        for wrong in ["", "0", "MiB", "1MB", "1.5MiB", "99999999999999999GiB"] {
            check(wrong, None);
        }
    }

    #[test]
    fn endpoints() {
        let check =
            |text: &str, right| assert_eq!(Endpoint::of_text(text).is_some(), right, "{text}");
        check("http://localhost:4566", true);
        check("https://vpce-1.kinesis.us-east-1.vpce.amazonaws.com/", true);
        check("http://[::1]:4566", true);
        for wrong in
            ["", "localhost:4566", "/x", "ftp://a", "http://", "http://u:p@a", "http://a#b"]
        {
            check(wrong, false);
        }
    }
}
