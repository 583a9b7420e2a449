//! Owns chance. Nothing else in the crate may make random numbers.

use crate::domain::trace::{SpanId, TraceId};
use std::cell::RefCell;
use std::hash::RandomState;

/// Bytes asked of the operating system at once: 128 ids' worth, so that a put of 500 records does
/// not pay a system call for each.
const POOL_BYTES: usize = 2_048;

thread_local! {
    static POOL: RefCell<(Box<[u8; POOL_BYTES]>, usize)> = RefCell::new((Box::new([0; POOL_BYTES]), POOL_BYTES));
}

/// Random bytes from the operating system, drawn through a small pool of this thread.
pub fn bytes<const N: usize>() -> [u8; N] {
    POOL.with_borrow_mut(|(pool, used)| {
        let mut out = [0; N];
        if *used + N > POOL_BYTES {
            // The system's generator failing means there is no safe way to name a trace or sign.
            #[expect(clippy::expect_used, reason = "no randomness: nothing sensible can follow")]
            getrandom::fill(pool.as_mut_slice()).expect("the operating system gives random bytes");
            *used = 0;
        }
        if let Some(fresh) = pool.get(*used..*used + N) {
            out.copy_from_slice(fresh);
        }
        *used += N;
        out
    })
}

/// A way to make numbers of texts that nobody outside this process can go back from.
#[must_use]
pub fn hasher() -> RandomState {
    RandomState::new()
}

/// A fresh trace id.
#[must_use]
pub fn trace_id() -> TraceId {
    loop {
        if let Some(id) = TraceId::new(bytes()) {
            return id;
        }
    }
}

/// A fresh span id.
#[must_use]
pub fn span_id() -> SpanId {
    loop {
        if let Some(id) = SpanId::new(bytes()) {
            return id;
        }
    }
}

/// A number in 0..1, for jitter.
#[must_use]
pub fn chance() -> f64 {
    f64::from(u32::from_le_bytes(bytes())) / f64::from(u32::MAX)
}
