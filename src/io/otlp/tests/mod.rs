//! Owns the tests of the span export as a whole: real sockets, and one law for all of them:
//! what was accepted and what was dropped add up to what was offered.

mod bad;
mod collectors;
mod queue_alone;
mod signed;

use super::config::Compression;
use super::config::Config;
use super::config::Endpoint;
use super::config::Protocol;
use super::exporter::Exporter;
use super::messaging::Ended;
use super::messaging::OtlpMetrics;
use super::metrics::Metrics;
use super::queue::SPANS_MAX;
use super::queue::SpanSink;
use super::queue::queue;
use super::report::Reporter;
use super::report::report;
use super::run::run;
use crate::domain::backoff::Backoff;
use crate::domain::time::Wall;
use crate::domain::trace::Kind;
use crate::domain::trace::Link;
use crate::domain::trace::Span;
use crate::domain::trace::SpanId;
use crate::domain::trace::Status;
use crate::domain::trace::TraceContext;
use crate::domain::trace::TraceState;
use crate::domain::trace::Value;
use crate::io::clock::Clock;
use collectors::Collector;
use collectors::Received;
use collectors::Reply;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prometheus::IntCounterVec;
use prometheus::Opts;
use prometheus::Registry;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const HTTP: Protocol = Protocol::HttpProtobuf;
const GRPC: Protocol = Protocol::Grpc;
const HOUR: Duration = Duration::from_secs(3_600);
const BRIEF: Backoff = Backoff {
    initial: Duration::from_millis(10),
    factor: 1.0,
    max: Duration::from_millis(10),
    jitter: 0.0,
};

fn context(flags: u8) -> TraceContext {
    let text = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags:02x}");
    TraceContext::parse(text.as_bytes()).unwrap()
}

fn span(links: usize) -> Span {
    let link = Link {
        context: context(2),
        tracestate: TraceState::parse("l=1"),
        attributes: vec![("messaging.message.id", Value::from("4957"))],
    };
    Span {
        name: "poll orders".into(),
        kind: Kind::Client,
        context: context(3),
        tracestate: TraceState::parse("s=1"),
        parent: SpanId::from_hex(b"00f067aa0ba902b7"),
        start: Wall::from_nanos(1_700_000_000_123_456_789),
        end: Wall::from_nanos(1_700_000_000_223_456_789),
        attributes: vec![("messaging.batch.message_count", Value::Int(2))],
        links: vec![link; links],
        status: Status::Error("throttled".into()),
    }
}

/// Accepted, then dropped as full, rejected, given up for one of three reasons, shutdown.
fn counts(metrics: &Metrics) -> [u64; 5] {
    assert_eq!(metrics.rejected.get(), metrics.dropped_rejected.get());
    let Metrics { dropped_failed, dropped_too_large, dropped_out_of_time, .. } = metrics;
    let given_up = [dropped_failed, dropped_too_large, dropped_out_of_time];
    assert_eq!(metrics.failed.get(), given_up.iter().map(|counter| counter.get()).sum::<u64>());
    let Metrics { accepted, dropped_full, dropped_rejected, .. } = metrics;
    [accepted, dropped_full, dropped_rejected, &metrics.failed, &metrics.dropped_shutdown]
        .map(prometheus::IntCounter::get)
}

fn metrics() -> Metrics {
    let labels = ["queue", "reason"];
    let dropped = IntCounterVec::new(Opts::new("kinescope_dropped_total", "Drops."), &labels);
    Metrics::register(&Registry::new(), &dropped.unwrap()).unwrap()
}

fn config(address: &str, protocol: Protocol) -> Config {
    Config {
        schedule_delay: Duration::from_millis(10),
        retry: BRIEF,
        ..Config::new(Endpoint::parse(address).unwrap(), protocol)
    }
}

/// A running export.
struct Rig {
    sink: SpanSink,
    metrics: Metrics,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Rig {
    fn start(config: Config) -> Self {
        let clock = Clock::simulated(Wall::from_ms(0));
        let exporter = Exporter::new(&config, clock.clone()).unwrap();
        Self::with(exporter, config, clock)
    }

    fn with(exporter: Exporter, config: Config, clock: Clock) -> Self {
        let metrics = metrics();
        let (sink, queue) = queue(metrics.clone(), config.batch_max);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(run(queue, exporter, config, clock, stop.clone()));
        Self { sink, metrics, stop, tasks }
    }

    fn offer(&self, spans: usize) {
        (0..spans).for_each(|_| self.sink.offer(span(1)));
    }

    /// Ends the export; what became of the spans.
    async fn end(mut self) -> [u64; 5] {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap();
        self.offer(1);
        let mut counts = counts(&self.metrics);
        assert!(counts[4] > 0, "an offer after the end is a drop that counts");
        counts[4] -= 1;
        counts
    }
}

fn text(value: Option<&any_value::Value>) -> &str {
    match value {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// The span of [`span`], byte for byte as it must arrive.
fn is_whole(received: &Received, links: usize) {
    let body = received.body();
    let resource = body.resource_spans.first().unwrap();
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    let service = attributes.iter().find(|pair| pair.key == "service.name").unwrap();
    let name = service.value.as_ref().and_then(|value| value.value.as_ref());
    assert_eq!(text(name), "inventory");
    let scope = resource.scope_spans.first().unwrap();
    assert_eq!(scope.scope.as_ref().unwrap().name, "kinescope");
    let span = scope.spans.first().unwrap();
    let trace_id = context(3).trace_id.bytes();
    let span_id = context(3).span_id.bytes();
    assert_eq!((&span.trace_id[..], &span.span_id[..]), (&trace_id[..], &span_id[..]));
    assert_eq!(span.parent_span_id, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 2, 0xb7]);
    assert_eq!((span.flags & 0xff, span.trace_state.as_str()), (3, "s=1"));
    assert_eq!((span.name.as_str(), span.kind()), ("poll orders", proto::span::SpanKind::Client));
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_123_456_789);
    assert_eq!(span.end_time_unix_nano, 1_700_000_000_223_456_789);
    let status = span.status.as_ref().unwrap();
    assert_eq!(
        (status.code(), status.message.as_str()),
        (proto::status::StatusCode::Error, "throttled")
    );
    let count = span.attributes.first().unwrap();
    assert_eq!(count.key, "messaging.batch.message_count");
    let number = count.value.as_ref().and_then(|value| value.value.as_ref());
    assert_eq!(number, Some(&any_value::Value::IntValue(2)));
    assert_eq!((span.links.len(), span.dropped_links_count), (links, 0));
    let link = span.links.last().unwrap();
    assert_eq!((&link.trace_id[..], &link.span_id[..]), (&trace_id[..], &span_id[..]));
    assert_eq!((link.flags & 0xff, link.trace_state.as_str()), (2, "l=1"));
    let id = link.attributes.first().unwrap().value.as_ref().and_then(|v| v.value.as_ref());
    assert_eq!(text(id), "4957");
}

#[tokio::test]
async fn a_span_arrives_whole() {
    for (protocol, compression) in [
        (HTTP, None),
        (HTTP, Some(Compression::Gzip)),
        (GRPC, None),
        (GRPC, Some(Compression::Gzip)),
    ] {
        let mut collector = Collector::start(protocol, &[], Reply::Accept).await;
        let mut config = config(&collector.address, protocol);
        config.compression = compression;
        config.headers.insert("x-tenant", "a".parse().unwrap());
        config.resource = vec![("service.name".into(), "inventory".into())];
        let rig = Rig::start(config);
        rig.sink.offer(span(1_000));
        let received = collector.received.recv().await.unwrap();
        assert_eq!(received.headers["x-tenant"], "a");
        is_whole(&received, 1_000);
        assert_eq!(rig.end().await, [1, 0, 0, 0, 0], "{protocol:?}");
    }
}

#[tokio::test]
async fn a_busy_collector_gets_the_same_batch_again() {
    for protocol in [HTTP, GRPC] {
        let first = [Reply::Busy(None), Reply::Busy(None)];
        let mut collector = Collector::start(protocol, &first, Reply::Accept).await;
        let rig = Rig::start(config(&collector.address, protocol));
        rig.offer(7);
        for _ in 0..3 {
            assert_eq!(collector.received.recv().await.unwrap().spans(), 7);
        }
        assert_eq!(rig.end().await, [7, 0, 0, 0, 0], "{protocol:?}");
    }
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let clock = Clock::simulated(Wall::from_ms(0));
    let first = [Reply::Busy(Some("1"))];
    let mut collector = Collector::start(HTTP, &first, Reply::Accept).await;
    let rig = Rig::start(config(&collector.address, HTTP));
    rig.offer(1);
    collector.received.recv().await.unwrap();
    let before = clock.now();
    collector.received.recv().await.unwrap();
    assert!(clock.now().since(before) > Duration::from_millis(900));
    assert_eq!(rig.end().await, [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn what_cannot_succeed_is_tried_once() {
    for protocol in [HTTP, GRPC] {
        let mut collector = Collector::start(protocol, &[], Reply::Status(401)).await;
        let rig = Rig::start(config(&collector.address, protocol));
        rig.offer(5);
        assert_eq!(collector.received.recv().await.unwrap().spans(), 5);
        assert_eq!(rig.end().await, [0, 0, 0, 5, 0], "{protocol:?}");
        assert!(collector.received.try_recv().is_err());
    }
}

#[tokio::test]
async fn refused_spans_of_an_accepted_batch_are_drops() {
    for protocol in [HTTP, GRPC] {
        let mut collector = Collector::start(protocol, &[], Reply::Refuse(2)).await;
        let rig = Rig::start(config(&collector.address, protocol));
        rig.offer(5);
        collector.received.recv().await.unwrap();
        assert_eq!(rig.end().await, [3, 0, 2, 0, 0], "{protocol:?}");
    }
}

/// A batch that is too large goes in parts, and later ones are made smaller from the start.
#[tokio::test]
async fn a_batch_that_is_too_large_is_divided() {
    for protocol in [HTTP, GRPC] {
        let mut collector = Collector::start(protocol, &[], Reply::AtMost(40_000)).await;
        let config = Config { schedule_delay: HOUR, ..config(&collector.address, protocol) };
        let rig = Rig::start(config);
        rig.offer(512);
        let mut sizes = Vec::new();
        while rig.metrics.accepted.get() < 512 {
            tokio::select! {
                received = collector.received.recv() => sizes.push(received.unwrap().raw.len()),
                () = tokio::task::yield_now() => {}
            }
        }
        assert!(sizes.iter().any(|bytes| *bytes > 40_000));
        while collector.received.try_recv().is_ok() {}
        rig.offer(512);
        assert_eq!(rig.end().await, [1_024, 0, 0, 0, 0], "{protocol:?}");
        while let Ok(received) = collector.received.try_recv() {
            assert!(received.raw.len() <= 40_000, "{}", received.raw.len());
        }
    }
}

/// A collector that calls everything too large is not asked about each span.
#[tokio::test]
async fn division_has_an_end() {
    for protocol in [HTTP, GRPC] {
        let mut collector = Collector::start(protocol, &[], Reply::AtMost(0)).await;
        let rig = Rig::start(config(&collector.address, protocol));
        rig.offer(512);
        while rig.metrics.dropped_too_large.get() < 512 {
            tokio::task::yield_now().await;
        }
        assert_eq!(rig.end().await, [0, 0, 0, 512, 0], "{protocol:?}");
        let mut requests = 0;
        while collector.received.try_recv().is_ok() {
            requests += 1;
        }
        assert!(requests < 40, "{requests}");
    }
}

#[tokio::test]
async fn metrics_are_sent_each_interval_and_at_the_end() {
    for protocol in [HTTP, GRPC] {
        let first = [Reply::Busy(None), Reply::Refuse(1), Reply::Status(400)];
        let mut collector = Collector::start(protocol, &first, Reply::Accept).await;
        let address = match protocol {
            HTTP => format!("{}/v1/metrics", collector.address),
            GRPC => collector.address.clone(),
        };
        let clock = Clock::simulated(Wall::from_ms(0));
        let reporter = Reporter::new(&config(&address, protocol), clock.clone()).unwrap();
        let metrics = OtlpMetrics::new(clock.now().wall);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(report(metrics.clone(), reporter, stop.clone()));
        let ended = Ended {
            stream: None,
            server: None,
            records: 500,
            duration: Some(Duration::from_millis(7)),
            error: None,
        };
        metrics.record_send(ended);
        let names = ["messaging.client.operation.duration", "messaging.client.sent.messages"];
        for _ in 0..5 {
            let received = collector.received.recv().await.unwrap();
            assert_eq!(received.metrics(), names, "{protocol:?}");
            assert!(protocol == GRPC || received.path == "/v1/metrics");
        }
        metrics.record_process(&"payments".into(), ended);
        stop.cancel();
        tasks.join_next().await.unwrap().unwrap();
        let mut last = None;
        while let Ok(received) = collector.received.try_recv() {
            last = Some(received.metrics());
        }
        assert_eq!(last.unwrap().last().unwrap(), "messaging.process.duration");
    }
}

#[tokio::test]
async fn a_full_batch_does_not_wait_and_no_batch_is_larger() {
    let mut collector = Collector::start(HTTP, &[], Reply::Accept).await;
    let rig = Rig::start(Config { schedule_delay: HOUR, ..config(&collector.address, HTTP) });
    rig.offer(1_100);
    for expected in [512, 512] {
        assert_eq!(collector.received.recv().await.unwrap().spans(), expected);
    }
    assert_eq!(rig.end().await, [1_100, 0, 0, 0, 0]);
    assert_eq!(collector.received.recv().await.unwrap().spans(), 76, "the flush at the end");
}

#[tokio::test]
async fn links_close_a_batch() {
    let mut collector = Collector::start(HTTP, &[], Reply::Accept).await;
    let rig = Rig::start(Config { schedule_delay: HOUR, ..config(&collector.address, HTTP) });
    (0..3).for_each(|_| rig.sink.offer(span(2_500)));
    assert_eq!(rig.end().await, [3, 0, 0, 0, 0]);
    for expected in [2, 1] {
        assert_eq!(collector.received.recv().await.unwrap().spans(), expected);
    }
}

/// While the collector fails there is a rest between batches, not a loop that eats the processor.
#[tokio::test]
async fn a_failing_collector_is_left_alone() {
    let mut collector = Collector::start(HTTP, &[], Reply::Status(401)).await;
    let retry = Backoff { initial: HOUR, max: HOUR, ..BRIEF };
    let rig = Rig::start(Config { retry, ..config(&collector.address, HTTP) });
    rig.offer(512 * 3);
    collector.received.recv().await.unwrap();
    while rig.metrics.failed.get() < 512 {
        tokio::task::yield_now().await;
    }
    rig.offer(SPANS_MAX);
    let counts = rig.end().await;
    assert!(counts[1] > 0, "the queue filled meanwhile: {counts:?}");
    assert_eq!(counts[3], 1_024, "the first batch, and the one try of the flush");
    assert_eq!(counts.iter().sum::<u64>(), 512 * 3 + SPANS_MAX as u64);
    collector.received.recv().await.unwrap();
    assert!(collector.received.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_absent() {
    for protocol in [HTTP, GRPC] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let rig = Rig::start(config(&address, protocol));
        rig.offer(600);
        while rig.metrics.failed.get() < 600 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        rig.offer(4);
        let counts = rig.end().await;
        assert_eq!((counts[0], counts.iter().sum::<u64>()), (0, 604), "{counts:?}");
    }
}

#[tokio::test]
async fn a_collector_that_hangs() {
    for protocol in [HTTP, GRPC] {
        let mut collector = Collector::start(protocol, &[], Reply::Hang).await;
        let timeout = Duration::from_millis(30);
        let rig = Rig::start(Config { timeout, ..config(&collector.address, protocol) });
        rig.offer(5);
        collector.received.recv().await.unwrap();
        assert_eq!(rig.end().await, [0, 0, 0, 5, 0], "{protocol:?}");
    }
}

/// Told to end while a try would wait an hour: three seconds, and every span has its count.
#[tokio::test(start_paused = true)]
async fn the_last_flush_is_bounded() {
    let collector = Collector::start(HTTP, &[], Reply::Hang).await;
    let clock = Clock::simulated(Wall::from_ms(0));
    let rig = Rig::start(Config {
        timeout: HOUR,
        schedule_delay: HOUR,
        ..config(&collector.address, HTTP)
    });
    rig.offer(1_000);
    assert_eq!(rig.end().await, [0, 0, 0, 0, 1_000]);
    assert!(clock.now().mono < Duration::from_secs(4));
}
