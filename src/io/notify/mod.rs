//! Owns the delivery of notices: what waits is written down before it counts, and each receiver has a
//! queue and a task of its own, so that a dead one delays no other. Refuses to block who offers a
//! notice, to tell of an end before its beginning, and to show an address or a key.

mod attempt;
pub mod client;
mod delivery;
mod keeper;
mod message;
pub mod metrics;
mod outgoing;
mod receiver;

use crate::domain::alert::{AlertState, AlertView, LET_GO, Labels, Notice, NoticeReason};
use crate::domain::outbox::{self, Outbox};
use crate::io::clock::Clock;
use crate::io::notify::client::HttpsClient;
use crate::io::notify::delivery::Timing;
use crate::io::notify::metrics::{Metrics, QueueGauges, ReceiverMetrics};
use crate::io::notify::outgoing::{Line, Outgoing};
use crate::io::outbox::{Restored, Store};
use prometheus::{IntCounterVec, Registry};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::watch;

pub use crate::io::notify::delivery::Delivery;
pub use crate::io::notify::keeper::Keeper;
pub use crate::io::notify::receiver::{FALLBACK_AFTER, Kind, Place, RENEW_EVERY, Receiver};

/// From the decision to tell until it is given up: nobody acts on an alert of yesterday.
const AGE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// What delivery is built from.
#[derive(Debug)]
pub struct Room<'a> {
    /// Who is told.
    pub receivers: Vec<Receiver>,
    /// Where a person finds our status page; empty if nowhere.
    pub external_url: &'a str,
    /// Calls receivers.
    pub client: &'a HttpsClient,
    /// Both clocks.
    pub clock: &'a Clock,
    /// Where the gauges of the queues are registered.
    pub registry: &'a Registry,
    /// The counters.
    pub metrics: &'a Metrics,
    /// `kinescope_dropped_total{queue,reason}`.
    pub dropped: &'a IntCounterVec,
    /// Counts reloads of the configuration: each lets a receiver that was gone be asked again.
    pub reloads: Arc<AtomicU64>,
}

/// Delivery, built.
#[derive(Debug)]
pub struct Built {
    /// Where notices go in.
    pub notifier: Notifier,
    /// Each to be run as a task of its own.
    pub deliveries: Vec<Delivery>,
    /// To be run beside them, and to be stopped after them.
    pub keeper: Keeper,
    /// How receivers' settings are changed while it runs.
    pub settings: Settings,
    /// What [`Notifier::save_machine`] was last given before the restart.
    pub machine: Option<Vec<u8>>,
}

/// How the receivers are called, which can change while they are.
#[derive(Debug, Clone, Default)]
pub struct Settings(Vec<watch::Sender<Receiver>>);

impl Settings {
    /// Calls them so from the next attempt on. Receivers that are new, or cannot become so, are left
    /// to the next start.
    pub fn put(&self, receivers: &[Receiver]) {
        for line in &self.0 {
            line.send_if_modified(|known| {
                let new = receivers.iter().find(|new| known.can_become(new) && **new != *known);
                if let Some(new) = new {
                    *known = new.clone();
                }
                new.is_some()
            });
        }
    }
}

/// The near end of all queues.
#[derive(Debug, Clone)]
pub struct Notifier {
    outgoing: Arc<Outgoing>,
    clock: Clock,
    renew_every: Option<Duration>,
}

impl Room<'_> {
    /// The queues, with what `restored` says that was not delivered, and the tasks that empty them.
    ///
    /// # Errors
    /// A metric family of ours twice: our own bug.
    pub fn build(self, store: Store, restored: Restored) -> prometheus::Result<Built> {
        let position = |name: &String| self.receivers.iter().position(|one| one.name == *name);
        let line = |receiver: &Receiver| outbox::Line {
            name: receiver.name.as_str().into(),
            fallback: receiver.fallback.as_ref().and_then(position),
            fallback_after: receiver.fallback_after,
        };
        let lines = self.receivers.iter().map(line).collect();
        let outbox = Outbox::new(lines, restored.kept, AGE_MAX, self.clock.now());
        let counters =
            |receiver: &Receiver| ReceiverMetrics::new(&receiver.name, self.metrics, self.dropped);
        let line = |receiver: &Receiver| {
            let renews = receiver.kind.renew_every().is_some();
            Line::new(receiver.name.clone(), counters(receiver), renews)
        };
        let lines = self.receivers.iter().map(line).collect();
        let (is_durable, clock) = (store.is_durable(), self.clock.clone());
        self.metrics.durable.set(i64::from(is_durable));
        let outgoing = Arc::new(Outgoing::new(outbox, lines, is_durable, clock.clone()));
        QueueGauges::register(self.registry, Arc::clone(&outgoing), clock.clone())?;
        let settings = self.receivers.iter().cloned().map(watch::Sender::new).collect();
        let settings = Settings(settings);
        let each = self.receivers.iter().zip(&settings.0).enumerate();
        let deliveries = each.map(|(index, (receiver, settings))| Delivery {
            name: receiver.name.clone(),
            receiver: settings.subscribe(),
            index,
            outgoing: Arc::clone(&outgoing),
            external_url: self.external_url.to_owned(),
            client: self.client.clone(),
            clock: clock.clone(),
            metrics: counters(receiver),
            timing: Timing::DEFAULT,
            reloads: Arc::clone(&self.reloads),
            gone_since: AtomicU64::new(0),
        });
        let deliveries = deliveries.collect();
        let durable = self.metrics.durable.clone();
        let (retry, outgoing_kept) = (keeper::RETRY, Arc::clone(&outgoing));
        let keeper =
            Keeper { outgoing: outgoing_kept, store, durable, clock: clock.clone(), retry };
        let renew_every = self.receivers.iter().filter_map(|one| one.kind.renew_every()).min();
        let notifier = Notifier { outgoing, clock, renew_every };
        Ok(Built { notifier, deliveries, keeper, settings, machine: restored.machine })
    }
}

impl Notifier {
    /// Has every receiver told, as soon as it is written down and can be. Never blocks.
    pub fn offer(&self, notice: Notice) {
        self.outgoing.offer(&Arc::new(notice));
    }

    /// Keeps the state of the alerts for the next start, in the same transaction as the notices that
    /// were offered before, or a later one. The newest counts. Never blocks.
    pub fn save_machine(&self, bytes: Vec<u8>) {
        self.outgoing.save_machine(bytes);
    }

    /// How often [`Notifier::renew`] is due, if any receiver forgets what it is not told again.
    #[must_use]
    pub fn renew_every(&self) -> Option<Duration> {
        self.renew_every
    }

    /// Tells those receivers again what fires and is seen here; nothing of it is kept. Ends are told only once: said
    /// again, they would end what another sidecar sees begin anew.
    pub fn renew(&self, alerts: impl IntoIterator<Item = AlertView>) {
        let firing = |alert: &AlertView| {
            alert.state == AlertState::Firing && !alert.annotations.contains_key(LET_GO)
        };
        let alerts: Vec<AlertView> = alerts.into_iter().filter(firing).collect();
        if alerts.is_empty() {
            return;
        }
        let at = self.clock.now();
        self.outgoing.renew(alerts, |alerts| Notice {
            id: 0,
            group_key: String::new(),
            group_labels: Labels::new(),
            reason: NoticeReason::Repeat,
            alerts,
            at,
        });
    }
}

#[cfg(test)]
mod tests;
