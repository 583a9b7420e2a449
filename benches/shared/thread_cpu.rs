//! Owns the CPU time of the thread that asks, to the nanosecond: what else the machine does is not in
//! it. `/proc/thread-self/schedstat` tells it too, but of a running thread to a tick only.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU that this thread has taken so far.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
