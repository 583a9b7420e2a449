//! Owns what is understood of a request before it leaves: the body to send, its hash, and the facts
//! for the observer. Refuses to fail for want of understanding: then the bytes go out as they came.

use super::admit::Admitted;
use super::exchange::Facts;
use super::put::{self, PreparedPut, readable};
use super::stream::Subscription;
use super::upstream::Outgoing;
use super::{Proxy, inferring, reply};
use crate::domain::stream::ConsumerName;
use crate::domain::time::Moment;
use crate::domain::trace::Parent;
use crate::wire::kinesis::address::Address;
use crate::wire::kinesis::fault::Fault;
use crate::wire::kinesis::operation::Operation;
use crate::wire::kinesis::subscribe::{self, SubscribeRequest};
use crate::wire::kinesis::{queue, read};
use crate::wire::segments::Segments;
use crate::wire::sigv4::{BodyHash, BodyHasher};
use bytes::Bytes;
use http::HeaderMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Bodies up to this are understood where they were read: 0.1 ms at most.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// The same of PutRecord: of a large record only the two ends are looked at, nearly always, and
/// another thread would have to fetch the whole body from this one's cache.
const INLINE_RECORD_BYTES_MAX: usize = 2 << 20;
/// Hashed before the other requests of the thread have their turn: 0.1 ms.
const HASHED_AT_ONCE_BYTES: usize = 128 << 10;

/// A request that is ready to leave.
#[derive(Debug)]
pub(super) struct Prepared {
    pub outgoing: Outgoing,
    /// Nothing where there is nothing to observe.
    pub facts: Option<Facts>,
    /// A subscription that begins.
    pub subscription: Option<Box<Asked>>,
    pub address: Address,
}

/// A subscription that is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    request: SubscribeRequest,
    parent: Option<Parent>,
}

impl Asked {
    /// The subscription, if the answer is a success.
    pub(super) fn begin(
        self,
        consumer: ConsumerName,
        server: &Arc<str>,
        started: Moment,
    ) -> Subscription {
        let Self { request, parent } = self;
        Subscription {
            stream: request.stream,
            shard: request.shard,
            consumer,
            consumer_arn: request.consumer_arn.into(),
            server: Arc::clone(server),
            started,
            request_id: None,
            parent,
        }
    }
}

/// What was understood of a body.
struct Understood {
    body: Segments,
    facts: Option<Facts>,
    subscription: Option<Box<Asked>>,
    address: Address,
}

impl Proxy {
    /// The splice and the hash of a body. Those of a large one may take milliseconds, which the
    /// other requests of this thread would wait for: they are worked out on another.
    ///
    /// # Errors
    /// The stream is not on the allow list.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        admitted: &Admitted,
        headers: HeaderMap,
        body: Bytes,
        now: Moment,
    ) -> Result<Prepared, Fault> {
        let operation = admitted.operation;
        let inline = body.len() <= INLINE_BYTES_MAX
            || operation == Operation::PutRecord
                && body.len() <= INLINE_RECORD_BYTES_MAX
                && !put::may_be_aggregate(&body);
        let (understood, hash) = if inline {
            let understood = self.understand_or_pass(operation, &headers, &body, now)?;
            let hash = hash_in_turns(&understood.body).await;
            (understood, hash)
        } else {
            let (this, headers, body) = (Arc::clone(self), headers.clone(), body.clone());
            let work = move || {
                let understood = this.understand_or_pass(operation, &headers, &body, now)?;
                let hash = BodyHash::of_pieces(understood.body.iter().map(AsRef::as_ref));
                Ok((understood, hash))
            };
            // What it could not understand it forwards: only a stopping runtime ends it.
            tokio::task::spawn_blocking(work).await.unwrap_or(Err(Fault::Overloaded))?
        };
        let Understood { body: spliced, facts, subscription, address } = understood;
        let enlarged = matches!(&facts, Some(Facts::Put(put)) if put.injected_bytes > 0);
        let outgoing = Outgoing {
            operation,
            region: admitted.region.clone(),
            form: reply::form_of(&headers),
            headers,
            hash,
            body: spliced,
            original: enlarged.then_some(body),
        };
        Ok(Prepared { outgoing, facts, subscription, address })
    }

    /// A bug of ours in here costs the understanding, not the request.
    fn understand_or_pass(
        &self,
        operation: Operation,
        headers: &HeaderMap,
        original: &Bytes,
        now: Moment,
    ) -> Result<Understood, Fault> {
        let work = AssertUnwindSafe(|| self.understand(operation, headers, original, now));
        catch_unwind(work).unwrap_or_else(|_| {
            tracing::error!(
                operation = operation.as_str(),
                "our own bug: a body goes out as it came"
            );
            self.metrics.records.with_label_values(&["unknown", "put", "panicked"]).inc();
            Ok(Understood::nothing(original))
        })
    }

    fn understand(
        &self,
        operation: Operation,
        headers: &HeaderMap,
        body: &Bytes,
        now: Moment,
    ) -> Result<Understood, Fault> {
        if matches!(operation, Operation::PutRecord | Operation::PutRecords) {
            let PreparedPut { body, facts, address } = put::prepare(self, headers, body, now)?;
            let facts = facts.map(Facts::Put);
            return Ok(Understood { body, facts, subscription: None, address });
        }
        let mut understood = Understood::nothing(body);
        let Ok(form) = readable(headers) else { return Ok(understood) };
        let policy = self.policy.load();
        // An emulator has one host for all, and then nothing asks for the address.
        if !self.upstream.is_fixed() || !policy.allow.streams.is_empty() {
            understood.address = Address::of(form, body);
            policy.allow.stream(understood.address.stream().as_ref())?;
        }
        let parent = || self.deciding.parent(headers);
        match operation {
            Operation::GetRecords => {
                let request = read::records_request(form, body).filter(|it| !it.dry_run);
                understood.facts = request.map(|it| Facts::Read {
                    iterator: it.iterator,
                    stream: it.stream,
                    parent: parent(),
                    prefetches: inferring::prefetches(headers),
                });
            }
            Operation::GetShardIterator => {
                let request = read::iterator_request(form, body).filter(|it| !it.dry_run);
                understood.facts = request
                    .and_then(|it| Some(Facts::Iterator { stream: it.stream?, shard: it.shard }));
            }
            Operation::ReceiveQueueRecords | Operation::ReceiveDeadLetterQueueRecords => {
                let request = queue::receive_request(form, body);
                understood.facts = request
                    .map(|it| Facts::Queue { queue: it.queue.as_str().into(), parent: parent() });
            }
            Operation::SubscribeToShard => {
                let request = subscribe::request(form, body);
                understood.subscription =
                    request.map(|request| Box::new(Asked { request, parent: parent() }));
            }
            Operation::PutRecord
            | Operation::PutRecords
            | Operation::Known(..)
            | Operation::Other => {}
        }
        Ok(understood)
    }
}

/// Hashes a body on this thread, a part at a time; between them the other requests have their turn.
async fn hash_in_turns(body: &Segments) -> BodyHash {
    let mut hasher = BodyHasher::default();
    let mut at_once_bytes = 0;
    for part in body.iter().flat_map(|piece| piece.chunks(HASHED_AT_ONCE_BYTES)) {
        if at_once_bytes + part.len() > HASHED_AT_ONCE_BYTES {
            tokio::task::yield_now().await;
            at_once_bytes = 0;
        }
        hasher.update(part);
        at_once_bytes += part.len();
    }
    hasher.finish()
}

impl Understood {
    fn nothing(body: &Bytes) -> Self {
        let body = body.clone().into();
        Self { body, facts: None, subscription: None, address: Address::default() }
    }
}
