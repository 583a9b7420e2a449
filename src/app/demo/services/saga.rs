//! Owns the saga of reserve, pay, ship, and its way back: refund, release. Which step fails follows
//! from the saga's number alone, so that every run of the demo has the same sagas. Refuses to
//! keep state: the next command follows from the last.

use super::Dice;
use super::producer::Event;
use super::producer::Producer;
use crate::domain::trace::TraceContext;
use crate::io::clock::Clock;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;

/// One order in this many is shipped by a saga.
const ORDERS_PER_SAGA: u64 = 8;
/// One saga in this many cannot be paid …
const UNPAID: u64 = 6;
/// … and one in this many of the others cannot be shipped.
const UNSHIPPED: u64 = 8;

/// A command of the saga: `eventType` of its envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Reserve what was ordered.
    ReserveInventory,
    /// Take the money.
    ProcessPayment,
    /// Send it off.
    ShipOrder,
    /// Give the money back.
    RefundPayment,
    /// Give the stock back.
    ReleaseInventory,
}

impl Command {
    const ALL: [Self; 5] = [
        Self::ReserveInventory,
        Self::ProcessPayment,
        Self::ShipOrder,
        Self::RefundPayment,
        Self::ReleaseInventory,
    ];

    /// The `eventType`.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ReserveInventory => "RESERVE_INVENTORY",
            Self::ProcessPayment => "PROCESS_PAYMENT",
            Self::ShipOrder => "SHIP_ORDER",
            Self::RefundPayment => "REFUND_PAYMENT",
            Self::ReleaseInventory => "RELEASE_INVENTORY",
        }
    }
}

/// What follows a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Next(Command),
    Completed,
    Compensated,
}

/// Carries out `command` of the saga of this number.
fn carry_out(command: Command, number: u64) -> Then {
    let mut dice = Dice::new(number);
    let (unpaid, unshipped) = (dice.below(UNPAID) == 0, dice.below(UNSHIPPED) == 0);
    match command {
        Command::ReserveInventory => Then::Next(Command::ProcessPayment),
        Command::ProcessPayment if unpaid => Then::Next(Command::ReleaseInventory),
        Command::ProcessPayment => Then::Next(Command::ShipOrder),
        Command::ShipOrder if unshipped => Then::Next(Command::RefundPayment),
        Command::ShipOrder => Then::Completed,
        Command::RefundPayment => Then::Next(Command::ReleaseInventory),
        Command::ReleaseInventory => Then::Compensated,
    }
}

/// How it is with payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payments {
    /// One that can't be read is set aside, and its saga taken back.
    Guarded,
    /// The next one can't be read, and nobody has thought of that.
    Poisoned,
}

/// The amount of the payment that can't be read.
const POISON: &str = "12,50 EUR";

/// The saga service's hands: begins sagas for orders and carries out commands.
#[derive(Debug, Clone)]
pub(crate) struct Saga {
    /// Puts commands.
    pub producer: Producer,
    /// For the envelopes' timestamps.
    pub clock: Clock,
    /// How it is with payments.
    pub payments: watch::Receiver<Payments>,
    /// The poison has been sent: there is one.
    pub has_poisoned: bool,
}

impl Saga {
    /// An order came: begins a saga for one in eight, in the order's trace.
    pub(crate) async fn order(&mut self, event: &Value, context: Option<TraceContext>) {
        let Some(number) = number(event, "orderId").filter(|n| n % ORDERS_PER_SAGA == 0) else {
            return;
        };
        self.producer.book.pages().sagas.started += 1;
        self.send(Command::ReserveInventory, number, context).await;
    }

    /// Why the command in these bytes can't be carried out, and what it is; none where it can.
    pub(crate) fn fault(&self, data: &[u8]) -> Option<(Value, &'static str)> {
        let guarded = *self.payments.borrow() == Payments::Guarded;
        let event = serde_json::from_slice(data).ok().filter(|_| !guarded)?;
        is_unreadable(&event).then_some((event, "the amount is no number"))
    }

    /// A command came: carries it out and sends the next one, in the same trace.
    pub(crate) async fn command(&mut self, event: &Value, context: Option<TraceContext>) {
        let kind = event.get("eventType").and_then(Value::as_str).unwrap_or_default();
        let command = Command::ALL.into_iter().find(|command| command.as_str() == kind);
        let Some((command, number)) = command.zip(number(event, "sagaId")) else { return };
        let then = match is_unreadable(event) {
            true => Then::Next(Command::ReleaseInventory),
            false => carry_out(command, number),
        };
        match then {
            Then::Next(next) => self.send(next, number, context).await,
            Then::Completed => self.producer.book.pages().sagas.completed += 1,
            Then::Compensated => self.producer.book.pages().sagas.compensated += 1,
        }
    }

    /// Whether the payment that is sent now is the one that can't be read.
    fn poisons(&mut self, command: Command) -> bool {
        let is_time = *self.payments.borrow() == Payments::Poisoned;
        let poisons = is_time && !self.has_poisoned && command == Command::ProcessPayment;
        self.has_poisoned = is_time && (self.has_poisoned || poisons);
        poisons
    }

    async fn send(&mut self, command: Command, number: u64, context: Option<TraceContext>) {
        let id = format!("{}-{number:06}", command.as_str());
        let mut body = json!({
            "eventId": id,
            "eventType": command.as_str(),
            "timestamp": self.clock.now().wall.to_string(),
            "payload": {"sagaId": format!("saga-{number:06}"), "orderId": format!("order-{number:06}")},
        });
        if self.poisons(command)
            && let Some(payload) = body.get_mut("payload").and_then(Value::as_object_mut)
        {
            payload.insert("amount".to_owned(), POISON.into());
        }
        let key = format!("saga-{number:06}");
        self.producer.put(Event { id, key, body }, context).await;
    }
}

/// Whether this is a payment with an amount that is no number.
fn is_unreadable(event: &Value) -> bool {
    event.get("payload").and_then(|it| it.get("amount")).is_some_and(|it| !it.is_number())
}

/// The number behind the dash of a payload's member: 7 of `order-000007`.
fn number(event: &Value, member: &str) -> Option<u64> {
    event.get("payload")?.get(member)?.as_str()?.split_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_saga_ends_and_a_failed_one_gives_back_what_it_took() {
        let mut ends = [0; 3];
        for saga in 0..500 {
            let (mut command, mut steps) = (Command::ReserveInventory, vec!["RESERVE_INVENTORY"]);
            let end = loop {
                match carry_out(command, saga) {
                    Then::Next(next) => command = next,
                    end @ (Then::Completed | Then::Compensated) => break end,
                }
                steps.push(command.as_str());
            };
            let text = steps.join(" ").replace("_INVENTORY", "").replace("_PAYMENT", "");
            let (expected_end, index) = match text.as_str() {
                "RESERVE PROCESS SHIP_ORDER" => (Then::Completed, 0),
                "RESERVE PROCESS RELEASE" => (Then::Compensated, 1),
                "RESERVE PROCESS SHIP_ORDER REFUND RELEASE" => (Then::Compensated, 2),
                other => panic!("{other}"),
            };
            assert_eq!(end, expected_end);
            ends[index] += 1;
        }
        assert!(ends.into_iter().all(|sagas| sagas > 20), "{ends:?}");
    }

    #[test]
    fn a_payment_without_a_number_is_unreadable() {
        let check = |payload, expected| {
            assert_eq!(is_unreadable(&json!({"payload": payload})), expected);
        };
        check(json!({"sagaId": "saga-000008"}), false);
        check(json!({"amount": 12.5}), false);
        check(json!({"amount": POISON}), true);
    }

    #[test]
    fn numbers_are_read_from_the_payload() {
        let event = json!({"payload": {"orderId": "order-000016"}});
        assert_eq!(number(&event, "orderId"), Some(16));
        assert_eq!(number(&event, "sagaId"), None);
    }
}
