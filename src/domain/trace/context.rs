//! Owns ids, flags and `traceparent`: strict reading and printing. Refuses what the W3C grammar
//! refuses; a context that is not certain is no context.
//! Source: W3C Trace Context level 2; reference/tracing.md 3.6.

use std::fmt;

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

    /// Keeps the two bits that level 2 defines. The others are reserved: whoever makes a child must
    /// send them as zero, whatever the parent said.
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

    /// Whether the trace id's last seven bytes are said to be random.
    #[must_use]
    pub const fn random(self) -> bool {
        self.0 & 2 == 2
    }

    /// These flags with another decision; the random bit belongs to the trace id and stays.
    #[must_use]
    pub const fn with_sampled(self, sampled: bool) -> Self {
        Self(self.0 & 2 | sampled as u8)
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

    /// The context of a span below this one, in the same trace. `sampled` may differ from the
    /// parent's, since the span id does; the random bit may not.
    #[must_use]
    pub const fn child(&self, span_id: SpanId, sampled: bool) -> Self {
        Self { trace_id: self.trace_id, span_id, flags: self.flags.with_sampled(sampled) }
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
    fn a_child_keeps_the_random_bit_and_clears_the_reserved_ones() {
        let check = |flags: &str, sampled, expected: u8| {
            let text = GOOD.replace("-01", flags);
            let parent = TraceContext::parse(text.as_bytes()).unwrap();
            let child = parent.child(SpanId::new([1; 8]).unwrap(), sampled);
            assert_eq!(child.trace_id, parent.trace_id);
            assert_eq!((child.flags.byte(), child.span_id.bytes()), (expected, [1; 8]), "{flags}");
        };
        check("-00", false, 0);
        check("-00", true, 1);
        check("-01", false, 0);
        check("-02", true, 3);
        check("-03", false, 2);
        check("-fe", true, 3);
        check("-fc", false, 0);
    }
}
