//! Owns the figures that the rules go by, in one place. Refuses to differ from reader to reader:
//! what is a reader's own (its rhythm) is measured, not set. A test passes others, to show that it
//! would notice.

use super::Rule;
use std::time::Duration;

/// The figures that the rules go by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Lag up to this is not worth a word …
    pub lag_allowed: Duration,
    /// … nor up to so many poll intervals: between polls a reader is behind by design.
    pub lag_polls: u32,
    /// Below this, either way, lag counts as steady, in seconds per second: `MillisBehindLatest`
    /// is noisy, and at 5 % it takes 20 s to gain one second.
    pub dead_band: f64,
    /// The slope is that of the last so many seconds …
    pub slope_span: Duration,
    /// … or poll intervals, whichever is longer.
    pub slope_polls: u32,
    /// At the tip without a record for this long, a shard counts as idle …
    pub idle_after: Duration,
    /// … and where no record has come since the first read, already for this long, or three polls.
    pub idle_first: Duration,
    /// Silence beyond so many poll intervals is no longer the rhythm of polling …
    pub silence_polls: u32,
    /// … nor is it below this: KCL idles 1.5 s and backs off after throttling.
    pub silence_min: Duration,
    /// A reader that lives may pause for so long: a long batch, a collection of garbage, a restart.
    /// Two poll intervals are added, since a pause begins and ends between polls.
    pub pause_max: Duration,
    /// Silence beyond so many poll intervals is a stop where that is longer than a pause.
    pub stop_polls: u32,
    /// Silence beyond this is a stop whatever the rhythm: the life of a shard iterator, after
    /// which a reader can't go on where it was. It also holds while the rhythm is not known.
    pub stop_max: Duration,
    /// A reader that is behind and gets no newer record through so many reads after the one that
    /// brought it there …
    pub stall_reads: u64,
    /// … and for this long is stalled.
    pub stall_span: Duration,
    /// A lease whose counter did not move for this long has expired: KCL's `failoverTimeMillis` is
    /// 10 s, and the table is read every few seconds only.
    pub lease_life: Duration,
    /// What is known of a shard's tip holds for this long.
    pub tip_life: Duration,
    /// A rewind is forgotten after this, so that a replay does not colour all that follows.
    pub rewind_life: Duration,
    /// A rule that is left out; for tests.
    pub without: Option<Rule>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            lag_allowed: Duration::from_secs(5),
            lag_polls: 2,
            dead_band: 0.05,
            slope_span: Duration::from_secs(8),
            slope_polls: 4,
            idle_after: Duration::from_secs(60),
            idle_first: Duration::from_secs(10),
            silence_polls: 3,
            silence_min: Duration::from_secs(5),
            pause_max: Duration::from_secs(30),
            stop_polls: 4,
            stop_max: Duration::from_secs(300),
            stall_reads: 2,
            stall_span: Duration::from_secs(8),
            lease_life: Duration::from_secs(15),
            tip_life: Duration::from_secs(15),
            rewind_life: Duration::from_secs(600),
            without: None,
        }
    }
}
