//! Owns what the page takes from the process's own counters, and what becomes of two readings of
//! them. Refuses to make a zero of a counter that does not exist, and to know what counted.

use prometheus::proto::{Metric, MetricFamily};
use std::collections::BTreeMap;
use std::time::Duration;

/// The counters at one moment, and what the system says of the process.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// When, on the monotonic clock.
    pub at: Duration,
    /// By stream.
    pub streams: BTreeMap<String, StreamCounts>,
    /// What queues could not take: queue, reason, how many. Zeros are left out.
    pub dropped: Vec<(String, String, f64)>,
    /// What AWS refuses: IAM action, for how many streams or tables.
    pub refused: Vec<(String, f64)>,
    /// Requests that passed through.
    pub requests: Option<f64>,
    /// What CloudWatch was asked for cost at list price, by the dearer reading of it.
    pub dollars: Option<f64>,
    /// What the system says.
    pub own: Own,
}

/// Records of one stream since the start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamCounts {
    /// Put through this process.
    pub put: Option<f64>,
    /// Read through it.
    pub got: Option<f64>,
    /// Not stored, by Kinesis' error code.
    pub refused: BTreeMap<String, f64>,
}

/// What the process takes from the machine; `None` where the system does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Own {
    /// CPU time since the start.
    pub cpu: Option<Duration>,
    /// Memory in use (resident), in bytes.
    pub resident_bytes: Option<u64>,
    /// The most that it ever was.
    pub resident_bytes_peak: Option<u64>,
}

impl Counts {
    /// Reads what a registry gathered.
    #[must_use]
    pub fn read(families: &[MetricFamily], own: Own, at: Duration) -> Self {
        let mut counts = Self { at, own, ..Self::default() };
        for family in families {
            for metric in family.get_metric() {
                counts.note(family.name(), metric);
            }
        }
        counts
    }

    fn note(&mut self, family: &str, metric: &Metric) {
        let label = |name: &str| {
            let pair = metric.get_label().iter().find(|pair| pair.name() == name);
            pair.map(|pair| pair.value().to_owned()).unwrap_or_default()
        };
        let value = metric.get_counter().get_value();
        let add = |sum: &mut Option<f64>| *sum = Some(sum.unwrap_or(0.0) + value);
        match family {
            "kinesis_records_total" => {
                let stream = self.streams.entry(label("stream")).or_default();
                add(if label("direction") == "put" { &mut stream.put } else { &mut stream.got });
            }
            "kinesis_put_failures_total" if value > 0.0 => {
                let stream = self.streams.entry(label("stream")).or_default();
                *stream.refused.entry(label("error")).or_default() += value;
            }
            "kinescope_dropped_total" if value > 0.0 => {
                self.dropped.push((label("queue"), label("reason"), value));
            }
            "kinescope_aws_refused_resources" => {
                self.refused.push((label("action"), metric.get_gauge().get_value()));
            }
            "kinescope_proxy_requests_total" => add(&mut self.requests),
            "kinescope_cloudwatch_estimated_cost_dollars_total" => {
                self.dollars = Some(self.dollars.map_or(value, |other| other.max(value)));
            }
            _ => {}
        }
    }

    /// How much a figure grew a second from `then` to now. What was not there then was zero;
    /// `None` where it is not there now, or no time has passed.
    pub(super) fn per_second(
        &self,
        then: Option<&Self>,
        figure: impl Fn(&Self) -> Option<f64>,
    ) -> Option<f64> {
        let (now, then) = (figure(self)?, then?);
        let seconds = self.at.checked_sub(then.at)?.as_secs_f64();
        let grown = (now - figure(then).unwrap_or(0.0)).max(0.0);
        (seconds > 0.0).then(|| grown / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{CounterVec, Opts, Registry};

    fn registry() -> (Registry, CounterVec, CounterVec) {
        let registry = Registry::new();
        let counter = |name: &str, labels: &[&str]| {
            let family = CounterVec::new(Opts::new(name, "A test."), labels).unwrap();
            registry.register(Box::new(family.clone())).unwrap();
            family
        };
        let records = counter("kinesis_records_total", &["stream", "direction", "verdict"]);
        let dropped = counter("kinescope_dropped_total", &["queue", "reason"]);
        (registry, records, dropped)
    }

    #[test]
    fn counters_are_added_up_and_zeros_are_no_drops() {
        let (registry, records, dropped) = registry();
        records.with_label_values(&["orders", "put", "spliced"]).inc_by(3.0);
        records.with_label_values(&["orders", "put", "opaque"]).inc_by(4.0);
        dropped.with_label_values(&["spans", "full"]).inc_by(2.0);
        dropped.with_label_values(&["engine", "full"]).inc_by(0.0);
        let counts = Counts::read(&registry.gather(), Own::default(), Duration::ZERO);
        let expected = StreamCounts { put: Some(7.0), ..StreamCounts::default() };
        assert_eq!(counts.streams, BTreeMap::from([("orders".to_owned(), expected)]));
        assert_eq!(counts.dropped, [("spans".to_owned(), "full".to_owned(), 2.0)]);
        assert_eq!((counts.requests, counts.dollars), (None, None), "missing is not zero");
    }

    #[test]
    fn two_readings_are_a_rate() {
        let reading = |second, requests| Counts {
            at: Duration::from_secs(second),
            requests,
            ..Counts::default()
        };
        let check = |then: Option<&Counts>, now: &Counts, expected| {
            assert_eq!(now.per_second(then, |counts| counts.requests), expected);
        };
        check(Some(&reading(10, Some(5.0))), &reading(12, Some(9.0)), Some(2.0));
        check(Some(&reading(10, None)), &reading(12, Some(9.0)), Some(4.5));
        check(Some(&reading(10, Some(5.0))), &reading(12, None), None);
        check(Some(&reading(12, Some(5.0))), &reading(12, Some(5.0)), None);
        check(None, &reading(12, Some(5.0)), None);
    }
}
