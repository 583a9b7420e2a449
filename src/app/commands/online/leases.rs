//! Owns the checks of DynamoDB's tables: of each lease table that a hub watches one page, and the
//! shards of its stream; of hubs that stand by for each other theirs. Refuses to read a table to its end.

use super::aws::said;
use super::{CHECK_MAX, Table, Verdict, late, streams, within};
use crate::io::clock::Clock;
use crate::io::credentials::SdkSettings;
use crate::io::leases;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
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

/// Whether the table that decides which of several hubs works can be read; nothing is written there.
pub(super) async fn standby(table: Option<&str>, sdk: &SdkSettings, out: &mut Table<'_>) {
    let Some(table) = table else { return };
    out.trying("hub's lease");
    let looked = async {
        let row = AttributeValue::S("kinescope-check".to_owned());
        match sdk.dynamodb().get_item().table_name(table).key("leaseKey", row).send().await {
            Ok(_) => Verdict::ok(format!(
                "table {table} can be read; whether it can be written (dynamodb:PutItem) is not tried"
            )),
            Err(error) => Verdict::failed(said("dynamodb:GetItem", &error)),
        }
    };
    let verdict = within(looked).await;
    out.tell("hub's lease", verdict);
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
