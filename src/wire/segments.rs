//! Owns a body in pieces: what was kept of the old one by reference, and the new bytes between.
//! Refuses to join them: a megabyte is not copied for a hundred bytes.

use bytes::{Bytes, BytesMut};

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
