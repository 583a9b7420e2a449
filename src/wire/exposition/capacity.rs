//! Owns how much of a shard's write capacity is used, as a family: only a hub sees all that is put.
//! Refuses more series than there is room for: the least busy shards are left out.

use super::{Sheet, catalog};
use crate::domain::snapshot::Snapshot;
use std::cmp::Reverse;

/// Adds the shards' utilisation, `room` series at most.
pub(super) fn utilization(sheet: &mut Sheet<'_>, snapshot: &Snapshot, room: usize) {
    let loads = snapshot.loads.iter();
    let mut all: Vec<_> = loads
        .flat_map(|load| load.shards.iter().map(move |shard| (&load.stream, shard)))
        .map(|(stream, load)| (stream, &load.shard, load.rates.utilization()))
        .collect();
    if all.len() > room {
        // In ten-thousandths: a number has no total order.
        all.sort_by_key(|(_, _, used)| Reverse((used * 10_000.0) as u64));
        let left_out = (all.len() - room) as u64;
        *sheet.left_out.entry(catalog::WRITE_UTILIZATION.name).or_default() += left_out;
        all.truncate(room);
    }
    for (stream, shard, used) in all {
        let labels = [("stream", stream.as_str()), ("shard", shard.as_str())];
        sheet.gauge(catalog::WRITE_UTILIZATION, &labels, Some(used));
    }
}
