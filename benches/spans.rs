//! Owns what a span costs: left on the request path, encoded, and sent to a collector that answers.
//! CPU time of the exporting thread alone, with the binary's allocator; the collector and compression
//! are threads of their own. What ends too soon for the CPU's account is timed by the clock.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends where it cannot measure, reads the clock, and prints"
)]

#[path = "shared/thread_cpu.rs"]
mod thread_cpu;

use kinescope::domain::time::Wall;
use kinescope::domain::trace::{
    Attribute, Flags, Kind, Link, Span, SpanId, Status, TraceContext, TraceId, TraceState, Value,
};
use kinescope::io::clock::Clock;
use kinescope::io::otlp::{Compression, Config, Endpoint, Exporter, Metrics, Protocol, queue, run};
use kinescope::wire::otlp::{resource, scope, span_data};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use prometheus::{IntCounterVec, Opts, Registry};
use prost::Message;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use thread_cpu::thread_cpu;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 20;
const BATCH: usize = 512;

fn main() {
    println!("{:<60}{:>12}", "medians of 20 rounds", "a span");
    encode("encode a send span, ten attributes", 0);
    encode("encode a receive span, 500 links", 500);
    offers();
    unsampled();
    send("encode and send a send span, goal 2 µs", 0, None);
    send("encode and send, gzip", 0, Some(Compression::Gzip));
    send("encode and send a receive span, 500 links", 500, None);
}

fn show(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    println!("{name:<60}{median:>12.1?}");
}

/// What opentelemetry-otlp's exporter does before it sends.
fn encode(name: &str, links: usize) {
    let attributes =
        resource(&[("service.name".to_owned(), "bench".to_owned())]).collect::<Vec<_>>();
    let resource = (&Resource::builder_empty().with_attributes(attributes).build()).into();
    let scope = scope();
    let round = || {
        let spans = spans(links);
        let (number, before) = (count(spans.len()), thread_cpu());
        let mut spans = spans.into_iter().peekable();
        while spans.peek().is_some() {
            let batch = spans.by_ref().take(BATCH);
            let batch = batch.map(|span| span_data(span, &scope)).collect();
            let resource_spans = group_spans_by_resource_and_scope(batch, &resource);
            black_box(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        }
        (thread_cpu() - before) / number
    };
    show(name, (0..ROUNDS).map(|_| round()).collect());
}

/// One offer of a call's span, as the request path makes it.
fn offers() {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (sink, queue) = queue(metrics(&Registry::new()), BATCH);
        let spans: Vec<Span> = (0..50).map(|_| span(500)).collect();
        let before = Instant::now();
        spans.into_iter().for_each(|span| sink.offer(span));
        times.push(before.elapsed() / 50);
        drop(queue);
    }
    show("offer a span with 500 links, goal 5 µs", times);
}

fn unsampled() {
    let (sink, _queue) = queue(metrics(&Registry::new()), BATCH);
    let round = || {
        let before = Instant::now();
        (0..10_000).for_each(|_| assert!(black_box(&sink).slot(Flags::new(2)).is_none()));
        before.elapsed() / 10_000
    };
    show("ask for a place, sampled out", (0..ROUNDS).map(|_| round()).collect());
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
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let spans = spans(links);
            let count = count(spans.len());
            let before = thread_cpu();
            spans.into_iter().for_each(|span| sink.offer(span));
            let mut seen = 0;
            while seen < count {
                seen += answered.recv().await.expect("the collector lives");
            }
            times.push((thread_cpu() - before) / count);
        }
        stop.cancel();
        tasks.join_next().await;
        show(name, times);
    });
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
    let mut plain = Vec::new();
    let plain = if body.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("gzip");
        plain.as_slice()
    } else {
        body
    };
    let request: ExportTraceServiceRequest = Message::decode(plain).expect("OTLP");
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

/// A round's spans: 4,096 of them, or with links half of what the queue takes, where the last round's
/// may still be: the collector tells of them before their answer is read.
fn spans(links: usize) -> Vec<Span> {
    let number = if links == 0 { 8 * BATCH } else { 12_000 / (links + 1) };
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
