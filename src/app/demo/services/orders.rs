//! Owns the order service: about 20 orders a second, put singly and in batches, some as part of a
//! trace that the service itself began. Refuses to consume.

use super::Dice;
use super::producer::Event;
use super::producer::Producer;
use crate::domain::time::Wall;
use crate::domain::trace::Flags;
use crate::domain::trace::TraceContext;
use crate::io::clock::Clock;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Every fifth tick is a batch of six, the others one order each: 20 a second.
const TICK: Duration = Duration::from_millis(100);
const BATCH: usize = 6;
const SKUS: [&str; 6] = ["kettle", "teapot", "cup", "saucer", "strainer", "tray"];

/// The order service.
#[derive(Debug)]
pub(crate) struct Orders {
    producer: Producer,
    dice: Dice,
    clock: Clock,
    number: u64,
}

impl Orders {
    /// A service that puts by `producer` what `dice` decide.
    #[must_use]
    pub(crate) const fn new(producer: Producer, dice: Dice, clock: Clock) -> Self {
        Self { producer, dice, clock, number: 0 }
    }

    /// Takes orders until `stop`; a call under way is finished first.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 0_u64.. {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if tick % 5 == 4 {
                let batch = (0..BATCH).map(|_| self.order()).collect();
                self.producer.put_all(batch).await;
            } else {
                let parent = self.own_trace();
                let order = self.order();
                self.producer.put(order, parent).await;
            }
        }
    }

    /// Every third put belongs to a trace that the application already has.
    fn own_trace(&mut self) -> Option<TraceContext> {
        if self.dice.below(3) != 0 {
            return None;
        }
        let (trace_id, span_id) = self.dice.ids()?;
        self.producer.book.client_trace(trace_id);
        Some(TraceContext { trace_id, span_id, flags: Flags::new(1) })
    }

    fn order(&mut self) -> Event {
        self.number += 1;
        order(self.number, &mut self.dice, self.clock.now().wall)
    }
}

/// The `number`th order: the envelope of an ORDER_CREATED event.
fn order(number: u64, dice: &mut Dice, now: Wall) -> Event {
    let items: Vec<Value> = (0..=dice.below(3))
        .map(|_| {
            let sku = usize::try_from(dice.below(SKUS.len() as u64)).unwrap_or_default();
            json!({"sku": SKUS.get(sku), "quantity": 1 + dice.below(4)})
        })
        .collect();
    let user = format!("user-{:04}", dice.below(500));
    let id = format!("{:016x}{number:016x}", dice.roll());
    let body = json!({
        "eventId": id,
        "eventType": "ORDER_CREATED",
        "timestamp": now.to_string(),
        "payload": {
            "orderId": format!("order-{number:06}"),
            "userId": user,
            "items": items,
            "status": "PENDING",
            "total": (500 + dice.below(20_000)) as f64 / 100.0,
        },
    });
    Event { id, key: user, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_orders() {
        let make = |seed| order(7, &mut Dice::new(seed), Wall::from_ms(0)).body;
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        assert_eq!(make(1)["eventType"], "ORDER_CREATED");
        assert_eq!(make(1)["payload"]["orderId"], "order-000007");
    }
}
