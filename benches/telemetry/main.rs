//! Owns what telemetry costs on the way of a put: CPU of the thread and allocations, for puts of one
//! and of 500 records, recorded and sampled out. The splice and the signature are not telemetry;
//! they have benchmarks of their own.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark ends where it cannot measure, and prints"
)]

#[path = "../shared/thread_cpu.rs"]
mod thread_cpu;

use bytes::Bytes;
use http::HeaderMap;
use kinescope::domain::sampling::Sampler;
use kinescope::domain::time::Moment;
use kinescope::io::proxy::measured::Measured;
use kinescope::io::proxy::{Deciding, Tracing};
use prometheus::{IntCounterVec, Opts};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::time::Duration;
use thread_cpu::thread_cpu;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Puts between two looks of the observer, fewer than its queue holds.
const CALLS: usize = 2_000;
const ROUNDS: usize = 50;

fn main() {
    println!(
        "{:<44}{:>12}{:>14}",
        "a put's telemetry, on the request's path", "CPU", "allocations"
    );
    for (name, sampler) in [("recorded", "always_on"), ("sampled out", "always_off")] {
        let one = measure(sampler, 1);
        let many = measure(sampler, 500);
        for (records, (cpu, allocations)) in [(1, one), (500, many)] {
            let name = format!("{name}, {records} record(s)");
            println!("{name:<44}{cpu:>12.2?}{allocations:>14}");
        }
        assert_eq!(one.1, many.1, "an allocation for each record");
    }
}

/// CPU of one put, and its allocations.
fn measure(sampler: &str, records: usize) -> (Duration, usize) {
    let opts = Opts::new("dropped", "what found no room");
    let dropped = IntCounterVec::new(opts, &["queue", "reason"]).expect("a family");
    let settings = Tracing { sampler: Sampler::parse(sampler, "").0, ..Tracing::default() };
    let mut measured = Measured::new(Deciding::new(settings, dropped.clone()), dropped);
    let (headers, answer) = (headers(), Bytes::from_static(&[b'x'; 100]));
    let put = |measured: &Measured| {
        let recorded = measured.put(&headers, records, &answer, Moment::default());
        assert_eq!(recorded, sampler == "always_on");
    };
    // The random numbers' pool and the queue's first block are made.
    put(&measured);
    let region = Region::new(COUNTED);
    put(&measured);
    let allocations = region.change().allocations;
    measured.take();
    let mut rounds: Vec<Duration> = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let before = thread_cpu();
        (0..CALLS).for_each(|_| put(&measured));
        rounds.push(thread_cpu().saturating_sub(before) / u32::try_from(CALLS).expect("a few"));
        assert_eq!(measured.take(), CALLS, "some were dropped");
    }
    rounds.sort_unstable();
    (rounds.get(ROUNDS / 2).copied().expect("some rounds"), allocations)
}

/// As an SDK sends them, under a tracer.
fn headers() -> HeaderMap {
    let header = |name: &'static str, value: &'static str| {
        (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
    };
    [
        header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        header("tracestate", "vendor=1"),
        header("content-type", "application/x-amz-json-1.1"),
        header("x-amz-target", "Kinesis_20131202.PutRecords"),
        header("amz-sdk-request", "attempt=1; max=3"),
        header("user-agent", "Boto3/1.43.106 md/Botocore#1.43.106"),
    ]
    .into_iter()
    .collect()
}
