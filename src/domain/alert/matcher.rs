//! Owns what a silence or a mute window is about: conditions on labels, by glob or by regular
//! expression. Refuses an expression that would take much memory, and to match a part of a value.

use crate::domain::alert::{Labels, glob};
use regex::{Regex, RegexBuilder};
use std::fmt;
use thiserror::Error;

/// Longest regular expression, in bytes, and how much one may take once it is compiled: those of a
/// thousand silences must not fill the process.
const REGEX_BYTES_MAX: usize = 256;
const COMPILED_BYTES_MAX: usize = 128 << 10;

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MatcherFault {
    /// It is no name, operator and value.
    #[error("should be a label, one of = != =~ !~ and a value, such as stream=~\"orders-.*\"")]
    Form,
    /// As the library says it.
    #[error("is no regular expression: {0}")]
    Regex(String),
    /// It is long, or repeats much.
    #[error("is too large a regular expression")]
    TooLarge,
}

/// A condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// What its value is compared with; a label that is not there is empty.
    pub value: Pattern,
    /// Whether it should match, or should not.
    pub is_equal: bool,
}

/// What a value is compared with, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `*` stands for any text, `?` for one character.
    Glob(String),
    /// A regular expression.
    Regex(Whole),
}

/// A regular expression on a whole value.
#[derive(Clone)]
pub struct Whole {
    text: String,
    regex: Regex,
}

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Whole {}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Whole({:?})", self.text)
    }
}

impl Pattern {
    /// A regular expression, as Alertmanager takes it: it must match the value as a whole.
    ///
    /// # Errors
    /// [`MatcherFault::Regex`] and [`MatcherFault::TooLarge`].
    pub fn regex(text: &str) -> Result<Self, MatcherFault> {
        if text.len() > REGEX_BYTES_MAX {
            return Err(MatcherFault::TooLarge);
        }
        // Alone first: what only its brackets make an expression would not be anchored.
        compiled(text)?;
        let regex = compiled(&format!("^(?:{text})$"))?;
        Ok(Self::Regex(Whole { text: text.to_owned(), regex }))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Glob(text) => text,
            Self::Regex(whole) => &whole.text,
        }
    }

    /// Whether it is a regular expression.
    #[must_use]
    pub const fn is_regex(&self) -> bool {
        matches!(self, Self::Regex(_))
    }

    /// Whether the value as a whole is such a one.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Glob(text) => glob::matches(text, value),
            Self::Regex(whole) => whole.regex.is_match(value),
        }
    }
}

fn compiled(text: &str) -> Result<Regex, MatcherFault> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX);
    builder.build().map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            return MatcherFault::TooLarge;
        }
        // The library draws where it is; the last line says what it is.
        let said = error.to_string();
        let last = said.lines().last().unwrap_or_default();
        MatcherFault::Regex(last.trim_start_matches("error: ").to_owned())
    })
}

impl Matcher {
    /// Reads `stream=~"orders-.*"`, as Alertmanager's clients write it: `=` and `!=` compare with a
    /// glob, `=~` and `!~` with a regular expression; the quotes may be left out.
    ///
    /// # Errors
    /// See [`MatcherFault`].
    pub fn read(text: &str) -> Result<Self, MatcherFault> {
        let at = text.find(['=', '!']).ok_or(MatcherFault::Form)?;
        let (name, rest) = text.split_at_checked(at).ok_or(MatcherFault::Form)?;
        let operators =
            [("=~", true, true), ("!~", true, false), ("!=", false, false), ("=", false, true)];
        let found = operators.into_iter().find_map(|(sign, is_regex, is_equal)| {
            Some((rest.strip_prefix(sign)?, is_regex, is_equal))
        });
        let (value, is_regex, is_equal) = found.ok_or(MatcherFault::Form)?;
        let (name, value) = (name.trim().to_owned(), unquoted(value.trim())?);
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_part) {
            return Err(MatcherFault::Form);
        }
        let value = if is_regex { Pattern::regex(&value)? } else { Pattern::Glob(value) };
        Ok(Self { name, value, is_equal })
    }

    /// Whether these labels satisfy it.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.name).map_or("", String::as_str);
        self.value.matches(value) == self.is_equal
    }

    /// Whether it leaves anything out: what holds for a label that is not there as well holds for
    /// everything, in all likelihood.
    #[must_use]
    pub fn selects(&self) -> bool {
        !self.is_equal || !self.value.matches("")
    }
}

/// `stream=~"orders-.*"`, as [`Matcher::read`] takes it.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (self.value.is_regex(), self.is_equal) {
            (true, true) => "=~",
            (true, false) => "!~",
            (false, true) => "=",
            (false, false) => "!=",
        };
        let value = self.value.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "{}{sign}\"{value}\"", self.name)
    }
}

/// The value without its quotes, if it has any; within them `\"` and `\\` are one character.
fn unquoted(value: &str) -> Result<String, MatcherFault> {
    let Some(quoted) = value.strip_prefix('"') else { return Ok(value.to_owned()) };
    let quoted = quoted.strip_suffix('"').ok_or(MatcherFault::Form)?;
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match (character, characters.as_str().chars().next()) {
            ('\\', Some(next @ ('"' | '\\'))) => {
                text.push(next);
                characters.next();
            }
            // A quote that ends before the end, or one too few of them.
            ('"', _) | ('\\', None) => return Err(MatcherFault::Form),
            (other, _) => text.push(other),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_as_alertmanagers_clients_write_them() {
        let check = |text: &str, value: &str, expected: bool| {
            let matcher = Matcher::read(text).unwrap();
            let labels = [("stream".to_owned(), value.to_owned())].into();
            assert_eq!(matcher.matches(&labels), expected, "{text} {value}");
            assert_eq!(Matcher::read(&matcher.to_string()), Ok(matcher), "{text}");
        };
        check("stream=orders-*", "orders-eu", true);
        check("stream = \"orders-*\"", "bills", false);
        check("stream!=orders", "bills", true);
        // As a whole, whatever the expression is.
        check("stream=~orders", "orders-eu", false);
        check("stream=~\"orders-(eu|us)\"", "orders-us", true);
        check("stream=~a|orders", "orders-us", false);
        check("stream=~\"orders|a\"", "an a", false);
        check("stream!~\"orders.*\"", "orders-us", false);
        check("stream!~\"orders.*\"", "bills", true);
        check("stream=~\"\\\\w+-\\\\d+\"", "orders-12", true);
        check("stream=~\\w+-\\d+", "orders-12", true);
        check("stream=~\".*\\\"x\\\"\"", "an \"x\"", true);
        check("stream=~(?i)ORDERS", "orders", true);
        check("consumer=~.+", "orders", false);
        check("consumer=~.*", "orders", true);
        check("stream=~[^\\W_]+é?", "bills", true);
    }

    #[test]
    fn faults_say_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let fault = Matcher::read(text).unwrap_err().to_string();
            assert!(fault.starts_with(expected), "{text}: {fault}");
        };
        for text in ["", "stream", "=a", "str eam=a", "stream=\"a", "stream!a", "stream=\"a\"b\""] {
            check(text, "should be a label, one of");
        }
        check("stream=~(", "is no regular expression: unclosed group");
        check("stream=~a)|(b", "is no regular expression: unopened group");
        check("stream=~*", "is no regular expression: repetition operator missing expression");
        check("stream=~(?=a)", "is no regular expression: look-around");
        check("stream=~(\\w{99}){99}", "is too large");
        check(&format!("stream=~{}", "a".repeat(257)), "is too large");
        check("stream=~(?x)a#", "is no regular expression: unclosed group");
    }

    #[test]
    fn what_holds_for_everything_selects_nothing() {
        let check = |text: &str, expected| {
            assert_eq!(Matcher::read(text).unwrap().selects(), expected, "{text}");
        };
        check("stream=a", true);
        check("stream=*", false);
        check("stream=", false);
        check("stream=~a|b", true);
        check("stream=~.*", false);
        check("stream!~a", true);
        check("stream!=a", true);
    }
}
