//! Owns one record's base64: decoding it, and splicing context into it so that only the groups
//! around the insertion change. Refuses to re-encode what lies behind.

use crate::domain::envelope::{Existing, Insertion, Leave, inspect};
use crate::domain::trace::{TraceContext, TraceState};

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Context was added.
    Injected,
    /// Could carry context, but the stream's policy is to change nothing.
    Observed,
    /// Left as it came: its payload does not allow more.
    Left(Leave),
    /// Left as it came: its data is not standard base64.
    NotBase64,
    /// Left as it came: it would have grown past the stream's record limit.
    RecordTooLarge,
    /// Left as it came: the request would have grown past its limit.
    RequestTooLarge,
}

impl Verdict {
    /// The label value.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Observed => "observed",
            Self::Left(leave) => leave.as_str(),
            Self::NotBase64 => "not_base64",
            Self::RecordTooLarge => "record_too_large",
            Self::RequestTooLarge => "request_too_large",
        }
    }
}

/// A record's payload seen through its base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Payload bytes.
    pub(super) payload_bytes: usize,
    /// Whether context can be added, and where.
    pub(super) spot: Result<Spot, Verdict>,
    /// The context that the producer wrote.
    pub existing: Option<(TraceContext, TraceState)>,
}

/// Where context goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// Offset of the insertion in the payload.
    insert_at: usize,
    /// Whether the object has no member.
    pub(super) empty: bool,
}

/// Decodes into `scratch` (grown once, used again for the next record) and looks.
pub(super) fn look(base64: &[u8], scratch: &mut Vec<u8>) -> Look {
    let Some(payload) = decode(base64, scratch) else {
        return Look { payload_bytes: 0, spot: Err(Verdict::NotBase64), existing: None };
    };
    let (spot, existing) = match inspect(payload) {
        Err(leave) => (Err(Verdict::Left(leave)), None),
        Ok(envelope) => match envelope.existing {
            Existing::None => {
                (Ok(Spot { insert_at: envelope.insert_at, empty: envelope.empty }), None)
            }
            Existing::Context(context, state) => {
                (Err(Verdict::Left(Leave::ContextPresent)), Some((context, state)))
            }
            Existing::Invalid => (Err(Verdict::Left(Leave::ContextInvalid)), None),
        },
    };
    Look { payload_bytes: payload.len(), spot, existing }
}

/// Decodes standard, padded base64.
pub(super) fn decode<'a>(base64: &[u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let needed = base64.len() / 4 * 3 + 3;
    if scratch.len() < needed {
        scratch.resize(needed, 0);
    }
    let out = base64_simd::Out::from_slice(scratch.as_mut_slice());
    base64_simd::STANDARD.decode(base64, out).ok().map(|decoded| &*decoded)
}

/// Writes a record's base64 with the insertion, as far as it differs from `base64`; gives how many
/// of `base64`'s characters that replaces, or nothing if `look` was not of this record. The insertion's length is a multiple of three, so the
/// groups behind the one that it falls into keep their characters.
pub(super) fn splice(
    base64: &[u8],
    look: &Look,
    spot: Spot,
    insertion: &Insertion,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let group_end = spot.insert_at.div_ceil(3) * 3;
    // A group that is not whole carries padding: then the few bytes are encoded anew.
    let whole_groups = group_end <= look.payload_bytes;
    let replaced = if whole_groups { group_end / 3 * 4 } else { base64.len() };
    let mut decoded = Vec::new();
    let old = decode(base64.get(..replaced)?, &mut decoded)?;
    let (head, tail) = old.split_at_checked(spot.insert_at)?;
    scratch.clear();
    for part in [head, insertion.bytes(spot.empty), tail] {
        scratch.extend_from_slice(part);
    }
    base64_simd::STANDARD.encode_append(scratch.as_slice(), out);
    Some(replaced)
}
