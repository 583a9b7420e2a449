//! Owns one figure: how long 1,000 alerts that fire at once take from the decision to the request at a
//! webhook and an Alertmanager, with every notice on disk first, and how much memory that needed.
//! The bar: within 10 s, under 64 MiB.

use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kinescope::domain::alert::{AlertState, AlertView, Notice, NoticeReason};
use kinescope::io::clock::Clock;
use kinescope::io::notify::metrics::Metrics;
use kinescope::io::notify::{Built, Kind, Place, RENEW_EVERY, Receiver, Room, client};
use kinescope::io::outbox::Store;
use kinescope::io::secret::Secret;
use prometheus::{IntCounterVec, Opts, Registry};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const ALERTS: usize = 1_000;

/// A receiver on loopback that says yes and counts alerts by their `startsAt`.
async fn receiver(tasks: &mut JoinSet<()>) -> std::io::Result<(String, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let told = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&told);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let counter = Arc::clone(&counter);
                async move {
                    let body = request.into_body().collect().await.map(|body| body.to_bytes());
                    let alerts = body.map_or(0, |body| {
                        String::from_utf8_lossy(&body).matches("\"startsAt\"").count()
                    });
                    counter.fetch_add(alerts, Ordering::Relaxed);
                    Ok::<_, Infallible>(hyper::Response::new(Full::<bytes::Bytes>::default()))
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service);
            connections.spawn(async move { connection.await.unwrap_or_default() });
        }
    });
    Ok((url, told))
}

/// An alert with the evidence that alerts have: some 1.5 KB.
fn notice(n: usize, clock: &Clock) -> Notice {
    let now = clock.now();
    let consumer = format!("consumer-{n:04}");
    let text = |name: &str, value: String| (name.to_owned(), value);
    let labels = [
        text("alertname", "KinesisConsumerLagHigh".to_owned()),
        text("consumer", consumer.clone()),
        text("stream", "orders".to_owned()),
        text("severity", "critical".to_owned()),
    ];
    let annotations = (0..12).map(|n| text(&format!("evidence_{n}"), "what is known ".repeat(8)));
    let alert = AlertView {
        labels: labels.into(),
        annotations: annotations.collect(),
        state: AlertState::Firing,
        starts_at: now.wall,
        ends_at: None,
    };
    Notice {
        id: n as u64,
        group_key: consumer,
        group_labels: alert.labels.clone(),
        reason: NoticeReason::First,
        alerts: vec![alert],
        at: now,
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark tells its figures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        let (hook_url, hook_told) = receiver(&mut tasks).await?;
        let (am_url, am_told) = receiver(&mut tasks).await?;
        let folder = std::env::temp_dir().join(format!("kinescope-bench-{}", std::process::id()));
        let (store, restored) = Store::open(Some(folder.clone())).await;
        let (registry, clock) = (Registry::new(), Clock::system());
        let place = |url| Place::Given(Secret::new(url));
        let hook = Kind::Webhook { url: place(hook_url), secret_file: None };
        let am =
            Kind::Alertmanager { url: place(am_url), token_file: None, renew_every: RENEW_EVERY };
        let room = Room {
            receivers: vec![Receiver::new("hook", hook), Receiver::new("am", am)],
            external_url: "http://127.0.0.1:9590/",
            client: &client::client(),
            clock: &clock,
            registry: &registry,
            metrics: &Metrics::register(&registry)?,
            dropped: &IntCounterVec::new(Opts::new("dropped", "Dropped."), &["queue", "reason"])?,
            reloads: Arc::new(AtomicU64::new(1)),
        };
        let Built { notifier, deliveries, keeper, .. } = room.build(store, restored)?;
        let stop = CancellationToken::new();
        for delivery in deliveries {
            tasks.spawn(delivery.run(stop.clone()));
        }
        tasks.spawn(keeper.run(stop.clone()));
        let began = clock.now();
        (0..ALERTS).for_each(|n| notifier.offer(notice(n, &clock)));
        let told = |counter: &AtomicUsize| counter.load(Ordering::Relaxed) >= ALERTS;
        while !told(&hook_told) || !told(&am_told) {
            clock.sleep_until(clock.now().mono + std::time::Duration::from_millis(1)).await;
        }
        let took = clock.now().since(began);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: ?");
        println!("{ALERTS} alerts at once, on disk first: {took:.0?} until both receivers had all");
        println!("{}", memory.split_whitespace().collect::<Vec<_>>().join(" "));
        drop(std::fs::remove_dir_all(folder));
        Ok(())
    })
}
