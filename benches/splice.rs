//! Owns one comparison: splicing context into 500 records of 1 KiB against the SHA-256 that the
//! signature needs for the same body. Both sides run in one process, interleaved, on one thread.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark ends where it cannot measure, and prints"
)]

use bytes::Bytes;
use kinescope::domain::envelope::Insertion;
use kinescope::domain::envelope::aggregate::Aggregated;
use kinescope::domain::trace::{Flags, SpanId, TraceContext, TraceId, TraceState};
use kinescope::wire::kinesis::form::WireForm;
use kinescope::wire::kinesis::put::{self, Insertions, Plan, SizeLaw};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 10;
const CALLS: u32 = 200;

fn main() {
    let context = TraceContext {
        trace_id: TraceId::new([7; 16]).expect("not zero"),
        span_id: SpanId::new([9; 8]).expect("not zero"),
        flags: Flags::SAMPLED_RANDOM,
    };
    let insertion = Insertion::new(&context, &TraceState::default());
    let insertions = Insertions { common: insertion.clone(), own: HashMap::new() };
    let (law, aggregated) = (SizeLaw::default(), Aggregated::Tags);
    let plan = Plan::Inject { insertions: &insertions, law, aggregated };
    println!(
        "{:<44}{:>12}{:>12}{:>8}",
        "500 records of 1 KiB, medians of 10 rounds", "splice", "SHA-256", "ratio"
    );
    for (name, payload) in
        [("order event, many short members", order()), ("order event, one long text", text())]
    {
        let body = body(&payload);
        let once = || {
            let located = put::locate(WireForm::Json, &body).expect("a put");
            let looks = put::look(&body, &located);
            put::splice(&body, &located, &looks, &plan)
        };
        assert_eq!(once().injected_bytes, 500 * insertion.bytes(false).len());
        let (mut splice, mut hash) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            splice.push(time(|| drop(black_box(once()))));
            hash.push(time(|| {
                black_box(Sha256::digest(black_box(&body)));
            }));
        }
        let (splice, hash) = (median(splice), median(hash));
        let ratio = splice.as_secs_f64() / hash.as_secs_f64();
        println!("{name:<44}{splice:>12.1?}{hash:>12.1?}{ratio:>8.2}");
    }
}

/// The article's envelope with an order of many items, 1 KiB in all.
fn order() -> String {
    let mut items = String::new();
    for item in 0.. {
        let next = format!(
            "{{\"productId\":\"prod-{item:04}\",\"quantity\":{},\"price\":\"{}.99\"}},",
            item % 7 + 1,
            item * 13
        );
        if items.len() + next.len() > 830 {
            break;
        }
        items.push_str(&next);
    }
    let items = items.trim_end_matches(',');
    let event = format!(
        "{{\"eventId\":\"5f0c7d1e-93a5-4d0e-9d4b-0f2f7d4a9b11\",\"eventType\":\"ORDER_CREATED\",\"timestamp\":\"2026-11-22T19:57:00.123Z\",\"payload\":{{\"orderId\":\"o-1\",\"items\":[{items}]}},\"note\":\""
    );
    pad(event)
}

fn text() -> String {
    pad("{\"eventType\":\"NOTE_WRITTEN\",\"note\":\"".to_owned())
}

fn pad(mut event: String) -> String {
    while event.len() < 1_022 {
        event.push('x');
    }
    event + "\"}"
}

fn body(payload: &str) -> Bytes {
    let data = base64_simd::STANDARD.encode_to_string(payload);
    let record = format!("{{\"Data\":\"{data}\",\"PartitionKey\":\"user-42\"}}");
    format!("{{\"Records\":[{}],\"StreamName\":\"orders\"}}", vec![record; 500].join(",")).into()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time(run: impl Fn()) -> Duration {
    run();
    let began = Instant::now();
    for _ in 0..CALLS {
        run();
    }
    began.elapsed() / CALLS
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
