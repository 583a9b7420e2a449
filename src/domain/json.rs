//! Owns a strict JSON scanner that gives byte ranges instead of values, so that bytes can be kept.
//! Refuses to build trees, to re-encode, and to guess: what is not RFC 8259 is a fault with its
//! offset. UTF-8 is the caller's to check.

use std::borrow::Cow;
use std::ops::Range;

/// Deepest nesting that is followed; one bit a level.
const DEPTH_MAX: u32 = 128;

/// Where the text stopped being JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something else was expected at this offset.
    #[error("not JSON at byte {0}")]
    Syntax(usize),
    /// The text ended inside a value.
    #[error("the JSON ends too early")]
    Truncated,
    /// Nested deeper than 128 levels.
    #[error("nested too deeply at byte {0}")]
    TooDeep(usize),
}

/// A string: the bytes between its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Without the quotes.
    pub inner: Range<usize>,
    /// Whether a backslash occurs in it.
    pub escaped: bool,
}

impl Text {
    /// Whether the string, unescaped, is `name`.
    #[must_use]
    pub fn is(&self, bytes: &[u8], name: &str) -> bool {
        if self.escaped {
            return self.unescaped(bytes).is_some_and(|text| text == name);
        }
        bytes.get(self.inner.clone()) == Some(name.as_bytes())
    }

    /// The string's value; `None` if it is not UTF-8 or has half a surrogate pair.
    #[must_use]
    pub fn unescaped<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, str>> {
        if self.escaped {
            let quoted = bytes.get(self.inner.start.checked_sub(1)?..self.inner.end + 1)?;
            return serde_json::from_slice::<String>(quoted).ok().map(Cow::Owned);
        }
        std::str::from_utf8(bytes.get(self.inner.clone())?).ok().map(Cow::Borrowed)
    }
}

/// A cursor over JSON text.
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// At the first byte that is not white space.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut scanner = Self { bytes, at: 0 };
        scanner.space();
        scanner
    }

    /// The offset of the next byte.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The next byte, if any.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over white space.
    #[inline]
    pub fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` and the white space behind it, or faults.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(self.fault());
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Steps over `byte` and the white space behind it if it is next.
    #[inline]
    pub fn accept(&mut self, byte: u8) -> bool {
        self.expect(byte).is_ok()
    }

    /// Faults unless only white space is left.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault()) }
    }

    /// Reads an object, member by member: `each` gets the scanner at the member's value, which it
    /// must step over, and the member's key.
    pub fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Text) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(b'{')?;
        if self.accept(b'}') {
            return Ok(());
        }
        loop {
            let key = self.text()?;
            self.space();
            self.expect(b':')?;
            each(self, key)?;
            self.space();
            if !self.accept(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Reads an array, element by element, likewise.
    pub fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(b'[')?;
        if self.accept(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            self.space();
            if !self.accept(b',') {
                return self.expect(b']');
            }
        }
    }

    /// Steps over a string of base64: like [`Self::text`], but found by its closing quote alone.
    /// Its alphabet is the decoder's to check.
    pub fn base64_text(&mut self) -> Result<Text, Fault> {
        let start = self.at + 1;
        let rest = self.bytes.get(start..).ok_or(Fault::Truncated)?;
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(length) if self.peek() == Some(b'"') && rest.get(length) == Some(&b'"') => {
                self.at = start + length + 1;
                Ok(Text { inner: start..start + length, escaped: false })
            }
            _ => self.text(),
        }
    }

    /// Steps over a string.
    #[inline]
    pub fn text(&mut self) -> Result<Text, Fault> {
        if self.peek() != Some(b'"') {
            return Err(self.fault());
        }
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.plain_characters();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text { inner: start..self.at - 1, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fault()),
                None => return Err(Fault::Truncated),
            }
        }
    }

    /// Steps over one value of any kind and gives its range.
    pub fn value(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.at;
        self.skip_value()?;
        Ok(start..self.at)
    }

    /// A loop with one bit a level instead of recursion: the text decides how deep it goes.
    fn skip_value(&mut self) -> Result<(), Fault> {
        let (mut depth, mut objects) = (0_u32, 0_u128);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.text()?;
                }
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    self.space();
                    let close = open + 2; // '{' + 2 is '}', '[' + 2 is ']'
                    if self.peek() == Some(close) {
                        self.at += 1;
                    } else {
                        if depth == DEPTH_MAX {
                            return Err(Fault::TooDeep(self.at));
                        }
                        depth += 1;
                        objects = objects << 1 | u128::from(open == b'{');
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b't') => self.literal(b"true")?,
                Some(b'f') => self.literal(b"false")?,
                Some(b'n') => self.literal(b"null")?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                _ => return Err(self.fault()),
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.space();
                let in_object = objects & 1 == 1;
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.space();
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    Some(close @ (b'}' | b']')) if in_object == (close == b'}') => {
                        self.at += 1;
                        depth -= 1;
                        objects >>= 1;
                    }
                    _ => return Err(self.fault()),
                }
            }
        }
    }

    /// A key, its colon and the white space around them.
    #[inline]
    fn key(&mut self) -> Result<(), Fault> {
        self.text()?;
        self.space();
        self.expect(b':')
    }

    /// Steps to the next quote, backslash or control character, eight bytes at a time: most bytes
    /// of an event are inside strings.
    #[inline]
    fn plain_characters(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGHS: u64 = ONES << 7;
        while let Some(eight) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*eight);
            let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
            // Exact up to and including the first hit, which is all that is used.
            let hits = (zero_in(word ^ ONES * b'"' as u64)
                | zero_in(word ^ ONES * b'\\' as u64)
                | word.wrapping_sub(ONES * 0x20) & !word)
                & HIGHS;
            if hits != 0 {
                self.at += hits.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 1..self.at + 5).ok_or(Fault::Truncated)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(self.fault());
                }
                self.at += 5;
            }
            _ => return Err(self.fault()),
        }
        Ok(())
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), Fault> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.fault());
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault()) } else { Ok(()) }
    }

    fn fault(&self) -> Fault {
        if self.at < self.bytes.len() { Fault::Syntax(self.at) } else { Fault::Truncated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(text: &[u8]) -> Result<(), Fault> {
        let mut scanner = Scanner::new(text);
        scanner.value()?;
        scanner.end()
    }

    #[test]
    fn what_is_json() {
        let check =
            |text: &str, good: bool| assert_eq!(scan(text.as_bytes()).is_ok(), good, "{text}");
        for good in [
            "{}",
            " [ ] ",
            "{\"a\":1,\"b\":[true,false,null,-0.5e+10,\"x\\u00e9\\n\"]}",
            "1e400",
            "\"\"",
            "[[[{\"a\":{}}]]]",
            "{\"long enough for the fast path\":\"and this one as well, surely\"}",
        ] {
            check(good, true);
        }
        for bad in [
            "",
            "{",
            "}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "[1 2]",
            "01",
            "1.",
            "-",
            "+1",
            "tru",
            "{'a':1}",
            "\"\t\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "[}",
            "{]",
            "{\"a\":1}{\"b\":2}",
            "nan",
            "\"open",
        ] {
            check(bad, false);
        }
        check(&"[".repeat(200), false);
    }

    #[test]
    fn truncation_is_told_from_nonsense() {
        assert_eq!(scan(b"{\"a\":"), Err(Fault::Truncated));
        assert_eq!(scan(b"{\"a\":x}"), Err(Fault::Syntax(5)));
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}",:\\ntrue0-9.eE+ -]{0,24}"#) {
            let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(scan(text.as_bytes()).is_ok(), theirs, "{}", text);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = scan(&bytes);
        }
    }
}
