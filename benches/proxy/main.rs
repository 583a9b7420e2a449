//! Owns the comparison of whole processes: CPU, latency and memory of Kinescope against a bare hyper
//! pass-through, nginx, and Envoy with its AWS signing filter, and what a Node producer gets. All
//! sides run in one go, interleaved, and a ratio is the median of the rounds' own ratios. CPU is the
//! kernel's own accounting of all threads of a process, so the load generator and the origin do not
//! count.
//!
//! Threads: the bare pass-through has tokio's default, one worker for each core (and is shown on one
//! thread too); Envoy has one worker for each core, nginx one, Kinescope one and a pool for large
//! bodies. The load generator has one thread, and so has the origin. All share the machine's cores.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark ends where it cannot measure, and prints"
)]

mod bare;
mod figures;
mod flow;
mod javascript;
mod load;
mod origin;
mod process;
mod sides;
#[expect(dead_code, reason = "the other benchmark takes more of it")]
#[path = "../splice/puts.rs"]
mod splice;

use figures::{Bound, Goal, median};
use kinescope::wire::kinesis::form::WireForm;
use sides::{ALIVE, BARE, DEAD, ENVOY, NGINX, OURS, Rounds, Side};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

const ROUNDS: usize = 10;
const CONNECTIONS: usize = 8;
/// Enough that ten rounds of CPU time are far above the kernel's tick.
const PUTS: usize = 6_000;
const LATENCY_PUTS: usize = 1_000;
/// A little less than every stream takes: there is room for the partition key and our context.
const LARGE_RECORD_BYTES: usize = (1 << 20) - 512;
const LARGE_CONNECTIONS: usize = 4;
const LARGE_PUTS: usize = 64;

/// A word behind `cargo bench --bench proxy --`: only the figures that a change of the data plane's
/// code moves, of a few sides.
const SHORT: &str = "short";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, listen, upstream, threads, ..] = &arguments[..]
        && role == "bare"
    {
        return bare::run(listen, upstream, threads == "one");
    }
    let short = arguments.iter().any(|argument| argument == SHORT);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(compare(short));
}

async fn compare(short: bool) {
    let scratch = std::env::temp_dir().join(format!("kinescope-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).expect("a scratch folder");
    println!("{}; medians of {ROUNDS} interleaved rounds", process::machine());
    let origin = origin::start(origin::STORED, None);
    let mut sides = if short {
        sides::few(&scratch, origin).await
    } else {
        sides::all(&scratch, origin, origin::start("", None)).await
    };
    let mut goals = puts(&mut sides).await;
    if !short {
        println!("kinescope, role sidecar, idle: {:.1} MiB resident", idle_mib(&scratch).await);
        goals.push(Goal {
            what: "resident memory at 200 MB/s of 64 KiB puts on 64 connections",
            bound: Bound::AtMost(64.0),
            unit: " MiB",
            measured: under_load(&mut sides).await,
        });
        drop(sides);
        goals.extend(flow::measure(&scratch).await);
        let node = javascript::compare(&scratch).await;
        goals.push(Goal {
            what: "JavaScript puts per second to a TLS upstream, against direct",
            bound: Bound::AtLeast(1.5),
            unit: "",
            measured: node,
        });
    }
    std::fs::remove_dir_all(&scratch).ok();
    println!("{}", figures::goals(&goals));
}

/// What one put costs.
async fn puts(sides: &mut [Side]) -> Vec<Goal> {
    let cpu = cpu_of_puts(sides, CONNECTIONS, PUTS, 1_024).await;
    let title = format!("CPU of one PutRecord of 1 KiB, {CONNECTIONS} connections, in µs");
    println!("{}", table(&title, &cpu, sides));
    println!("receivers dead against alive: {:.2}", cpu.ratio(DEAD, ALIVE));

    let latency = Rounds::measure(ROUNDS, sides, async |side| {
        median(&load::latencies(side.port, LATENCY_PUTS).await)
    });
    let latency = latency.await;
    println!("{}", table("p50 of the same on one connection, in µs", &latency, sides));

    let large = cpu_of_puts(sides, LARGE_CONNECTIONS, LARGE_PUTS, LARGE_RECORD_BYTES).await;
    println!("{}", table("CPU of one PutRecord of 1 MiB, in µs", &large, sides));
    let body = load::body(LARGE_RECORD_BYTES);
    let hash: Vec<f64> = (0..ROUNDS).map(|_| process::sha256_micros(body.as_bytes())).collect();
    let hash = median(&hash);
    println!("SHA-256 of its body: {hash:.0} µs");
    let splice = splice::measure(WireForm::Json, &splice::json(&splice::large(), 1)).splice;
    let micros = |what, at_most, measured| Goal {
        what,
        bound: Bound::AtMost(at_most),
        unit: " µs",
        measured,
    };
    vec![
        goal("CPU of a 1 KiB put, against a bare pass-through", 1.2, cpu.ratio(OURS, BARE)),
        goal("the same, against nginx", 1.5, cpu.ratio(OURS, NGINX)),
        goal("the same, against Envoy with its signing filter", 0.4, cpu.ratio(OURS, ENVOY)),
        goal("p50 latency, against a bare pass-through", 1.2, latency.ratio(OURS, BARE)),
        goal(
            "CPU of a 1 MiB put, against SHA-256 and a bare pass-through",
            1.2,
            large.ratio_to(OURS, BARE, hash),
        ),
        micros("splice of a 1 MiB record", 50.0, splice.as_secs_f64() * 1e6),
    ]
}

fn goal(what: &'static str, at_most: f64, measured: f64) -> Goal {
    Goal { what, bound: Bound::AtMost(at_most), unit: "", measured }
}

async fn cpu_of_puts(
    sides: &mut [Side],
    connections: usize,
    puts: usize,
    record_bytes: usize,
) -> Rounds {
    let used = async |side: &mut Side| {
        let before = side.process.cpu_micros();
        load::puts(side.port, connections, puts, record_bytes).await;
        side.resident_bytes_max = side.resident_bytes_max.max(side.process.resident_bytes());
        (side.process.cpu_micros() - before) / puts as f64
    };
    Rounds::measure(ROUNDS, sides, used).await
}

/// `kinescope run`, role sidecar, ten seconds after its start, without any traffic.
async fn idle_mib(scratch: &Path) -> f64 {
    let port = process::free_port();
    let upstream = format!("http://127.0.0.1:{}", process::free_port());
    let ours = process::OURS.as_ref();
    let process = process::kinescope(ours, scratch, port, &upstream, None, None);
    load::until_up(port).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    mib(process.resident_bytes())
}

/// The most that each side held under the paced load; gives ours, in MiB.
async fn under_load(sides: &mut [Side]) -> f64 {
    const RECORD_BYTES: usize = 64 << 10;
    const BYTES_PER_SECOND: f64 = 200e6;
    println!("\nresident memory at 200 MB/s of 64 KiB puts on 64 connections, for ten seconds");
    let mut ours = f64::NAN;
    for side in sides.iter().filter(|side| [BARE, OURS, NGINX, ENVOY].contains(&side.name)) {
        let lasting = Duration::from_secs(10);
        let load = load::paced(side.port, 64, RECORD_BYTES, BYTES_PER_SECOND, lasting);
        let mut load = std::pin::pin!(load);
        let mut look = tokio::time::interval(Duration::from_millis(50));
        let mut most = 0;
        let reached = loop {
            tokio::select! {
                reached = &mut load => break reached,
                _ = look.tick() => most = most.max(side.process.resident_bytes()),
            }
        };
        println!("{:<30}{:>8.1} MiB at {:.0} MB/s", side.name, mib(most), reached / 1e6);
        if side.name == OURS {
            ours = mib(most);
        }
    }
    ours
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn table(title: &str, rounds: &Rounds, sides: &[Side]) -> String {
    let mut out = format!(
        "\n{title}\n{:<30}{:>12}{:>10}{:>10}{:>14}{:>12}\n",
        "", "median", "min", "max", "against bare", "RSS, MiB"
    );
    for (side, (name, figures)) in sides.iter().zip(&rounds.0) {
        let low = figures.iter().copied().fold(f64::MAX, f64::min);
        let high = figures.iter().copied().fold(0.0, f64::max);
        let _ = writeln!(
            out,
            "{name:<30}{:>12.1}{low:>10.1}{high:>10.1}{:>14.2}{:>12.1}",
            median(figures),
            rounds.ratio(name, BARE),
            mib(side.resident_bytes_max)
        );
    }
    out
}
