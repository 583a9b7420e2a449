//! Owns the tests of a consumer on the embedded Kinesis itself: nothing is lost or read twice over a
//! resharding, and what it can't handle holds up its shard.

use super::*;
use crate::app::demo::incidents::reshard;
use crate::app::demo::kinesis::embedded;
use crate::app::demo::serve::serve;
use crate::app::demo::services::COMMANDS;
use crate::app::demo::services::ORDERS;
use crate::app::demo::services::book::Pages;
use crate::app::demo::services::book::READERS;
use crate::app::demo::services::client;
use crate::app::demo::services::producer::Event;
use crate::app::demo::services::producer::Producer;
use crate::app::demo::services::saga::Payments;
use crate::app::demo::world::streams;
use serde_json::json;
use tokio::task::JoinSet;

struct World {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    tools: Tools,
    client: Client,
}

impl World {
    async fn new() -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let (router, _) = embedded(Clock::system(), Arc::default());
        let sidecar = serve(router, &mut tasks, stop.clone()).await.expect("a port");
        let client = client(sidecar);
        streams(&client).await.expect("streams");
        let tools = Tools { sidecar, book: Arc::default(), clock: Clock::system() };
        Self { tasks, stop, tools, client }
    }

    fn producer(&self, stream: &'static str) -> Producer {
        Producer { client: self.client.clone(), stream, book: Arc::clone(&self.tools.book) }
    }

    fn consume(&mut self, reader: usize, duty: Duty) {
        let pace = watch::Sender::new(Pace::Normal).subscribe();
        let consumer = Consumer::new(self.tools.clone(), READERS[reader], duty, pace);
        self.tasks.spawn(consumer.run(self.stop.clone()));
    }

    async fn until(&self, holds: impl Fn(&Pages) -> bool) {
        while !holds(&self.tools.book.pages()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_resharding_loses_nothing_and_repeats_nothing() {
    let mut world = World::new().await;
    let producer = world.producer(ORDERS);
    let put = async |numbers: std::ops::Range<u32>| {
        for number in numbers {
            let (id, key) = (format!("order-{number}"), format!("user-{number}"));
            let body = json!({"eventId": id, "payload": {"items": []}});
            producer.put(Event { id, key, body }, None).await;
        }
    };
    put(0..20).await;
    // What is in a shard when it is split is read before what is in its children.
    let open = reshard(&world.client).await.expect("split").open;
    assert_eq!(open.len(), 3, "{open:?}");
    world.consume(0, Duty::Reserve(BTreeMap::new()));
    put(20..40).await;
    world.until(|pages| pages.deliveries[0].records >= 40).await;
    let merged = reshard(&world.client).await.expect("merged").open;
    assert_eq!(merged.len(), 2, "{merged:?}");
    put(40..60).await;
    world.until(|pages| pages.deliveries[0].records >= 60).await;
    let pages = world.tools.book.pages();
    let came = &pages.deliveries[0];
    assert_eq!((came.unknown, came.repeated, came.altered), (0, 0, 0));
    assert_eq!(pages.read_failures, 0);
}

#[tokio::test]
async fn what_cannot_be_handled_holds_up_its_shard_until_it_is_set_aside() {
    let mut world = World::new().await;
    let payments = watch::Sender::new(Payments::Poisoned);
    let producer = world.producer(COMMANDS);
    let (clock, payments_seen) = (Clock::system(), payments.subscribe());
    let mut saga = Saga { producer, clock, payments: payments_seen, has_poisoned: false };
    saga.order(&json!({"payload": {"orderId": "order-000008"}}), None).await;
    world.consume(3, Duty::CarryOut(saga));
    world.until(|pages| pages.put.get(COMMANDS) == Some(&2)).await;
    // The reservation alone: the payment is read again and again, and is not handled.
    assert_eq!(world.tools.book.pages().deliveries[3].records, 1);
    payments.send_replace(Payments::Guarded);
    world.until(|pages| pages.sagas.compensated == 1).await;
    let pages = world.tools.book.pages();
    let came = &pages.deliveries[3];
    assert_eq!((came.records, came.repeated, came.altered), (3, 0, 0));
    assert_eq!(pages.read_failures, 0);
}
