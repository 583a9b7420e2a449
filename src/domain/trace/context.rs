//! Owns W3C trace context: strict parsing and printing of `traceparent` and `tracestate`.
//! Refuses what the W3C grammar refuses; a context that is not certain is no context.
//! Source: W3C Trace Context level 2; reference/tracing.md 3.6.

use std::fmt;
use std::sync::Arc;

/// A trace id, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

/// A span id, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

macro_rules! id {
    ($name:ident, $length:literal) => {
        impl $name {
            /// `None` for all zeros, which W3C calls invalid.
            #[must_use]
            pub fn new(bytes: [u8; $length]) -> Option<Self> {
                (bytes != [0; $length]).then_some(Self(bytes))
            }

            /// From exactly as many lower-case hex digits as the id has.
            #[must_use]
            pub fn from_hex(text: &[u8]) -> Option<Self> {
                let mut bytes = [0; $length];
                read_hex(text, &mut bytes)?;
                Self::new(bytes)
            }

            /// The bytes, most significant first.
            #[must_use]
            pub const fn bytes(self) -> [u8; $length] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

/// The flags byte; the random bit (level 2) is kept exactly as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// Sampled, and the trace id's last seven bytes are random: what we mint ourselves.
    pub const SAMPLED_RANDOM: Self = Self(0b11);

    /// Keeps the two bits that level 2 defines; the others are sent as zero.
    #[must_use]
    pub const fn new(byte: u8) -> Self {
        Self(byte & 0b11)
    }

    /// The byte to send.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Whether the caller may have recorded the trace.
    #[must_use]
    pub const fn sampled(self) -> bool {
        self.0 & 1 == 1
    }
}

/// What a `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that is the parent of whoever receives this.
    pub span_id: SpanId,
    /// Sampled and random.
    pub flags: Flags,
}

impl TraceContext {
    /// Length of a version 00 `traceparent`.
    pub const TEXT_BYTES: usize = 55;

    /// Reads a `traceparent`. Version 00 must be exactly 55 bytes; a future version is read by its
    /// first four fields and must separate anything more by a dash; version ff is refused.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(Self::TEXT_BYTES)?;
        let [a, b, b'-', body @ ..] = head else { return None };
        let mut version = [0; 1];
        read_hex(&[*a, *b], &mut version)?;
        match (version, rest) {
            ([0], []) | ([1..=254], [] | [b'-', ..]) => {}
            _ => return None,
        }
        let (trace_id, body) = body.split_at_checked(32)?;
        let [b'-', span_and_flags @ ..] = body else { return None };
        let (span_id, flags_text) = span_and_flags.split_at_checked(16)?;
        let [b'-', flags_text @ ..] = flags_text else { return None };
        let mut flags = [0; 1];
        read_hex(flags_text, &mut flags)?;
        Some(Self {
            trace_id: TraceId::from_hex(trace_id)?,
            span_id: SpanId::from_hex(span_id)?,
            flags: Flags::new(flags[0]),
        })
    }

    /// The version 00 text, without allocating.
    #[must_use]
    pub fn text(&self) -> [u8; Self::TEXT_BYTES] {
        let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.trace_id.0, &mut out[3..35]);
        write_hex(&self.span_id.0, &mut out[36..52]);
        write_hex(&[self.flags.0], &mut out[53..55]);
        out
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags.0)
    }
}

/// A `tracestate` that passed the grammar, kept as the text it came as; empty when there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TraceState(Option<Arc<str>>);

impl TraceState {
    /// Most list members that are kept; what comes beyond is cut from the right.
    pub const MEMBERS_MAX: usize = 32;
    /// Most bytes that are kept; entries over 128 bytes go first, then from the right.
    pub const BYTES_MAX: usize = 512;

    /// Reads a `tracestate`; any member that breaks the grammar, or a key given twice, gives the
    /// empty state. Empty members between commas are legal and dropped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut members: Vec<&str> = text
            .split(',')
            .map(|m| m.trim_matches([' ', '\t']))
            .filter(|m| !m.is_empty())
            .collect();
        let keys: Vec<&str> = members.iter().filter_map(|member| member_key(member)).collect();
        let doubled =
            || keys.iter().enumerate().any(|(i, key)| keys.iter().skip(i + 1).any(|k| k == key));
        if members.is_empty()
            || keys.len() != members.len()
            || keys.len() > 4 * Self::MEMBERS_MAX
            || doubled()
        {
            return Self::default();
        }
        members.truncate(Self::MEMBERS_MAX);
        let bytes =
            |members: &[&str]| members.iter().map(|m| m.len() + 1).sum::<usize>().saturating_sub(1);
        while bytes(&members) > Self::BYTES_MAX {
            let longest = members.iter().rposition(|member| member.len() > 128);
            members.remove(longest.unwrap_or(members.len() - 1));
        }
        Self((!members.is_empty()).then(|| members.join(",").into()))
    }

    /// The text, or nothing.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// The member's key, if key and value keep the grammar of level 2.
fn member_key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let first = key.bytes().next()?;
    let key_ok = key.len() <= 256
        && (first.is_ascii_lowercase() || first.is_ascii_digit())
        && key
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b));
    let value_ok = (1..=256).contains(&value.len())
        && !value.ends_with(' ')
        && value.bytes().all(|b| (0x20..=0x7e).contains(&b) && b != b'=' && b != b',');
    (key_ok && value_ok).then_some(key)
}

/// Fills `out` from twice as many lower-case hex digits; upper case is refused, as W3C does.
fn read_hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != out.len() * 2 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(())
}

/// Writes two lower-case digits a byte.
fn write_hex(bytes: &[u8], out: &mut [u8]) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn traceparent_by_the_rules() {
        let check = |text: &str, expected: Option<&str>| {
            let read = TraceContext::parse(text.as_bytes()).map(|context| context.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check(GOOD, Some(GOOD));
        check(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"),
        );
        check(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"),
        );
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", Some(GOOD));
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01what", None);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", None);
        check("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None);
        check("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("00-1-1-01", None);
        check("", None);
    }

    #[test]
    fn text_and_display_agree() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(context.text(), *GOOD.as_bytes());
    }

    #[test]
    fn tracestate_by_the_rules() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(TraceState::parse(text).as_str(), expected, "{text}")
        };
        check("a=1,b=2", Some("a=1,b=2"));
        check(" a=1 , ,b=2,", Some("a=1,b=2"));
        check("t@vendorlongerthanfourteen=1", Some("t@vendorlongerthanfourteen=1"));
        check("a=1,a=2", None);
        check("a=1\n", None);
        check("A=1", None);
        check("a=", None);
        check("", None);
        let forty: Vec<String> = (0..40).map(|i| format!("k{i}=v")).collect();
        check(&forty.join(","), Some(&forty[..32].join(",")));
        let long = format!("a={},b=2", "x".repeat(200));
        check(
            &format!("{long},c={},d={}", "y".repeat(200), "z".repeat(110)),
            Some(&format!("{long},d={}", "z".repeat(110))),
        );
    }
}
