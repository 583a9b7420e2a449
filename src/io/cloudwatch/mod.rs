//! Owns the CloudWatch poller (stub until merged).
use crate::domain::engine::Event;
use crate::domain::stream::StreamName;
use crate::io::clock::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
/// stub
#[derive(Debug, Default)]
pub struct Config {
    /// stub
    pub interval: Duration,
    /// stub
    pub delay: Duration,
    /// stub
    pub x: (),
}
/// stub
#[derive(Debug)]
pub struct Metrics;
impl Metrics {
    /// stub
    pub fn register(_: &prometheus::Registry) -> prometheus::Result<Self> {
        Ok(Self)
    }
}
/// stub
#[derive(Debug)]
pub struct Poller;
impl Poller {
    /// stub
    pub fn new(
        _: aws_sdk_cloudwatch::Client,
        _: Clock,
        _: Config,
        _: watch::Receiver<Arc<[StreamName]>>,
        _: mpsc::Sender<Event>,
        _: Metrics,
    ) -> Self {
        Self
    }
    /// stub
    pub async fn run(self, _: tokio_util::sync::CancellationToken) {}
}
