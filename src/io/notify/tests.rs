//! Owns the tests of delivery, against a server that answers as scripted. Time is real, because a
//! paused clock jumps ahead while a socket is waited for; nothing here sleeps, all wait for events.

use super::*;
use crate::domain::alert::{AlertState, AlertView, NoticeReason};
use crate::domain::backoff::Backoff;
use crate::domain::time::Moment;
use crate::io::notify::queue::QUEUE_MAX;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prometheus::{Opts, Registry};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; only a broken test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server does with one request.
enum Answer {
    Status(u16),
    With(u16, &'static str, &'static str),
    Never,
}

/// A receiver that answers as scripted, 200 once the script is over, and hands over the group keys
/// it was told of.
struct Server {
    url: String,
    told: mpsc::Receiver<String>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/s3cret", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel(2 * QUEUE_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (script, tell) = (Arc::clone(&script), tell.clone());
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&script), tell.clone()));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service);
                connections.spawn(async move { connection.await.unwrap_or_default() });
            }
        });
        Self { url, told, _tasks: tasks }
    }

    async fn next(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.told.recv()).await.expect("a request").unwrap()
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<VecDeque<Answer>>>,
    tell: mpsc::Sender<String>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/s3cret");
    assert_eq!(request.headers()["content-type"], "application/json");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["version"], "4");
    let next = script.lock().unwrap().pop_front();
    tell.send(body["groupKey"].as_str().unwrap().to_owned()).await.unwrap();
    let response = Response::builder();
    let response = match next {
        None => response.status(200),
        Some(Answer::Status(status)) => response.status(status),
        Some(Answer::With(status, name, value)) => response.status(status).header(name, value),
        Some(Answer::Never) => std::future::pending().await,
    };
    Ok(response.body(Full::default()).unwrap())
}

/// A URL where nobody listens.
async fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/s3cret", listener.local_addr().unwrap())
}

fn notice(group_key: &str, at: Moment) -> Notice {
    let alert = AlertView {
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        state: AlertState::Firing,
        starts_at: at.wall,
        ends_at: None,
    };
    Notice {
        id: 1,
        group_key: group_key.to_owned(),
        group_labels: BTreeMap::new(),
        reason: NoticeReason::First,
        alerts: vec![alert],
        at,
    }
}

fn given(url: &str) -> ReceiverUrl {
    ReceiverUrl::Given(Secret::new(url.to_owned()))
}

const QUICK: Timing = Timing {
    backoff: Backoff {
        initial: Duration::from_millis(1),
        factor: 1.0,
        max: Duration::from_millis(1),
        jitter: 0.5,
    },
    attempt_max: PATIENCE,
    ..Timing::DEFAULT
};

/// A notifier with its counters and its running deliveries.
struct Room {
    notifier: Notifier,
    clock: Clock,
    registry: Registry,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Room {
    fn start(urls: Vec<(&str, ReceiverUrl)>, timing: Timing) -> Self {
        let (registry, clock) = (Registry::new(), Clock::system());
        let dropped = Opts::new("kinescope_dropped_total", "Dropped.");
        let dropped = IntCounterVec::new(dropped, &["queue", "reason"]).unwrap();
        registry.register(Box::new(dropped.clone())).unwrap();
        let metrics = Metrics::register(&registry).unwrap();
        let receivers =
            urls.into_iter().map(|(name, url)| Receiver { name: name.to_owned(), url }).collect();
        let (notifier, deliveries) =
            Notifier::new(receivers, "", &client::client(), &clock, &metrics, &dropped);
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for delivery in deliveries {
            tasks.spawn(Delivery { timing, ..delivery }.run(stop.clone()));
        }
        Self { notifier, clock, registry, stop, tasks }
    }

    fn one(url: &str) -> Self {
        Self::start(vec![("hook", given(url))], QUICK)
    }

    fn offer(&self, group_key: &str) {
        self.notifier.offer(notice(group_key, self.clock.now()));
    }

    /// Stops and waits for the end.
    async fn stop(&mut self) {
        self.stop.cancel();
        let all = async {
            while let Some(task) = self.tasks.join_next().await {
                task.unwrap()
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap();
    }

    /// Stops and compares all counters that are not zero.
    async fn end(&mut self, expected: &[(&str, u64)]) {
        self.stop().await;
        assert_eq!(self.counters(), expected.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect());
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = BTreeMap::new();
        for family in self.registry.gather() {
            for metric in family.get_metric() {
                let labels = metric.get_label().iter().map(|label| label.value());
                let value = metric.get_counter().get_value() as u64;
                if value > 0 {
                    counters.insert(labels.collect::<Vec<_>>().join(" "), value);
                }
            }
        }
        counters
    }
}

#[tokio::test]
async fn what_fails_for_now_is_delivered_once_and_in_order() {
    let script = [503, 429, 408].map(Answer::Status);
    let mut server = Server::start(script).await;
    let mut room = Room::one(&server.url);
    room.offer("a");
    room.offer("b");
    for expected in ["a", "a", "a", "a", "b"] {
        assert_eq!(server.next().await, expected);
    }
    room.end(&[("delivered hook", 2), ("retried hook", 3)]).await;
    assert!(server.told.is_empty());
}

#[tokio::test]
async fn what_is_refused_is_given_up_at_once() {
    let elsewhere = Server::start([]).await;
    let to = String::leak(elsewhere.url.clone());
    let script = [Answer::Status(400), Answer::With(307, "location", to)];
    let mut server = Server::start(script).await;
    let mut room = Room::one(&server.url);
    for group_key in ["a", "b", "c"] {
        room.offer(group_key);
    }
    for expected in ["a", "b", "c"] {
        assert_eq!(server.next().await, expected);
    }
    room.end(&[("delivered hook", 1), ("undeliverable hook", 2)]).await;
    assert!(elsewhere.told.is_empty(), "redirects are not followed");
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let mut server = Server::start([Answer::With(503, "retry-after", "1")]).await;
    let mut room = Room::one(&server.url);
    room.offer("a");
    server.next().await;
    let first = room.clock.now();
    server.next().await;
    // The first attempt was seen a little before its answer was.
    assert!(room.clock.now().since(first) >= Duration::from_millis(950));
    room.end(&[("delivered hook", 1), ("retried hook", 1)]).await;
}

#[tokio::test]
async fn retry_after_is_capped() {
    let mut server = Server::start([Answer::With(503, "retry-after", "86400")]).await;
    let timing = Timing { retry_after_max: Duration::from_millis(5), ..QUICK };
    let mut room = Room::start(vec![("hook", given(&server.url))], timing);
    room.offer("a");
    server.next().await;
    server.next().await;
    room.end(&[("delivered hook", 1), ("retried hook", 1)]).await;
}

#[tokio::test]
async fn silence_is_a_failure_that_may_pass() {
    let mut server = Server::start([Answer::Never]).await;
    let timing = Timing { attempt_max: Duration::from_millis(200), ..QUICK };
    let mut room = Room::start(vec![("hook", given(&server.url))], timing);
    room.offer("a");
    server.next().await;
    server.next().await;
    room.stop().await;
    let counters = room.counters();
    assert!(counters["delivered hook"] == 1 && counters["retried hook"] >= 1, "{counters:?}");
}

#[tokio::test]
async fn dead_receiver_is_bounded_and_delays_no_other() {
    let mut server = Server::start([]).await;
    let urls = vec![("dead", given(&dead_url().await)), ("hook", given(&server.url))];
    let hour = Duration::from_secs(3_600);
    let backoff = Backoff { initial: hour, max: hour, ..Backoff::NOTIFY };
    let mut room = Room::start(urls, Timing { backoff, ..QUICK });
    for n in 0..QUEUE_MAX + 7 {
        room.offer(&n.to_string());
        assert_eq!(server.next().await, n.to_string());
    }
    let (all, full) = (QUEUE_MAX as u64 + 7, 7);
    let expected = [
        ("dropped dead", all),
        ("retried dead", 1),
        ("delivered hook", all),
        ("notify full", full),
        ("notify shutdown", all - full),
    ];
    room.end(&expected).await;
    room.offer("too late");
    assert_eq!(room.counters()["notify shutdown"], all - full + 2);
}

#[tokio::test]
async fn stop_tries_once_more_instead_of_waiting() {
    let mut server = Server::start([Answer::With(503, "retry-after", "600")]).await;
    let mut room = Room::one(&server.url);
    room.offer("a");
    room.offer("b");
    server.next().await;
    room.end(&[("delivered hook", 2), ("retried hook", 1)]).await;
}

#[tokio::test]
async fn stop_does_not_wait_for_a_receiver_that_hangs() {
    let mut server = Server::start([Answer::Never]).await;
    let timing = Timing { last_try_max: Duration::from_millis(10), ..QUICK };
    let mut room = Room::start(vec![("hook", given(&server.url))], timing);
    room.offer("a");
    room.offer("b");
    server.next().await;
    room.end(&[("dropped hook", 2), ("notify shutdown", 2)]).await;
}

#[tokio::test]
async fn what_is_too_old_is_dropped() {
    let server = Server::start([]).await;
    let timing = Timing { age_max: Duration::ZERO, ..QUICK };
    let mut room = Room::start(vec![("hook", given(&server.url))], timing);
    room.notifier.offer(notice("a", Moment::default()));
    room.end(&[("dropped hook", 1), ("notify expired", 1)]).await;
    assert!(server.told.is_empty());
}

#[tokio::test]
async fn url_file_is_read_at_each_attempt() {
    let mut old = Server::start((0..100_000).map(|_| Answer::Status(503))).await;
    let mut new = Server::start([]).await;
    let path = std::env::temp_dir().join(format!("kinescope-hook-url-{}", std::process::id()));
    std::fs::write(&path, format!("{}\n", old.url)).unwrap();
    let room = Room::start(vec![("hook", ReceiverUrl::File(path.clone()))], QUICK);
    room.offer("a");
    assert_eq!(old.next().await, "a");
    let next = path.with_extension("next");
    std::fs::write(&next, &new.url).unwrap();
    std::fs::rename(&next, &path).unwrap();
    assert_eq!(new.next().await, "a");
    std::fs::remove_file(&path).unwrap();
    room.stop.cancel();
}

#[tokio::test]
async fn failures_and_debug_do_not_tell_the_url() {
    let url = given(&dead_url().await);
    let (client, clock) = (client::client(), Clock::system());
    let sent = attempt::post(&client, &url, Bytes::new(), PATIENCE, &clock).await;
    let failure = sent.unwrap_err();
    assert_eq!(failure.to_string(), "no answer: connection refused");
    for text in [format!("{failure:?}"), format!("{url:?}")] {
        assert!(!text.contains("s3cret") && !text.contains("127.0.0.1"), "{text}");
    }
}

#[tokio::test]
async fn https_speaks_tls() {
    let server = Server::start([]).await;
    let url = given(&server.url.replace("http:", "https:"));
    let (client, clock) = (client::client(), Clock::system());
    let sent = attempt::post(&client, &url, Bytes::new(), PATIENCE, &clock).await;
    assert_eq!(sent.unwrap_err().to_string(), "no answer: tls handshake failed");
    assert!(server.told.is_empty());
}
