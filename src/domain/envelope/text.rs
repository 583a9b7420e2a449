//! Owns the look at payloads of JSON: one object, several of them, one a line, or something else.
//! Refuses to put context into some objects of a payload and not into others.

use super::facts::{EVENTS_MAX, Event, facts_of_head};
use super::inspect::{Existing, inspect};
use super::leave::Leave;
use super::payload::{Contexts, Examined, Kind, Places};
use crate::domain::json::Scanner;

/// Most objects of one payload that we follow.
const LINES_MAX: usize = 1_000;

/// Bytes of the byte order mark that the payload begins with.
pub(super) fn mark_bytes(payload: &[u8]) -> usize {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if payload.starts_with(MARK) { MARK.len() } else { 0 }
}

/// Nothing if the payload is no JSON.
pub(super) fn examine(payload: &[u8]) -> Option<Examined> {
    let start = mark_bytes(payload);
    match inspect(payload.get(start..)?) {
        Ok(envelope) => Some(Examined::object(envelope, start)),
        Err(Leave::NotObject) => Some(Examined::left(Kind::Json, Leave::NotObject)),
        Err(leave @ (Leave::DuplicateKeys | Leave::TooComplex)) => {
            Some(Examined::left(Kind::Object, leave))
        }
        Err(_) => lines(payload, start),
    }
}

/// Several objects, one a line; nothing if that is not what the payload is. Context goes into all
/// of them or none.
fn lines(payload: &[u8], start: usize) -> Option<Examined> {
    let mut contexts = Contexts::default();
    let (mut foreign, mut places, mut reason) = (None, Vec::new(), None);
    let mut objects = 0;
    for (at, line) in lines_of(payload, start) {
        if objects == LINES_MAX {
            reason = Some(Leave::TooComplex);
            break;
        }
        objects += 1;
        let place = match inspect(line) {
            Ok(envelope) => {
                let place = envelope.place();
                contexts.push_existing(envelope.existing);
                foreign = foreign.or(envelope.datadog.flatten());
                place
            }
            Err(Leave::NotJson | Leave::NotObject | Leave::Empty) => return None,
            Err(leave) => Err(leave),
        };
        match place {
            Ok(place) => places.push(place.moved(at)),
            Err(leave) => reason = reason.or(Some(leave)),
        }
    }
    let places = reason.map_or(Ok(Places::Many(places)), Err);
    (objects > 0).then_some(Examined {
        kind: Kind::JsonLines,
        contexts: contexts.list,
        foreign,
        places,
    })
}

/// The events of a payload of lines that carry a context.
pub(super) fn events(payload: &[u8]) -> Vec<Event> {
    let event = |(_, line)| match inspect(line).ok()?.existing {
        Existing::Context(context, state) => {
            Some(Event { context: (context, state), facts: facts_of_head(line) })
        }
        Existing::None | Existing::Invalid => None,
    };
    lines_of(payload, mark_bytes(payload)).filter_map(event).take(EVENTS_MAX).collect()
}

/// The lines that are not blank, each with its offset.
pub(super) fn lines_of(payload: &[u8], start: usize) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = start;
    std::iter::from_fn(move || {
        let rest = payload.get(at..).filter(|rest| !rest.is_empty())?;
        let line = memchr::memchr(b'\n', rest).and_then(|end| rest.get(..=end)).unwrap_or(rest);
        at += line.len();
        Some((at - line.len(), line))
    })
    .filter(|(_, line)| Scanner::new(line).peek().is_some())
}
