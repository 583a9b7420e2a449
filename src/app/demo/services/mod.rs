//! Owns the demo's services: unmodified users of aws-sdk-kinesis that know nothing of a sidecar but
//! its address. Refuses to know the script: their pace is told to them.

pub(super) mod book;
pub(super) mod consumer;
mod cursors;
pub(super) mod invoices;
pub(super) mod orders;
pub(super) mod producer;
pub(super) mod reports;
pub(super) mod saga;

use crate::domain::trace::SpanId;
use crate::domain::trace::TraceId;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::Config;
use aws_sdk_kinesis::config::BehaviorVersion;
use aws_sdk_kinesis::config::Credentials;
use aws_sdk_kinesis::config::Region;
use std::net::SocketAddr;

/// The demo's region; nothing of it leaves this machine.
pub(super) const REGION: &str = "us-east-1";

/// Stream of orders.
pub(super) const ORDERS: &str = "orders";
/// Stream of the saga's commands.
pub(super) const COMMANDS: &str = "commands";
/// Stream of invoices: large records.
pub(super) const INVOICES: &str = "invoices";
/// Stream of what happened long ago.
pub(super) const ARCHIVE: &str = "archive";
/// Every stream, with its shards.
pub(super) const STREAMS: [(&str, i32); 4] =
    [(ORDERS, 2), (COMMANDS, 2), (INVOICES, 2), (ARCHIVE, 1)];

/// The service that puts orders.
pub(super) const ORDER_SERVICE: &str = "order-service";
/// The service that reserves stock.
pub(super) const INVENTORY_SERVICE: &str = "inventory-service";
/// The service that writes e-mails, and that the script slows down.
pub(super) const EMAIL_SERVICE: &str = "email-service";
/// The service that ships orders in steps.
pub(super) const SAGA: &str = "saga";
/// Every service; each has a sidecar.
pub(super) const SERVICES: [&str; 4] = [ORDER_SERVICE, INVENTORY_SERVICE, EMAIL_SERVICE, SAGA];

/// A Kinesis client as any application makes one, pointed at `endpoint`.
#[must_use]
pub(super) fn client(endpoint: SocketAddr) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new("demo", "demo", None, None, "demo"))
        .endpoint_url(format!("http://{endpoint}"))
        .build();
    Client::from_conf(config)
}

/// Chance that repeats: the same seed gives the same demo (SplitMix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice that fall as `seed` says.
    #[must_use]
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..sides`; 0 for no sides.
    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.roll().checked_rem(sides).unwrap_or(0)
    }

    /// A trace id and a span id, as an instrumented client makes them.
    pub(super) fn ids(&mut self) -> Option<(TraceId, SpanId)> {
        let trace = (u128::from(self.roll()) << 64) | u128::from(self.roll());
        Some((TraceId::new(trace.to_be_bytes())?, SpanId::new(self.roll().to_be_bytes())?))
    }
}
