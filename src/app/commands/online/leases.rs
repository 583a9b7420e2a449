//! Owns the checks of what a hub watches: each lease table by one page of it, and the shards of its
//! stream. Refuses to read a table to its end.

use super::{CHECK_MAX, Table, Verdict, late, streams, within};
use crate::io::clock::Clock;
use crate::io::credentials::SdkSettings;
use crate::io::leases;
use aws_sdk_dynamodb::Client;
use aws_sdk_kinesis::Client as Kinesis;

/// A line for each table, and one for each stream that is named.
pub(super) async fn check(
    tables: &[leases::Table],
    (sdk, kinesis): (&SdkSettings, &Kinesis),
    clock: &Clock,
    out: &mut Table<'_>,
) {
    let dynamodb = sdk.dynamodb();
    for table in tables {
        let what = format!("leases {}", table.application);
        out.trying(&what);
        let verdict = within(one(&dynamodb, table, clock)).await;
        out.tell(&what, verdict);
        if let Some(stream) = &table.stream {
            let listed = tokio::time::timeout(CHECK_MAX, streams::shards(kinesis, stream.as_str()));
            let verdict = listed.await.map_or_else(|_| late(), |(verdict, _)| verdict);
            out.tell(&format!("{what}: shards"), verdict);
        }
    }
}

async fn one(dynamodb: &Client, table: &leases::Table, clock: &Clock) -> Verdict {
    match leases::look(dynamodb, &table.table, clock.now()).await {
        Ok((0, false)) => Verdict::ok(format!("table {} is there; no lease yet", table.table)),
        Ok((count, more)) => {
            let more = if more { "over " } else { "" };
            let consumer = &table.consumer;
            Verdict::ok(format!("table {}: {more}{count} leases of {consumer}", table.table))
        }
        Err(fault) => Verdict::failed(format!("table {}: {fault}", table.table)),
    }
}
