//! Owns the figures of a cycle of the CloudWatch poller: 1,000 streams of 20 metrics through the real
//! SDK client and the engine, against a CloudWatch in this process: calls, CPU, resident memory.
//! What the stand-in itself takes is measured and left out. Linux only.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark ends where it cannot measure, and prints"
)]

use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_cbor::Encoder;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use kinescope::domain::alert::builtin::builtin;
use kinescope::domain::engine::{Engine, EngineConfig, EngineLimits};
use kinescope::domain::stream::StreamName;
use kinescope::io::clock::Clock;
use kinescope::io::cloudwatch::{CloudWatchMetrics, Config, Found, Poller, Sdk, Sources};
use prometheus::Registry;
use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

#[path = "shared/thread_cpu.rs"]
mod thread_cpu;
use thread_cpu::thread_cpu;

const STREAMS: usize = 1_000;
const CYCLES: u32 = 6;
/// A point every five seconds, so that six cycles take half a minute and not six.
const PERIOD: Duration = Duration::from_secs(5);
const WINDOW_POINTS: i64 = 5;

/// What the stand-in did so far.
#[derive(Debug, Default)]
struct Tally {
    calls: u32,
    queries: usize,
    own_cpu: Duration,
}

#[derive(Debug, Clone)]
struct CloudWatch(Arc<Mutex<Tally>>);

impl HttpConnector for CloudWatch {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let before = thread_cpu();
        let body = request.body().bytes().expect("a body in memory");
        let queries = memchr::memmem::find_iter(body, b"jMetricStat").count();
        let answer = SdkBody::from(answer(queries, start_s(body)));
        let mut answer = HttpResponse::new(200.try_into().expect("a status"), answer);
        answer.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
        let mut tally = self.0.lock().expect("no panic");
        tally.calls += 1;
        tally.queries += queries;
        tally.own_cpu += thread_cpu() - before;
        HttpConnectorFuture::ready(Ok(answer))
    }
}

/// The request's StartTime: a CBOR timestamp behind its key.
fn start_s(body: &[u8]) -> i64 {
    let key = b"StartTime";
    let at = memchr::memmem::find(body, key).expect("a StartTime") + key.len();
    let mut decoder = minicbor::Decoder::new(body.get(at..).expect("a value"));
    decoder.tag().expect("a timestamp");
    let is_double = decoder.datatype().expect("a number") == minicbor::data::Type::F64;
    if is_double { decoder.f64().expect("seconds") as i64 } else { decoder.i64().expect("seconds") }
}

fn answer(queries: usize, start_s: i64) -> Vec<u8> {
    let mut cbor = Encoder::new(Vec::with_capacity(queries * 160));
    cbor.map(1).str("MetricDataResults").array(queries);
    for index in 0..queries {
        cbor.map(5).str("Id").str(&format!("q{index}")).str("Label").str("a label");
        cbor.str("StatusCode").str("Complete").str("Timestamps").array(5);
        for back in 1..=WINDOW_POINTS {
            let at = start_s + (WINDOW_POINTS - back) * PERIOD.as_secs() as i64;
            cbor.timestamp(&DateTime::from_secs(at));
        }
        cbor.str("Values").array(5);
        for value in 0..WINDOW_POINTS {
            cbor.double(value as f64);
        }
    }
    cbor.into_writer()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let tally: Arc<Mutex<Tally>> = Arc::default();
    let connector = SharedHttpConnector::new(CloudWatch(Arc::clone(&tally)));
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build();
    let client = aws_sdk_cloudwatch::Client::from_conf(config);
    let idle_bytes = resident_bytes();
    let clock = Clock::system();
    let name = |index| StreamName::from(format!("stream-{index}").as_str());
    let (_listed, streams) = watch::channel((0..STREAMS).map(name).collect());
    let (_found, found) = watch::channel(Found::default());
    let (events, mut heard) = mpsc::channel(4_096);
    let metrics = CloudWatchMetrics::register(&Registry::new()).expect("names once");
    let config =
        Config { interval: PERIOD, period: PERIOD, delay: 2 * PERIOD, ..Config::default() };
    let sources = Sources { streams, found };
    let poller = Poller::new(Sdk(client), clock.clone(), config, sources, events, metrics);
    let stop = CancellationToken::new();
    let mut engine = engine();
    let listen = async {
        while let Some(event) = heard.recv().await {
            engine.handle(event, clock.now());
        }
    };
    let watch = async {
        // The first cycle tells five points of each series; the others one.
        clock.sleep_until(clock.now().mono + PERIOD).await;
        let (before, spent, calls) = (thread_cpu(), own_cpu(&tally), calls(&tally));
        clock.sleep_until(clock.now().mono + PERIOD * (CYCLES - 1)).await;
        stop.cancel();
        (thread_cpu() - before - (own_cpu(&tally) - spent), calls_since(&tally, calls))
    };
    let ((), (), (cpu, calls)) = tokio::join!(poller.run(stop.clone()), listen, watch);
    let per_cycle = STREAMS * 20 / 500;
    let cycles = f64::from(calls) / per_cycle as f64;
    let tally = tally.lock().expect("no panic");
    println!("{STREAMS} streams, 20 metrics each, {cycles:.1} cycles:");
    println!(
        "  calls a cycle     {per_cycle}, of {} queries each",
        tally.queries / tally.calls as usize
    );
    println!("  CPU a cycle       {:.3} s, engine included", cpu.as_secs_f64() / cycles);
    println!(
        "  resident memory   {} MiB, {} MiB before the first poll",
        resident_bytes() >> 20,
        idle_bytes >> 20
    );
}

fn own_cpu(tally: &Mutex<Tally>) -> Duration {
    tally.lock().expect("no panic").own_cpu
}

fn calls(tally: &Mutex<Tally>) -> u32 {
    tally.lock().expect("no panic").calls
}

fn calls_since(tally: &Mutex<Tally>, before: u32) -> u32 {
    calls(tally) - before
}

fn engine() -> Engine {
    Engine::new(EngineConfig {
        rules: builtin(),
        external_labels: BTreeMap::new(),
        repeat_interval: Duration::from_secs(14_400),
        limits: EngineLimits {
            streams_max: STREAMS,
            windows_max: 20_000,
            forget_after: Duration::from_secs(900),
        },
    })
}

fn resident_bytes() -> u64 {
    let status = read_to_string("/proc/self/status").expect("Linux' /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1_024
}
