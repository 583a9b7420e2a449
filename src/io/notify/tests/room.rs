//! Owns the receivers of the tests, and delivery with its counters around it.

use super::*;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prometheus::{Opts, TextEncoder};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; only a broken test waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What the server does with one request.
#[derive(Clone)]
pub(super) enum Answer {
    Status(u16),
    With(u16, &'static str, &'static str),
    Saying(u16, &'static str),
    /// 400 if the body holds this word.
    Unless(&'static str),
    /// Says the URL's path.
    Quote(u16),
    Never,
}

/// One request.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A receiver that answers as scripted, 200 once the script is over.
pub(super) struct Server {
    pub(super) url: String,
    pub(super) told: mpsc::Receiver<Seen>,
    _tasks: JoinSet<()>,
}

type Script = Arc<Mutex<VecDeque<Answer>>>;

impl Server {
    pub(super) async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let script: Script = Arc::new(Mutex::new(script.into_iter().collect()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/s3cret", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel(2 * WAITING_MAX);
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

    pub(super) async fn seen(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.told.recv()).await.expect("a request").unwrap()
    }

    /// The group key of the next webhook.
    pub(super) async fn next(&mut self) -> String {
        self.seen().await.json()["groupKey"].as_str().unwrap().to_owned()
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Script,
    tell: mpsc::Sender<Seen>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    assert_eq!(head.headers["content-type"], "application/json");
    let body = body.collect().await.unwrap().to_bytes();
    let next = script.lock().unwrap().pop_front();
    let never = matches!(next, Some(Answer::Never));
    let path = head.uri.path().to_owned();
    let quote = format!("no such {path}");
    let refused = |word: &str| String::from_utf8_lossy(&body).contains(word);
    let (response, said) = match next {
        None => (Response::builder().status(200), String::new()),
        Some(Answer::Status(status)) => (Response::builder().status(status), String::new()),
        Some(Answer::With(status, name, value)) => {
            (Response::builder().status(status).header(name, value), String::new())
        }
        Some(Answer::Saying(status, said)) => (Response::builder().status(status), said.to_owned()),
        Some(Answer::Quote(status)) => (Response::builder().status(status), quote),
        Some(Answer::Unless(word)) => {
            (Response::builder().status(if refused(word) { 400 } else { 200 }), String::new())
        }
        Some(Answer::Never) => (Response::builder().status(599), String::new()),
    };
    tell.send(Seen { path, headers: head.headers, body }).await.unwrap();
    if never {
        std::future::pending::<()>().await;
    }
    Ok(response.body(Full::new(Bytes::from(said))).unwrap())
}

/// A URL where nobody listens.
pub(super) async fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/s3cret", listener.local_addr().unwrap())
}

pub(super) fn alert(name: &str, at: Moment) -> AlertView {
    AlertView {
        labels: [("alertname".to_owned(), name.to_owned())].into(),
        annotations: BTreeMap::new(),
        state: AlertState::Firing,
        starts_at: at.wall,
        ends_at: None,
    }
}

pub(super) fn notice(group_key: &str, at: Moment) -> Notice {
    Notice {
        id: 1,
        group_key: group_key.to_owned(),
        group_labels: BTreeMap::new(),
        reason: NoticeReason::First,
        alerts: vec![alert(group_key, at)],
        at,
    }
}

pub(super) fn given(text: &str) -> Place {
    Place::Given(crate::io::secret::Secret::new(text.to_owned()))
}

pub(super) fn hook(name: &str, url: &str) -> Receiver {
    Receiver::new(name, Kind::Webhook { url: given(url), secret_file: None })
}

pub(super) const QUICK: Timing = Timing {
    backoff: Backoff {
        initial: Duration::from_millis(1),
        factor: 1.0,
        max: Duration::from_millis(1),
        jitter: 0.5,
    },
    attempt_max: PATIENCE,
    ..Timing::DEFAULT
};

/// Delivery with its counters and its running tasks.
pub(super) struct Delivered {
    pub(super) notifier: Notifier,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
    pub(super) machine: Option<Vec<u8>>,
    pub(super) settings: Settings,
    registry: Registry,
    reloads: Arc<AtomicU64>,
    tasks: JoinSet<()>,
    keeper: (CancellationToken, JoinSet<()>),
}

impl Delivered {
    pub(super) async fn start(receivers: Vec<Receiver>, timing: Timing) -> Self {
        Self::kept(receivers, timing, None).await
    }

    pub(super) async fn kept(
        receivers: Vec<Receiver>,
        timing: Timing,
        folder: Option<PathBuf>,
    ) -> Self {
        let (registry, clock) = (Registry::new(), Clock::system());
        let dropped = Opts::new("kinescope_dropped_total", "Dropped.");
        let dropped = IntCounterVec::new(dropped, &["queue", "reason"]).unwrap();
        registry.register(Box::new(dropped.clone())).unwrap();
        let metrics = Metrics::register(&registry).unwrap();
        let reloads = Arc::new(AtomicU64::new(1));
        let (store, restored) = Store::open(folder).await;
        let room = Room {
            receivers,
            external_url: "http://127.0.0.1:9590/",
            client: &client::client(),
            clock: &clock,
            registry: &registry,
            metrics: &metrics,
            dropped: &dropped,
            reloads: Arc::clone(&reloads),
        };
        let built = room.build(store, restored).unwrap();
        let Built { notifier, deliveries, keeper, settings, machine } = built;
        let keeper = Keeper { retry: QUICK.backoff, ..keeper };
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        for delivery in deliveries {
            tasks.spawn(Delivery { timing, ..delivery }.run(stop.clone()));
        }
        let (keeper_stop, mut keeping) = (CancellationToken::new(), JoinSet::new());
        keeping.spawn(keeper.run(keeper_stop.clone()));
        let keeper = (keeper_stop, keeping);
        Self { notifier, clock, stop, machine, settings, registry, reloads, tasks, keeper }
    }

    pub(super) async fn one(url: &str) -> Self {
        Self::start(vec![hook("hook", url)], QUICK).await
    }

    pub(super) fn offer(&self, group_key: &str) {
        self.notifier.offer(notice(group_key, self.clock.now()));
    }

    pub(super) fn reload(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// Stops and waits for the end.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        let all = async {
            while let Some(task) = self.tasks.join_next().await {
                task.unwrap();
            }
            self.keeper.0.cancel();
            while let Some(task) = self.keeper.1.join_next().await {
                task.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap();
    }

    /// Stops and compares all counters that are not zero.
    pub(super) async fn end(&mut self, expected: &[(&str, u64)]) {
        self.stop().await;
        assert_eq!(self.counters(), expected.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect());
    }

    /// Waits until a counter has reached a value.
    pub(super) async fn until(&self, counter: &str, value: u64) {
        let reached = async {
            while self.counters().get(counter).is_none_or(|is| *is < value) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the counter");
    }

    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = BTreeMap::new();
        for family in self.registry.gather() {
            for metric in family.get_metric() {
                let labels = metric.get_label().iter().map(|label| label.value());
                let value = metric.get_counter().get_value() as u64;
                if value > 0 {
                    let labels: Vec<&str> = labels.collect();
                    counters.insert(labels.join(" "), value);
                }
            }
        }
        counters
    }

    pub(super) fn scrape(&self) -> String {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        text.replace("{receiver=\"hook\"}", "")
    }
}
