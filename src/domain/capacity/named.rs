//! Owns which shards are called by name in counters, and which are `other`: those that were busiest
//! when there was room, for as long as they are written to. Refuses to rename: a counter that lost
//! a shard to another name would seem to fall.

use crate::domain::stream::{ShardId, StreamName};
use std::collections::HashMap;
use std::time::Duration;

/// The label of the rest.
pub const OTHER: &str = "other";
/// A name is taken away after so long without a put, where another shard wants one.
const IDLE_AFTER: Duration = Duration::from_secs(600);

/// Who has a name.
#[derive(Debug)]
pub struct Named {
    per_stream_max: usize,
    names_max: usize,
    streams: HashMap<StreamName, HashMap<ShardId, Duration>>,
    names: usize,
}

/// What a shard is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Naming {
    /// Whether it has a name of its own.
    pub by_name: bool,
    /// Shards that lost theirs: their series go.
    pub retired: Vec<ShardId>,
}

impl Named {
    /// At most so many shards of one stream, and of all, have names.
    #[must_use]
    pub fn new(per_stream_max: usize, names_max: usize) -> Self {
        Self { per_stream_max, names_max, streams: HashMap::new(), names: 0 }
    }

    /// What a shard is called that was put to at `now`; asked where it has no name yet, and every
    /// now and then by those that have one.
    pub fn name(&mut self, stream: &StreamName, shard: &ShardId, now: Duration) -> Naming {
        let shards = self.streams.entry(stream.clone()).or_default();
        if let Some(seen) = shards.get_mut(shard) {
            *seen = now;
            return Naming { by_name: true, retired: Vec::new() };
        }
        let mut retired = Vec::new();
        if shards.len() >= self.per_stream_max || self.names >= self.names_max {
            let idle = |seen: &Duration| now.saturating_sub(*seen) > IDLE_AFTER;
            retired = shards.iter().filter(|(_, at)| idle(at)).map(|(it, _)| it.clone()).collect();
            retired.iter().for_each(|it| {
                shards.remove(it);
            });
            self.names = self.names.saturating_sub(retired.len());
        }
        let by_name = shards.len() < self.per_stream_max && self.names < self.names_max;
        if by_name {
            shards.insert(shard.clone(), now);
            self.names += 1;
        }
        Naming { by_name, retired }
    }
}
