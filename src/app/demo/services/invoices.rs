//! Owns the month's invoices: large records that the order service puts, of many customers or all of
//! one. What Kinesis refuses it puts again, as a careful producer does. Refuses to know any limit of
//! a shard's but by being refused.

use super::Dice;
use super::INVOICES;
use crate::io::clock::Clock;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use serde_json::json;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const TICK: Duration = Duration::from_millis(100);
/// A busy machine's late tick is made good up to so much.
const LATE_MAX: Duration = Duration::from_secs(1);
/// A shard's limits are those of a second, a little more than which is looked back to.
const SECOND: Duration = Duration::from_millis(1_050);
/// The text of one invoice, in bytes.
const DOCUMENT_BYTES: usize = 23_000;
/// Invoices that wait to be put again; while they do, no new ones are written.
const AGAIN_MAX: usize = 100;
/// The customer whose month ends with a flood.
const LARGE_CUSTOMER: &str = "customer-0042";

/// How much is invoiced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Nothing.
    Nothing,
    /// What was refused, and then an invoice now and then.
    Few,
    /// One customer's, nearly what a shard takes in a second.
    OneCustomer,
    /// One customer's, half as much again as it takes.
    TooMuch,
}

impl Load {
    /// Bytes a second. A shard takes 1 MB, and the embedded Kinesis begins to refuse at 1 MiB.
    const fn bytes_per_second(self) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Few => 40_000.0,
            Self::OneCustomer => 900_000.0,
            Self::TooMuch => 1_500_000.0,
        }
    }

    /// The most within any second. One that is late must not be refused for making good what it owes.
    const fn second_bytes_max(self) -> f64 {
        match self {
            Self::Nothing | Self::Few | Self::OneCustomer => 1_000_000.0,
            Self::TooMuch => 2_000_000.0,
        }
    }
}

/// When how much is to be put.
#[derive(Debug, Default)]
struct Due {
    bytes: f64,
    at: Duration,
    /// What was put within the last second.
    put: VecDeque<(Duration, f64)>,
}

impl Due {
    /// How many invoices of [`DOCUMENT_BYTES`] are to be put at `now`.
    fn count(&mut self, load: Load, now: Duration) -> usize {
        let passed = now.saturating_sub(std::mem::replace(&mut self.at, now)).min(LATE_MAX);
        self.bytes += load.bytes_per_second() * passed.as_secs_f64();
        while self.put.front().is_some_and(|(at, _)| now.saturating_sub(*at) > SECOND) {
            self.put.pop_front();
        }
        let put: f64 = self.put.iter().map(|(_, bytes)| bytes).sum();
        self.bytes = self.bytes.min(load.second_bytes_max() - put).max(0.0);
        let count = (self.bytes / DOCUMENT_BYTES as f64) as usize;
        self.bytes -= (count * DOCUMENT_BYTES) as f64;
        count
    }

    /// So many were put, and answered at `now`: they arrived before that and not after.
    fn done(&mut self, count: usize, now: Duration) {
        self.put.push_back((now, (count * DOCUMENT_BYTES) as f64));
    }
}

/// What became of the invoices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// Stored.
    pub stored: u64,
    /// Refused, each time anew.
    pub refused: u64,
    /// That wait to be put again.
    pub waiting: usize,
}

/// The writer of invoices.
#[derive(Debug)]
pub(crate) struct Invoices {
    client: Client,
    clock: Clock,
    dice: Dice,
    load: watch::Receiver<Load>,
    written: watch::Sender<Written>,
    again: VecDeque<PutRecordsRequestEntry>,
    number: u64,
}

impl Invoices {
    /// A writer that puts by `client` as much as `load` says, and tells what became of it.
    #[must_use]
    pub(crate) const fn new(
        client: Client,
        clock: Clock,
        dice: Dice,
        load: watch::Receiver<Load>,
        written: watch::Sender<Written>,
    ) -> Self {
        Self { client, clock, dice, load, written, again: VecDeque::new(), number: 0 }
    }

    /// Writes until `stop`; a call under way is finished first.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Due { at: self.clock.now().mono, ..Due::default() };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let count = due.count(self.load(), self.clock.now().mono);
            if count > 0 {
                self.put(count).await;
                due.done(count, self.clock.now().mono);
            }
        }
    }

    /// As much as is wanted; what was refused is put again at a shard's pace, when it may.
    fn load(&mut self) -> Load {
        let load = *self.load.borrow_and_update();
        if load == Load::Few && !self.again.is_empty() { Load::OneCustomer } else { load }
    }

    /// Puts so many: first those that were refused.
    async fn put(&mut self, count: usize) {
        let mut entries: Vec<_> = self.again.drain(..count.min(self.again.len())).collect();
        while entries.len() < count && self.again.len() + entries.len() < AGAIN_MAX {
            let load = *self.load.borrow();
            // Both required members are set, so this never fails.
            let Some(entry) = self.invoice(load) else { break };
            entries.push(entry);
        }
        let put = self.client.put_records().stream_name(INVOICES);
        let answer = put.set_records(Some(entries.clone())).send().await;
        let refused: Vec<_> = match &answer {
            Ok(answer) => entries
                .into_iter()
                .zip(answer.records())
                .filter(|(_, outcome)| outcome.error_code().is_some())
                .map(|(entry, _)| entry)
                .collect(),
            Err(_) => entries,
        };
        let stored = answer.map_or(0, |answer| answer.records().len() - refused.len());
        self.written.send_modify(|written| {
            written.stored += stored as u64;
            written.refused += refused.len() as u64;
            written.waiting = self.again.len() + refused.len();
        });
        self.again.extend(refused);
    }

    fn invoice(&mut self, load: Load) -> Option<PutRecordsRequestEntry> {
        self.number += 1;
        let customer = match load {
            Load::OneCustomer | Load::TooMuch => LARGE_CUSTOMER.to_owned(),
            Load::Nothing | Load::Few => format!("customer-{:04}", self.dice.below(500)),
        };
        let body = json!({
            "eventId": format!("invoice-{:08}", self.number),
            "eventType": "INVOICE_WRITTEN",
            "timestamp": self.clock.now().wall.to_string(),
            "payload": {"customerId": customer, "document": "=".repeat(DOCUMENT_BYTES)},
        });
        let data = Blob::new(body.to_string());
        PutRecordsRequestEntry::builder().data(data).partition_key(customer).build().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many invoices are put within each second, ticks coming `every` milliseconds.
    fn seconds(load: Load, every: &[u64]) -> Vec<usize> {
        let (mut due, mut now_ms, mut counts) = (Due::default(), 0, vec![0; 10]);
        for every in every.iter().cycle() {
            now_ms += every;
            let Some(second) = counts.get_mut(now_ms as usize / 1_000) else { return counts };
            let (now, before) = (Duration::from_millis(now_ms), *second);
            *second += due.count(load, now);
            due.done(*second - before, now);
        }
        counts
    }

    #[test]
    fn one_customers_invoices_fill_a_shard_and_stay_below_its_limit_however_late_they_are() {
        for every in [&[100][..], &[370], &[100, 100, 900], &[20, 30, 150, 10]] {
            let counts = seconds(Load::OneCustomer, every);
            let bytes: usize = counts.iter().sum::<usize>() * DOCUMENT_BYTES;
            assert!((8_000_000..=9_000_000).contains(&bytes), "{every:?}: {counts:?}");
            let most = counts.iter().max().expect("ten seconds") * DOCUMENT_BYTES;
            assert!(most <= 1_000_000, "{every:?}: {counts:?}");
        }
        let refused = seconds(Load::TooMuch, &[100]);
        assert!(refused.iter().all(|count| count * DOCUMENT_BYTES > 1_200_000), "{refused:?}");
        assert_eq!(seconds(Load::Nothing, &[100]), [0; 10]);
    }
}
