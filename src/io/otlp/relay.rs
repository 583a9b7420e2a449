//! Owns the way of OTLP requests that arrived here on to the collector: whole, as they came, in a
//! bounded queue of their own. Refuses to read them, and to hold them while the collector is away:
//! whoever sent one was told that we took it, so what is lost is counted.

use super::config::Config;
use super::config::Endpoint;
use super::config::Protocol;
use super::sender::Sender;
use super::sender::Signal as Sent;
use super::transport::BuildError;
use crate::io::clock::Clock;
use crate::io::quiet::Quiet;
use crate::wire::otlp_receive::Signal;
use bytes::Bytes;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Most requests that wait. Policy: over it the new one is dropped and counted.
const REQUESTS_MAX: usize = 64;
/// Most bytes of them, two of the largest that are taken in. Policy: as above.
pub const BYTES_MAX: usize = 32 << 20;
/// How long the last ones may take once the process was told to end.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Where requests are left. Cloning counts references.
#[derive(Debug, Clone)]
pub struct RelaySink {
    sender: mpsc::Sender<Parcel>,
    room: Arc<Semaphore>,
    full: IntCounter,
}

#[derive(Debug)]
struct Parcel {
    signal: Signal,
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The task that sends them.
#[derive(Debug)]
pub struct Relay {
    queue: mpsc::Receiver<Parcel>,
    traces: Sender,
    metrics: Option<Sender>,
    failed: IntCounter,
    shutdown: IntCounter,
    clock: Clock,
    quiet: Quiet,
}

impl RelaySink {
    /// Leaves a request: never blocks.
    pub fn offer(&self, signal: Signal, body: Bytes) {
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).ok();
        let sent = room.map(|room| self.sender.try_send(Parcel { signal, body, _room: room }));
        if !matches!(sent, Some(Ok(()))) {
            self.full.inc();
        }
    }
}

/// A relay to the collector that spans go to. `metrics_endpoint` is where metrics go; without it, beside the traces where their address
/// has the usual end. Drops go to `dropped`, the process's
/// `kinescope_dropped_total{queue,reason}`, under `queue="otlp_forward"`, in requests.
///
/// # Errors
/// The connections cannot be made.
pub fn relay(
    config: &Config,
    metrics_endpoint: Option<&str>,
    dropped: &IntCounterVec,
    clock: &Clock,
) -> Result<(RelaySink, Relay), BuildError> {
    let (sender, queue) = mpsc::channel(REQUESTS_MAX);
    let counter = |reason| dropped.with_label_values(&["otlp_forward", reason]);
    let room = Arc::new(Semaphore::new(BYTES_MAX));
    let sink = RelaySink { sender, room, full: counter("full") };
    let metrics = metrics_config(config, metrics_endpoint);
    let metrics = metrics.map(|to| Sender::new(&to, Sent::Metrics, clock.clone())).transpose()?;
    let relay = Relay {
        queue,
        traces: Sender::new(config, Sent::Traces, clock.clone())?,
        metrics,
        failed: counter("export_failed"),
        shutdown: counter("shutdown"),
        clock: clock.clone(),
        quiet: Quiet::default(),
    };
    Ok((sink, relay))
}

fn metrics_config(config: &Config, given: Option<&str>) -> Option<Config> {
    let traces = config.endpoint.uri().to_string();
    let beside = match config.protocol {
        Protocol::HttpProtobuf => {
            traces.strip_suffix("/v1/traces").map(|base| format!("{base}/v1/metrics"))
        }
        // Both signals have the same address.
        Protocol::Grpc => Some(traces),
    };
    let endpoint = Endpoint::parse(given.or(beside.as_deref())?).ok()?;
    Some(Config { endpoint, ..config.clone() })
}

impl Relay {
    /// Sends what is left here until `stop`, then what waits for three seconds at most.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(parcel)) = stop.run_until_cancelled(self.queue.recv()).await {
            self.send(parcel).await;
        }
        self.queue.close();
        let until = self.clock.now().mono.saturating_add(FLUSH_MAX);
        while let Ok(parcel) = self.queue.try_recv() {
            tokio::select! {
                () = self.send(parcel) => {}
                () = self.clock.sleep_until(until) => {
                    self.shutdown.inc_by(1 + self.queue.len() as u64);
                    return;
                }
            }
        }
    }

    async fn send(&self, parcel: Parcel) {
        let sender = match parcel.signal {
            Signal::Traces => Some(&self.traces),
            Signal::Metrics => self.metrics.as_ref(),
        };
        let cause = match sender {
            Some(sender) => sender.deliver(parcel.body).await.err().map(|failure| failure.cause),
            None => Some("no address for metrics is configured".to_owned()),
        };
        let Some(cause) = cause else { return };
        self.failed.inc();
        if let Some(silenced) = self.quiet.may_say(parcel.signal.as_str(), self.clock.now()) {
            let (signal, endpoint) = (parcel.signal.as_str(), self.traces.endpoint());
            tracing::warn!(%endpoint, signal, cause, silenced, "what arrived by OTLP cannot be handed on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Opts;

    fn dropped() -> IntCounterVec {
        IntCounterVec::new(Opts::new("d", "d"), &["queue", "reason"]).unwrap()
    }

    fn made(endpoint: &str, metrics: Option<&str>) -> (RelaySink, Relay, IntCounterVec) {
        let config =
            Config::new(Endpoint::parse(endpoint).unwrap(), super::super::Protocol::HttpProtobuf);
        let dropped = dropped();
        let (sink, relay) = relay(&config, metrics, &dropped, &Clock::system()).unwrap();
        (sink, relay, dropped)
    }

    #[test]
    fn metrics_go_beside_the_traces() {
        let check = |endpoint, given, expected: Option<&str>| {
            let to = made(endpoint, given).1.metrics.map(|to| to.endpoint().uri().to_string());
            assert_eq!(to.as_deref(), expected, "{endpoint}");
        };
        check("http://c:4318/v1/traces", None, Some("http://c:4318/v1/metrics"));
        check("http://c:4318/x/v1/traces", None, Some("http://c:4318/x/v1/metrics"));
        check("http://c:4318/elsewhere", None, None);
        check("http://c:4318/elsewhere", Some("http://m/v1/metrics"), Some("http://m/v1/metrics"));
    }

    #[tokio::test]
    async fn what_cannot_wait_is_counted() {
        let (sink, relay, dropped) = made("http://c:4318/v1/traces", None);
        let full = dropped.with_label_values(&["otlp_forward", "full"]);
        sink.offer(Signal::Traces, Bytes::from(vec![0; BYTES_MAX]));
        sink.offer(Signal::Traces, Bytes::from_static(b"x"));
        assert_eq!(full.get(), 1, "no bytes left");
        drop(relay);
        sink.offer(Signal::Traces, Bytes::new());
        assert_eq!(full.get(), 2, "and nobody to take it");
    }

    #[tokio::test]
    async fn what_the_collector_does_not_take_is_counted() {
        let (sink, relay, dropped) = made("http://c:4318/elsewhere", None);
        let stop = CancellationToken::new();
        sink.offer(Signal::Metrics, Bytes::from_static(b"x"));
        stop.cancel();
        relay.run(stop).await;
        assert_eq!(dropped.with_label_values(&["otlp_forward", "export_failed"]).get(), 1);
    }
}
