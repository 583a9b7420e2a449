//! Owns what knowing the lag costs: the CPU time of one wire observation through the engine, verdicts
//! and alert rules included, the memory of the windows, the rendering of a scrape, and the resident
//! memory of a hub's process. Linux only. With `count SHARDS READS` it only reads, for a profiler
//! that counts instructions; with `hub` it only measures that process.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark ends where it cannot measure, prints, and reads the clock"
)]

use kinescope::domain::alert::builtin::builtin;
use kinescope::domain::engine::{Engine, EngineConfig, EngineLimits, Event};
use kinescope::domain::lag::ReadObservation;
use kinescope::domain::snapshot::Detail;
use kinescope::domain::stream::{ShardId, StreamName};
use kinescope::domain::time::{Moment, Wall};
use kinescope::wire::exposition::openmetrics::{self, Exemplars};
use kinescope::wire::exposition::{Exposed, Scope, exposed, text_with};
use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::hint::black_box;
use std::time::Duration;
use thread_cpu::thread_cpu;

/// Every shard is read once a second. A thread's CPU time moves in ticks of milliseconds, so that
/// each part of a run must have many reads.
const READS: usize = 100_000;
const PARTS: u64 = 9;

#[path = "shared/lag_hub.rs"]
mod lag_hub;
#[path = "shared/thread_cpu.rs"]
mod thread_cpu;

/// The binary's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, shards, reads] = words.as_slice()
        && word == "count"
    {
        return count(shards.parse().expect("shards"), reads.parse().expect("reads"));
    }
    if words.iter().any(|word| word == "hub") {
        return lag_hub::measure();
    }
    println!(
        "{:<28}{:>16}{:>16}{:>14}",
        "shards, read once a second", "median", "a snapshot", "memory"
    );
    for shards in [1, 100, 1_000, 10_000] {
        measure(shards);
    }
    println!(
        "\n{:<28}{:>16}{:>16}{:>14}",
        "series of a scrape", "text 0.0.4", "OpenMetrics", "bytes"
    );
    render(5_000, "goal 10 ms");
    render(25_000, "goal 60 ms");
    lag_hub::measure();
}

/// Reads so often, and nothing else.
fn count(shards: usize, count: usize) {
    let (names, mut engine) = (names(shards), engine());
    let events = (0..).flat_map(|second| reads(&names, second)).take(count);
    for (event, now) in events {
        observe(&mut engine, event, now);
    }
}

/// What is measured; a profiler finds it by its name.
#[inline(never)]
fn observe(engine: &mut Engine, event: Event, now: Moment) {
    black_box(engine.handle(event, now));
}

/// A scrape of two series a shard, and of the families of their consumers: what the admin listener
/// does between the engine's answer and the compression.
fn render(shards: usize, goal: &str) {
    const ROUNDS: usize = 9;
    let mut engine = engine();
    for (event, now) in reads(&names(shards), 1) {
        engine.handle(event, now);
    }
    let snapshot = engine.snapshot_in(Detail::Figures, moment(2_000));
    let scope = Scope {
        region: "eu-west-1".to_owned(),
        hub: false,
        version: String::new(),
        revision: String::new(),
        series_max: 2 * shards,
        per_shard: true,
        verdicts: true,
    };
    let time = |write: &dyn Fn(&mut Exposed<'_>) -> String| {
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let began = thread_cpu();
                black_box(write(&mut exposed(&snapshot, &scope)));
                thread_cpu() - began
            })
            .collect();
        times.sort_unstable();
        times.get(ROUNDS / 2).copied().unwrap_or_default()
    };
    let exemplars = Exemplars::default();
    let plain = time(&|it| text_with(String::new(), &mut it.families, &it.wide));
    let openmetrics =
        time(&|it| openmetrics::text_with(String::new(), &mut it.families, &it.wide, &exemplars));
    let mut all = exposed(&snapshot, &scope);
    let written = text_with(String::new(), &mut all.families, &all.wide);
    let series = written.lines().filter(|line| !line.starts_with('#')).count();
    let name = format!("{series}, {goal}");
    println!("{name:<28}{plain:>16.1?}{openmetrics:>16.1?}{:>14}", written.len());
}

fn measure(shards: usize) {
    let memory = resident_bytes();
    let names = names(shards);
    let mut engine = engine();
    let seconds = READS.div_ceil(shards) as u64;
    let mut costs: Vec<u64> = (0..PARTS)
        .map(|part| {
            let events: Vec<_> = (part * seconds..(part + 1) * seconds)
                .flat_map(|second| reads(&names, second))
                .collect();
            let count = events.len() as u64;
            let began = thread_cpu();
            for (event, now) in events {
                observe(&mut engine, event, now);
            }
            (thread_cpu() - began).as_nanos() as u64 / count
        })
        .collect();
    costs.sort_unstable();
    let median = costs.get(costs.len() / 2).copied().unwrap_or_default();
    let memory = resident_bytes().saturating_sub(memory);
    let began = thread_cpu();
    for _ in 0..10 {
        black_box(engine.snapshot_in(Detail::Figures, moment(PARTS * seconds * 1_000)));
    }
    let snapshot = (thread_cpu() - began) / 10;
    println!("{shards:<28}{median:>13} ns{snapshot:>16.1?}{:>10} KiB", memory / 1_024);
}

fn engine() -> Engine {
    Engine::new(EngineConfig {
        rules: builtin(),
        external_labels: BTreeMap::new(),
        repeat_interval: Duration::from_secs(14_400),
        limits: EngineLimits {
            streams_max: 1_000,
            windows_max: 25_000,
            forget_after: Duration::from_secs(900),
        },
    })
}

/// A hundred shards a stream.
fn names(shards: usize) -> Vec<(StreamName, ShardId)> {
    let name = |n: usize| {
        let shard = format!("shardId-{:012}", n % 100);
        (StreamName::from(format!("orders-{}", n / 100).as_str()), ShardId::from(shard.as_str()))
    };
    (0..shards).map(name).collect()
}

/// A second's reads of a consumer that is half a minute behind, evenly over the second.
fn reads(names: &[(StreamName, ShardId)], second: u64) -> Vec<(Event, Moment)> {
    let event = |(index, (stream, shard)): (usize, &(StreamName, ShardId))| {
        let now = moment(second * 1_000 + index as u64 * 1_000 / names.len() as u64);
        let sequence = |n: u64| {
            let number =
                format!("4959033827149025660855969253836157109592157598{:010}", second * 100 + n);
            Some(number.as_str().into())
        };
        let observation = ReadObservation {
            called_at: now,
            at: now,
            behind: Some(Duration::from_millis(30_000 - 100 * (second % 200))),
            records: 50,
            oldest_sequence: sequence(0),
            newest_sequence: sequence(49),
            newest_arrival: Some(now.wall.minus(Duration::from_secs(30))),
            shard_ended: false,
        };
        let (stream, shard) = (stream.clone(), shard.clone());
        (Event::Read { stream, consumer: "inventory".into(), shard, observation }, now)
    };
    names.iter().enumerate().map(event).collect()
}

fn moment(ms: u64) -> Moment {
    let mono = Duration::from_millis(ms);
    Moment { wall: Wall::from_ms(1_795_000_000_000).plus(mono), mono }
}

fn resident_bytes() -> u64 {
    let status = read_to_string("/proc/self/status").expect("Linux' /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1_024
}
