//! Owns whose child our spans are, and whether they are recorded. Refuses to let strangers decide
//! how much: over `traces.max_spans_per_second` a caller's sampled flag is not followed.

use super::parents;
use super::retries::Context;
use crate::domain::sampling::{Flood, Sampler};
use crate::domain::time::Moment;
use crate::domain::trace::{Flags, Format, Parent, Propagators, TraceContext, TraceState};
use crate::io::entropy;
use http::HeaderMap;
use prometheus::IntCounterVec;
use std::sync::{Mutex, PoisonError};

/// What is configured of it.
#[derive(Debug, Clone, Default)]
pub struct Tracing {
    /// `OTEL_PROPAGATORS`.
    pub propagators: Propagators,
    /// `OTEL_TRACES_SAMPLER`.
    pub sampler: Sampler,
    /// `traces.max_spans_per_second`.
    pub spans_per_second_max: u32,
    /// `traces.create_spans`: a span for each record of PutRecords.
    pub create_spans: bool,
    /// `traces.inferred_process`: what nobody reported is inferred.
    pub inferred_process: bool,
    /// Most links on one span, where a backend asks for fewer than we would make.
    pub links_max: Option<usize>,
}

/// Decides, for the data plane and the observer alike.
#[derive(Debug)]
pub struct Deciding {
    settings: Tracing,
    flood: Mutex<Flood>,
    dropped: IntCounterVec,
}

impl Deciding {
    /// Decides as it is configured; what is over the rate counts in `dropped`.
    #[must_use]
    pub fn new(settings: Tracing, dropped: IntCounterVec) -> Self {
        let flood = Mutex::new(Flood::new(settings.spans_per_second_max));
        Self { settings, flood, dropped }
    }

    /// Whether each record of PutRecords has a create span.
    pub(super) const fn creates_spans(&self) -> bool {
        self.settings.create_spans
    }

    /// Whether process spans are inferred.
    pub(super) const fn infers(&self) -> bool {
        self.settings.inferred_process
    }

    /// Most links on one span.
    pub(super) fn links_max(&self, default: usize) -> usize {
        self.settings.links_max.map_or(default, |most| most.clamp(1, default))
    }

    /// The application's own span, out of a request's headers.
    pub(super) fn parent(&self, headers: &HeaderMap) -> Option<Parent> {
        parents::parent(&self.settings.propagators, headers)
    }

    /// The context of a span below one of ours. Where a caller's flag decided on that one
    /// (`asked`), this one counts against the same rate.
    pub(super) fn below(&self, ours: &Context, asked: bool, now: Moment) -> Context {
        let (context, state) = ours.clone();
        if asked {
            let format = Format::TraceContext;
            let parent = Parent { context, state, format, undecided: false };
            return self.child(Some(&parent), 1, now);
        }
        (context.child(entropy::span_id(), context.flags.sampled()), state)
    }

    /// Our span's context: in the parent's trace, or a new root. The call makes so many `spans`.
    pub(super) fn child(&self, parent: Option<&Parent>, spans: usize, now: Moment) -> Context {
        let span_id = entropy::span_id();
        let trace_id = parent.map_or_else(entropy::trace_id, |parent| parent.context.trace_id);
        let decided = parent.filter(|parent| !parent.undecided).map(|parent| &parent.context);
        let decision = self.settings.sampler.decide(decided, trace_id);
        let mut flood = self.flood.lock().unwrap_or_else(PoisonError::into_inner);
        let admission = flood.admit(decision, u32::try_from(spans).unwrap_or(u32::MAX), now);
        if let Some(reason) = admission.dropped() {
            self.dropped.with_label_values(&["spans", reason]).inc_by(spans as u64);
        }
        let sampled = decision.sampled && admission.dropped().is_none();
        match parent {
            Some(Parent { context, state, .. }) => (context.child(span_id, sampled), state.clone()),
            None => {
                let flags = Flags::SAMPLED_RANDOM.with_sampled(sampled);
                (TraceContext { trace_id, span_id, flags }, TraceState::default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Opts;
    use std::time::Duration;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn deciding(settings: Tracing) -> Deciding {
        let dropped = IntCounterVec::new(Opts::new("d", "d"), &["queue", "reason"]).unwrap();
        Deciding::new(settings, dropped)
    }

    #[test]
    fn a_strangers_flag_is_followed_up_to_the_rate() {
        let deciding = deciding(Tracing { spans_per_second_max: 2, ..Tracing::default() });
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", SAMPLED.parse().unwrap());
        let parent = deciding.parent(&headers);
        let at = |seconds| Moment::default().plus(Duration::from_secs(seconds));
        let sampled = |parent, now| deciding.child(parent, 1, now).0.flags.sampled();
        let children: Vec<bool> = (0..4).map(|_| sampled(parent.as_ref(), at(10))).collect();
        assert_eq!(children, [true, true, false, false]);
        assert!(sampled(None, at(10)), "our own roots are not a stranger's");
        assert!(sampled(parent.as_ref(), at(12)));
        assert_eq!(deciding.dropped.with_label_values(&["spans", "rate"]).get(), 2);
        let (child, state) = deciding.child(parent.as_ref(), 1, at(20));
        assert_eq!(child.trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_ne!(child.span_id.to_string(), "b7ad6b7169203331");
        // A span below one of ours follows it, and pays where that one did.
        let ours = (child, state);
        let below = |asked, now| deciding.below(&ours, asked, now).0;
        assert_eq!(below(false, at(20)).trace_id, child.trace_id);
        assert!(below(false, at(20)).flags.sampled() && below(true, at(20)).flags.sampled());
        assert!(below(false, at(20)).flags.sampled() && !below(true, at(20)).flags.sampled());
        // A call of many spans is dropped and counted with all of them.
        assert_eq!(deciding.dropped.with_label_values(&["spans", "rate"]).get(), 3);
        assert!(deciding.child(parent.as_ref(), 4, at(30)).0.flags.sampled());
        assert!(!deciding.child(parent.as_ref(), 4, at(31)).0.flags.sampled());
        assert_eq!(deciding.dropped.with_label_values(&["spans", "rate"]).get(), 7);
    }
}
