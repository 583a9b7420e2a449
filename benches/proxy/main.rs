//! Owns the comparison of whole processes: CPU per put through Kinescope against a bare hyper
//! pass-through and Envoy with its AWS signing filter, with telemetry receivers alive and dead, and
//! resident memory. All sides run in one go, interleaved; the figures are the kernel's own
//! accounting of each process, so the load generator and the origin do not count.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark ends where it cannot measure, and prints"
)]

mod bare;
mod load;
mod origin;
mod process;

use process::Process;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const ROUNDS: usize = 10;
const CONNECTIONS: usize = 8;
/// Enough that ten rounds of CPU time are far above the kernel's tick.
const PUTS: usize = 6_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, listen, upstream, threads, ..] = &arguments[..]
        && role == "bare"
    {
        return bare::run(listen, upstream, threads == "one");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(compare());
}

/// One side of the comparison.
struct Side {
    name: &'static str,
    process: Process,
    port: u16,
    micros_per_put: Vec<f64>,
    resident_bytes_max: u64,
}

async fn compare() {
    let scratch = std::env::temp_dir().join(format!("kinescope-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).expect("a scratch folder");
    let origin = origin::start("{\"SequenceNumber\":\"49590338271490256608559692538361571095921575989136588898\",\"ShardId\":\"shardId-000000000000\"}").await;
    let collector = origin::start("").await;
    let dead = process::free_port();
    let mut sides = vec![
        side("bare hyper pass-through", |port| process::bare(port, origin, "default")),
        side("the same on one thread", |port| process::bare(port, origin, "one")),
        side("kinescope, no exporter", |port| process::kinescope(&scratch, port, origin, None)),
        side("kinescope, receivers alive", |port| {
            process::kinescope(&scratch, port, origin, Some(collector))
        }),
        side("kinescope, receivers dead", |port| {
            process::kinescope(&scratch, port, origin, Some(dead))
        }),
    ];
    match envoy() {
        Some(binary) => sides.push(side("Envoy, AWS signing filter", |port| {
            process::envoy(&binary, &scratch, port, origin)
        })),
        None => println!("Envoy was left out: set ENVOY_BIN, or `make bench` installs it"),
    }
    for side in &mut sides {
        load::until_up(side.port).await;
    }
    let idle = idle_resident().await;
    for round in 0..=ROUNDS {
        for side in &mut sides {
            let before = side.process.cpu_micros();
            load::puts(side.port, CONNECTIONS, PUTS).await;
            let used = side.process.cpu_micros() - before;
            side.resident_bytes_max = side.resident_bytes_max.max(side.process.resident_bytes());
            // The first round warms caches, pools and branch predictors.
            if round > 0 {
                side.micros_per_put.push(used / PUTS as f64);
            }
        }
    }
    println!("{}", table(&sides, idle));
    drop(sides);
    std::fs::remove_dir_all(&scratch).ok();
}

fn side(name: &'static str, start: impl FnOnce(u16) -> Process) -> Side {
    let port = process::free_port();
    Side { name, process: start(port), port, micros_per_put: Vec::new(), resident_bytes_max: 0 }
}

/// `kinescope run`, role sidecar, ten seconds after its start, without any traffic.
async fn idle_resident() -> u64 {
    let scratch = std::env::temp_dir().join(format!("kinescope-bench-idle-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).expect("a scratch folder");
    let port = process::free_port();
    let process = process::kinescope(&scratch, port, process::free_port(), None);
    load::until_up(port).await;
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    let resident = process.resident_bytes();
    std::fs::remove_dir_all(&scratch).ok();
    resident
}

#[expect(clippy::disallowed_methods, reason = "the Makefile names the binary this way")]
fn envoy() -> Option<PathBuf> {
    std::env::var_os("ENVOY_BIN").map(PathBuf::from).filter(|path: &PathBuf| Path::exists(path))
}

fn table(sides: &[Side], idle_bytes: u64) -> String {
    let median = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let bare = median(&sides[0].micros_per_put);
    let mut out = format!(
        "\nCPU of the proxy process for one PutRecord of 1 KiB, {CONNECTIONS} connections, medians of {ROUNDS} interleaved rounds of {PUTS}\n{}\n\n{:<30}{:>12}{:>10}{:>10}{:>14}{:>12}\n",
        process::machine(),
        "",
        "µs per put",
        "min",
        "max",
        "against bare",
        "RSS, MiB"
    );
    for side in sides {
        let micros = median(&side.micros_per_put);
        let (min, max) = side
            .micros_per_put
            .iter()
            .fold((f64::MAX, 0_f64), |(low, high), v| (low.min(*v), high.max(*v)));
        let mib = side.resident_bytes_max as f64 / 1_048_576.0;
        let _ = writeln!(
            out,
            "{:<30}{micros:>12.1}{min:>10.1}{max:>10.1}{:>14.2}{mib:>12.1}",
            side.name,
            micros / bare
        );
    }
    let of = |name: &str| sides.iter().find(|s| s.name.ends_with(name)).map(|s| &s.micros_per_put);
    if let (Some(alive), Some(dead)) = (of("alive"), of("dead")) {
        let pairs: Vec<f64> = dead.iter().zip(alive).map(|(dead, alive)| dead / alive).collect();
        let _ = writeln!(
            out,
            "\nreceivers dead against alive, median of the pairs: {:.2}",
            median(&pairs)
        );
    }
    let _ = writeln!(
        out,
        "kinescope run, role sidecar, idle: {:.1} MiB resident",
        idle_bytes as f64 / 1_048_576.0
    );
    out
}
