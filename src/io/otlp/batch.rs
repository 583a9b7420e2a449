//! Owns spans that go together, in the exporter's form, and how large they are. Refuses to send.

use crate::domain::time::Wall;
use crate::domain::trace::Span;
use crate::wire::otlp::scope;
use crate::wire::otlp::size;
use crate::wire::otlp::span_data;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanData;
use std::time::Duration;

/// Spans of one request.
#[derive(Debug)]
pub(super) struct Batch {
    spans: Vec<SpanData>,
    bytes: usize,
    /// From the first begin to the last end.
    times: Option<(Wall, Wall)>,
    scope: InstrumentationScope,
}

impl Default for Batch {
    fn default() -> Self {
        Self { spans: Vec::new(), bytes: 0, times: None, scope: scope() }
    }
}

impl Batch {
    /// Adds a span, without the links that would make it larger than `bytes_max`; false when it is
    /// larger even without any.
    #[must_use]
    pub(super) fn push(&mut self, mut span: Span, bytes_max: usize) -> bool {
        let Some((bytes, dropped)) = size::fit(&mut span, bytes_max) else { return false };
        let times = self.times_with(&span);
        let mut data = span_data(span, &self.scope);
        data.links.dropped_count = dropped;
        self.spans.push(data);
        self.bytes += bytes;
        self.times = Some(times);
        true
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
        self.spans.len()
    }

    /// Bytes that the request will have, or a few more.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The spans.
    pub(super) fn into_spans(self) -> Vec<SpanData> {
        self.spans
    }
}
