//! Owns what the observer makes of subscriptions: events as reads, the errors inside the stream,
//! the ends with their reason.

use super::super::spans::{self, Delivery, Ending};
use super::super::stream::{StreamPiece, Subscription};
use super::super::subscriptions::Heard;
use super::{Observer, UNKNOWN};
use crate::domain::engine::Event;
use crate::domain::lag::ReadObservation;
use crate::domain::stream::StreamName;
use crate::wire::kinesis::read::ReadRecord;

impl Observer {
    /// Takes one piece of a subscription in.
    pub(super) fn subscribed(&mut self, piece: &StreamPiece) {
        let subscription = &piece.subscription;
        let stream = subscription.stream.as_ref().map_or(UNKNOWN, StreamName::as_str);
        let label = self.metrics.capped(stream).to_owned();
        match self.subscriptions.take(piece) {
            None => {}
            Some(Heard::Delivered { observation, records }) => {
                self.delivered(subscription, &label, observation, &records);
            }
            Some(Heard::InStream { error, taken_over }) => {
                let shard = &subscription.shard;
                tracing::info!(stream, %shard, error, taken_over, "a subscription failed inside its stream");
            }
            Some(Heard::Damaged { fault }) => {
                self.metrics.dropped.with_label_values(&["observer", "damaged"]).inc();
                tracing::warn!(stream, %fault, "a subscription is passed on and no longer read");
            }
            Some(Heard::Ended { how, why, lived, renewed }) => {
                let labels = [label.as_str(), subscription.consumer.as_str(), why.as_str()];
                self.metrics.subscriptions_ended.with_label_values(&labels).inc();
                tracing::debug!(
                    stream,
                    why = why.as_str(),
                    ?how,
                    ?lived,
                    renewed,
                    "a subscription ended"
                );
            }
        }
    }

    fn delivered(
        &mut self,
        subscription: &Subscription,
        label: &str,
        observation: ReadObservation,
        records: &[ReadRecord],
    ) {
        let call = spans::Call {
            consumer: &subscription.consumer,
            server: &subscription.server,
            started: observation.called_at,
            ended: observation.at,
        };
        self.count_delivered(&call, records, label);
        self.meter_pushed(&call, subscription.stream.as_ref(), records.len());
        let of = Delivery {
            stream: subscription.stream.as_ref(),
            shard: Some(&subscription.shard),
            is_queue: false,
            parent: subscription.parent.as_ref(),
        };
        let request_id = subscription.request_id.clone();
        let ending = Ending { error: None, request_id, status: Some(200) };
        self.export_receive(&call, &of, records, &ending);
        if let Some(stream) = &subscription.stream {
            self.announce(stream);
            self.tell(Event::Read {
                stream: stream.clone(),
                consumer: subscription.consumer.clone(),
                shard: subscription.shard.clone(),
                observation,
            });
        }
    }
}
