//! Owns spans that go together, as the bytes that they will be in their request. Refuses to send.

use crate::domain::time::Wall;
use crate::domain::trace::Span;
use crate::wire::otlp::spans::Origin;
use crate::wire::otlp::spans::append;
use bytes::Bytes;
use std::time::Duration;

/// Spans of one request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    spans: usize,
    encoded: Vec<u8>,
    /// From the first begin to the last end.
    times: Option<(Wall, Wall)>,
}

impl Batch {
    /// Adds a span, without the links that would make it larger than `bytes_max`; false when it is
    /// larger even without any.
    #[must_use]
    pub(super) fn push(&mut self, span: &Span, bytes_max: usize) -> bool {
        let fits = append(&mut self.encoded, span, bytes_max);
        if fits {
            self.spans += 1;
            self.times = Some(self.times_with(span));
        }
        fits
    }

    /// How far apart the times in it would be with this span.
    pub(super) fn spread_with(&self, span: &Span) -> Duration {
        let (first, last) = self.times_with(span);
        last.since(first)
    }

    fn times_with(&self, span: &Span) -> (Wall, Wall) {
        let (first, last) = self.times.unwrap_or((span.start, span.end));
        (first.min(span.start), last.max(span.end))
    }

    /// Spans in it.
    pub(super) const fn len(&self) -> usize {
        self.spans
    }

    /// Bytes of its spans in the request.
    pub(super) const fn bytes(&self) -> usize {
        self.encoded.len()
    }

    /// The request, from this origin.
    pub(super) fn into_request(self, origin: &Origin) -> Bytes {
        origin.request(&self.encoded).into()
    }
}
