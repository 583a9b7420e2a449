//! Owns the task that takes and renews the hub's lease and tells who works. Refuses to work on when
//! it cannot renew: two hubs that alert are worse than none for a moment.

use crate::domain::standby::{Claim, Standby, Step};
use crate::io::clock::Clock;
use crate::io::entropy;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::error::display::DisplayErrorContext;
use hex_simd::AsciiCase;
use prometheus::{IntGauge, Registry};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A hub that is killed is replaced after 15 to 20 s: KCL gives a dead worker's leases away after
/// ten.
const LIFE: Duration = Duration::from_secs(15);
/// Giving it back is a courtesy, and must not hold up a drain.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// After a call that failed: a renewal has two tries left.
const RETRY: Duration = Duration::from_secs(2);

/// The table's key, as KCL's tables have it, and the row's.
const KEY: &str = "leaseKey";
const ROW: &str = "kinescope-hub";
const OWNER: &str = "leaseOwner";
const COUNTER: &str = "leaseCounter";

/// A hub without a standby works always.
#[must_use]
pub fn always() -> watch::Receiver<bool> {
    watch::channel(true).1
}

/// The task that holds the lease, or waits for it.
#[derive(Debug)]
pub struct Holder {
    client: aws_sdk_dynamodb::Client,
    clock: Clock,
    table: String,
    standby: Standby,
    working: watch::Sender<bool>,
    gauge: IntGauge,
    /// Whether the log said that calls fail.
    fails: bool,
}

impl Holder {
    /// Holds the lease of `table`; the receiver says whether this hub works.
    ///
    /// # Errors
    /// When the metric's name is registered already.
    pub fn new(
        client: aws_sdk_dynamodb::Client,
        clock: Clock,
        table: String,
        registry: &Registry,
    ) -> prometheus::Result<(watch::Receiver<bool>, Self)> {
        let gauge = IntGauge::new(
            "kinescope_hub_working",
            "Whether this hub holds the lease and works, 1, or stands by, 0; absent without a standby.",
        )?;
        registry.register(Box::new(gauge.clone()))?;
        let (working, told) = watch::channel(false);
        let name = hex_simd::encode_to_string(entropy::bytes::<8>(), AsciiCase::Lower);
        let standby = Standby::new(name, LIFE);
        Ok((told, Self { client, clock, table, standby, working, gauge, fails: false }))
    }

    /// Works until `stop`, and gives the lease back.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.work()).await;
        let now = self.clock.now().mono;
        if let Some(Step::Write { seen, claim }) = self.standby.release(now) {
            let give_back = self.write(seen.as_ref(), &claim);
            // Late or refused: it ends by itself.
            let _ = tokio::time::timeout(RELEASE_MAX, give_back).await;
        }
        self.tell(false);
    }

    async fn work(&mut self) {
        loop {
            let began = self.clock.now().mono;
            let step = self.standby.next(began);
            // A call that hangs must not keep the lease beyond its time.
            let until = began + self.standby.pace();
            let clock = self.clock.clone();
            let came = tokio::select! {
                came = self.step(step, began) => came,
                () = clock.sleep_until(until) => Err("no answer in time".to_owned()),
            };
            let now = clock.now().mono;
            self.tell(self.standby.holds(now));
            let next = match came {
                Ok(Came::Settled) => until,
                Ok(Came::Open) => now,
                Err(said) => {
                    self.say_failed(&said);
                    now + RETRY
                }
            };
            if let Some(end) = self.standby.ends_at().filter(|end| now < *end && *end < next) {
                clock.sleep_until(end).await;
                self.tell(false);
            }
            clock.sleep_until(next).await;
        }
    }

    async fn step(&mut self, step: Step, began: Duration) -> Result<Came, String> {
        let came = match step {
            Step::Look => {
                let found = self.look().await?;
                let now = self.clock.now().mono;
                self.standby.saw(found, now);
                match self.standby.next(now) {
                    Step::Look => Came::Settled,
                    Step::Write { .. } => Came::Open,
                }
            }
            Step::Write { seen, claim } => {
                if self.write(seen.as_ref(), &claim).await? {
                    self.standby.wrote(claim, began);
                    Came::Settled
                } else {
                    self.standby.refused();
                    Came::Open
                }
            }
        };
        self.fails = false;
        Ok(came)
    }

    async fn look(&self) -> Result<Option<Claim>, String> {
        let call = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = call.key(KEY, AttributeValue::S(ROW.to_owned())).send().await;
        let answer = answer.map_err(|error| DisplayErrorContext(&error).to_string())?;
        let Some(item) = answer.item() else { return Ok(None) };
        let owner = item.get(OWNER).and_then(|it| it.as_s().ok());
        let counter = item.get(COUNTER).and_then(|it| it.as_n().ok()?.parse().ok());
        match owner.zip(counter) {
            Some((owner, counter)) => Ok(Some(Claim { owner: owner.clone(), counter })),
            None => Err(format!("the row {ROW} of the table is not one of ours")),
        }
    }

    /// True when it was written; false when the row is not as it was seen.
    async fn write(&self, seen: Option<&Claim>, claim: &Claim) -> Result<bool, String> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let call = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(KEY, text(ROW))
            .item("entityType", text("KINESCOPE_HUB"))
            .item(OWNER, text(&claim.owner))
            .item(COUNTER, AttributeValue::N(claim.counter.to_string()));
        let call = match seen {
            None => call.condition_expression(format!("attribute_not_exists({KEY})")),
            Some(seen) => call
                .condition_expression(format!("{OWNER} = :owner AND {COUNTER} = :counter"))
                .expression_attribute_values(":owner", text(&seen.owner))
                .expression_attribute_values(
                    ":counter",
                    AttributeValue::N(seen.counter.to_string()),
                ),
        };
        match call.send().await {
            Ok(_) => Ok(true),
            Err(error) => {
                let refused = error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception);
                if refused { Ok(false) } else { Err(DisplayErrorContext(&error).to_string()) }
            }
        }
    }

    fn say_failed(&mut self, error: &str) {
        if !std::mem::replace(&mut self.fails, true) {
            let table = &self.table;
            tracing::warn!(table, error, "the hub's lease can neither be read nor renewed");
        }
    }

    fn tell(&self, works: bool) {
        self.gauge.set(i64::from(works));
        let changed = self.working.send_if_modified(|told| std::mem::replace(told, works) != works);
        if changed {
            let what = if works { "this hub works" } else { "this hub stands by" };
            tracing::info!(table = self.table, "{what}");
        }
    }
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// The next one has time.
    Settled,
    /// The next one follows at once.
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use crate::io::credentials::fake;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    /// A table of one row that knows conditions, and fails from `broken_from` on.
    fn table(row: &mut Option<Value>, target: &str, body: &Value) -> (u16, Value) {
        if target.ends_with("GetItem") {
            return (200, row.as_ref().map_or(json!({}), |item| json!({"Item": item})));
        }
        let expected = &body["ExpressionAttributeValues"];
        let fits = match row {
            None => expected.is_null(),
            Some(row) => expected[":owner"] == row[OWNER] && expected[":counter"] == row[COUNTER],
        };
        if !fits {
            return (400, json!({"__type": "ConditionalCheckFailedException"}));
        }
        *row = Some(body["Item"].clone());
        (200, json!({}))
    }

    #[tokio::test(start_paused = true)]
    async fn one_works_and_the_other_takes_over() {
        let clock = Clock::simulated(Wall::from_ms(1_700_000_000_000));
        let row: Arc<Mutex<Option<Value>>> = Arc::default();
        let broken: Arc<Mutex<BTreeMap<&str, bool>>> = Arc::default();
        let mut hubs = Vec::new();
        for name in ["a", "b"] {
            let (row, broken) = (Arc::clone(&row), Arc::clone(&broken));
            let settings = fake::settings(move |request| {
                if broken.lock().unwrap().contains_key(name) {
                    return (500, Vec::new());
                }
                let target = request.headers().get("x-amz-target").unwrap().to_owned();
                let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
                let (status, answer) = table(&mut row.lock().unwrap(), &target, &body);
                (status, answer.to_string().into_bytes())
            })
            .await;
            let (works, holder) =
                Holder::new(settings.dynamodb(), clock.clone(), "t".into(), &Registry::new())
                    .unwrap();
            hubs.push((works, Some(holder)));
        }
        let (a, b) = (hubs[0].0.clone(), hubs[1].0.clone());
        let (stop_a, stop_b) = (CancellationToken::new(), CancellationToken::new());
        let run_a = hubs[0].1.take().unwrap().run(stop_a.clone());
        let run_b = hubs[1].1.take().unwrap().run(stop_b.clone());
        let script = async {
            let at = async |second| {
                clock.sleep_until(Duration::from_secs(second)).await;
                (*a.borrow(), *b.borrow())
            };
            assert!([(true, false), (false, true)].contains(&at(1).await));
            let first_is_a = *a.borrow();
            let (first, second, stop_second) =
                if first_is_a { ("a", b.clone(), &stop_b) } else { ("b", a.clone(), &stop_a) };
            let both = at(60).await;
            assert_eq!(both.0, first_is_a, "it keeps it");
            broken.lock().unwrap().insert(first, true);
            let (is_a, is_b) = at(66).await;
            assert!(!is_a && !is_b, "the holder lets go before the other may begin");
            let _ = at(90).await;
            assert!(*second.borrow(), "the other has taken over");
            // Given back, it is another's within a step.
            broken.lock().unwrap().clear();
            let _ = at(100).await;
            stop_second.cancel();
            let _ = at(106).await;
            assert!(!*second.borrow() && (*a.borrow() != *b.borrow()));
            stop_a.cancel();
            stop_b.cancel();
        };
        tokio::join!(run_a, run_b, script);
    }
}
