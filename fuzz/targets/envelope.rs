//! Owns the laws of envelopes: what is spliced comes back byte for byte, once and for good, and
//! what is not ours is not touched.

use kinescope::domain::envelope::{
    Insertion, Leave, Places, WHOLE_BYTES_MAX, examine, examine_whole, extract, splice, unsplice,
};
use kinescope::domain::trace::{TraceContext, TraceState};

pub const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The context of [`PARENT`] as an insertion.
pub fn insertion(state: &str) -> Insertion {
    let context = TraceContext::parse(PARENT.as_bytes()).unwrap();
    Insertion::new(&context, &TraceState::parse(state))
}

pub fn envelope(data: &[u8]) {
    if data.len() <= WHOLE_BYTES_MAX {
        assert_eq!(examine(data), examine_whole(data));
    }
    laws(data);
}

/// The same of large payloads: `\xfe` stands for a string's worth of text, `\xfd` for an end's
/// worth of white space, neither of which is UTF-8.
pub fn envelope_large(data: &[u8]) {
    let (mut payload, mut fills) = (Vec::new(), 0);
    for byte in data {
        match byte {
            0xfe | 0xfd if fills == 6 => {}
            0xfe => payload.resize(payload.len() + 33_000, b'x'),
            0xfd => payload.resize(payload.len() + 6_000, b' '),
            _ => payload.push(*byte),
        }
        fills += u8::from(*byte >= 0xfd && fills < 6);
    }
    laws(&payload);
}

fn laws(payload: &[u8]) {
    let seen = examine(payload);
    for state in ["", "a=\"\\,b=2"] {
        let insertion = insertion(state);
        let spliced = splice(payload, &insertion);
        let allowed = match &seen.places {
            Ok(Places::Aggregate) => Err(Leave::Aggregate),
            Ok(Places::One(_) | Places::Many(_)) => Ok(()),
            Err(leave) => Err(*leave),
        };
        assert_eq!(spliced.as_ref().map(drop).map_err(|leave| *leave), allowed);
        let Ok(spliced) = spliced else { continue };
        assert_eq!((spliced.len() - payload.len()) % 3, 0, "the base64 behind it moved");
        same(&unsplice(&spliced), payload);
        assert_eq!(splice(&spliced, &insertion), Err(Leave::ContextPresent));
        let context = (*insertion.context(), insertion.state().clone());
        assert_eq!(extract(&spliced), Some(context));
        if spliced.len() <= WHOLE_BYTES_MAX {
            let again = examine(&spliced);
            assert_eq!((again.kind, again.foreign), (seen.kind, seen.foreign));
        }
        assert_eq!(is_json(&spliced), is_json(payload));
    }
    let original = unsplice(payload);
    if *original != *payload && !payload.starts_with(b"\xf3\x89\x9a\xc2") {
        let (context, state) = extract(payload).unwrap();
        same(&splice(&original, &Insertion::new(&context, &state)).unwrap(), payload);
        same(&unsplice(&original), &original);
    }
}

fn is_json(payload: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok()
}

/// Equal, without a megabyte in the message.
fn same(one: &[u8], other: &[u8]) {
    let at = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    assert!(one == other, "{} and {} bytes differ from byte {at} on", one.len(), other.len());
}
