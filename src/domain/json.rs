//! Owns a strict JSON scanner that gives byte ranges instead of values, so that bytes can be kept.
//! Refuses to build trees, to re-encode, and to guess: what is not RFC 8259 is a fault with its
//! offset. UTF-8 is the caller's to check.

use std::borrow::Cow;
use std::ops::Range;
use wide::u8x16;

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
    block: Block,
}

impl<'a> Scanner<'a> {
    /// At the first byte that is not white space.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut scanner = Self { bytes, at: 0, block: Block::default() };
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
        let start = self.at + 1;
        let (end, escaped) = skip_text(self.bytes, &mut self.block, self.at)?;
        self.at = end;
        Ok(Text { inner: start..end - 1, escaped })
    }

    /// Steps over one value of any kind and gives its range.
    pub fn value(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.at;
        self.skip_value()?;
        Ok(start..self.at)
    }

    fn skip_value(&mut self) -> Result<(), Fault> {
        let mut block = self.block;
        self.at = skip_value(self.bytes, &mut block, self.at)?;
        self.block = block;
        Ok(())
    }

    fn fault(&self) -> Fault {
        fault(self.bytes, self.at)
    }
}

// The functions below take and give offsets instead of moving a cursor: they are what a put's cost
// is made of, and offsets stay in registers.

#[cold]
fn fault(bytes: &[u8], at: usize) -> Fault {
    if at < bytes.len() { Fault::Syntax(at) } else { Fault::Truncated }
}

/// The byte at an offset; NUL, which no JSON has outside of strings, behind the end.
#[inline(always)]
fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

#[inline(always)]
fn skip_space(bytes: &[u8], at: usize) -> usize {
    // Serialisers put none or one: the first look decides almost always.
    if byte(bytes, at) > b' ' { at } else { skip_spaces(bytes, at) }
}

#[inline(never)]
fn skip_spaces(bytes: &[u8], mut at: usize) -> usize {
    while matches!(byte(bytes, at), b' ' | b'\t' | b'\n' | b'\r') {
        at += 1;
    }
    at
}

/// From the value's first byte to behind its last. A loop with one bit a level instead of
/// recursion: the text decides how deep it goes.
fn skip_value(bytes: &[u8], block: &mut Block, mut at: usize) -> Result<usize, Fault> {
    let (mut depth, mut objects) = (0_u32, 0_u128);
    loop {
        match byte(bytes, at) {
            b'"' => at = skip_text(bytes, block, at)?.0,
            open @ (b'{' | b'[') => {
                at = skip_space(bytes, at + 1);
                let close = open + 2; // '{' + 2 is '}', '[' + 2 is ']'
                if byte(bytes, at) == close {
                    at += 1;
                } else {
                    if depth == DEPTH_MAX {
                        return Err(Fault::TooDeep(at));
                    }
                    depth += 1;
                    objects = objects << 1 | u128::from(open == b'{');
                    if open == b'{' {
                        at = skip_key(bytes, block, at)?;
                    }
                    continue;
                }
            }
            _ => at = skip_scalar(bytes, at)?,
        }
        loop {
            if depth == 0 {
                return Ok(at);
            }
            at = skip_space(bytes, at);
            let in_object = objects & 1 == 1;
            let next = byte(bytes, at);
            if next == b',' {
                at = skip_space(bytes, at + 1);
                if in_object {
                    at = skip_key(bytes, block, at)?;
                }
                break;
            }
            if next != if in_object { b'}' } else { b']' } {
                return Err(fault(bytes, at));
            }
            at += 1;
            depth -= 1;
            objects >>= 1;
        }
    }
}

/// A number or one of the three words.
#[inline(always)]
fn skip_scalar(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match byte(bytes, at) {
        b'-' | b'0'..=b'9' => skip_number(bytes, at),
        b't' => skip_word(bytes, at, b"true"),
        b'f' => skip_word(bytes, at, b"false"),
        b'n' => skip_word(bytes, at, b"null"),
        _ => Err(fault(bytes, at)),
    }
}

/// A key, its colon and the white space around them.
#[inline(always)]
fn skip_key(bytes: &[u8], block: &mut Block, at: usize) -> Result<usize, Fault> {
    let colon = skip_space(bytes, skip_text(bytes, block, at)?.0);
    if byte(bytes, colon) != b':' {
        return Err(fault(bytes, colon));
    }
    Ok(skip_space(bytes, colon + 1))
}

/// A string; also says whether it holds an escape.
#[inline(always)]
fn skip_text(bytes: &[u8], block: &mut Block, at: usize) -> Result<(usize, bool), Fault> {
    if byte(bytes, at) != b'"' {
        return Err(fault(bytes, at));
    }
    let end = block.next_special(bytes, at + 1);
    if byte(bytes, end) == b'"' { Ok((end + 1, false)) } else { skip_escaped(bytes, block, end) }
}

/// The rest of a string from its first byte that is not plain.
#[cold]
fn skip_escaped(bytes: &[u8], block: &mut Block, mut at: usize) -> Result<(usize, bool), Fault> {
    loop {
        match byte(bytes, at) {
            b'"' => return Ok((at + 1, true)),
            b'\\' => match byte(bytes, at + 1) {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' => {
                    let digits = bytes.get(at + 2..at + 6).ok_or(Fault::Truncated)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return Err(fault(bytes, at));
                    }
                    at += 6;
                }
                _ => return Err(fault(bytes, at + 1)),
            },
            _ => return Err(fault(bytes, at)),
        }
        at = block.next_special(bytes, at);
    }
}

/// Where, in 64 bytes of the text, a string can end or must be looked at: one bit for each quote,
/// backslash and control character. Found once for all strings of a block, sixteen bytes at a
/// time, because most bytes of an event are inside strings and most strings are short.
#[derive(Debug, Clone, Copy)]
struct Block {
    start: usize,
    specials: u64,
}

impl Default for Block {
    /// No block of any text.
    fn default() -> Self {
        Self { start: usize::MAX, specials: 0 }
    }
}

impl Block {
    const BYTES: usize = 64;

    /// The first special at `at` or behind it, or the end of the text.
    #[inline(always)]
    fn next_special(&mut self, bytes: &[u8], mut at: usize) -> usize {
        loop {
            let start = at & !(Self::BYTES - 1);
            if start != self.start {
                *self = Self { start, specials: specials(bytes, start) };
            }
            let rest = self.specials >> (at - start);
            if rest != 0 {
                return at + rest.trailing_zeros() as usize;
            }
            at = start + Self::BYTES;
            if at >= bytes.len() {
                return bytes.len();
            }
        }
    }
}

#[inline]
fn specials(bytes: &[u8], start: usize) -> u64 {
    let rest = bytes.get(start..).unwrap_or_default();
    let mut padded = [0; Block::BYTES];
    let block = rest.first_chunk().unwrap_or_else(|| {
        // NULs behind the end are control characters: the search ends there.
        padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        &padded
    });
    block.as_chunks::<16>().0.iter().rev().fold(0, |mask, sixteen| {
        let sixteen = u8x16::new(*sixteen);
        let control = sixteen.min(u8x16::splat(0x1f)).simd_eq(sixteen);
        let quote = sixteen.simd_eq(u8x16::splat(b'"'));
        let backslash = sixteen.simd_eq(u8x16::splat(b'\\'));
        mask << 16 | u64::from((control | quote | backslash).to_bitmask())
    })
}

fn skip_word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, Fault> {
    if bytes.get(at..).is_some_and(|rest| rest.starts_with(word)) {
        return Ok(at + word.len());
    }
    Err(fault(bytes, at))
}

#[inline]
fn skip_number(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    if byte(bytes, at) == b'-' {
        at += 1;
    }
    at = if byte(bytes, at) == b'0' { at + 1 } else { skip_digits(bytes, at)? };
    if byte(bytes, at) == b'.' {
        at = skip_digits(bytes, at + 1)?;
    }
    if matches!(byte(bytes, at), b'e' | b'E') {
        let sign = usize::from(matches!(byte(bytes, at + 1), b'+' | b'-'));
        at = skip_digits(bytes, at + 1 + sign)?;
    }
    Ok(at)
}

#[inline(always)]
fn skip_digits(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    while byte(bytes, at).is_ascii_digit() {
        at += 1;
    }
    if at == start { Err(fault(bytes, at)) } else { Ok(at) }
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
