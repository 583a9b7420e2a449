//! Owns puts of several shapes, and how long splicing context into one takes against the SHA-256
//! that the signature needs for the same body: in one process, interleaved, in CPU of one thread.
//! Refuses puts that come out as they came: that would be measuring nothing.

#[path = "../shared/thread_cpu.rs"]
mod thread_cpu;

use bytes::Bytes;
use kinescope::domain::envelope::Insertion;
use kinescope::domain::envelope::aggregate::Aggregated;
use kinescope::domain::trace::{Flags, SpanId, TraceContext, TraceId, TraceState};
use kinescope::wire::kinesis::form::WireForm;
use kinescope::wire::kinesis::put::{self, Insertions, Plan, RecordVerdict, SizeLaw};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;
pub(crate) use thread_cpu::thread_cpu;

const ROUNDS: usize = 10;
const CALLS: u32 = 200;

/// What one put takes.
pub(crate) struct Times {
    pub(crate) splice: Duration,
    pub(crate) hash: Duration,
}

/// Medians over the rounds.
pub(crate) fn measure(form: WireForm, body: &Bytes) -> Times {
    let context = TraceContext {
        trace_id: TraceId::new([7; 16]).expect("not zero"),
        span_id: SpanId::new([9; 8]).expect("not zero"),
        flags: Flags::SAMPLED_RANDOM,
    };
    let common = Insertion::new(&context, &TraceState::default());
    let insertions = Insertions { common, own: HashMap::new() };
    // A stream whose records may be 10 MiB: 1 MiB and our context fit.
    let law = SizeLaw { record_bytes_max: 10 << 20, ..SizeLaw::default() };
    let plan = Plan::Inject { insertions: &insertions, law, aggregated: Aggregated::Tags };
    let once = || {
        let located = put::locate(form, body).expect("a put");
        let looks = put::look(body, &located);
        put::splice(body, &located, &looks, &plan)
    };
    assert!(once().verdicts.iter().all(|verdict| *verdict == RecordVerdict::Injected));
    let (mut splice, mut hash) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        splice.push(time(|| drop(black_box(once()))));
        hash.push(time(|| {
            black_box(Sha256::digest(black_box(body)));
        }));
    }
    Times { splice: median(splice), hash: median(hash) }
}

/// The article's envelope with an order of many items, 1 KiB in all.
pub(crate) fn order() -> String {
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
    pad(event, 1 << 10)
}

/// An order of a thousand orders.
pub(crate) fn large() -> String {
    let orders = vec![order(); (1 << 10) - 1].join(",");
    pad(format!("{{\"orders\":[{orders}],\"note\":\""), 1 << 20)
}

/// Filled up to so many bytes, and closed.
pub(crate) fn pad(mut event: String, bytes: usize) -> String {
    let missing = (bytes - 2).saturating_sub(event.len());
    event.extend(std::iter::repeat_n('x', missing));
    event + "\"}"
}

/// The body of a put of so many of these records.
pub(crate) fn json(payload: &str, records: usize) -> Bytes {
    let data = base64_simd::STANDARD.encode_to_string(payload);
    let record = format!("{{\"Data\":\"{data}\",\"PartitionKey\":\"user-42\"}}");
    format!("{{\"Records\":[{}],\"StreamName\":\"orders\"}}", vec![record; records].join(","))
        .into()
}

fn time(run: impl Fn()) -> Duration {
    run();
    let began = thread_cpu();
    for _ in 0..CALLS {
        run();
    }
    (thread_cpu() - began) / CALLS
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
