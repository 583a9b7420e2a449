//! Owns the pace of every call to the control plane: a token bucket for each operation, one over
//! all of them in a sidecar, and a hold after throttling. Refuses to make a call. Limits:
//! reference/metrics.md 3.4; they are the account's, shared with everybody's deployments, so that
//! we take a quarter of each at most.

use crate::domain::backoff::Backoff;
use crate::io::clock::Clock;
use crate::io::credentials::fault::Fault;
use crate::io::credentials::refusals::Refusals;
use crate::io::entropy;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A sidecar's calls are so far apart, whatever they ask: a thousand pods share the limits.
const SIDECAR_EVERY: Duration = Duration::from_secs(10);

/// A wait is made longer by up to this share of itself, so that pods drift apart.
const JITTER: f64 = 0.2;

const THROTTLED: Backoff = Backoff {
    initial: Duration::from_secs(2),
    factor: 2.0,
    max: Duration::from_secs(120),
    jitter: 0.5,
};

/// What the control plane is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// 20 a second for an account.
    DescribeStreamSummary,
    /// 100 a second for a stream, by the older of two figures.
    ListShards,
    /// 5 a second for an account.
    ListStreams,
    /// 5 a second for a stream.
    ListStreamConsumers,
    /// 5 a second for an account.
    ListTagsForStream,
    /// 5 a second for an account.
    DescribeAccountSettings,
}

impl Operation {
    const COUNT: usize = 6;

    /// The IAM action that allows it.
    const fn action(self) -> &'static str {
        match self {
            Self::DescribeStreamSummary => "kinesis:DescribeStreamSummary",
            Self::ListShards => "kinesis:ListShards",
            Self::ListStreams => "kinesis:ListStreams",
            Self::ListStreamConsumers => "kinesis:ListStreamConsumers",
            Self::ListTagsForStream => "kinesis:ListTagsForStream",
            Self::DescribeAccountSettings => "kinesis:DescribeAccountSettings",
        }
    }

    /// Time between two calls of a hub, in the long run.
    const fn every(self) -> Duration {
        Duration::from_millis(match self {
            Self::DescribeStreamSummary => 200,
            Self::ListShards | Self::ListStreamConsumers => 100,
            Self::ListStreams | Self::ListTagsForStream | Self::DescribeAccountSettings => 1_000,
        })
    }

    /// Calls that may come at once after a rest.
    const fn burst(self) -> u32 {
        match self {
            Self::DescribeStreamSummary | Self::ListShards | Self::ListStreamConsumers => 5,
            Self::ListStreams | Self::ListTagsForStream | Self::DescribeAccountSettings => 1,
        }
    }
}

/// Who may call when. All times are monotonic.
#[derive(Debug)]
struct Pace {
    /// Over all operations; only a sidecar's.
    all: Option<Bucket>,
    each: [Bucket; Operation::COUNT],
}

/// Tokens, told as the time at which the bucket will be full again.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    every: Duration,
    burst: u32,
    full_at: Duration,
    held_until: Duration,
    throttled: u32,
}

impl Bucket {
    const fn new(every: Duration, burst: u32) -> Self {
        let zero = Duration::ZERO;
        Self { every, burst, full_at: zero, held_until: zero, throttled: 0 }
    }

    /// When a call that wants to be made at `now` may be.
    fn due(&self, now: Duration) -> Duration {
        let spare = self.every * self.burst.saturating_sub(1);
        now.max(self.full_at.saturating_sub(spare)).max(self.held_until)
    }

    fn take(&mut self, at: Duration, chance: f64) {
        self.full_at = self.full_at.max(at) + self.every.mul_f64(1.0 + JITTER * chance);
    }
}

impl Pace {
    fn new(all: Option<Duration>) -> Self {
        let all = all.map(|every| Bucket::new(every, 1));
        let of = |operation: Operation| Bucket::new(operation.every(), operation.burst());
        let each = [
            of(Operation::DescribeStreamSummary),
            of(Operation::ListShards),
            of(Operation::ListStreams),
            of(Operation::ListStreamConsumers),
            of(Operation::ListTagsForStream),
            of(Operation::DescribeAccountSettings),
        ];
        Self { all, each }
    }

    #[expect(clippy::indexing_slicing, reason = "an array with a place for each operation")]
    fn bucket(&mut self, operation: Operation) -> &mut Bucket {
        &mut self.each[operation as usize]
    }

    /// The call is made at `now` (`None`), or not before the time that is given.
    fn take(&mut self, operation: Operation, now: Duration, chance: f64) -> Option<Duration> {
        let own = self.bucket(operation).due(now);
        let due = self.all.as_ref().map_or(own, |all| own.max(all.due(now)));
        if due > now {
            return Some(due);
        }
        self.bucket(operation).take(now, chance);
        if let Some(all) = &mut self.all {
            all.take(now, chance);
        }
        None
    }

    fn answered(&mut self, operation: Operation) {
        self.bucket(operation).throttled = 0;
    }

    fn throttled(&mut self, operation: Operation, now: Duration, chance: f64) {
        let bucket = self.bucket(operation);
        bucket.throttled = bucket.throttled.saturating_add(1);
        bucket.held_until = now + THROTTLED.delay(bucket.throttled, chance);
    }
}

/// The one pace of a process; clones share it.
#[derive(Debug, Clone)]
pub struct Pacer {
    pace: Arc<Mutex<Pace>>,
    clock: Clock,
    refusals: Refusals,
}

impl Pacer {
    /// A hub's: each operation at its own pace.
    #[must_use]
    pub fn hub(clock: Clock) -> Self {
        Self::over(Pace::new(None), clock)
    }

    /// A sidecar's: one call in ten seconds, whatever it asks.
    #[must_use]
    pub fn sidecar(clock: Clock) -> Self {
        Self::over(Pace::new(Some(SIDECAR_EVERY)), clock)
    }

    fn over(pace: Pace, clock: Clock) -> Self {
        Self { pace: Arc::new(Mutex::new(pace)), clock, refusals: Refusals::default() }
    }

    /// Tells `refusals` what AWS refuses.
    #[must_use]
    pub fn telling(self, refusals: Refusals) -> Self {
        Self { refusals, ..self }
    }

    /// Waits until `operation` may be called.
    pub async fn turn(&self, operation: Operation) {
        loop {
            let now = self.clock.now().mono;
            let Some(due) = self.pace().take(operation, now, entropy::chance()) else { return };
            self.clock.sleep_until(due).await;
        }
    }

    /// What became of a call about this stream (empty: about none): an answer ends throttling,
    /// throttling holds everybody, a refusal is told.
    pub fn outcome(&self, operation: Operation, stream: &str, fault: Option<Fault>) {
        match fault {
            None => self.answered(operation),
            Some(Fault::Throttled) => self.throttled(operation),
            Some(
                Fault::Denied
                | Fault::NotFound
                | Fault::Refused
                | Fault::Broken
                | Fault::TimedOut
                | Fault::Unsent,
            ) => {}
        }
        self.refusals.told(operation.action(), stream, fault);
    }

    /// The call was answered: throttling is over.
    pub fn answered(&self, operation: Operation) {
        self.pace().answered(operation);
    }

    /// The call was throttled: everybody waits with this operation.
    pub fn throttled(&self, operation: Operation) {
        let now = self.clock.now().mono;
        self.pace().throttled(operation, now, entropy::chance());
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of `calls` is made, if they all want to be at once; in milliseconds.
    fn times(pace: &mut Pace, calls: &[Operation], from_ms: u64) -> Vec<u128> {
        let mut now = Duration::from_millis(from_ms);
        let made = calls.iter().map(|operation| {
            while let Some(due) = pace.take(*operation, now, 0.0) {
                assert!(due > now, "a wait without end");
                now = due;
            }
            now.as_millis()
        });
        made.collect()
    }

    #[test]
    fn each_operation_has_its_own_limit() {
        use Operation::{DescribeStreamSummary, ListShards, ListStreams};
        let mut pace = Pace::new(None);
        let many = [DescribeStreamSummary; 7];
        assert_eq!(times(&mut pace, &many, 0), [0, 0, 0, 0, 0, 200, 400]);
        assert_eq!(times(&mut pace, &[ListStreams, ListShards, ListStreams], 0), [0, 0, 1_000]);
        // After a rest it is full again, and not fuller.
        assert_eq!(times(&mut pace, &many, 60_000)[4..], [60_000, 60_200, 60_400]);
    }

    #[test]
    fn a_sidecar_makes_one_call_in_ten_seconds() {
        let mut pace = Pace::new(Some(SIDECAR_EVERY));
        let calls = [Operation::DescribeStreamSummary, Operation::ListShards];
        assert_eq!(times(&mut pace, &calls.repeat(2), 5), [5, 10_005, 20_005, 30_005]);
    }

    #[test]
    fn throttling_holds_its_operation_and_grows() {
        let mut pace = Pace::new(None);
        let held = |pace: &mut Pace, now_ms, expected_ms: u64| {
            let now = Duration::from_millis(now_ms);
            pace.throttled(Operation::ListShards, now, 0.5);
            let due = pace.take(Operation::ListShards, now, 0.0);
            assert_eq!(due, Some(Duration::from_millis(expected_ms)));
        };
        held(&mut pace, 0, 2_000);
        held(&mut pace, 2_000, 6_000);
        assert_eq!(pace.take(Operation::ListStreams, Duration::ZERO, 0.0), None);
        pace.answered(Operation::ListShards);
        held(&mut pace, 10_000, 12_000);
    }
}
