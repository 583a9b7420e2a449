//! Owns a body in pieces: what was kept of the old one by reference, and the new bytes between.
//! Refuses to join them: a megabyte is not copied for a hundred bytes.

use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// A run of kept bytes up to this long is copied into the new bytes around it. Each piece costs an
/// entry of writev, a reference count and a call of the hash, as much as a copy of a few KiB; and
/// 16 KiB is the frame of HTTP/2, which shorter pieces would leave half empty.
const COPIED_BYTES_MAX: usize = 16 << 10;

/// A body in pieces, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segments(Vec<Bytes>);

impl Segments {
    /// Adds a piece behind the others; an empty one is left out.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.0.push(piece);
        }
    }

    /// Bytes of all pieces.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// The pieces, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Bytes> {
        self.0.iter()
    }

    /// All pieces joined; a single one is not copied.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if let [one] = &self.0[..] {
            return one.clone();
        }
        let mut joined = BytesMut::with_capacity(self.bytes());
        self.0.iter().for_each(|piece| joined.extend_from_slice(piece));
        joined.freeze()
    }
}

impl From<Bytes> for Segments {
    fn from(whole: Bytes) -> Self {
        let mut segments = Self::default();
        segments.push(whole);
        segments
    }
}

impl IntoIterator for Segments {
    type Item = Bytes;
    type IntoIter = std::vec::IntoIter<Bytes>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A body being written anew from an old one, front to back. Nothing is allocated until the first
/// change.
#[derive(Debug)]
pub struct Rewriter<'a> {
    old: &'a Bytes,
    /// Up to where the old body is kept, or replaced.
    from: usize,
    done: Segments,
    /// The piece that still grows.
    new: BytesMut,
    /// Bytes to make room for at the first change.
    room: usize,
}

impl<'a> Rewriter<'a> {
    /// `changes` of about `change_bytes` bytes each are to come.
    #[must_use]
    pub fn new(old: &'a Bytes, changes: usize, change_bytes: usize) -> Self {
        let few_kept = old.len() / changes.max(1) > COPIED_BYTES_MAX;
        let room = changes * change_bytes + if few_kept { 0 } else { old.len() };
        Self { old, from: 0, done: Segments::default(), new: BytesMut::new(), room }
    }

    /// Writes `new` in the place of the old body's bytes at `replaced`, which lie behind all that
    /// was replaced before (else nothing is done).
    pub fn replace(&mut self, replaced: Range<usize>, new: &[u8]) {
        let ordered = self.from <= replaced.start && replaced.start <= replaced.end;
        if !ordered || replaced.end > self.old.len() {
            debug_assert!(false, "changes come in order and inside the body");
            return;
        }
        if self.new.capacity() == 0 {
            self.new.reserve(std::mem::take(&mut self.room));
        }
        self.keep(replaced.start);
        self.new.extend_from_slice(new);
        self.from = replaced.end;
    }

    /// The whole new body; the old one itself if nothing was replaced.
    #[must_use]
    pub fn finish(mut self) -> Segments {
        if self.from == 0 && self.new.is_empty() {
            return self.old.clone().into();
        }
        self.keep(self.old.len());
        self.done.push(self.new.freeze());
        self.done
    }

    fn keep(&mut self, end: usize) {
        let run = self.from..end;
        if run.len() > COPIED_BYTES_MAX {
            self.done.push(self.new.split().freeze());
            self.done.push(self.old.slice(run));
        } else {
            self.new.extend_from_slice(self.old.get(run).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_kept_by_reference_and_short_ones_copied() {
        let check = |bytes: usize, changes: &[(usize, usize)], pieces: usize| {
            let old = Bytes::from(vec![b'.'; bytes]);
            let mut rewriter = Rewriter::new(&old, changes.len(), 3);
            let mut expected = old.to_vec();
            for (start, end) in changes {
                rewriter.replace(*start..*end, b"new");
            }
            for (start, end) in changes.iter().rev() {
                expected.splice(start..end, *b"new");
            }
            let segments = rewriter.finish();
            assert_eq!(segments.to_bytes(), expected);
            assert_eq!(segments.bytes(), expected.len());
            assert_eq!(segments.iter().len(), pieces, "{bytes} {changes:?}");
            let kept = segments.iter().filter(|piece| old.as_ptr_range().contains(&piece.as_ptr()));
            let copied: usize = segments.bytes() - kept.map(Bytes::len).sum::<usize>();
            assert!(copied <= (changes.len() + 1) * (COPIED_BYTES_MAX + 3), "{copied} copied");
        };
        check(0, &[], 0);
        check(100, &[], 1);
        check(100, &[(0, 0)], 1);
        check(100, &[(100, 100)], 1);
        check(100, &[(3, 7), (7, 7), (50, 100)], 1);
        check(1 << 20, &[(100, 104)], 2);
        check(1 << 20, &[(1 << 19, 1 << 19)], 3);
        check(1 << 20, &[(0, 1), (40, 44), (1 << 19, 1 << 20)], 3);
    }
}
