//! Owns the figures of reported processing. Refuses label values without a bound: event types come
//! from envelopes.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// From what a cache answers in to what a person waits for.
const PROCESS_BUCKETS: &[f64] =
    &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Event types that become label values; the rest are `other`.
const TYPES_MAX: usize = 200;
/// Streams, consumers and event types together: each is a histogram. The rest are `other`, all three.
const SERIES_MAX: usize = 1_000;
/// The label value of what is over a bound.
const OTHER: &str = "other";

/// `kinesis_event_process_seconds` and `kinesis_event_errors_total`.
#[derive(Debug, Clone)]
pub struct EventMetrics {
    seconds: HistogramVec,
    errors: IntCounterVec,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    types: HashSet<String>,
    series: HashSet<[String; 3]>,
}

impl EventMetrics {
    /// Makes and registers the families.
    ///
    /// # Errors
    /// A family is registered already.
    pub fn register(registry: &Registry, region: &str) -> prometheus::Result<Self> {
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).const_label("region", region);
            HistogramVec::new(opts.buckets(PROCESS_BUCKETS.to_vec()), labels)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help).const_label("region", region), labels)
        };
        let seconds = histogram(
            "kinesis_event_process_seconds",
            "How long consumers took to process a record, as they reported it.",
            &["stream", "consumer", "event_type"],
        )?;
        let errors = counter(
            "kinesis_event_errors_total",
            "Records whose processing failed, as consumers reported it.",
            &["stream", "consumer", "event_type"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        Ok(Self { seconds, errors, known: Arc::default() })
    }

    pub(super) fn take(&self, labels: [&str; 3], seconds: f64, failed: bool) {
        let labels = self.bounded(labels);
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        self.seconds.with_label_values(&labels).observe(seconds);
        // At zero from the first report on, so that a first error is a rise.
        self.errors.with_label_values(&labels).inc_by(failed.into());
    }

    fn bounded(&self, [stream, consumer, event_type]: [&str; 3]) -> [String; 3] {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = known.types.contains(event_type);
        let event_type = if is_known || known.types.len() < TYPES_MAX { event_type } else { OTHER };
        if !is_known && event_type != OTHER {
            known.types.insert(event_type.to_owned());
        }
        let labels = [stream, consumer, event_type].map(str::to_owned);
        if !known.series.contains(&labels) {
            if known.series.len() >= SERIES_MAX {
                return [OTHER; 3].map(str::to_owned);
            }
            known.series.insert(labels.clone());
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded() {
        let metrics = EventMetrics::register(&Registry::new(), "eu-west-1").unwrap();
        let check = |stream: &str, event: &str, expected: [&str; 3]| {
            assert_eq!(metrics.bounded([stream, "mail", event]), expected, "{stream} {event}");
        };
        for event in 0..TYPES_MAX {
            let event = event.to_string();
            check("orders", &event, ["orders", "mail", &event]);
        }
        check("orders", "one more", ["orders", "mail", "other"]);
        check("orders", "7", ["orders", "mail", "7"]);
        for stream in 0..SERIES_MAX - TYPES_MAX - 1 {
            let stream = stream.to_string();
            check(&stream, "7", [&stream, "mail", "7"]);
        }
        check("one more", "7", ["other", "other", "other"]);
        check("orders", "199", ["orders", "mail", "199"]);
    }

    #[test]
    fn an_error_is_counted_beside_the_time() {
        let registry = Registry::new();
        let metrics = EventMetrics::register(&registry, "eu-west-1").unwrap();
        metrics.take(["orders", "mail", "A"], 0.2, false);
        metrics.take(["orders", "mail", "A"], 0.3, true);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let labels = "consumer=\"mail\",event_type=\"A\",region=\"eu-west-1\",stream=\"orders\"";
        assert!(text.contains(&format!("kinesis_event_errors_total{{{labels}}} 1\n")), "{text}");
        assert!(text.contains(&format!("kinesis_event_process_seconds_sum{{{labels}}} 0.5\n")));
    }
}
