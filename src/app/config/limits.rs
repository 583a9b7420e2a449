//! Owns every bound that the rooms keep to: its default, the reason for the number, and what all
//! of them amount to in memory.

use super::Role;
use super::value::Bytes;
use super::walk::Spot;
use super::walk::Table;
use crate::domain::engine::EngineLimits;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Every bound. Sizes are in bytes, counts in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// 1024: an SDK keeps 50 to 150 connections; seven such applications in one pod are many.
    pub connections_max: usize,
    /// 1024 requests at once, one a connection; HTTP/2 clients share the same number.
    pub in_flight_max: usize,
    /// 16 MiB: PutRecords takes 10 MiB of data, which base64 makes 13.4 MiB, and keys and commas.
    pub body_bytes_max: usize,
    /// 128 MiB of bodies held at once: eight of the largest, or thousands of ordinary ones. What
    /// comes beyond is refused with an error that SDKs retry.
    pub buffered_bytes_max: usize,
    /// 4096 observations wait for the engine: four per request in flight. A full queue drops.
    pub observer_queue: usize,
    /// 32 MiB of copied answers wait to be read: three of the largest GetRecords answers.
    pub observer_bytes_max: usize,
    /// 20000 shard iterators are remembered: they live five minutes, so 4000 reads a minute.
    pub iterators_max: usize,
    /// 1024 SubscribeToShard calls at once: a consumer holds one for each shard that it reads, for
    /// five minutes each. They are not counted in `in_flight_max`, which they would use up.
    pub subscriptions_max: usize,
    /// 4096 calls whose context is remembered, so that an SDK's retry carries the one that its
    /// first try made: at 1000 puts a second, four seconds, and SDKs retry within two.
    pub retries_max: usize,
    /// 1000 streams, in a hub 10000, as many as it lists; and 20000 windows (an account's default
    /// quota is 20000 shards in the largest regions). A shard is forgotten 15 minutes after its last
    /// read, three times an iterator's life.
    pub engine: EngineLimits,
    /// 3 s to connect: Kinesis is in the region, and an SDK's own try lasts longer.
    pub upstream_connect_timeout: Duration,
    /// 60 s to the head of an answer: the longest read timeout that SDKs have by default.
    pub upstream_response_timeout: Duration,
    /// 10 s to drain: a third of Kubernetes' grace, so that the application's own end fits too.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            in_flight_max: 1024,
            body_bytes_max: 16 * MIB,
            buffered_bytes_max: 128 * MIB,
            observer_queue: 4096,
            observer_bytes_max: 32 * MIB,
            iterators_max: 20_000,
            subscriptions_max: 1024,
            retries_max: 4096,
            engine: EngineLimits {
                streams_max: 1000,
                windows_max: 20_000,
                forget_after: Duration::from_secs(15 * 60),
            },
            upstream_connect_timeout: Duration::from_secs(3),
            upstream_response_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The http server's buffers for one connection, read and write.
    const CONNECTION_BYTES: usize = 64 * 1024;
    /// An observation in the queue, without the body it may hold: names, a few records' contexts.
    const OBSERVATION_BYTES: usize = 1024;
    /// An iterator, its stream and its shard.
    const ITERATOR_BYTES: usize = 768;
    /// What a subscription holds of its answer on the way: one frame in each direction.
    const SUBSCRIPTION_BYTES: usize = 32 * 1024;
    /// A call's id and the context that it carries.
    const RETRY_BYTES: usize = 256;
    /// What a window takes, 1.2 KiB of it its points, and its rows in the two answers that may be
    /// built at once. `benches/lag.rs` measures both.
    const WINDOW_BYTES: usize = 3072;
    /// What a stream's description and newest points take.
    const STREAM_BYTES: usize = 2048;

    /// The most memory that all bounds allow together, by what it is for. The process itself
    /// comes on top.
    #[must_use]
    pub fn memory(&self) -> [(&'static str, usize); 5] {
        let observer = self.observer_queue.saturating_mul(Self::OBSERVATION_BYTES);
        let engine = self.engine.windows_max.saturating_mul(Self::WINDOW_BYTES);
        let streams = self.engine.streams_max.saturating_mul(Self::STREAM_BYTES);
        let iterators = self.iterators_max.saturating_mul(Self::ITERATOR_BYTES);
        let retries = self.retries_max.saturating_mul(Self::RETRY_BYTES);
        let remembered = iterators.saturating_add(retries);
        [
            ("connections", self.connections_max.saturating_mul(Self::CONNECTION_BYTES)),
            ("subscriptions", self.subscriptions_max.saturating_mul(Self::SUBSCRIPTION_BYTES)),
            ("bodies", self.buffered_bytes_max),
            ("observer", self.observer_bytes_max.saturating_add(observer)),
            ("state", engine.saturating_add(streams).saturating_add(remembered)),
        ]
    }

    /// Those of a process of this role: a hub hears of the streams of all.
    #[must_use]
    pub fn of(role: Role) -> Self {
        let mut limits = Self::default();
        match role {
            Role::Hub | Role::All => limits.engine.streams_max = 10_000,
            Role::Sidecar => {}
        }
        limits
    }

    pub(super) fn read(spot: &Spot<'_>, role: Role) -> Self {
        let mut table = spot.table();
        let default = Self::of(role);
        let bytes = |table: &mut Table<'_>, key, bytes| table.key(key).or(Bytes(bytes)).0;
        let limits = Self {
            connections_max: table.key("connections_max").or(default.connections_max),
            in_flight_max: table.key("in_flight_max").or(default.in_flight_max),
            body_bytes_max: bytes(&mut table, "body_bytes_max", default.body_bytes_max),
            buffered_bytes_max: bytes(&mut table, "buffered_bytes_max", default.buffered_bytes_max),
            observer_queue: table.key("observer_queue").or(default.observer_queue),
            observer_bytes_max: bytes(&mut table, "observer_bytes_max", default.observer_bytes_max),
            iterators_max: table.key("iterators_max").or(default.iterators_max),
            subscriptions_max: table.key("subscriptions_max").or(default.subscriptions_max),
            retries_max: table.key("retries_max").or(default.retries_max),
            engine: EngineLimits {
                streams_max: table.key("streams_max").or(default.engine.streams_max),
                windows_max: table.key("windows_max").or(default.engine.windows_max),
                forget_after: positive(&table.key("forget_after"), default.engine.forget_after),
            },
            upstream_connect_timeout: positive(
                &table.key("upstream_connect_timeout"),
                default.upstream_connect_timeout,
            ),
            upstream_response_timeout: positive(
                &table.key("upstream_response_timeout"),
                default.upstream_response_timeout,
            ),
            drain: positive(&table.key("drain"), default.drain),
        };
        if limits.body_bytes_max > limits.buffered_bytes_max {
            spot.fault("body_bytes_max should not be above buffered_bytes_max: one body must fit");
        }
        table.done();
        limits
    }
}

/// A duration that is not zero.
pub(super) fn positive(spot: &Spot<'_>, default: Duration) -> Duration {
    spot.or_if(default, |duration| !duration.is_zero(), "should be longer than nothing")
}
