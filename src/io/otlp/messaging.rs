//! Owns the messaging metrics of OpenTelemetry's conventions: counted where calls end, written when
//! they are exported. Refuses to grow: attribute sets are bounded, and what is beyond them is
//! counted in one that says so. Source: reference/tracing.md 2.1.

use crate::domain::stream::ConsumerName;
use crate::domain::stream::StreamName;
use crate::domain::time::Wall;
use crate::domain::trace::Attribute;
use crate::domain::trace::Value;
use crate::wire::otlp::metrics::Histogram;
use crate::wire::otlp::metrics::Metric;
use crate::wire::otlp::metrics::Times;
use crate::wire::otlp::metrics::write_histogram;
use crate::wire::otlp::metrics::write_sum;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// Most attribute sets, of one stream and of all. Policy: what is beyond is counted under
/// `otel.metric.overflow`, as the specification has it.
const SETS_MAX: usize = 1_000;
const STREAM_SETS_MAX: usize = 100;
/// Characters of an error that are kept.
const ERROR_MAX: usize = 64;

/// The conventions' buckets, in seconds.
const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const OPERATION: Metric = Metric {
    name: "messaging.client.operation.duration",
    description: "Duration of messaging operation initiated by a producer or consumer client.",
    unit: "s",
};
const SENT: Metric = Metric {
    name: "messaging.client.sent.messages",
    description: "Number of messages producer attempted to send to the broker.",
    unit: "{message}",
};
const CONSUMED: Metric = Metric {
    name: "messaging.client.consumed.messages",
    description: "Number of messages that were delivered to the application.",
    unit: "{message}",
};
const PROCESS: Metric = Metric {
    name: "messaging.process.duration",
    description: "Duration of processing operation.",
    unit: "s",
};

/// Where calls are counted. Cloning is one reference count.
#[derive(Debug, Clone)]
pub struct OtlpMetrics(Option<Arc<Counted>>);

#[derive(Debug)]
struct Counted {
    start: Wall,
    server: Option<String>,
    /// Held for a lookup and a few additions, never while anything is written.
    sets: Mutex<Sets>,
}

#[derive(Debug, Clone, Default)]
struct Sets {
    of: HashMap<Option<StreamName>, Vec<Set>>,
    count: usize,
    /// What found no place, by operation.
    beyond: Vec<Set>,
}

/// What was counted under one set of attributes.
#[derive(Debug, Clone)]
struct Set {
    operation: Operation,
    consumer: Option<ConsumerName>,
    error: Option<Arc<str>>,
    took: Histogram<14>,
    messages: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Send,
    Receive,
    Process,
}

impl Operation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Process => "process",
        }
    }
}

/// What ended.
struct Ended<'a> {
    operation: Operation,
    stream: Option<&'a StreamName>,
    consumer: Option<&'a ConsumerName>,
    records: u64,
    duration: Duration,
    error: Option<&'a str>,
}

impl OtlpMetrics {
    /// Counts nothing: each call is one comparison.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Counts from `start` on; `server` is the host of Kinesis, where it is one for all calls.
    #[must_use]
    pub fn new(server: Option<String>, start: Wall) -> Self {
        Self(Some(Arc::new(Counted { start, server, sets: Mutex::default() })))
    }

    /// A put ended: of `records` records, with `error.type` if they failed. A put that failed in
    /// part is told once for what was stored and once for what was not, each with its records.
    pub fn record_send(
        &self,
        stream: Option<&StreamName>,
        records: u64,
        duration: Duration,
        error: Option<&str>,
    ) {
        let operation = Operation::Send;
        self.record(&Ended { operation, stream, consumer: None, records, duration, error });
    }

    /// A read ended, empty ones too.
    pub fn record_receive(
        &self,
        stream: Option<&StreamName>,
        consumer: &ConsumerName,
        records: u64,
        duration: Duration,
        error: Option<&str>,
    ) {
        let (operation, consumer) = (Operation::Receive, Some(consumer));
        self.record(&Ended { operation, stream, consumer, records, duration, error });
    }

    /// The application reported that it processed a record, or failed to.
    pub fn record_process(
        &self,
        stream: Option<&StreamName>,
        consumer: &ConsumerName,
        duration: Duration,
        error: Option<&str>,
    ) {
        let (operation, consumer) = (Operation::Process, Some(consumer));
        self.record(&Ended { operation, stream, consumer, records: 1, duration, error });
    }

    fn record(&self, ended: &Ended<'_>) {
        let Some(counted) = &self.0 else { return };
        let mut sets = counted.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = sets.place(ended) {
            set.took.observe(&BOUNDS, ended.duration.as_secs_f64());
            set.messages = set.messages.saturating_add(ended.records);
        }
    }

    /// All metrics as they are, for a request; empty when nothing was counted.
    pub(super) fn write(&self, now: Wall) -> Vec<u8> {
        let Some(counted) = &self.0 else { return Vec::new() };
        let sets = counted.sets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let named =
            sets.of.iter().flat_map(|(stream, sets)| sets.iter().map(move |set| (stream, set)));
        let named = named.map(|(stream, set)| (counted.attributes(stream.as_ref(), set), set));
        let beyond = sets.beyond.iter().map(|set| (set.beyond(), set));
        let all: Vec<(Vec<Attribute>, &Set)> = named.chain(beyond).collect();
        let of = |operations: &'static [Operation]| {
            let all = all.iter().filter(|(_, set)| operations.contains(&set.operation));
            all.map(|(attributes, set)| (attributes.as_slice(), *set))
        };
        let times = Times { start: counted.start, now };
        let mut out = Vec::new();
        let calls = of(&[Operation::Send, Operation::Receive]);
        write_histogram(&mut out, OPERATION, times, &BOUNDS, calls.map(|(a, set)| (a, &set.took)));
        let sent = of(&[Operation::Send]).map(|(a, set)| (a, set.messages));
        write_sum(&mut out, SENT, times, sent);
        let consumed = of(&[Operation::Receive]).map(|(a, set)| (a, set.messages));
        write_sum(&mut out, CONSUMED, times, consumed);
        let processed = of(&[Operation::Process]).map(|(a, set)| (a, &set.took));
        write_histogram(&mut out, PROCESS, times, &BOUNDS, processed);
        out
    }
}

impl Counted {
    fn attributes(&self, stream: Option<&StreamName>, set: &Set) -> Vec<Attribute> {
        let mut attributes = set.common();
        let named = [
            ("messaging.destination.name", stream.map(StreamName::as_str)),
            ("messaging.consumer.group.name", set.consumer.as_ref().map(ConsumerName::as_str)),
            ("error.type", set.error.as_deref()),
            ("server.address", self.server.as_deref()),
        ];
        let named = named.into_iter().filter_map(|(name, text)| Some((name, text?)));
        attributes.extend(named.map(|(name, text)| (name, text.to_owned().into())));
        attributes
    }
}

impl Set {
    fn new(operation: Operation) -> Self {
        let (consumer, error) = (None, None);
        Self { operation, consumer, error, took: Histogram::default(), messages: 0 }
    }

    fn common(&self) -> Vec<Attribute> {
        let operation = self.operation.as_str();
        vec![
            ("messaging.system", "aws.kinesis".into()),
            ("messaging.operation.name", operation.into()),
            ("messaging.operation.type", operation.into()),
        ]
    }

    fn beyond(&self) -> Vec<Attribute> {
        let mut attributes = self.common();
        attributes.push(("otel.metric.overflow", Value::Bool(true)));
        attributes
    }
}

impl Sets {
    /// The place of what ended. None is never the answer: it spares an unwrap.
    fn place(&mut self, ended: &Ended<'_>) -> Option<&mut Set> {
        // Cloning a name counts a reference.
        let stream = ended.stream.cloned();
        let error = ended.error.map(|error| error.get(..ERROR_MAX).unwrap_or(error));
        let known = self.of.get(&stream).map(Vec::as_slice).unwrap_or_default();
        let found = known.iter().position(|set| {
            set.operation == ended.operation
                && set.consumer.as_ref() == ended.consumer
                && set.error.as_deref() == error
        });
        let room = self.count < SETS_MAX && known.len() < STREAM_SETS_MAX;
        if let Some(at) = found {
            return self.of.get_mut(&stream)?.get_mut(at);
        }
        let mut set = Set::new(ended.operation);
        let sets = if room {
            self.count += 1;
            set.consumer = ended.consumer.cloned();
            set.error = error.map(Into::into);
            self.of.entry(stream).or_default()
        } else {
            let found = self.beyond.iter().position(|set| set.operation == ended.operation);
            if let Some(at) = found {
                return self.beyond.get_mut(at);
            }
            &mut self.beyond
        };
        sets.push(set);
        sets.last_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::otlp::Origin;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::KeyValue;
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point;
    use prost::Message;

    const MS: Duration = Duration::from_millis(1);

    /// Each point as its metric, its attributes but the constant ones, and its count.
    fn points(metrics: &OtlpMetrics) -> Vec<(String, String, u64)> {
        let request = Origin::new(&[]).request(&metrics.write(Wall::from_ms(9)));
        let request = ExportMetricsServiceRequest::decode(request.as_slice()).unwrap();
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let mut all = Vec::new();
        for metric in metrics {
            let mut add = |attributes: &[KeyValue], count| {
                all.push((metric.name.clone(), said(attributes), count));
            };
            if let Some(Data::Sum(sum)) = &metric.data {
                for point in &sum.data_points {
                    let Some(number_data_point::Value::AsInt(count)) = point.value else {
                        panic!("a whole number")
                    };
                    add(&point.attributes, count.try_into().unwrap());
                }
            } else if let Some(Data::Histogram(histogram)) = &metric.data {
                histogram.data_points.iter().for_each(|point| add(&point.attributes, point.count));
            }
        }
        all.sort();
        all
    }

    fn said(attributes: &[KeyValue]) -> String {
        let text = |pair: &KeyValue| match &pair.value.as_ref().unwrap().value {
            Some(any_value::Value::StringValue(text)) => text.clone(),
            value => format!("{value:?}"),
        };
        let constant = ["messaging.system", "messaging.operation.type"];
        let named = attributes.iter().filter(|pair| !constant.contains(&pair.key.as_str()));
        named.map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_call_is_in_its_metrics() {
        let metrics = OtlpMetrics::new(Some("kinesis".to_owned()), Wall::from_ms(1));
        let (orders, service) = (StreamName::from("orders"), ConsumerName::from("payments"));
        metrics.record_send(Some(&orders), 498, MS, None);
        metrics.record_send(Some(&orders), 2, MS, Some("Throttled"));
        metrics.record_receive(Some(&orders), &service, 10, MS, None);
        metrics.record_receive(Some(&orders), &service, 0, MS, None);
        metrics.record_receive(None, &service, 1, MS, None);
        metrics.record_process(Some(&orders), &service, MS, None);
        let expected = [
            ("messaging.client.consumed.messages", "receive orders payments kinesis", 10),
            ("messaging.client.consumed.messages", "receive payments kinesis", 1),
            ("messaging.client.operation.duration", "receive orders payments kinesis", 2),
            ("messaging.client.operation.duration", "receive payments kinesis", 1),
            ("messaging.client.operation.duration", "send orders Throttled kinesis", 1),
            ("messaging.client.operation.duration", "send orders kinesis", 1),
            ("messaging.client.sent.messages", "send orders Throttled kinesis", 2),
            ("messaging.client.sent.messages", "send orders kinesis", 498),
            ("messaging.process.duration", "process orders payments kinesis", 1),
        ];
        let expected = expected.map(|(metric, set, count)| (metric.into(), set.into(), count));
        assert_eq!(points(&metrics), expected);
    }

    #[test]
    fn attribute_sets_are_bounded_and_nothing_is_lost() {
        let metrics = OtlpMetrics::new(None, Wall::from_ms(1));
        for i in 0..20 {
            for error in 0..STREAM_SETS_MAX + 5 {
                let stream = StreamName::from(format!("stream-{i}").as_str());
                metrics.record_send(Some(&stream), 1, MS, Some(&format!("Error{error}")));
            }
        }
        let points = points(&metrics);
        let sent = points.iter().filter(|(metric, _, _)| metric == SENT.name);
        assert_eq!(sent.clone().count(), SETS_MAX + 1);
        let calls = 20 * (STREAM_SETS_MAX + 5);
        assert_eq!(sent.map(|(_, _, count)| count).sum::<u64>(), calls as u64);
        let beyond = (
            SENT.name.to_owned(),
            "send Some(BoolValue(true))".to_owned(),
            (calls - SETS_MAX) as u64,
        );
        assert!(points.contains(&beyond));
    }

    #[test]
    fn nothing_counted_is_nothing_written() {
        OtlpMetrics::off().record_send(None, 1, MS, None);
        assert!(OtlpMetrics::off().write(Wall::from_ms(9)).is_empty());
        assert!(OtlpMetrics::new(None, Wall::from_ms(1)).write(Wall::from_ms(9)).is_empty());
    }
}
