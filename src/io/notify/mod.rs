//! Owns the delivery of notices: a bounded queue and one task per receiver, so that a dead receiver
//! delays no other. Refuses to block who offers a notice, to reorder, and to show a receiver's URL.

mod attempt;
pub mod client;
mod delivery;
pub mod metrics;
mod queue;

use crate::domain::alert::Notice;
use crate::io::clock::Clock;
use crate::io::notify::client::HttpsClient;
use crate::io::notify::delivery::Timing;
use crate::io::notify::metrics::{Metrics, ReceiverMetrics};
use crate::io::notify::queue::Queue;
use crate::io::secret::Secret;
use prometheus::IntCounterVec;
use std::path::PathBuf;
use std::sync::Arc;

pub use crate::io::notify::delivery::Delivery;

/// Somebody who is told of alerts.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// The `receiver` label, and the field of the body.
    pub name: String,
    /// Where to post to.
    pub url: ReceiverUrl,
}

/// Where a receiver's URL is known from. It is a secret: who knows it can post.
#[derive(Debug, Clone)]
pub enum ReceiverUrl {
    /// The URL itself, from the configuration.
    Given(Secret),
    /// A file that holds it, read again at each attempt, so that it can be rotated.
    File(PathBuf),
}

/// The near end of all queues.
#[derive(Debug, Clone)]
pub struct Notifier {
    queues: Arc<[Arc<Queue>]>,
}

impl Notifier {
    /// One queue per receiver, and the deliveries that empty them: run each as a task of its own.
    /// `external_url` is where a person finds our status page. What is dropped is counted in
    /// `dropped`, the family `kinescope_dropped_total{queue,reason}`, too.
    #[must_use]
    pub fn new(
        receivers: Vec<Receiver>,
        external_url: &str,
        client: &HttpsClient,
        clock: &Clock,
        metrics: &Metrics,
        dropped: &IntCounterVec,
    ) -> (Self, Vec<Delivery>) {
        let deliver = |receiver: Receiver| {
            let metrics = ReceiverMetrics::new(&receiver.name, metrics, dropped);
            Delivery {
                queue: Arc::new(Queue::new(metrics.clone())),
                receiver,
                external_url: external_url.to_owned(),
                client: client.clone(),
                clock: clock.clone(),
                metrics,
                timing: Timing::DEFAULT,
            }
        };
        let deliveries: Vec<Delivery> = receivers.into_iter().map(deliver).collect();
        let queues = deliveries.iter().map(|delivery| Arc::clone(&delivery.queue)).collect();
        (Self { queues }, deliveries)
    }

    /// Has every receiver told, as soon as it can be. Never blocks.
    pub fn offer(&self, notice: Notice) {
        let notice = Arc::new(notice);
        for queue in self.queues.iter() {
            queue.offer(Arc::clone(&notice));
        }
    }
}

#[cfg(test)]
mod tests;
