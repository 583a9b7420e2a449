//! Owns one reading of a lease table: its segments side by side, page after page, within the budget.
//! Refuses to throw away good pages when another fails.

use super::budget::Budget;
use super::fault::TableFault;
use crate::domain::lease::{self, Held, Reading, Row};
use crate::domain::time::Moment;
use crate::io::clock::Clock;
use crate::io::credentials::fault::Fault;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use aws_smithy_types::error::display::DisplayErrorContext;
use std::collections::HashMap;
use tokio::task::JoinSet;

/// Rows that are read at most: an account has 20000 shards by default, and closed ones stay a while.
const ROWS_MAX: usize = 100_000;

/// A segment is worth it from so many rows on …
const SEGMENT_ROWS: usize = 2_000;
/// … and there are so many at most: DynamoDB's advice is one for each 2 GB, and this is about
/// waiting for answers, not about size.
const SEGMENTS_MAX: usize = 8;

/// What one reading found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) leases: Vec<Held>,
    /// Rows that were looked at.
    pub(super) rows: usize,
    /// Of them, those that are not KCL's.
    pub(super) foreign: usize,
    /// Read units.
    pub(super) units: f64,
    /// What kept it from the end.
    pub(super) fault: Option<TableFault>,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.leases.extend(other.leases);
        self.rows += other.rows;
        self.foreign += other.foreign;
        self.units += other.units;
        self.fault = self.fault.take().or(other.fault);
    }

    fn take(&mut self, item: &HashMap<String, AttributeValue>, at: Moment) {
        self.rows += 1;
        match lease::read(row(item), at) {
            Reading::Lease(held) => self.leases.push(held),
            Reading::Other => {}
            Reading::Foreign => self.foreign += 1,
        }
    }
}

/// Where and how a table is read.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) client: aws_sdk_dynamodb::Client,
    pub(super) clock: Clock,
    pub(super) table: String,
    pub(super) budget: Budget,
}

impl Scan {
    /// Reads the whole table. `rows_before` is how many it had the last time.
    pub(super) async fn whole(&self, rows_before: usize) -> Found {
        let segments = (rows_before / SEGMENT_ROWS).clamp(1, SEGMENTS_MAX);
        let mut reading = JoinSet::new();
        for segment in 0..segments {
            reading.spawn(self.clone().segment(segment, segments));
        }
        let mut found = Found::default();
        while let Some(read) = reading.join_next().await {
            // A segment that panicked is our own bug, and the others' rows are good.
            found.add(read.unwrap_or_default());
        }
        if found.fault.is_none() && found.rows > 0 && found.foreign == found.rows {
            found.fault = Some(TableFault::Foreign { rows: found.rows });
        }
        found
    }

    async fn segment(self, segment: usize, segments: usize) -> Found {
        let (mut found, mut from) = (Found::default(), None);
        loop {
            self.budget.turn().await;
            // Before the call: a lease is not younger than the look at it.
            let at = self.clock.now();
            let call = page(&self.client, &self.table, self.budget.page_rows())
                .set_segment((segments > 1).then_some(segment as i32))
                .set_total_segments((segments > 1).then_some(segments as i32))
                .set_exclusive_start_key(from.take());
            let answer = match call.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    let said = DisplayErrorContext(&error).to_string();
                    found.fault = Some(TableFault::Call { fault: Fault::of(&error), said });
                    return found;
                }
            };
            let cost = answer.consumed_capacity().and_then(|it| it.capacity_units());
            found.units += self.budget.spend(cost, answer.scanned_count());
            answer.items().iter().for_each(|item| found.take(item, at));
            from = answer.last_evaluated_key;
            if from.as_ref().is_none_or(HashMap::is_empty) {
                return found;
            }
            if found.rows >= ROWS_MAX / segments {
                found.fault = Some(TableFault::TooLong { rows: ROWS_MAX });
                return found;
            }
        }
    }
}

/// One page, of the attributes that matter. Eventually consistent, which costs half: a lease is
/// renewed every few seconds anyway.
fn page(
    client: &aws_sdk_dynamodb::Client,
    table: &str,
    rows: i32,
) -> aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder {
    client
        .scan()
        .table_name(table)
        .projection_expression(Row::ATTRIBUTES.join(", "))
        .return_consumed_capacity(ReturnConsumedCapacity::Total)
        .limit(rows)
}

fn row(item: &HashMap<String, AttributeValue>) -> Row<'_> {
    let text = |name: &str| match item.get(name) {
        Some(AttributeValue::S(text) | AttributeValue::N(text)) => Some(text.as_str()),
        _ => None,
    };
    let [key, owner, counter, checkpoint, entity] = Row::ATTRIBUTES.map(text);
    Row { key, owner, counter, checkpoint, entity }
}

/// One look at the first page, for `check --online`: how many leases stand on it, and whether there
/// are more pages.
///
/// # Errors
/// See [`TableFault`].
pub async fn look(
    client: &aws_sdk_dynamodb::Client,
    table: &str,
    at: Moment,
) -> Result<(usize, bool), TableFault> {
    let answer = page(client, table, 100).send().await.map_err(|error| TableFault::Call {
        fault: Fault::of(&error),
        said: DisplayErrorContext(&error).to_string(),
    })?;
    let mut found = Found::default();
    answer.items().iter().for_each(|item| found.take(item, at));
    let more = answer.last_evaluated_key().is_some_and(|key| !key.is_empty());
    if found.rows > 0 && found.foreign == found.rows {
        return Err(TableFault::Foreign { rows: found.rows });
    }
    Ok((found.leases.len(), more))
}
