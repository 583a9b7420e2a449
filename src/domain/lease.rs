//! Owns what a row of a KCL lease table says: which stream and shard, who holds it, how far its work
//! is done. Refuses to take a row for a lease that does not read like one: a wrong lease is worse
//! than none. Source: reference/metrics.md 3.7.

use crate::domain::lag::{Checkpoint, Lease};
use crate::domain::stream::{ShardId, StreamName};
use crate::domain::time::Moment;
use std::collections::BTreeMap;

/// The attributes of a row that matter, as they stand there; what is not there is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row<'a> {
    /// `leaseKey`: a shard's id, or `account:stream:creation epoch:shard`.
    pub key: Option<&'a str>,
    /// `leaseOwner`.
    pub owner: Option<&'a str>,
    /// `leaseCounter`, a number as text.
    pub counter: Option<&'a str>,
    /// `checkpoint`: a sequence number or one of KCL's words.
    pub checkpoint: Option<&'a str>,
    /// `entityType`: KCL 3 keeps other things in the same table; a lease has none.
    pub entity: Option<&'a str>,
}

impl Row<'_> {
    /// The attributes' names in the table, in the order of the fields.
    pub const ATTRIBUTES: [&'static str; 5] =
        ["leaseKey", "leaseOwner", "leaseCounter", "checkpoint", "entityType"];
}

/// What a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// A lease.
    Lease(Held),
    /// KCL's, but no lease: its leader, its workers' figures.
    Other,
    /// Of another program, or in a form that we do not know.
    Foreign,
}

/// A lease, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The stream and when it was created, in seconds since 1970, where the key tells them.
    pub stream: Option<(StreamName, u64)>,
    /// The shard.
    pub shard: ShardId,
    /// The lease.
    pub lease: Lease,
}

/// Reads one row, as the table had it at `at`.
#[must_use]
pub fn read(row: Row<'_>, at: Moment) -> Reading {
    let Some(key) = row.key else { return Reading::Foreign };
    if row.entity.is_some_and(|entity| !entity.eq_ignore_ascii_case("LEASE")) {
        return Reading::Other;
    }
    let held = || {
        let (stream, shard) = place(key)?;
        let counter = row.counter?.parse().ok()?;
        let checkpoint = checkpoint(row.checkpoint?)?;
        let owner = row.owner.filter(|owner| !owner.is_empty()).map(Into::into);
        Some(Held { stream, shard, lease: Lease { at, owner, counter, checkpoint } })
    };
    held().map_or(Reading::Foreign, Reading::Lease)
}

/// Stream, its time of creation, and shard of a key.
fn place(key: &str) -> Option<(Option<(StreamName, u64)>, ShardId)> {
    let parts: Vec<&str> = key.split(':').collect();
    match parts.as_slice() {
        [shard] => Some((None, shard_id(shard)?)),
        [account, stream, epoch, shard] if is_number(account) && !stream.is_empty() => {
            Some((Some(((*stream).into(), epoch.parse().ok()?)), shard_id(shard)?))
        }
        _ => None,
    }
}

/// KCL takes a shard's id for what Kinesis calls one.
fn shard_id(text: &str) -> Option<ShardId> {
    text.starts_with("shardId-").then(|| text.into())
}

fn checkpoint(text: &str) -> Option<Checkpoint> {
    match text {
        "TRIM_HORIZON" => Some(Checkpoint::TrimHorizon),
        "LATEST" => Some(Checkpoint::Latest),
        "AT_TIMESTAMP" => Some(Checkpoint::AtTimestamp),
        "SHARD_END" => Some(Checkpoint::ShardEnd),
        number => is_number(number).then(|| Checkpoint::At(number.into())),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Which of a table's leases count for one application: those of the streams that are meant, and of
/// a stream that was created anew under its name only the newest one's.
#[derive(Debug, Clone, Default)]
pub struct Meant {
    /// The one stream that is watched; `None`: every stream that keys name.
    stream: Option<StreamName>,
    newest: BTreeMap<StreamName, u64>,
}

/// Streams of one application whose times of creation are remembered.
const STREAMS_MAX: usize = 1_000;

impl Meant {
    /// Leases of `stream`, or of every stream that their keys name.
    #[must_use]
    pub const fn of(stream: Option<StreamName>) -> Self {
        Self { stream, newest: BTreeMap::new() }
    }

    /// Takes in that a stream of this time of creation is in the table.
    pub fn see(&mut self, held: &Held) {
        let Some((stream, epoch)) = &held.stream else { return };
        if let Some(newest) = self.newest.get_mut(stream) {
            *newest = (*newest).max(*epoch);
        } else if self.newest.len() < STREAMS_MAX {
            self.newest.insert(stream.clone(), *epoch);
        }
    }

    /// The stream that a lease is of; `None` where it is not meant. Err where nothing tells: the
    /// key does not, and no stream was named.
    ///
    /// # Errors
    /// [`Placeless`].
    pub fn place(&self, held: &Held) -> Result<Option<StreamName>, Placeless> {
        match (&held.stream, &self.stream) {
            (None, None) => Err(Placeless),
            (None, Some(stream)) => Ok(Some(stream.clone())),
            (Some((stream, epoch)), meant) => {
                let is_meant = meant.as_ref().is_none_or(|meant| meant == stream);
                let is_newest = self.newest.get(stream).is_none_or(|newest| epoch >= newest);
                Ok((is_meant && is_newest).then(|| stream.clone()))
            }
        }
    }
}

/// A lease's key names no stream, and neither does the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the table's keys name no stream: name it in `leases` as `stream`")]
pub struct Placeless;

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: &str = "shardId-000000000000";
    const NUMBER: &str = "49590338271490256608559692538361571095921575989136588898";

    fn row<'a>(key: &'a str, checkpoint: &'a str) -> Row<'a> {
        Row {
            key: Some(key),
            owner: Some("w"),
            counter: Some("7"),
            checkpoint: Some(checkpoint),
            entity: None,
        }
    }

    #[test]
    fn rows_are_leases_or_not() {
        let check = |row: Row<'_>, expected: &str| {
            let told = match read(row, Moment::default()) {
                Reading::Lease(Held { stream, shard, lease }) => {
                    let Lease { owner, counter, checkpoint, .. } = lease;
                    format!("{stream:?} {shard} {owner:?} {counter} {checkpoint:?}")
                }
                Reading::Other => "other".to_owned(),
                Reading::Foreign => "foreign".to_owned(),
            };
            assert_eq!(told, expected, "{row:?}");
        };
        let own = format!("None {SHARD} Some(\"w\") 7");
        check(row(SHARD, NUMBER), &format!("{own} At(\"{NUMBER}\")"));
        check(row(SHARD, "TRIM_HORIZON"), &format!("{own} TrimHorizon"));
        check(row(SHARD, "LATEST"), &format!("{own} Latest"));
        check(row(SHARD, "AT_TIMESTAMP"), &format!("{own} AtTimestamp"));
        check(row(SHARD, "SHARD_END"), &format!("{own} ShardEnd"));
        let key = format!("123456789012:orders:1700000000:{SHARD}");
        let multi = format!("Some((\"orders\", 1700000000)) {SHARD} Some(\"w\") 7 Latest");
        check(row(&key, "LATEST"), &multi);
        let nobody = Row { owner: None, ..row(SHARD, "LATEST") };
        check(nobody, &format!("None {SHARD} None 7 Latest"));
        check(Row { entity: Some("LEASE"), ..row(SHARD, "LATEST") }, &format!("{own} Latest"));
        check(Row { entity: Some("WORKER_METRIC_STATS"), ..row("worker", "LATEST") }, "other");
        check(Row { entity: Some("LEADER"), key: Some("Leader"), ..Row::default() }, "other");
        for foreign in [
            Row::default(),
            row("order-17", "LATEST"),
            row(SHARD, "soon"),
            row(SHARD, ""),
            Row { counter: Some("-1"), ..row(SHARD, "LATEST") },
            Row { counter: None, ..row(SHARD, "LATEST") },
            Row { checkpoint: None, ..row(SHARD, "LATEST") },
            row("a:b:c", "LATEST"),
            row(&format!("me:orders:1:{SHARD}"), "LATEST"),
            row(&format!("1:orders:then:{SHARD}"), "LATEST"),
        ] {
            check(foreign, "foreign");
        }
    }

    #[test]
    fn only_what_is_meant_counts() {
        let held = |key: &str| match read(row(key, "LATEST"), Moment::default()) {
            Reading::Lease(held) => held,
            other @ (Reading::Other | Reading::Foreign) => panic!("{other:?}"),
        };
        let key = |stream, epoch| held(&format!("1:{stream}:{epoch}:{SHARD}"));
        let check = |stream: Option<&str>,
                     held: &Held,
                     expected: Result<Option<&str>, Placeless>| {
            let mut meant = Meant::of(stream.map(StreamName::from));
            [key("orders", 5), key("orders", 9), key("mail", 5)]
                .iter()
                .for_each(|it| meant.see(it));
            let placed = meant.place(held);
            assert_eq!(placed, expected.map(|it| it.map(StreamName::from)), "{stream:?} {held:?}");
        };
        check(Some("orders"), &held(SHARD), Ok(Some("orders")));
        check(None, &held(SHARD), Err(Placeless));
        check(None, &key("mail", 5), Ok(Some("mail")));
        check(None, &key("orders", 5), Ok(None));
        check(None, &key("orders", 9), Ok(Some("orders")));
        check(Some("orders"), &key("mail", 5), Ok(None));
    }
}
