//! Owns how the demo's services put events: PutRecord and PutRecords, with a `traceparent` header
//! where the service has a trace of its own. Refuses to touch an event's body.

use super::book::Book;
use crate::domain::trace::TraceContext;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// How often the failed records of one PutRecords call are put again.
const ATTEMPTS_MAX: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// `eventId`.
    pub id: String,
    /// Partition key.
    pub key: String,
    /// The whole envelope.
    pub body: Value,
}

/// Puts events into one stream.
#[derive(Debug, Clone)]
pub(crate) struct Producer {
    /// The service's client.
    pub client: Client,
    /// The stream.
    pub stream: &'static str,
    /// Where it is noted.
    pub book: Arc<Book>,
}

impl Producer {
    /// Puts one event, as part of the trace `parent` if there is one.
    pub(crate) async fn put(&self, event: Event, parent: Option<TraceContext>) {
        let data = event.body.to_string();
        self.book.sending(&event.id, event.body);
        let put = self.client.put_record().stream_name(self.stream).partition_key(event.key);
        let put = put.data(Blob::new(data)).customize().mutate_request(move |request| {
            if let Some(parent) = parent {
                request.headers_mut().insert("traceparent", parent.to_string());
            }
        });
        let accepted = u64::from(put.send().await.is_ok());
        self.note(accepted, 1 - accepted);
    }

    /// Puts events in one call, and those that failed again.
    pub(crate) async fn put_all(&self, events: Vec<Event>) {
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            let data = Blob::new(event.body.to_string());
            self.book.sending(&event.id, event.body);
            let entry = PutRecordsRequestEntry::builder().data(data).partition_key(event.key);
            // Both required members are set, so this never fails.
            entries.extend(entry.build());
        }
        for _ in 0..ATTEMPTS_MAX {
            let put = self.client.put_records().stream_name(self.stream);
            let Ok(answer) = put.set_records(Some(entries.clone())).send().await else { break };
            let outcomes = answer.records();
            let failed: Vec<_> = entries
                .iter()
                .zip(outcomes)
                .filter(|(_, outcome)| outcome.error_code().is_some())
                .map(|(entry, _)| entry.clone())
                .collect();
            self.note((entries.len() - failed.len()) as u64, 0);
            entries = failed;
            if entries.is_empty() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.note(0, entries.len() as u64);
    }

    fn note(&self, accepted: u64, given_up: u64) {
        let mut pages = self.book.pages();
        *pages.put.entry(self.stream).or_default() += accepted;
        pages.put_failures += given_up;
    }
}
