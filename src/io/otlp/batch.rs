//! Owns encoded spans that go together: one buffer, and where each span ends in it, so that a batch
//! is divided without encoding anything again. Refuses to send.

use crate::domain::trace::Span;
use crate::wire::otlp::write_span;
use std::ops::Range;

/// Spans, encoded.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// Adds a span; false when it is larger than `bytes_max` even without links.
    #[must_use]
    pub(super) fn push(&mut self, span: &Span, bytes_max: usize) -> bool {
        let fits = write_span(&mut self.bytes, span, bytes_max);
        if fits {
            self.ends.push(self.bytes.len());
        }
        fits
    }

    /// Spans in it.
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all spans.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of some spans.
    pub(super) fn part(&self, spans: &Range<usize>) -> &[u8] {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or_default();
        let start = spans.start.checked_sub(1).map_or(0, end);
        self.bytes.get(start..spans.end.checked_sub(1).map_or(0, end)).unwrap_or_default()
    }
}
