//! Owns how the demo's services consume: one loop over all shards that follows NextShardIterator,
//! goes on with a shard's children at its end, and goes back to its last record when a call or its
//! own work fails. Refuses to choose its own pace.

use super::book::Book;
use super::book::Reader;
use super::cursors::Cursors;
use super::reports::Done;
use super::reports::Reports;
use super::saga::Saga;
use crate::domain::time::Moment;
use crate::domain::trace::TraceContext;
use crate::io::clock::Clock;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Record;
use aws_sdk_kinesis::types::ShardIteratorType;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How fast a consumer works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Keeps up.
    Normal,
    /// One record of each shard a second.
    Slow,
    /// Not at all: its process has ended.
    Dead,
}

impl Pace {
    const fn records_per_read(self) -> i32 {
        match self {
            Self::Normal => 500,
            Self::Slow | Self::Dead => 1,
        }
    }

    const fn pause(self) -> Duration {
        match self {
            Self::Normal => Duration::from_millis(250),
            Self::Slow | Self::Dead => Duration::from_secs(1),
        }
    }
}

/// What a consumer does with an event.
#[derive(Debug)]
pub(crate) enum Duty {
    /// Reserves stock: what is reserved of each article.
    Reserve(BTreeMap<String, u64>),
    /// Writes e-mails: how many.
    Mail(u64),
    /// Goes through what happened long ago: how many of it.
    Replay(u64),
    /// Begins sagas.
    Begin(Saga),
    /// Carries out a saga's commands.
    CarryOut(Saga),
}

/// What a consumer works with.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// Its sidecar's data plane.
    pub sidecar: SocketAddr,
    /// Where it is noted what came.
    pub book: Arc<Book>,
    /// How long work takes.
    pub clock: Clock,
}

/// One service's reading of one stream.
#[derive(Debug)]
pub(crate) struct Consumer {
    tools: Tools,
    /// None while its process is dead.
    client: Option<Client>,
    reports: Reports,
    reader: Reader,
    duty: Duty,
    pace: watch::Receiver<Pace>,
    cursors: Cursors,
}

impl Consumer {
    /// A consumer that works at `pace`.
    #[must_use]
    pub(crate) fn new(
        tools: Tools,
        reader: Reader,
        duty: Duty,
        pace: watch::Receiver<Pace>,
    ) -> Self {
        let reports = Reports::to(tools.sidecar);
        Self { tools, client: None, reports, reader, duty, pace, cursors: Cursors::default() }
    }

    /// Reads every shard from its beginning until `stop`; what was read is handled first.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pace = *self.pace.borrow_and_update();
            match pace {
                Pace::Dead => {
                    // With the client its connections go, as with a process.
                    self.client = None;
                    self.cursors.drop_iterators();
                }
                Pace::Normal | Pace::Slow => self.round(pace).await,
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pace.pause()) => {}
                Ok(()) = self.pace.changed() => {}
            }
        }
    }

    /// Reads each shard once whose turn it is.
    async fn round(&mut self, pace: Pace) {
        let client = self.client.get_or_insert_with(|| super::client(self.tools.sidecar)).clone();
        if self.cursors.needs_list() {
            self.list(&client).await;
        }
        for shard in self.cursors.readable() {
            self.read(&client, &shard, pace).await;
        }
    }

    async fn list(&mut self, client: &Client) {
        let listed = client.list_shards().stream_name(self.reader.stream).send().await;
        let shards = listed.map(|answer| answer.shards.unwrap_or_default()).unwrap_or_default();
        self.cursors.list(shards.into_iter().map(|shard| {
            let parents = shard.parent_shard_id.into_iter().chain(shard.adjacent_parent_shard_id);
            (shard.shard_id, parents.collect())
        }));
    }

    async fn read(&mut self, client: &Client, shard: &str, pace: Pace) {
        let Some(cursor) = self.cursors.of(shard) else { return };
        // After a failure one by one: nobody else's event is to fail with it.
        let limit = if cursor.failing { 1 } else { pace.records_per_read() };
        let (iterator, last_read) = (cursor.iterator.take(), cursor.last_read.clone());
        let iterator = match iterator {
            Some(iterator) => Some(iterator),
            None => self.iterator(client, shard, last_read).await,
        };
        let Some(iterator) = iterator else { return self.failed() };
        let read = client.get_records().shard_iterator(iterator).limit(limit).send().await;
        // The next round asks for an iterator behind the last record: expired or not, that holds.
        let Ok(answer) = read else { return self.failed() };
        if let Some(cursor) = self.cursors.of(shard) {
            cursor.ended = answer.next_shard_iterator.is_none();
            cursor.iterator = answer.next_shard_iterator;
        }
        for record in answer.records {
            let handled = self.handle(shard, &record).await;
            let Some(cursor) = self.cursors.of(shard) else { return };
            cursor.failing = !handled;
            if !handled {
                // It is read again from here, until it can be handled.
                (cursor.iterator, cursor.ended) = (None, false);
                return;
            }
            cursor.last_read = Some(record.sequence_number);
        }
    }

    async fn iterator(
        &self,
        client: &Client,
        shard: &str,
        last_read: Option<String>,
    ) -> Option<String> {
        let kind = match last_read {
            Some(_) => ShardIteratorType::AfterSequenceNumber,
            None => ShardIteratorType::TrimHorizon,
        };
        let ask = client.get_shard_iterator().stream_name(self.reader.stream);
        let ask = ask.shard_id(shard).shard_iterator_type(kind);
        let answer = ask.set_starting_sequence_number(last_read).send().await;
        answer.ok()?.shard_iterator
    }

    /// False when the event could not be handled.
    async fn handle(&mut self, shard: &str, record: &Record) -> bool {
        let began = self.tools.clock.now();
        let data = record.data.as_ref();
        if let Duty::CarryOut(saga) = &self.duty
            && let Some((event, fault)) = saga.fault(data)
        {
            self.report(shard, record, &event, None, (began, Some(fault))).await;
            return false;
        }
        let delivered = self.tools.book.delivered(self.reader, data);
        let Some((event, context)) = delivered else { return true };
        match &mut self.duty {
            Duty::Reserve(reserved) => reserve(reserved, &event),
            Duty::Mail(written) | Duty::Replay(written) => *written += 1,
            Duty::Begin(saga) => saga.order(&event, context).await,
            Duty::CarryOut(saga) => {
                saga.command(&event, context).await;
                self.report(shard, record, &event, context, (began, None)).await;
            }
        }
        true
    }

    async fn report(
        &self,
        shard: &str,
        record: &Record,
        event: &Value,
        context: Option<TraceContext>,
        (began, fault): (Moment, Option<&str>),
    ) {
        let done = Done {
            stream: self.reader.stream,
            shard,
            sequence: &record.sequence_number,
            event,
            traceparent: context.map(|context| context.to_string()),
            took: self.tools.clock.now().since(began),
            fault,
        };
        self.reports.tell(done).await;
    }

    fn failed(&self) {
        self.tools.book.pages().read_failures += 1;
    }
}

fn reserve(reserved: &mut BTreeMap<String, u64>, event: &Value) {
    let items = event.get("payload").and_then(|payload| payload.get("items"));
    for item in items.and_then(Value::as_array).into_iter().flatten() {
        let sku = item.get("sku").and_then(Value::as_str).unwrap_or_default();
        let quantity = item.get("quantity").and_then(Value::as_u64).unwrap_or_default();
        *reserved.entry(sku.to_owned()).or_default() += quantity;
    }
}

#[cfg(test)]
mod tests;
