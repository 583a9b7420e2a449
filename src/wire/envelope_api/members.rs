//! Owns the members of a small JSON object, found and typed by hand, so that a wrong one is told by
//! its name and its place. Refuses names that it does not know: a misspelt one would be lost in
//! silence.

use crate::domain::json::{Scanner, Text};
use std::borrow::Cow;
use std::ops::Range;

/// Of an unknown member's name so much is told.
const NAME_CHARS_MAX: usize = 64;

/// What is wrong with a body, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("kinescope: {field} {what}; {todo}.")]
pub struct BadField {
    /// The field's path, such as `error.type`; `body` for the whole.
    pub field: String,
    /// What it is that it may not be, with the byte where that was seen.
    pub what: String,
    /// What to send instead.
    pub todo: Cow<'static, str>,
}

impl BadField {
    /// The answer's JSON, in the shape of Kinesis' errors, with the field beside it.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let message = self.to_string();
        serde_json::json!({ "__type": "ValidationException", "message": message, "field": self.field })
            .to_string()
            .into_bytes()
    }
}

/// The members of an object, each under one of the known names.
#[derive(Debug)]
pub(super) struct Members<'a, const N: usize> {
    /// The whole body: offsets are told in it.
    body: &'a [u8],
    /// What the field's path begins with, such as `error.`.
    within: &'static str,
    names: [&'static str; N],
    found: [Option<Range<usize>>; N],
}

impl<'a, const N: usize> Members<'a, N> {
    /// Reads the object that is the range `of` of the body.
    ///
    /// # Errors
    /// It is no JSON object, or has a member that is unknown or there twice.
    pub(super) fn read(
        body: &'a [u8],
        of: Range<usize>,
        within: &'static str,
        names: [&'static str; N],
    ) -> Result<Self, BadField> {
        let whole = || within.strip_suffix('.').unwrap_or("body").to_owned();
        let text = body.get(of.clone()).unwrap_or_default();
        let mut members = Self { body, within, names, found: [const { None }; N] };
        let mut fault = None;
        let mut scanner = Scanner::new(text);
        if scanner.peek() != Some(b'{') {
            return Err(BadField {
                field: whole(),
                what: "is no JSON object".into(),
                todo: format!("send an object of {}", names.join(", ")).into(),
            });
        }
        let read = scanner.object(|scanner, key| {
            let at = of.start + scanner.at();
            let value = scanner.value()?;
            let value = of.start + value.start..of.start + value.end;
            if let Err(wrong) = members.member(text, &key, at, value) {
                fault.get_or_insert(wrong);
            }
            Ok(())
        });
        if let Err(error) = read.and_then(|()| scanner.end()) {
            return Err(BadField {
                field: whole(),
                what: format!("cannot be read: {error}"),
                todo: "send one JSON object".into(),
            });
        }
        fault.map_or(Ok(members), Err)
    }

    fn member(
        &mut self,
        text: &[u8],
        key: &Text,
        at: usize,
        value: Range<usize>,
    ) -> Result<(), BadField> {
        let known = self.names.iter().position(|name| key.is(text, name));
        match known.and_then(|index| self.found.get_mut(index)) {
            Some(place @ None) => {
                *place = Some(value);
                Ok(())
            }
            Some(Some(_)) => {
                let name = known.and_then(|index| self.names.get(index)).copied();
                Err(self.wrong(name.unwrap_or_default(), at, "is there twice", "send it once"))
            }
            None => {
                let name = key.unescaped(text).unwrap_or_default();
                let name: String = name.chars().take(NAME_CHARS_MAX).collect();
                let todo = format!("known are {}", self.names.join(", "));
                Err(self.wrong(&name, at, "is no field of this call", todo))
            }
        }
    }

    fn wrong(
        &self,
        name: &str,
        at: usize,
        what: &str,
        todo: impl Into<Cow<'static, str>>,
    ) -> BadField {
        let field = format!("{}{name}", self.within);
        BadField { field, what: format!("(byte {at}) {what}"), todo: todo.into() }
    }

    /// What is wrong with a member that is there, or should be.
    pub(super) fn refuse(&self, name: &str, what: &str, todo: &'static str) -> BadField {
        match self.range(name) {
            Some(value) => self.wrong(name, value.start, what, todo),
            None => BadField {
                field: format!("{}{name}", self.within),
                what: what.to_owned(),
                todo: todo.into(),
            },
        }
    }

    /// Where the member's value is; null is as none.
    pub(super) fn range(&self, name: &str) -> Option<Range<usize>> {
        let index = self.names.iter().position(|known| *known == name)?;
        let value = self.found.get(index)?.clone()?;
        (self.body.get(value.clone()) != Some(b"null")).then_some(value)
    }

    fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        self.body.get(self.range(name)?)
    }

    /// A string.
    ///
    /// # Errors
    /// It is something else, or longer than `bytes_max`.
    pub(super) fn text(
        &self,
        name: &str,
        bytes_max: usize,
        todo: &'static str,
    ) -> Result<Option<Cow<'a, str>>, BadField> {
        let Some(value) = self.bytes(name) else { return Ok(None) };
        let text = Scanner::new(value).text().ok().filter(|_| value.starts_with(b"\""));
        let text = text.and_then(|text| text.unescaped(value));
        let Some(text) = text else {
            return Err(self.refuse(name, "is no string", todo));
        };
        if text.len() > bytes_max {
            let what = format!("is longer than {bytes_max} bytes");
            return Err(self.refuse(name, &what, todo));
        }
        Ok(Some(text))
    }

    /// A number.
    ///
    /// # Errors
    /// It is something else, or out of `range`.
    pub(super) fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<f64>,
        todo: &'static str,
    ) -> Result<Option<f64>, BadField> {
        let Some(value) = self.bytes(name) else { return Ok(None) };
        let Ok(number) = serde_json::from_slice::<f64>(value) else {
            return Err(self.refuse(name, "is no number", todo));
        };
        if range.contains(&number) {
            Ok(Some(number))
        } else {
            let what = format!("is not between {} and {}", range.start(), range.end());
            Err(self.refuse(name, &what, todo))
        }
    }
}
