//! Owns what a span costs: left on the request path, encoded, and sent to a collector that answers.
//! CPU time of the exporting thread alone; the collector is a thread of its own. The system's
//! allocator counts here, which makes times an upper bound of what the binary's allocator needs.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends where it cannot measure, reads the clock, and prints"
)]

use kinescope::domain::time::Wall;
use kinescope::domain::trace::{
    Attribute, Flags, Kind, Link, Span, SpanId, Status, TraceContext, TraceId, TraceState, Value,
};
use kinescope::io::clock::Clock;
use kinescope::io::otlp::{Compression, Config, Endpoint, Exporter, Metrics, Protocol, queue, run};
use kinescope::wire::otlp::{Origin, write_span};
use prometheus::{IntCounterVec, Opts, Registry};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATIONS: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 20;
const BATCH: usize = 512;

fn main() {
    println!("{:<60}{:>12}{:>14}", "medians of 20 rounds", "a span", "allocations");
    encode("encode a send span, ten attributes", 0);
    encode("encode a receive span, 500 links", 500);
    offers();
    unsampled();
    send("encode and send a send span, goal 2 µs", 0, None);
    send("encode and send, gzip", 0, Some(Compression::Gzip));
    send("encode and send a receive span, 500 links", 500, None);
}

fn show(name: &str, mut times: Vec<Duration>, allocations: f64) {
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    println!("{name:<60}{median:>12.1?}{allocations:>14.2}");
}

fn encode(name: &str, links: usize) {
    let spans = spans(links);
    let origin = Origin::new(&[("service.name".to_owned(), "bench".to_owned())]);
    let region = Region::new(ALLOCATIONS);
    let round = || {
        let started = Instant::now();
        let mut out = Vec::new();
        assert!(spans.iter().all(|span| write_span(&mut out, span, usize::MAX)));
        drop(black_box(origin.request(&out)));
        started.elapsed() / count(spans.len())
    };
    let times = (0..ROUNDS).map(|_| round()).collect();
    show(name, times, per(region.change().allocations, ROUNDS * spans.len()));
}

/// One offer of a call's span, as the request path makes it.
fn offers() {
    let (mut times, mut allocations, mut offered) = (Vec::new(), 0, 0);
    for _ in 0..ROUNDS {
        let (sink, queue) = queue(metrics(&Registry::new()), BATCH);
        let spans: Vec<Span> = (0..50).map(|_| span(500)).collect();
        offered += spans.len();
        let (region, started) = (Region::new(ALLOCATIONS), Instant::now());
        spans.into_iter().for_each(|span| sink.offer(span));
        times.push(started.elapsed() / 50);
        allocations += region.change().allocations;
        drop(queue);
    }
    show("offer a span with 500 links, goal 5 µs", times, per(allocations, offered));
}

fn unsampled() {
    let (sink, _queue) = queue(metrics(&Registry::new()), BATCH);
    let region = Region::new(ALLOCATIONS);
    let round = || {
        let started = Instant::now();
        (0..1_000).for_each(|_| assert!(black_box(&sink).slot(Flags::new(2)).is_none()));
        started.elapsed() / 1_000
    };
    let times = (0..ROUNDS).map(|_| round()).collect();
    let allocations = region.change().allocations;
    // The vector of the times is the one allocation.
    assert!(allocations <= 1, "{allocations} allocations for spans that are sampled out");
    show("ask for a place, sampled out", times, 0.0);
}

/// The whole way: offered, taken, encoded, sent, answered, counted.
fn send(name: &str, links: usize, compression: Option<Compression>) {
    let (address, mut answered) = collector();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let endpoint = Endpoint::parse(&address).expect("an address");
        let config = Config {
            compression,
            schedule_delay: Duration::from_millis(1),
            ..Config::new(endpoint, Protocol::HttpProtobuf)
        };
        let clock = Clock::system();
        let (sink, queue) = queue(metrics(&Registry::new()), config.batch_max);
        let exporter = Exporter::new(&config, clock.clone()).expect("an exporter");
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(run(queue, exporter, config, clock, stop.clone()));
        let (mut times, mut allocations, mut sent) = (Vec::new(), 0, 0);
        for _ in 0..ROUNDS {
            let spans = spans(links);
            let count = count(spans.len());
            sent += spans.len();
            let (region, before) = (Region::new(ALLOCATIONS), thread_cpu());
            spans.into_iter().for_each(|span| sink.offer(span));
            let mut seen = 0;
            while seen < count {
                seen += answered.recv().await.expect("the collector lives");
            }
            times.push((thread_cpu() - before) / count);
            allocations += region.change().allocations;
        }
        stop.cancel();
        tasks.join_next().await;
        show(name, times, per(allocations, sent));
    });
}

/// CPU time of this thread.
fn thread_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = stat.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds"))
}

/// A collector on a thread of its own; tells how many spans each request must have had.
fn collector() -> (String, mpsc::Receiver<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/v1/traces", listener.local_addr().expect("a port"));
    let (sender, answered) = mpsc::channel(1_000);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            serve(stream, &sender);
        }
    });
    (address, answered)
}

fn serve(mut stream: TcpStream, answered: &mpsc::Sender<u32>) {
    let mut buffer = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        let (head, length) = loop {
            if let Some(found) = head(&buffer) {
                break found;
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(bytes) => buffer.extend(chunk.iter().take(bytes)),
            }
        };
        while buffer.len() < head + length {
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(bytes) => buffer.extend(chunk.iter().take(bytes)),
            }
        }
        let spans = decoded(buffer.get(head..head + length).unwrap_or_default());
        buffer.drain(..head + length);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok();
        answered.blocking_send(spans).ok();
    }
}

/// Bytes of a request's head and of its body.
fn head(buffer: &[u8]) -> Option<(usize, usize)> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(buffer.get(..end)?).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1)?.split('\r').next()?;
    Some((end, length.parse().ok()?))
}

/// How many spans a body has.
fn decoded(body: &[u8]) -> u32 {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    let mut plain = Vec::new();
    let plain = if body.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
        plain.as_slice()
    } else {
        body
    };
    let request: ExportTraceServiceRequest = prost::Message::decode(plain).expect("OTLP");
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    count(scopes.map(|scope| scope.spans.len()).sum())
}

fn metrics(registry: &Registry) -> Metrics {
    let dropped = IntCounterVec::new(Opts::new("dropped", "Drops."), &["queue", "reason"]);
    Metrics::register(registry, &dropped.expect("a family")).expect("a registry")
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("few")
}

fn per(number: usize, of: usize) -> f64 {
    f64::from(count(number)) / f64::from(count(of))
}

/// A round's spans: 4,096 of them, or as many as the queue takes with their links.
fn spans(links: usize) -> Vec<Span> {
    let number = if links == 0 { 8 * BATCH } else { 30_000 / (links + 1) };
    (0..number).map(|_| span(links)).collect()
}

fn span(links: usize) -> Span {
    let context = TraceContext {
        trace_id: TraceId::new([7; 16]).expect("not zero"),
        span_id: SpanId::new([9; 8]).expect("not zero"),
        flags: Flags::SAMPLED_RANDOM,
    };
    let text = |text: &str| Value::from(text.to_owned());
    let attributes: Vec<Attribute> = vec![
        ("messaging.system", Value::from("aws.kinesis")),
        ("messaging.operation.name", Value::from("send")),
        ("messaging.operation.type", Value::from("send")),
        ("server.address", text("kinesis.eu-west-1.amazonaws.com")),
        ("messaging.destination.name", text("orders")),
        ("aws.kinesis.stream_name", text("orders")),
        ("aws.request_id", text("e5a6ff2c-0000-4000-8000-8d1d3b1c6a5e")),
        ("http.response.status_code", Value::Int(200)),
        ("messaging.batch.message_count", Value::Int(500)),
        ("messaging.destination.partition.id", text("shardId-000000000002")),
    ];
    let id = || text("49590338271490256608559692538361571095921575989136588898");
    let link = |_| Link {
        context,
        tracestate: TraceState::default(),
        attributes: vec![("messaging.message.id", id())],
    };
    Span {
        name: "send orders".to_owned(),
        kind: Kind::Producer,
        context,
        tracestate: TraceState::default(),
        parent: SpanId::new([1; 8]),
        start: Wall::from_nanos(1_700_000_000_123_456_789),
        end: Wall::from_nanos(1_700_000_000_223_456_789),
        attributes,
        links: (0..links).map(link).collect(),
        status: Status::Unset,
    }
}
