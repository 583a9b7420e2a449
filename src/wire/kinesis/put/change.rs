//! Owns how one record's data changes in the body: a few base64 groups, or a byte string's length
//! and the bytes between. Refuses to touch the body: a change is whole before any of it is made.

use super::{Shape, Slot};
use crate::domain::envelope::{Insertion, Place};
use crate::wire::kinesis::record::{decode, payload_bytes};
use crate::wire::segments::Rewriter;
use std::ops::Range;

/// What is replaced in the body by what, front to back.
#[derive(Default)]
pub(super) struct Change {
    /// Ranges of the body, each with the end of its new bytes in `new`.
    parts: Vec<(Range<usize>, usize)>,
    new: Vec<u8>,
    group: Vec<u8>,
    scratch: Vec<u8>,
}

impl Change {
    /// Insertions into a record's payload.
    pub(super) fn insert(
        &mut self,
        slot: &Slot,
        body: &[u8],
        places: &[Place],
        insertion: &Insertion,
    ) -> Option<()> {
        self.clear();
        match slot.shape {
            Shape::Base64 => self.insert_base64(slot, body, places, insertion),
            Shape::Bytes => {
                let growth: usize =
                    places.iter().map(|place| insertion.bytes(place.empty).len()).sum();
                self.bytes_header(slot.inner.len() + growth);
                self.part(slot.header_at..slot.inner.start);
                let mut from = slot.inner.start;
                for place in places {
                    let at = slot.inner.start.checked_add(place.at)?;
                    self.new.extend_from_slice(insertion.bytes(place.empty));
                    self.part((from <= at && at <= slot.inner.end).then_some(at..at)?);
                    from = at;
                }
                Some(())
            }
            Shape::Escaped | Shape::Chunks => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let payload = slot.payload(body, &mut scratch)?;
                let anew = inserted(payload, places, insertion)?;
                self.scratch = scratch;
                self.anew(slot, &anew);
                Some(())
            }
        }
    }

    /// A whole payload in the place of a record's.
    pub(super) fn replace(&mut self, slot: &Slot, payload: &[u8]) {
        self.clear();
        self.anew(slot, payload);
    }

    /// Makes the change.
    pub(super) fn apply(&self, rewriter: &mut Rewriter<'_>) {
        let mut start = 0;
        for (replaced, end) in &self.parts {
            rewriter.replace(replaced.clone(), self.new.get(start..*end).unwrap_or_default());
            start = *end;
        }
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.new.clear();
    }

    fn part(&mut self, replaced: Range<usize>) {
        self.parts.push((replaced, self.new.len()));
    }

    fn anew(&mut self, slot: &Slot, payload: &[u8]) {
        match slot.shape {
            Shape::Base64 | Shape::Escaped => {
                base64_simd::STANDARD.encode_append(payload, &mut self.new);
            }
            Shape::Bytes | Shape::Chunks => {
                self.bytes_header(payload.len());
                self.new.extend_from_slice(payload);
            }
        }
        self.part(slot.header_at..slot.inner.end);
    }

    /// Each insertion's length is a multiple of three: the base64 behind it keeps its characters,
    /// and only the group that it falls into is encoded anew (reference/wire-and-proxy.md 5.3).
    fn insert_base64(
        &mut self,
        slot: &Slot,
        body: &[u8],
        places: &[Place],
        insertion: &Insertion,
    ) -> Option<()> {
        let base64 = slot.raw(body)?;
        if places.last().is_some_and(|last| Some(last.at) > payload_bytes(base64)) {
            return None;
        }
        let mut places = places.iter().peekable();
        while let Some(first) = places.next() {
            let start = first.at / 3;
            let end = first.at.div_ceil(3);
            let group = decode(base64.get(start * 4..end * 4)?, &mut self.scratch)?;
            let (head, mut rest) = group.split_at_checked(first.at - start * 3)?;
            self.group.clear();
            self.group.extend_from_slice(head);
            self.group.extend_from_slice(insertion.bytes(first.empty));
            let mut at = first.at;
            // No two objects begin within three bytes of each other, but that is not ours to know.
            while let Some(next) = places.next_if(|next| next.at < end * 3) {
                let (between, behind) = rest.split_at_checked(next.at.checked_sub(at)?)?;
                self.group.extend_from_slice(between);
                self.group.extend_from_slice(insertion.bytes(next.empty));
                (at, rest) = (next.at, behind);
            }
            self.group.extend_from_slice(rest);
            base64_simd::STANDARD.encode_append(self.group.as_slice(), &mut self.new);
            let from = slot.inner.start;
            self.part(from + start * 4..from + end * 4);
        }
        Some(())
    }

    fn bytes_header(&mut self, bytes: usize) {
        let mut encoder = minicbor::Encoder::new(&mut self.new);
        // Writing into a Vec cannot fail.
        let written = encoder.bytes_len(bytes as u64).is_ok();
        debug_assert!(written);
    }
}

/// The payload with the insertions in it.
fn inserted(payload: &[u8], places: &[Place], insertion: &Insertion) -> Option<Vec<u8>> {
    let mut anew = Vec::with_capacity(payload.len() + places.len() * insertion.bytes(false).len());
    let mut from = 0;
    for place in places {
        anew.extend_from_slice(payload.get(from..place.at)?);
        anew.extend_from_slice(insertion.bytes(place.empty));
        from = place.at;
    }
    anew.extend_from_slice(payload.get(from..)?);
    Some(anew)
}
