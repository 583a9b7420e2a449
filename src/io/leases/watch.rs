//! Owns the task that reads one lease table again and again and tells the engine what it says.
//! Refuses to tell an outcome twice in the log: a metric counts it, a line says when it changes.

use super::Table;
use super::budget::Budget;
use super::fault::TableFault;
use super::metrics::LeaseMetrics;
use super::scan::{Found, Scan};
use crate::domain::engine::Event;
use crate::domain::lease::Meant;
use crate::io::clock::Clock;
use crate::io::entropy;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The next reading is put off by up to this share of the interval, so that tables drift apart.
const SPREAD: f64 = 0.1;

/// Nobody listens any more.
type Gone = mpsc::error::SendError<Event>;

/// The task that watches one table.
#[derive(Debug)]
pub struct Watcher {
    scan: Scan,
    clock: Clock,
    table: Table,
    meant: Meant,
    events: mpsc::Sender<Event>,
    metrics: LeaseMetrics,
    /// The outcome that the log said last.
    said: Option<&'static str>,
    rows: usize,
}

impl Watcher {
    /// Watches `table` and tells `events` of each of its leases, whenever it was read.
    #[must_use]
    pub fn new(
        client: aws_sdk_dynamodb::Client,
        clock: Clock,
        table: Table,
        events: mpsc::Sender<Event>,
        metrics: LeaseMetrics,
    ) -> Self {
        let budget = Budget::new(clock.clone(), table.units_per_second);
        let scan = Scan { client, clock: clock.clone(), table: table.table.clone(), budget };
        let meant = Meant::of(table.stream.clone());
        Self { scan, clock, table, meant, events, metrics, said: None, rows: 0 }
    }

    /// Works until `stop`, or until nobody listens any more.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut failures = 0_u32;
        loop {
            let begun = self.clock.now().mono;
            let found = self.scan.whole(self.rows).await;
            self.metrics.spent(&self.table.application, found.units);
            let Ok(fault) = self.tell(found).await else { return };
            let outcome = fault.as_ref().map_or("ok", TableFault::as_str);
            self.metrics.read(&self.table.application, fault.as_ref());
            self.say(fault.as_ref(), outcome);
            let next = match fault {
                None => {
                    failures = 0;
                    let now = self.clock.now();
                    self.metrics.succeeded(&self.table.application, now.wall.as_seconds());
                    begun + self.table.interval.mul_f64(1.0 + SPREAD * entropy::chance())
                }
                Some(fault) => {
                    failures = failures.saturating_add(1);
                    self.clock.now().mono + fault.delay(failures, entropy::chance())
                }
            };
            self.clock.sleep_until(next).await;
        }
    }

    /// Tells what was found, also where a fault kept the reading from its end: each lease is a fact
    /// of its own.
    async fn tell(&mut self, found: Found) -> Result<Option<TableFault>, Gone> {
        let Found { leases, rows, fault, .. } = found;
        if fault.is_none() {
            self.rows = rows;
        }
        leases.iter().for_each(|held| self.meant.see(held));
        for held in leases {
            match self.meant.place(&held) {
                Err(placeless) => return Ok(fault.or(Some(placeless.into()))),
                Ok(None) => {}
                Ok(Some(stream)) => {
                    let consumer = self.table.consumer.clone();
                    let (shard, lease) = (held.shard, held.lease);
                    // A slow engine slows the watching, and nobody else.
                    self.events.send(Event::LeaseSeen { stream, consumer, shard, lease }).await?;
                }
            }
        }
        Ok(fault)
    }

    fn say(&mut self, fault: Option<&TableFault>, outcome: &'static str) {
        let before = self.said.replace(outcome);
        let (application, table) = (&self.table.application, &self.table.table);
        match fault {
            Some(error) if before != Some(outcome) => {
                tracing::warn!(application, table, cause = outcome, %error, "lease table not read");
            }
            None if before.is_some_and(|before| before != "ok") => {
                tracing::info!(application, table, "lease table is read again");
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests;
