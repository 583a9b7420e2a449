//! Owns the walk over a body in either wire form: its members, its elements, and the values that
//! are asked for. One reader of a body serves both forms, so that they cannot read differently.
//! Refuses to build a tree; a value of another kind than asked for is nothing, not a fault.

use crate::domain::json::{Fault, Scanner};
use crate::domain::time::Wall;
use crate::wire::kinesis::form::WireForm;
use minicbor::data::{IanaTag, Type};
use minicbor::decode::{Decoder, Error};
use std::borrow::Cow;
use std::ops::Range;

/// From this number on a time counts milliseconds, below it seconds. As milliseconds it is March
/// 1973, as seconds the year 5138: nothing that Kinesis stamped lies on the wrong side. The Java
/// SDKs write milliseconds under tag 1, emulators seconds.
const TIME_IS_MS_FROM: f64 = 1e11;

/// The body is not what its form says.
#[derive(Debug)]
pub(in crate::wire::kinesis) struct Broken;

impl From<Fault> for Broken {
    fn from(_: Fault) -> Self {
        Self
    }
}

impl From<Error> for Broken {
    fn from(_: Error) -> Self {
        Self
    }
}

/// A cursor over a body.
#[derive(Debug)]
pub(in crate::wire::kinesis) enum Walk<'a> {
    Json(&'a [u8], Scanner<'a>),
    Cbor(Decoder<'a>),
}

/// A record's data where it stands.
#[derive(Debug)]
pub(in crate::wire::kinesis) struct Blob<'a> {
    /// JSON: the characters between the quotes. CBOR: the whole string, header and all.
    pub(in crate::wire::kinesis) at: Range<usize>,
    /// JSON: base64. CBOR: the payload.
    pub(in crate::wire::kinesis) content: Cow<'a, [u8]>,
    /// The content stands in the body as it is, up to the end of `at`: no escapes, no chunks.
    pub(in crate::wire::kinesis) in_place: bool,
}

/// Reads a body that is one object: `each` gets the walk at a member's value, which it must step
/// over, and the member's name. `None` if the body is anything else.
pub(in crate::wire::kinesis) fn members<'a>(
    form: WireForm,
    body: &'a [u8],
    each: impl FnMut(&mut Walk<'a>, &str) -> Result<(), Broken>,
) -> Option<()> {
    let mut walk = match form {
        WireForm::Json => Walk::Json(body, Scanner::new(body)),
        WireForm::Cbor => Walk::Cbor(Decoder::new(body)),
    };
    walk.object(each).ok()?;
    match walk {
        Walk::Json(_, mut scanner) => scanner.end().ok(),
        Walk::Cbor(decoder) => (decoder.position() == body.len()).then_some(()),
    }
}

impl<'a> Walk<'a> {
    /// The members of an object, in order.
    pub(in crate::wire::kinesis) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let mut left = match self {
            Self::Json(_, scanner) => scanner.expect(b'{').map(|()| None)?,
            Self::Cbor(decoder) => decoder.map()?,
        };
        let mut first = true;
        while self.more(&mut first, &mut left, b'}')? {
            let key = match self {
                Self::Json(body, scanner) => {
                    let key = scanner.text()?.unescaped(body).ok_or(Broken)?;
                    scanner.space();
                    scanner.expect(b':')?;
                    key
                }
                Self::Cbor(decoder) => cbor_text(decoder)?,
            };
            each(self, &key)?;
        }
        Ok(())
    }

    /// The elements of an array, in order.
    pub(in crate::wire::kinesis) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let mut left = match self {
            Self::Json(_, scanner) => scanner.expect(b'[').map(|()| None)?,
            Self::Cbor(decoder) => decoder.array()?,
        };
        let mut first = true;
        while self.more(&mut first, &mut left, b']')? {
            each(self)?;
        }
        Ok(())
    }

    /// Whether another item follows; steps over what stands between items and over the end.
    fn more(&mut self, first: &mut bool, left: &mut Option<u64>, end: u8) -> Result<bool, Broken> {
        let first = std::mem::take(first);
        match self {
            Self::Json(_, scanner) => {
                scanner.space();
                if first && scanner.accept(end) {
                    return Ok(false);
                }
                if first || scanner.accept(b',') {
                    return Ok(true);
                }
                scanner.expect(end)?;
                Ok(false)
            }
            Self::Cbor(decoder) => {
                let more = match left {
                    Some(left) => left.checked_sub(1).inspect(|rest| *left = *rest).is_some(),
                    None => decoder.datatype()? != Type::Break,
                };
                if !more && left.is_none() {
                    decoder.skip()?;
                }
                Ok(more)
            }
        }
    }

    /// A string.
    pub(in crate::wire::kinesis) fn text(&mut self) -> Result<Option<Cow<'a, str>>, Broken> {
        match self {
            Self::Json(body, scanner) if scanner.peek() == Some(b'"') => {
                Ok(scanner.text()?.unescaped(body))
            }
            Self::Cbor(decoder)
                if matches!(decoder.datatype()?, Type::String | Type::StringIndef) =>
            {
                cbor_text(decoder).map(Some)
            }
            Self::Json(..) | Self::Cbor(_) => self.skip().map(|()| None),
        }
    }

    /// Whether nothing stands there.
    pub(in crate::wire::kinesis) fn is_null(&self) -> Result<bool, Broken> {
        match self {
            Self::Json(_, scanner) => Ok(scanner.peek() == Some(b'n')),
            Self::Cbor(decoder) => Ok(matches!(decoder.datatype()?, Type::Null | Type::Undefined)),
        }
    }

    /// A truth value; whatever else stands there is not true.
    pub(in crate::wire::kinesis) fn flag(&mut self) -> Result<bool, Broken> {
        match self {
            Self::Json(body, scanner) => Ok(body.get(scanner.value()?) == Some(b"true")),
            Self::Cbor(decoder) if decoder.datatype()? == Type::Bool => Ok(decoder.bool()?),
            Self::Cbor(_) => self.skip().map(|()| false),
        }
    }

    /// A number that is whole and not negative.
    pub(in crate::wire::kinesis) fn count(&mut self) -> Result<Option<u64>, Broken> {
        match self {
            Self::Json(..) => Ok(self.json_number()?.and_then(|number| number.parse().ok())),
            Self::Cbor(decoder) => {
                let at = decoder.position();
                let number = decoder.u64().ok();
                if number.is_none() {
                    decoder.set_position(at);
                    decoder.skip()?;
                }
                Ok(number)
            }
        }
    }

    /// A time, in seconds or in milliseconds since the epoch: see [`TIME_IS_MS_FROM`].
    pub(in crate::wire::kinesis) fn time(&mut self) -> Result<Option<Wall>, Broken> {
        let number = match self {
            Self::Json(..) => self.json_number()?.and_then(|number| number.parse().ok()),
            Self::Cbor(decoder) => cbor_time(decoder)?,
        };
        // A double holds milliseconds of the present to the microsecond.
        Ok(number.and_then(|number: f64| {
            let seconds = if number < TIME_IS_MS_FROM { number } else { number / 1_000.0 };
            Wall::from_seconds_f64(seconds)
        }))
    }

    fn json_number(&mut self) -> Result<Option<&'a str>, Broken> {
        let Self::Json(body, scanner) = self else { return Err(Broken) };
        let value = body.get(scanner.value()?).unwrap_or_default();
        let number = value.first().is_some_and(|first| matches!(first, b'-' | b'0'..=b'9'));
        Ok(std::str::from_utf8(value).ok().filter(|_| number))
    }

    /// A record's data.
    pub(in crate::wire::kinesis) fn blob(&mut self) -> Result<Option<Blob<'a>>, Broken> {
        match self {
            Self::Json(body, scanner) if scanner.peek() == Some(b'"') => {
                let text = scanner.base64_text()?;
                let content = if text.escaped {
                    text.unescaped(body).map(|text| Cow::Owned(text.into_owned().into_bytes()))
                } else {
                    body.get(text.inner.clone()).map(Cow::Borrowed)
                };
                let in_place = !text.escaped;
                Ok(content.map(|content| Blob { at: text.inner, content, in_place }))
            }
            Self::Cbor(decoder)
                if matches!(decoder.datatype()?, Type::Bytes | Type::BytesIndef) =>
            {
                let in_place = decoder.datatype()? == Type::Bytes;
                let start = decoder.position();
                let mut content = Cow::Borrowed(&[][..]);
                for chunk in decoder.bytes_iter()? {
                    append(&mut content, chunk?, |whole, chunk| whole.extend_from_slice(chunk));
                }
                Ok(Some(Blob { at: start..decoder.position(), content, in_place }))
            }
            // Not what Kinesis does, but emulators answer base64 in text, and every SDK decodes it.
            Self::Cbor(decoder)
                if matches!(decoder.datatype()?, Type::String | Type::StringIndef) =>
            {
                let start = decoder.position();
                let text = cbor_text(decoder)?;
                let content = base64_simd::STANDARD.decode_to_vec(text.as_bytes()).ok();
                let at = start..decoder.position();
                Ok(content.map(|content| Blob { at, content: content.into(), in_place: false }))
            }
            Self::Json(..) | Self::Cbor(_) => self.skip().map(|()| None),
        }
    }

    /// A value that nobody asked for.
    pub(in crate::wire::kinesis) fn skip(&mut self) -> Result<(), Broken> {
        match self {
            Self::Json(_, scanner) => scanner.value().map(|_| ())?,
            Self::Cbor(decoder) => decoder.skip()?,
        }
        Ok(())
    }
}

fn cbor_text<'a>(decoder: &mut Decoder<'a>) -> Result<Cow<'a, str>, Broken> {
    let mut text = Cow::Borrowed("");
    for chunk in decoder.str_iter()? {
        append(&mut text, chunk?, String::push_str);
    }
    Ok(text)
}

/// Strings may come in chunks; one that does not is not copied.
fn append<'a, T: ToOwned + AsRef<[u8]> + ?Sized>(
    whole: &mut Cow<'a, T>,
    chunk: &'a T,
    push: impl FnOnce(&mut T::Owned, &T),
) {
    if (**whole).as_ref().is_empty() {
        *whole = Cow::Borrowed(chunk);
    } else {
        push(whole.to_mut(), chunk);
    }
}

fn cbor_time(decoder: &mut Decoder<'_>) -> Result<Option<f64>, Broken> {
    let at = decoder.position();
    if decoder.datatype()? == Type::Tag && decoder.tag()? != IanaTag::Timestamp.tag() {
        decoder.set_position(at);
        decoder.skip()?;
        return Ok(None);
    }
    let at = decoder.position();
    let number = if matches!(decoder.datatype()?, Type::F32 | Type::F64) {
        decoder.f64().ok()
    } else {
        // Beyond 2^53 it is no time anyway.
        decoder.u64().ok().map(|number| number as f64)
    };
    if number.is_none() {
        decoder.set_position(at);
        decoder.skip()?;
    }
    Ok(number)
}
