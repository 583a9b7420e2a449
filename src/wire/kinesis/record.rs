//! Owns the look at one record's payload, through its base64 or as it is. Refuses to decode more
//! of a large one than its two ends, unless those do not tell.

use crate::domain::envelope::{
    EDGE_BYTES, Examined, Kind, Leave, WHOLE_BYTES_MAX, examine, examine_edges, examine_whole,
};
use crate::domain::trace::{TraceContext, TraceState};

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Context was added.
    Injected,
    /// Could carry context, but the stream's policy is to change nothing.
    Observed,
    /// Left as it came: its payload does not allow more.
    Left(Leave),
    /// Left as it came: its data is not standard base64.
    NotBase64,
    /// Left as it came: its data is a CBOR byte string in chunks, which no client of Kinesis writes.
    Chunked,
    /// Left as it came: a KPL aggregate, which the policy excepts.
    AggregateOff,
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
            Self::Chunked => "data_chunked",
            Self::AggregateOff => "aggregate_off",
            Self::RecordTooLarge => "record_too_large",
            Self::RequestTooLarge => "request_too_large",
        }
    }
}

/// A record's payload, looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Payload bytes; at most so many where the data is not base64.
    pub(super) payload_bytes: usize,
    /// What was seen, or why nothing was.
    pub(super) examined: Result<Examined, Verdict>,
}

impl Look {
    /// Payload bytes; an upper bound where the data is not base64.
    #[must_use]
    pub const fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Whether context can be added.
    #[must_use]
    pub fn takes_context(&self) -> bool {
        matches!(&self.examined, Ok(examined) if examined.places.is_ok())
    }

    /// What the payload is; `None` where it could not be seen.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.examined.as_ref().ok().map(|examined| examined.kind)
    }

    /// The contexts that the producer wrote: to be linked, and candidates for the parent.
    #[must_use]
    pub fn contexts(&self) -> &[(TraceContext, TraceState)] {
        self.examined.as_ref().map_or(&[], |examined| &examined.contexts)
    }

    /// Another tracer's context: a candidate for the parent.
    #[must_use]
    pub fn foreign(&self) -> Option<TraceContext> {
        self.examined.as_ref().ok()?.foreign
    }
}

/// Looks at a payload as it is.
pub(super) fn look(payload: &[u8]) -> Look {
    let examined = if payload.len() > WHOLE_BYTES_MAX {
        let ends = payload.get(..EDGE_BYTES).zip(payload.get(tail_at(payload.len())..));
        ends.and_then(|(head, tail)| examine_edges(head, tail, payload.len()))
            .unwrap_or_else(|| examine_whole(payload))
    } else {
        examine(payload)
    };
    Look { payload_bytes: payload.len(), examined: Ok(examined) }
}

/// Looks at a payload through its base64: gives what [`look`] gives for the decoded one.
/// `scratch` is grown once and used again for the next record.
pub(super) fn look_base64(base64: &[u8], scratch: &mut Vec<u8>) -> Look {
    match examine_base64(base64, scratch) {
        Some((payload_bytes, examined)) => Look { payload_bytes, examined: Ok(examined) },
        None => Look { payload_bytes: base64.len(), examined: Err(Verdict::NotBase64) },
    }
}

fn examine_base64(base64: &[u8], scratch: &mut Vec<u8>) -> Option<(usize, Examined)> {
    let payload_bytes = payload_bytes(base64)?;
    if payload_bytes <= WHOLE_BYTES_MAX {
        return Some((payload_bytes, examine(decode(base64, scratch)?)));
    }
    let (head, tail) = (base64.get(..EDGE_BYTES / 3 * 4)?, tail_at(payload_bytes) / 3 * 4);
    let mut ends = decode(head, scratch)?.to_vec();
    let head_bytes = ends.len();
    ends.extend_from_slice(decode(base64.get(tail..)?, scratch)?);
    let (head, tail) = ends.split_at_checked(head_bytes)?;
    let examined = match examine_edges(head, tail, payload_bytes) {
        Some(examined) => examined,
        None => examine_whole(decode(base64, scratch)?),
    };
    Some((payload_bytes, examined))
}

/// Where the tail of a large payload begins: at the beginning of a base64 group.
const fn tail_at(payload_bytes: usize) -> usize {
    (payload_bytes - EDGE_BYTES) / 3 * 3
}

/// How many bytes whole, padded base64 stands for.
pub(super) fn payload_bytes(base64: &[u8]) -> Option<usize> {
    let padding = base64.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    base64.len().is_multiple_of(4).then(|| (base64.len() / 4 * 3).saturating_sub(padding))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_that_is_not_ours_to_read() {
        let check = |base64: &str, good: bool| {
            let look = look_base64(base64.as_bytes(), &mut Vec::new());
            assert_eq!(look.examined != Err(Verdict::NotBase64), good, "{base64}");
        };
        check("", true);
        check("e30=", true);
        check("eyB9", true);
        check("e30", false);
        check("e31=", false); // bits behind the last byte
        check("e30=\n", false);
        check("e3==", false);
        check("e===", false);
        check("====", false);
        check("e30=e30=", false);
        check("e3-_", false);
    }

    /// Around the size from which only the ends are decoded, with every length of padding.
    #[test]
    fn base64_and_bytes_are_seen_alike() {
        for bytes in WHOLE_BYTES_MAX - 2..WHOLE_BYTES_MAX + 5 {
            for open in ["{\"a\":\"", "[\"", "nothing"] {
                let mut payload = open.as_bytes().to_vec();
                payload.resize(bytes - 2, b'x');
                payload.extend_from_slice(if open.starts_with('[') { b"\"]" } else { b"\"}" });
                let base64 = base64_simd::STANDARD.encode_to_string(&payload);
                let seen = look_base64(base64.as_bytes(), &mut Vec::new());
                assert_eq!(seen, look(&payload), "{bytes} bytes of {open}");
            }
        }
    }
}
