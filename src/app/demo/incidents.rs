//! Owns how each incident is really caused and ended: by the pace of a consumer, the load of a
//! producer, an event in a stream, a call of an operator's. Refuses to tell Kinescope anything: it has
//! to see for itself.

use super::act::Shards;
use super::scenario::Scenario;
use super::services::ARCHIVE;
use super::services::ORDERS;
use super::services::book::READERS;
use super::services::consumer::Pace;
use super::services::invoices::Load;
use super::services::saga::Payments;
use super::world::World;
use crate::domain::snapshot::Snapshot;
use crate::io::clock::Clock;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use serde_json::json;
use std::fmt::Display;
use std::time::Duration;

/// How old the archive's first record is: half an hour less than what is kept.
const ARCHIVE_AGE: Duration = Duration::from_secs(23 * 3_600 + 1_800);
/// Its records came five times as fast as its reader takes them.
const ARCHIVE_APART: Duration = Duration::from_millis(200);
/// For longer than any incident lasts.
const ARCHIVE_RECORDS: u64 = 120;
/// More open shards than this are merged and not split, so that a demo without end is bounded.
const SPLIT_BELOW: usize = 3;
/// A split takes half a second here.
const RESHARDING_MAX: Duration = Duration::from_secs(10);

impl World {
    /// Causes an incident.
    ///
    /// # Errors
    /// In Kinesis's words, when it refuses an operator's call.
    pub(super) async fn cause(
        &mut self,
        scenario: Scenario,
        clock: &Clock,
    ) -> Result<Shards, String> {
        match scenario {
            Scenario::SlowConsumer => _ = self.levers.mail.send_replace(Pace::Slow),
            Scenario::StoppedConsumer => _ = self.levers.mail.send_replace(Pace::Dead),
            Scenario::HotKey => _ = self.levers.load.send_replace(Load::OneCustomer),
            Scenario::ThrottledWrites => _ = self.levers.load.send_replace(Load::TooMuch),
            Scenario::PoisonEvent => _ = self.levers.payments.send_replace(Payments::Poisoned),
            Scenario::Resharding => {
                let before = self.hub.snapshot().await.and_then(|hub| open_shards(&hub));
                let Resharded { said, open } = reshard(&self.operator).await?;
                let readers = READERS.iter().filter(|reader| reader.stream == ORDERS);
                let readers = readers.map(|reader| reader.service).collect();
                return Ok(Shards { said, before, after: open.into_iter().collect(), readers });
            }
            Scenario::Retention => {
                self.levers.archive.send_replace(Pace::Slow);
                let event = |number: u64| {
                    let id = format!("archived-{number:06}");
                    let event = json!({"eventId": id, "eventType": "STOCK_COUNTED"});
                    (id, event.to_string().into_bytes())
                };
                let first = clock.now().wall.minus(ARCHIVE_AGE);
                let events = (0..ARCHIVE_RECORDS).map(event);
                self.kinesis.backdate(ARCHIVE, events, first, ARCHIVE_APART).await?;
                self.replay(clock);
            }
        }
        Ok(Shards::default())
    }

    /// Ends an incident's cause.
    pub(super) fn cure(&self, scenario: Scenario) {
        match scenario {
            Scenario::SlowConsumer | Scenario::StoppedConsumer => {
                self.levers.mail.send_replace(Pace::Normal);
            }
            Scenario::HotKey | Scenario::ThrottledWrites => {
                self.levers.load.send_replace(Load::Few);
            }
            Scenario::PoisonEvent => _ = self.levers.payments.send_replace(Payments::Guarded),
            // It has happened, and stays so.
            Scenario::Resharding => {}
            Scenario::Retention => _ = self.levers.archive.send_replace(Pace::Normal),
        }
    }

    /// Whether everything that was refused has been stored since.
    pub(super) fn all_invoices_stored(&self) -> bool {
        self.levers.written.borrow().waiting == 0
    }
}

/// How many open shards the hub knows of.
fn open_shards(hub: &Snapshot) -> Option<u32> {
    let orders = hub.streams.iter().find(|view| view.stream.as_str() == ORDERS)?;
    Some(orders.description.as_ref()?.open_shards)
}

/// A resharding that has happened.
#[derive(Debug)]
pub(super) struct Resharded {
    /// What it was.
    pub said: String,
    /// The shards that are open now.
    pub open: Vec<String>,
}

/// Splits the first open shard of the orders, or merges two where there are many.
///
/// # Errors
/// In Kinesis's words, when it refuses.
pub(super) async fn reshard(client: &Client) -> Result<Resharded, String> {
    let before = open(client).await?;
    let said = if before.len() < SPLIT_BELOW {
        let shard = before.first().ok_or("no shard is open")?;
        let (start, end) = range(shard).ok_or("a shard has no range")?;
        let middle = start + (end - start) / 2 + 1;
        let split = client.split_shard().stream_name(ORDERS).shard_to_split(shard.shard_id());
        let split = split.new_starting_hash_key(middle.to_string()).send().await;
        split.map_err(|error| words(error.into_service_error()))?;
        format!("{} is split in two", shard.shard_id())
    } else {
        let (left, right) = adjacent(&before).ok_or("no two shards are adjacent")?;
        let merge = client.merge_shards().stream_name(ORDERS);
        let merge = merge.shard_to_merge(left).adjacent_shard_to_merge(right).send().await;
        merge.map_err(|error| words(error.into_service_error()))?;
        format!("{left} and {right} are merged")
    };
    let changed = async {
        loop {
            let after = open(client).await?;
            if after.len() != before.len() {
                let open = after.into_iter().map(|shard| shard.shard_id);
                return Ok::<Vec<String>, String>(open.collect());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let late = |_| Err(format!("the shards of {ORDERS} did not change"));
    let open = tokio::time::timeout(RESHARDING_MAX, changed).await.unwrap_or_else(late)?;
    Ok(Resharded { said, open })
}

/// The open shards of the orders, by where their range begins.
async fn open(client: &Client) -> Result<Vec<Shard>, String> {
    let listed = client.list_shards().stream_name(ORDERS).send().await;
    let listed = listed.map_err(|error| words(error.into_service_error()))?;
    let is_open = |shard: &Shard| {
        shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none())
    };
    let mut shards: Vec<_> =
        listed.shards.unwrap_or_default().into_iter().filter(is_open).collect();
    shards.sort_by_key(|shard| range(shard).map(|(start, _)| start));
    Ok(shards)
}

fn range(shard: &Shard) -> Option<(u128, u128)> {
    let range = shard.hash_key_range()?;
    Some((range.starting_hash_key().parse().ok()?, range.ending_hash_key().parse().ok()?))
}

/// The first two of these, sorted by range, of which one ends where the other begins.
fn adjacent(shards: &[Shard]) -> Option<(&str, &str)> {
    shards.iter().zip(shards.iter().skip(1)).find_map(|(left, right)| {
        let ((_, end), (start, _)) = (range(left)?, range(right)?);
        (end.checked_add(1)? == start).then(|| (left.shard_id(), right.shard_id()))
    })
}

fn words(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::types::HashKeyRange;

    fn shard(id: &str, start: u128, end: u128) -> Shard {
        let range = HashKeyRange::builder();
        let range = range.starting_hash_key(start.to_string()).ending_hash_key(end.to_string());
        let range = range.build().expect("both keys");
        Shard::builder().shard_id(id).hash_key_range(range).build().expect("an id")
    }

    #[test]
    fn only_neighbours_are_merged() {
        let all = [shard("a", 0, 9), shard("b", 20, 29), shard("c", 30, u128::MAX)];
        assert_eq!(adjacent(&all), Some(("b", "c")));
        assert_eq!(adjacent(&all[..2]), None);
        assert_eq!(adjacent(&[]), None);
    }
}
