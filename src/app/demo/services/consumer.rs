//! Owns how the demo's services consume: one loop over all shards that follows NextShardIterator
//! and goes back to its last record when a call fails. Refuses to choose its own pace.

use super::book::Book;
use super::book::Reader;
use super::saga::Saga;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use serde_json::Value;
use std::collections::BTreeMap;
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
    /// Not at all.
    Stopped,
}

impl Pace {
    const fn records_per_read(self) -> i32 {
        match self {
            Self::Normal => 500,
            Self::Slow | Self::Stopped => 1,
        }
    }

    const fn pause(self) -> Duration {
        match self {
            Self::Normal => Duration::from_millis(250),
            Self::Slow | Self::Stopped => Duration::from_secs(1),
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
    /// Begins sagas.
    Begin(Saga),
    /// Carries out a saga's commands.
    CarryOut(Saga),
}

/// One service's reading of one stream.
#[derive(Debug)]
pub(crate) struct Consumer {
    client: Client,
    reader: Reader,
    duty: Duty,
    book: Arc<Book>,
    pace: watch::Receiver<Pace>,
}

/// Where a shard is read next.
#[derive(Debug, Default)]
struct Cursor {
    iterator: Option<String>,
    last_read: Option<String>,
    ended: bool,
}

impl Consumer {
    /// A consumer that works at `pace`.
    #[must_use]
    pub(crate) const fn new(
        client: Client,
        reader: Reader,
        duty: Duty,
        book: Arc<Book>,
        pace: watch::Receiver<Pace>,
    ) -> Self {
        Self { client, reader, duty, book, pace }
    }

    /// Reads every shard from its beginning until `stop`; what was read is handled first.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut cursors = BTreeMap::new();
        while !stop.is_cancelled() {
            let pace = *self.pace.borrow_and_update();
            if cursors.is_empty() {
                cursors = self.shards().await;
            }
            if pace != Pace::Stopped {
                for (shard, cursor) in &mut cursors {
                    self.read(shard, cursor, pace.records_per_read()).await;
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pace.pause()) => {}
                Ok(()) = self.pace.changed() => {}
            }
        }
    }

    async fn shards(&self) -> BTreeMap<String, Cursor> {
        let listed = self.client.list_shards().stream_name(self.reader.stream).send().await;
        let shards = listed.map(|answer| answer.shards.unwrap_or_default()).unwrap_or_default();
        shards.into_iter().map(|shard| (shard.shard_id, Cursor::default())).collect()
    }

    async fn read(&mut self, shard: &str, cursor: &mut Cursor, limit: i32) {
        if cursor.ended {
            return;
        }
        if cursor.iterator.is_none() {
            cursor.iterator = self.iterator(shard, cursor.last_read.clone()).await;
        }
        let Some(iterator) = cursor.iterator.take() else { return self.failed() };
        let read = self.client.get_records().shard_iterator(iterator).limit(limit).send().await;
        // The next round asks for an iterator behind the last record: expired or not, that holds.
        let Ok(answer) = read else { return self.failed() };
        cursor.ended = answer.next_shard_iterator.is_none();
        cursor.iterator = answer.next_shard_iterator;
        for record in answer.records {
            cursor.last_read = Some(record.sequence_number);
            self.handle(record.data.as_ref()).await;
        }
    }

    async fn iterator(&self, shard: &str, last_read: Option<String>) -> Option<String> {
        let kind = match last_read {
            Some(_) => ShardIteratorType::AfterSequenceNumber,
            None => ShardIteratorType::TrimHorizon,
        };
        let ask = self.client.get_shard_iterator().stream_name(self.reader.stream);
        let ask = ask.shard_id(shard).shard_iterator_type(kind);
        let answer = ask.set_starting_sequence_number(last_read).send().await;
        answer.ok()?.shard_iterator
    }

    async fn handle(&mut self, data: &[u8]) {
        let Some((event, context)) = self.book.delivered(self.reader, data) else { return };
        match &mut self.duty {
            Duty::Reserve(reserved) => reserve(reserved, &event),
            Duty::Mail(written) => *written += 1,
            Duty::Begin(saga) => saga.order(&event, context).await,
            Duty::CarryOut(saga) => saga.command(&event, context).await,
        }
    }

    fn failed(&self) {
        self.book.pages().read_failures += 1;
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
