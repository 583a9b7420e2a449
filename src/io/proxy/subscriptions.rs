//! Owns what the pieces of subscriptions amount to: deliveries, failures inside a stream, and ends
//! with their reason. Refuses to grow, and to call a guess a fact: a takeover is one only where the
//! newer subscription is seen too.

use super::stream::{StreamEnd, StreamPiece, Subscription, What};
use crate::domain::lag::ReadObservation;
use crate::domain::stream::ShardId;
use crate::domain::time::Moment;
use crate::wire::kinesis::read::ReadRecord;
use crate::wire::kinesis::subscribe::{Decoded, Message, SubscribeEvent, Unreadable, decode};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Shards of consumers that are remembered; beyond it the one that was silent longest is forgotten.
const PLACES_MAX: usize = 4_096;
/// Subscriptions of one place: one that is being taken over and the one that takes over.
const LIVE_MAX: usize = 2;
/// A subscription that begins within this of its forerunner's last piece continues it: a reader
/// that lost its stream waits for seconds, not for minutes.
const RENEWED_WITHIN: Duration = Duration::from_secs(60);
/// Kinesis ends a subscription after five minutes; one that lived for this has had its time.
const LIFE: Duration = Duration::from_secs(290);

/// What a piece told.
#[derive(Debug)]
pub(super) enum Heard {
    /// An event, also one without records: it still tells the lag.
    Delivered {
        /// For the engine. It was called for when the event before came, in this subscription or
        /// the one that it continues; else when the subscription began.
        observation: ReadObservation,
        /// The records, in order.
        records: Vec<ReadRecord>,
    },
    /// The subscription failed after its success.
    InStream {
        /// The error's name.
        error: String,
        /// A newer subscription to the same shard by the same registered consumer is why.
        taken_over: bool,
    },
    /// A message whose checksum is wrong; this subscription is followed no further. Told once.
    Damaged {
        /// What is wrong.
        fault: Unreadable,
    },
    /// The subscription is over.
    Ended {
        /// How its answer ended.
        how: StreamEnd,
        /// Why, as far as we know.
        why: Why,
        /// From the request's arrival to its answer's end.
        lived: Duration,
        /// It continued an earlier one of the same consumer and shard.
        renewed: bool,
    },
}

/// Why a subscription ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It had its five minutes: the usual end.
    Expired,
    /// The shard is closed and read to its end.
    ShardEnd,
    /// A newer subscription took the shard.
    TakenOver,
    /// An error was told inside the stream.
    Failed,
    /// The client hung up.
    Cut,
    /// The connection to Kinesis broke.
    Broken,
    /// Kinesis ended it before its time and did not say why.
    Early,
}

impl Why {
    /// The label value.
    #[must_use]
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::ShardEnd => "shard_end",
            Self::TakenOver => "taken_over",
            Self::Failed => "failed",
            Self::Cut => "cut",
            Self::Broken => "broken",
            Self::Early => "early",
        }
    }
}

/// Every subscription that is followed. Kinesis allows one per registered consumer and shard.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    places: HashMap<(Arc<str>, ShardId), Place>,
}

/// One registered consumer's reading of one shard.
#[derive(Debug)]
struct Place {
    /// When the newest piece came.
    heard: Moment,
    /// When the newest event came.
    read: Option<Moment>,
    live: Vec<Live>,
}

#[derive(Debug)]
struct Live {
    subscription: Arc<Subscription>,
    renewed: bool,
    /// Since when the next event has been waited for.
    called_at: Moment,
    /// What will have been the reason when it ends.
    why: Option<Why>,
    damaged: bool,
}

impl Subscriptions {
    /// Takes a piece in. Pieces of one subscription come in order.
    pub(super) fn take(&mut self, piece: &StreamPiece) -> Option<Heard> {
        let StreamPiece { subscription, at, what, .. } = piece;
        let place = self.place(subscription, *at);
        place.follow(subscription);
        place.heard = *at;
        match what {
            What::Message(message) => place.message(subscription, message, *at),
            What::Ended { how } => place.end(subscription, *how, *at),
        }
    }

    fn place(&mut self, subscription: &Subscription, at: Moment) -> &mut Place {
        let key = (Arc::clone(&subscription.consumer_arn), subscription.shard.clone());
        if self.places.len() >= PLACES_MAX && !self.places.contains_key(&key) {
            let silent = self.places.iter().min_by_key(|(_, place)| place.heard.mono);
            if let Some(key) = silent.map(|(key, _)| key.clone()) {
                self.places.remove(&key);
            }
        }
        let new = || Place { heard: at, read: None, live: Vec::new() };
        self.places.entry(key).or_insert_with(new)
    }
}

impl Place {
    /// Remembers a subscription with its first piece.
    fn follow(&mut self, subscription: &Arc<Subscription>) {
        if self.live(subscription).is_some() {
            return;
        }
        let started = subscription.started;
        let read = self.read.filter(|_| started.since(self.heard) <= RENEWED_WITHIN);
        // The end of one before may have been dropped on its way here.
        if self.live.len() >= LIVE_MAX {
            self.live.remove(0);
        }
        self.live.push(Live {
            subscription: Arc::clone(subscription),
            renewed: read.is_some(),
            called_at: read.unwrap_or(started),
            why: None,
            damaged: false,
        });
    }

    fn live(&mut self, subscription: &Arc<Subscription>) -> Option<&mut Live> {
        self.live.iter_mut().find(|live| Arc::ptr_eq(&live.subscription, subscription))
    }

    fn message(
        &mut self,
        subscription: &Arc<Subscription>,
        message: &Message,
        at: Moment,
    ) -> Option<Heard> {
        let started = subscription.started.mono;
        let newer = self.live.iter().any(|other| other.subscription.started.mono > started);
        let live = self.live(subscription).filter(|live| !live.damaged)?;
        match decode(message) {
            Err(fault) => {
                live.damaged = true;
                Some(Heard::Damaged { fault })
            }
            Ok(Decoded::InitialResponse | Decoded::Other) => None,
            Ok(Decoded::Exception { kind: error }) => {
                let taken_over = newer && error == "ResourceInUseException";
                live.why = Some(if taken_over { Why::TakenOver } else { Why::Failed });
                Some(Heard::InStream { error, taken_over })
            }
            Ok(Decoded::Event(event)) => {
                let observation = observation(&event, live.called_at, at);
                live.called_at = at;
                if observation.shard_ended {
                    live.why = Some(Why::ShardEnd);
                }
                self.read = Some(at);
                Some(Heard::Delivered { observation, records: event.records })
            }
        }
    }

    fn end(
        &mut self,
        subscription: &Arc<Subscription>,
        how: StreamEnd,
        at: Moment,
    ) -> Option<Heard> {
        let same = |live: &Live| Arc::ptr_eq(&live.subscription, subscription);
        let live = self.live.remove(self.live.iter().position(same)?);
        let lived = at.since(subscription.started);
        let why = live.why.unwrap_or(match how {
            StreamEnd::Cut => Why::Cut,
            StreamEnd::Complete | StreamEnd::Broken if lived >= LIFE => Why::Expired,
            StreamEnd::Complete => Why::Early,
            StreamEnd::Broken => Why::Broken,
        });
        Some(Heard::Ended { how, why, lived, renewed: live.renewed })
    }
}

fn observation(event: &SubscribeEvent, called_at: Moment, at: Moment) -> ReadObservation {
    let newest = event.records.last();
    ReadObservation {
        called_at,
        at,
        behind: event.behind,
        records: u32::try_from(event.records.len()).unwrap_or(u32::MAX),
        oldest_sequence: event.records.first().and_then(|record| record.sequence.clone()),
        newest_sequence: newest.and_then(|record| record.sequence.clone()),
        newest_arrival: newest.and_then(|record| record.arrival),
        shard_ended: !event.child_shards.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::tests::message;
    use super::*;
    use crate::wire::kinesis::subscribe::Framer;
    use bytes::Bytes;

    fn at(seconds: u64) -> Moment {
        Moment::default().plus(Duration::from_secs(seconds))
    }

    fn subscription(shard: &str, started: u64) -> Arc<Subscription> {
        Arc::new(Subscription {
            stream: Some("orders".into()),
            shard: shard.into(),
            consumer: "mail".into(),
            consumer_arn: "arn:aws:kinesis:us-east-1:1:stream/orders/consumer/mail:1".into(),
            server: "kinesis".into(),
            started: at(started),
            request_id: None,
            parent: None,
        })
    }

    fn event(payload: &str) -> Bytes {
        let headers = [(":message-type", "event"), (":event-type", "SubscribeToShardEvent")];
        message(&headers, payload.to_owned())
    }

    fn exception(kind: &str) -> Bytes {
        message(&[(":message-type", "exception"), (":exception-type", kind)], "{}")
    }

    const IDLE: &str = r#"{"Records":[],"MillisBehindLatest":0}"#;

    impl Subscriptions {
        fn hear(&mut self, who: &Arc<Subscription>, seconds: u64, bytes: &Bytes) -> Option<Heard> {
            let message = Framer::default().push(bytes).remove(0);
            let what = What::Message(message);
            self.take(&StreamPiece::free(Arc::clone(who), at(seconds), what))
        }

        /// Since when an event at `seconds` was waited for, in seconds.
        fn called_at(&mut self, who: &Arc<Subscription>, seconds: u64) -> u64 {
            match self.hear(who, seconds, &event(IDLE)) {
                Some(Heard::Delivered { observation, .. }) => {
                    assert_eq!(observation.at, at(seconds));
                    observation.called_at.mono.as_secs()
                }
                other => panic!("{other:?}"),
            }
        }

        fn end(&mut self, who: &Arc<Subscription>, seconds: u64, how: StreamEnd) -> (Why, bool) {
            let what = What::Ended { how };
            match self.take(&StreamPiece::free(Arc::clone(who), at(seconds), what)) {
                Some(Heard::Ended { how: told, why, lived, renewed }) => {
                    assert_eq!((told, lived), (how, at(seconds).since(who.started)));
                    (why, renewed)
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_event_is_a_read_with_its_records() {
        let payload = r#"{"MillisBehindLatest":1512,"Records":[{"Data":"AAAA","SequenceNumber":"49"},
            {"ApproximateArrivalTimestamp":1548118964,"Data":"AAAA","SequenceNumber":"50"}]}"#;
        let (mut subscriptions, one) = (Subscriptions::default(), subscription("1", 10));
        let Some(Heard::Delivered { observation, records }) =
            subscriptions.hear(&one, 11, &event(payload))
        else {
            panic!("a delivery")
        };
        assert_eq!(observation.behind, Some(Duration::from_millis(1512)));
        assert_eq!((observation.records, records.len()), (2, 2));
        assert_eq!(observation.newest_sequence, Some("50".into()));
        assert_eq!(observation.newest_arrival, records[1].arrival);
        assert!(!observation.shard_ended);
    }

    #[test]
    fn a_new_subscription_goes_on_where_the_last_one_ended() {
        let mut subscriptions = Subscriptions::default();
        let (one, two) = (subscription("1", 10), subscription("1", 311));
        let initial =
            message(&[(":message-type", "event"), (":event-type", "initial-response")], "");
        assert!(subscriptions.hear(&one, 10, &initial).is_none());
        assert_eq!(subscriptions.called_at(&one, 12), 10);
        assert_eq!(subscriptions.called_at(&one, 308), 12);
        assert_eq!(subscriptions.end(&one, 310, StreamEnd::Complete), (Why::Expired, false));
        assert_eq!(subscriptions.called_at(&two, 312), 308, "no gap");
        assert_eq!(subscriptions.called_at(&two, 317), 312);
        assert_eq!(subscriptions.end(&two, 320, StreamEnd::Cut), (Why::Cut, true));
        // Another shard, and the same one much later, begin anew.
        let (other, late) = (subscription("2", 320), subscription("1", 381));
        assert_eq!(subscriptions.called_at(&other, 321), 320);
        assert_eq!(subscriptions.called_at(&late, 382), 381);
        assert_eq!(subscriptions.end(&late, 383, StreamEnd::Complete), (Why::Early, false));
    }

    #[test]
    fn a_takeover_is_one_where_the_newer_is_seen() {
        let check = |newer_seen: bool, error: &str, taken_over, why| {
            let mut subscriptions = Subscriptions::default();
            let (older, newer) = (subscription("1", 10), subscription("1", 20));
            subscriptions.called_at(&older, 11);
            if newer_seen {
                assert_eq!(subscriptions.called_at(&newer, 21), 11);
            }
            let heard = subscriptions.hear(&older, 22, &exception(error));
            let Some(Heard::InStream { error: told, taken_over: told_over }) = heard else {
                panic!("{heard:?}")
            };
            assert_eq!((told.as_str(), told_over), (error, taken_over));
            assert_eq!(subscriptions.end(&older, 22, StreamEnd::Complete), (why, false));
            if newer_seen {
                assert_eq!(subscriptions.end(&newer, 330, StreamEnd::Broken), (Why::Expired, true));
            }
        };
        check(true, "ResourceInUseException", true, Why::TakenOver);
        check(false, "ResourceInUseException", false, Why::Failed);
        check(true, "InternalFailureException", false, Why::Failed);
    }

    #[test]
    fn ends_have_reasons() {
        let check = |seconds, how, why| {
            let (mut subscriptions, one) = (Subscriptions::default(), subscription("1", 0));
            subscriptions.called_at(&one, 1);
            assert_eq!(subscriptions.end(&one, seconds, how), (why, false));
        };
        check(289, StreamEnd::Complete, Why::Early);
        check(290, StreamEnd::Complete, Why::Expired);
        check(289, StreamEnd::Broken, Why::Broken);
        check(300, StreamEnd::Broken, Why::Expired);
        check(300, StreamEnd::Cut, Why::Cut);
        let (mut subscriptions, one) = (Subscriptions::default(), subscription("1", 0));
        let last = r#"{"Records":[],"MillisBehindLatest":0,"ChildShards":[{"ShardId":"2"}]}"#;
        let heard = subscriptions.hear(&one, 5, &event(last));
        assert!(
            matches!(&heard, Some(Heard::Delivered { observation, .. }) if observation.shard_ended),
            "{heard:?}"
        );
        assert_eq!(subscriptions.end(&one, 6, StreamEnd::Complete), (Why::ShardEnd, false));
    }

    #[test]
    fn a_damaged_message_is_told_once_and_ends_the_reading() {
        let (mut subscriptions, one) = (Subscriptions::default(), subscription("1", 0));
        let mut damaged = event(IDLE).to_vec();
        damaged[30] ^= 1;
        let heard = subscriptions.hear(&one, 1, &damaged.into());
        assert!(matches!(heard, Some(Heard::Damaged { .. })), "{heard:?}");
        assert!(subscriptions.hear(&one, 2, &event(IDLE)).is_none());
        assert_eq!(subscriptions.end(&one, 3, StreamEnd::Cut), (Why::Cut, false));
    }

    #[test]
    fn bounded_in_places_and_in_subscriptions_of_one() {
        let mut subscriptions = Subscriptions::default();
        for number in 0..PLACES_MAX as u64 + 10 {
            subscriptions.called_at(&subscription(&number.to_string(), number), number);
        }
        assert_eq!(subscriptions.places.len(), PLACES_MAX);
        let forgotten = subscription("0", 5_000);
        assert_eq!(subscriptions.called_at(&forgotten, 5_001), 5_000);
        // Ends that were dropped on their way leave nothing that grows.
        for number in 0..10 {
            subscriptions.called_at(&subscription("1", 6_000 + number), 6_000 + number);
        }
        assert!(subscriptions.places.values().all(|place| place.live.len() <= LIVE_MAX));
        assert_eq!(subscriptions.places.len(), PLACES_MAX);
    }
}
