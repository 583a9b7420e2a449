//! Owns what a sidecar tells its hub as OTLP metrics, both ways. Refuses names that only we could
//! read: these are gauges and sums with a series for each stream, consumer and shard, and any
//! OpenTelemetry tool can keep them.
//!
//! Resource: `service.name`, `service.instance.id` (one for each start), `host.name` where the process
//! knows it, `cloud.region`. Each point's time is when what it says was so, by the pod's clock. Attributes: `messaging.destination.name` is
//! the stream, `messaging.destination.partition.id` the shard, `messaging.consumer.group.name` the
//! consumer. Sums are cumulative since the sidecar's start.
//!
//! | metric | kind, unit | of | says |
//! |---|---|---|---|
//! | `kinescope.sidecar.up` | gauge | | 1; 0 in the last report, before the pod goes. Its time is that of the sending, by which the hub corrects all others |
//! | `kinescope.consumer.connections` | gauge | consumer | open connections |
//! | `kinescope.consumer.reads` | sum | consumer, shard | answered reads; time: the newest. Its exemplar carries the sequence numbers of the newest answer with records, and whether the shard has ended: an exemplar's attributes make no series |
//! | `kinescope.consumer.records` | sum | consumer, shard | records in them |
//! | `kinescope.consumer.lag` | gauge, s | consumer, shard | the newest `MillisBehindLatest` |
//! | `kinescope.consumer.poll_interval` | gauge, s | consumer, shard | mean time between reads |
//! | `kinescope.consumer.newest_arrival` | gauge, s | consumer, shard | when the newest delivered record arrived, since 1970 |
//! | `kinescope.consumer.failures` | sum | consumer, shard, `error.type` | calls that were not answered with records; time: the newest |
//! | `kinescope.shard.put.records`, `kinescope.shard.put.bytes`, `kinescope.shard.put.throttled` | sum | shard | records stored, their bytes, records refused by throttling |
//! | `kinescope.shard.put.heaviest_key.share` | gauge, 1 | shard | of the bytes that this process put to the shard, what its heaviest key surely has; only where a key is heavy. Which key it is, is not told |
//! | `kinescope.shard.put.heavy_keys` | gauge | shard | beside it: how many keys are heavy |
//! | `kinescope.shard.newest_put` | gauge, s | shard | when the newest stored record was sent, since 1970 by the pod's clock |

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Heard, read};
pub use write::write;

use crate::domain::lag::FailureKind;

const PREFIX: &str = "kinescope.";
const UP: &str = "kinescope.sidecar.up";
const CONNECTIONS: &str = "kinescope.consumer.connections";
const READS: &str = "kinescope.consumer.reads";
const RECORDS: &str = "kinescope.consumer.records";
const LAG: &str = "kinescope.consumer.lag";
const POLL_INTERVAL: &str = "kinescope.consumer.poll_interval";
const NEWEST_ARRIVAL: &str = "kinescope.consumer.newest_arrival";
const FAILURES: &str = "kinescope.consumer.failures";
const PUT_RECORDS: &str = "kinescope.shard.put.records";
const PUT_BYTES: &str = "kinescope.shard.put.bytes";
const PUT_THROTTLED: &str = "kinescope.shard.put.throttled";
const TOP_SHARE: &str = "kinescope.shard.put.heaviest_key.share";
const HEAVY_KEYS: &str = "kinescope.shard.put.heavy_keys";
const NEWEST_PUT: &str = "kinescope.shard.newest_put";

const STREAM: &str = "messaging.destination.name";
const SHARD: &str = "messaging.destination.partition.id";
const CONSUMER: &str = "messaging.consumer.group.name";
const ERROR: &str = "error.type";
const OLDEST_SEQUENCE: &str = "kinescope.oldest_sequence_number";
const NEWEST_SEQUENCE: &str = "kinescope.newest_sequence_number";
const SHARD_ENDED: &str = "kinescope.shard.ended";
const SERVICE: &str = "service.name";
const INSTANCE: &str = "service.instance.id";
const HOST: &str = "host.name";
const REGION: &str = "cloud.region";

/// What a failure is called; the first is that of all others.
const KINDS: [(FailureKind, &str); 6] = [
    (FailureKind::Other, "other"),
    (FailureKind::Throttled, "throttled"),
    (FailureKind::IteratorExpired, "iterator_expired"),
    (FailureKind::Denied, "access_denied"),
    (FailureKind::CredentialsRefused, "credentials_refused"),
    (FailureKind::NoCredentials, "no_credentials"),
];

/// Whether a metric of this name is one of these.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}
