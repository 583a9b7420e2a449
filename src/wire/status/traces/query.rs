//! Owns the questions that are asked of traces and sagas. Refuses one that it does not understand
//! whole, and names the field: an answer to another question would mislead.

use crate::domain::fleet::Query;
use crate::domain::saga::SagaState;
use crate::domain::stream::StreamName;
use crate::domain::trace::TraceId;
use crate::wire::status::encode;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use std::time::Duration;

/// Stories or sagas in an answer that asks for no number.
pub const LIMIT_DEFAULT: usize = 100;
/// Most of them in one answer.
pub const LIMIT_MAX: usize = 1_000;
/// Of an unknown field, so much is repeated in the answer.
const FIELD_CHARS_MAX: usize = 64;

/// Why a question is not answered: a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {expected}")]
pub struct QueryFault {
    /// The field.
    pub field: String,
    /// What it should be.
    pub expected: &'static str,
}

impl QueryFault {
    /// The body of the answer.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Doc<'a> {
            error: Fault<'a>,
        }
        #[derive(Serialize)]
        struct Fault<'a> {
            field: &'a str,
            message: String,
        }
        encode(&Doc { error: Fault { field: &self.field, message: self.to_string() } })
    }
}

/// Reads the query string of `/api/v1/traces`, without its question mark.
///
/// # Errors
/// Which field is not understood.
pub fn query(text: &str) -> Result<Query, QueryFault> {
    const FIELDS: &str =
        "is not known; known are trace_id, event_type, stream, slower_than_ms and limit";
    let names = ["trace_id", "event_type", "stream", "slower_than_ms", "limit"];
    let [trace_id, event_type, stream, slower_than, limit] = fields(text, names, FIELDS)?;
    let trace_id =
        read(trace_id, "trace_id", "must be 32 lower-case hexadecimal digits", |text| {
            TraceId::from_hex(text.as_bytes())
        })?;
    let event_type = read(event_type, "event_type", "must have 1 to 256 bytes", |text| {
        (1..=256).contains(&text.len()).then(|| text.to_owned())
    })?;
    let stream = read(stream, "stream", "must be a stream's name, not its ARN", |text| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        ((1..=128).contains(&text.len()) && text.bytes().all(is_part)).then(|| text.into())
    })?;
    let slower_than =
        read(slower_than, "slower_than_ms", "must be a whole number of milliseconds", |text| {
            text.parse().ok().map(Duration::from_millis)
        })?;
    let stream: Option<StreamName> = stream;
    Ok(Query { trace_id, event_type, stream, slower_than, limit: limited(limit)? })
}

/// Reads the query string of `/api/v1/sagas`: which state, and how many.
///
/// # Errors
/// Which field is not understood.
pub fn saga_query(text: &str) -> Result<(Option<SagaState>, usize), QueryFault> {
    const STATES: &str = "must be running, compensating, completed, compensated, stuck or unknown";
    let known = "is not known; known are state and limit";
    let [state, limit] = fields(text, ["state", "limit"], known)?;
    let named = |text: &str| SagaState::ALL.into_iter().find(|state| state.as_str() == text);
    Ok((read(state, "state", STATES, named)?, limited(limit)?))
}

fn limited(limit: Option<String>) -> Result<usize, QueryFault> {
    let within = |text: &str| text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    let limit = read(limit, "limit", "must be a whole number from 1 to 1000", within)?;
    Ok(limit.unwrap_or(LIMIT_DEFAULT))
}

fn read<T>(
    value: Option<String>,
    field: &str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, QueryFault> {
    let Some(value) = value else { return Ok(None) };
    parse(&value).map(Some).ok_or_else(|| QueryFault { field: field.to_owned(), expected })
}

/// The values of these fields; an empty one counts as absent, as in a form that was sent whole.
fn fields<const N: usize>(
    text: &str,
    names: [&str; N],
    unknown: &'static str,
) -> Result<[Option<String>; N], QueryFault> {
    let mut values = [const { None }; N];
    let mut given = [false; N];
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let fault = |expected| {
            let field = name.chars().take(FIELD_CHARS_MAX).collect();
            Err(QueryFault { field, expected })
        };
        let place = names.iter().position(|known| *known == name);
        let slots = place.and_then(|at| Some((values.get_mut(at)?, given.get_mut(at)?)));
        let Some((slot, given)) = slots else { return fault(unknown) };
        if std::mem::replace(given, true) {
            return fault("is given twice");
        }
        let spaced = value.replace('+', " ");
        let Ok(value) = percent_decode_str(&spaced).decode_utf8() else {
            return fault("is not UTF-8");
        };
        *slot = Some(value.into_owned()).filter(|value| !value.is_empty());
    }
    Ok(values)
}
