//! Owns the messaging metrics of OpenTelemetry's conventions: counted where calls end, written when
//! they are exported. Refuses to grow: attribute sets are bounded, and what is beyond them is
//! counted in one that says so. Source: reference/tracing.md 2.1.

use crate::domain::stream::ConsumerName;
use crate::domain::stream::StreamName;
use crate::domain::time::Wall;
use crate::domain::trace::Attribute;
use crate::domain::trace::Value;
use crate::wire::otlp::metrics::Histogram;
use crate::wire::otlp::metrics::Named;
use crate::wire::otlp::metrics::Times;
use crate::wire::otlp::metrics::histogram;
use crate::wire::otlp::metrics::sum;
use opentelemetry_proto::tonic::metrics::v1::Metric;
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
pub(in crate::io) const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const OPERATION: Named = Named {
    name: "messaging.client.operation.duration",
    description: "Duration of messaging operation initiated by a producer or consumer client.",
    unit: "s",
};
const SENT: Named = Named {
    name: "messaging.client.sent.messages",
    description: "Number of messages producer attempted to send to the broker.",
    unit: "{message}",
};
const CONSUMED: Named = Named {
    name: "messaging.client.consumed.messages",
    description: "Number of messages that were delivered to the application.",
    unit: "{message}",
};
const PROCESS: Named = Named {
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
    /// Held for a lookup and a few additions, and for one copy of all when they are exported.
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
    server: Option<(Arc<str>, Option<u16>)>,
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
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// The stream, where it is known.
    pub stream: Option<&'a StreamName>,
    /// The host of Kinesis, where it was asked, and its port, where that is known.
    pub server: Option<(&'a str, Option<u16>)>,
    /// How many records it was about.
    pub records: u64,
    /// How long it took; `None` for further records of a call that is counted already.
    pub duration: Option<Duration>,
    /// `error.type`, if it failed.
    pub error: Option<&'a str>,
}

impl OtlpMetrics {
    /// Counts nothing: each call is one comparison.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Whether anything is counted: asked before the work that only these metrics need.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Counts from `start` on.
    #[must_use]
    pub fn new(start: Wall) -> Self {
        Self(Some(Arc::new(Counted { start, sets: Mutex::default() })))
    }

    /// A put ended. One that failed in part is told once for each error, and once for what was
    /// stored: only one of these with its duration.
    pub fn record_send(&self, ended: Ended<'_>) {
        self.record(Operation::Send, None, ended);
    }

    /// A read ended, an empty one too.
    pub fn record_receive(&self, consumer: &ConsumerName, ended: Ended<'_>) {
        self.record(Operation::Receive, Some(consumer), ended);
    }

    /// The application reported that it processed a record, or failed to.
    pub fn record_process(&self, consumer: &ConsumerName, ended: Ended<'_>) {
        self.record(Operation::Process, Some(consumer), ended);
    }

    fn record(&self, operation: Operation, consumer: Option<&ConsumerName>, ended: Ended<'_>) {
        let Some(counted) = &self.0 else { return };
        let mut sets = counted.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = sets.place(operation, consumer, ended) {
            if let Some(duration) = ended.duration {
                set.took.observe(&BOUNDS, duration.as_secs_f64());
            }
            set.messages = set.messages.saturating_add(ended.records);
        }
    }

    /// All metrics as they are; none when nothing was counted.
    pub(super) fn read(&self, now: Wall) -> Vec<Metric> {
        let Some(counted) = &self.0 else { return Vec::new() };
        let sets = counted.sets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let named = sets.of.iter().flat_map(|(stream, sets)| {
            sets.iter().map(move |set| (set.attributes(stream.as_ref()), set))
        });
        let beyond = sets.beyond.iter().map(|set| (set.beyond(), set));
        let all: Vec<(Vec<Attribute>, &Set)> = named.chain(beyond).collect();
        let of = |operations: &'static [Operation]| {
            let all = all.iter().filter(|(_, set)| operations.contains(&set.operation));
            all.map(|(attributes, set)| (attributes.clone(), *set))
        };
        let times = Times { start: counted.start, now };
        let messages = |(attributes, set): (_, &Set)| (attributes, set.messages);
        let took = |(attributes, set): (_, &Set)| {
            let some = set.took != Histogram::default();
            some.then(|| (attributes, set.took.clone()))
        };
        let typed = |(mut attributes, set): (Vec<Attribute>, &Set)| {
            let kind = ("messaging.operation.type", set.operation.as_str().into());
            attributes.push(kind);
            took((attributes, set))
        };
        let calls = of(&[Operation::Send, Operation::Receive]).filter_map(typed);
        let processed = of(&[Operation::Process]).filter_map(took);
        let metrics = [
            histogram(OPERATION, times, &BOUNDS, calls),
            sum(SENT, times, of(&[Operation::Send]).map(messages)),
            sum(CONSUMED, times, of(&[Operation::Receive]).map(messages)),
            histogram(PROCESS, times, &BOUNDS, processed),
        ];
        metrics.into_iter().flatten().collect()
    }
}

impl Set {
    fn new(operation: Operation) -> Self {
        let (server, consumer, error) = (None, None, None);
        Self { operation, server, consumer, error, took: Histogram::default(), messages: 0 }
    }

    fn attributes(&self, stream: Option<&StreamName>) -> Vec<Attribute> {
        let mut attributes = self.common();
        let host = self.server.as_ref().map(|(host, _)| &**host);
        let port = self.server.as_ref().and_then(|(_, port)| *port);
        let named = [
            ("messaging.destination.name", stream.map(StreamName::as_str)),
            ("messaging.consumer.group.name", self.consumer.as_ref().map(ConsumerName::as_str)),
            ("error.type", self.error.as_deref()),
            ("server.address", host),
        ];
        let named = named.into_iter().filter_map(|(name, text)| Some((name, text?)));
        attributes.extend(named.map(|(name, text)| (name, text.to_owned().into())));
        attributes.extend(port.map(|port| ("server.port", Value::Int(port.into()))));
        attributes
    }

    fn beyond(&self) -> Vec<Attribute> {
        let mut attributes = self.common();
        attributes.push(("otel.metric.overflow", Value::Bool(true)));
        attributes
    }

    fn common(&self) -> Vec<Attribute> {
        vec![
            ("messaging.system", "aws.kinesis".into()),
            ("messaging.operation.name", self.operation.as_str().into()),
        ]
    }
}

impl Sets {
    /// The place of what ended. None is never the answer: it spares an unwrap.
    fn place(
        &mut self,
        operation: Operation,
        consumer: Option<&ConsumerName>,
        ended: Ended<'_>,
    ) -> Option<&mut Set> {
        // Cloning a name counts a reference.
        let stream = ended.stream.cloned();
        let error = ended.error.map(|error| error.get(..ERROR_MAX).unwrap_or(error));
        let known = self.of.get(&stream).map(Vec::as_slice).unwrap_or_default();
        let found = known.iter().position(|set| {
            set.operation == operation
                && set.consumer.as_ref() == consumer
                && set.error.as_deref() == error
                && set.server.as_ref().map(|(host, port)| (&**host, *port)) == ended.server
        });
        let room = self.count < SETS_MAX && known.len() < STREAM_SETS_MAX;
        if let Some(at) = found {
            return self.of.get_mut(&stream)?.get_mut(at);
        }
        let mut set = Set::new(operation);
        let sets = if room {
            self.count += 1;
            set.consumer = consumer.cloned();
            set.server = ended.server.map(|(host, port)| (host.into(), port));
            set.error = error.map(Into::into);
            self.of.entry(stream).or_default()
        } else {
            let found = self.beyond.iter().position(|set| set.operation == operation);
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
    use opentelemetry_proto::tonic::common::v1::KeyValue;
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point;

    const MS: Duration = Duration::from_millis(1);

    /// Each point as its metric, its attributes but the constant ones, and its count.
    fn points(metrics: &OtlpMetrics) -> Vec<(String, String, u64)> {
        let metrics = metrics.read(Wall::from_ms(9));
        let mut all = Vec::new();
        for metric in &metrics {
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

    fn ended<'a>(
        stream: Option<&'a StreamName>,
        records: u64,
        error: Option<&'a str>,
    ) -> Ended<'a> {
        Ended { stream, server: Some(("kinesis", None)), records, duration: Some(MS), error }
    }

    #[test]
    fn each_call_is_in_its_metrics() {
        let metrics = OtlpMetrics::new(Wall::from_ms(1));
        let (orders, service) = (StreamName::from("orders"), ConsumerName::from("payments"));
        let orders = Some(&orders);
        metrics.record_send(ended(orders, 500, None));
        metrics.record_send(Ended { duration: None, ..ended(orders, 498, None) });
        metrics.record_send(Ended { duration: None, ..ended(orders, 1, Some("Internal")) });
        metrics.record_send(ended(orders, 2, Some("Throttled")));
        metrics.record_receive(&service, ended(orders, 10, None));
        metrics.record_receive(&service, ended(orders, 0, None));
        metrics.record_receive(&service, ended(None, 1, None));
        metrics.record_process(&service, Ended { server: None, ..ended(orders, 1, None) });
        let expected = [
            ("messaging.client.consumed.messages", "receive orders payments kinesis", 10),
            ("messaging.client.consumed.messages", "receive payments kinesis", 1),
            ("messaging.client.operation.duration", "receive orders payments kinesis", 2),
            ("messaging.client.operation.duration", "receive payments kinesis", 1),
            ("messaging.client.operation.duration", "send orders Throttled kinesis", 1),
            ("messaging.client.operation.duration", "send orders kinesis", 1),
            ("messaging.client.sent.messages", "send orders Internal kinesis", 1),
            ("messaging.client.sent.messages", "send orders Throttled kinesis", 2),
            ("messaging.client.sent.messages", "send orders kinesis", 998),
            ("messaging.process.duration", "process orders payments", 1),
        ];
        let expected = expected.map(|(metric, set, count)| (metric.into(), set.into(), count));
        assert_eq!(points(&metrics), expected);
    }

    #[test]
    fn a_port_is_an_attribute_of_its_own() {
        let metrics = OtlpMetrics::new(Wall::from_ms(1));
        let server = Some(("localhost", Some(4566)));
        metrics.record_send(Ended { server, ..ended(None, 1, None) });
        let sets = points(&metrics).into_iter().map(|(_, set, _)| set).collect::<Vec<_>>();
        assert_eq!(sets, ["send localhost Some(IntValue(4566))"; 2]);
    }

    #[test]
    fn attribute_sets_are_bounded_and_nothing_is_lost() {
        let metrics = OtlpMetrics::new(Wall::from_ms(1));
        for i in 0..20 {
            for error in 0..STREAM_SETS_MAX + 5 {
                let stream = StreamName::from(format!("stream-{i}").as_str());
                metrics.record_send(ended(Some(&stream), 1, Some(&format!("Error{error}"))));
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
        OtlpMetrics::off().record_send(ended(None, 1, None));
        assert!(OtlpMetrics::off().read(Wall::from_ms(9)).is_empty());
        assert!(OtlpMetrics::new(Wall::from_ms(1)).read(Wall::from_ms(9)).is_empty());
    }
}
