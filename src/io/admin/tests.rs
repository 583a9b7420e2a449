//! Owns the tests of the admin listener, over real sockets on ports of the system's choice.

use super::*;
use crate::io::http::brief::HEAD_BYTES_MAX;
use crate::wire::status::sample;
use std::io::Read;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

struct Served {
    address: SocketAddr,
    ready: Arc<AtomicBool>,
    quit: CancellationToken,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

fn admin(snapshots: SnapshotSource) -> Admin {
    Admin {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        registry: prometheus::Registry::new(),
        exemplars: Arc::default(),
        snapshots,
        fleet: FleetSource(mpsc::channel(1).0),
        silences: silences(),
        configuration: ConfigurationSource::new(|| vec![("role".to_owned(), "sidecar".to_owned())]),
        clock: Clock::system(),
        scope: Scope { series_max: 3, ..sample::scope() },
        identity: sample::identity(),
        ready: Arc::default(),
        quit: CancellationToken::new(),
        reload: ReloadSource(mpsc::channel(1).0),
        token_file: None,
    }
}

fn silences() -> SilenceBook {
    // The engine is gone: announcing must not wait for it.
    let events = mpsc::channel(1).0;
    let clock = crate::io::clock::Clock::simulated(crate::domain::time::Wall::from_ms(0));
    SilenceBook::open(Vec::new(), None, events, clock)
}

async fn serve_with(engine_lives: bool) -> Served {
    let (questions, mut asked) = mpsc::channel::<SnapshotAsk>(4);
    let mut tasks = JoinSet::new();
    if engine_lives {
        tasks.spawn(async move {
            while let Some((_, ask)) = asked.recv().await {
                let _gone = ask.send(sample::snapshot());
            }
        });
    }
    let admin = admin(SnapshotSource(questions));
    let requests = prometheus::IntCounter::new("kinescope_test_total", "A test.").unwrap();
    requests.inc();
    admin.registry.register(Box::new(requests)).unwrap();
    serving(admin, tasks).await
}

/// The listener at work, beside those who answer its questions.
async fn serving(admin: Admin, mut tasks: JoinSet<()>) -> Served {
    let (ready, quit) = (admin.ready.clone(), admin.quit.clone());
    let bound = admin.bind().await.unwrap();
    let (address, stop) = (bound.local_addresses()[0], CancellationToken::new());
    tasks.spawn(bound.serve(stop.clone()));
    Served { address, ready, quit, stop, tasks }
}

/// Status, head (lower case) and body of one request on a connection of its own.
async fn ask(served: &Served, request: &str, more: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    (head[9..12].parse().unwrap(), head, bytes.split_off(end + 4))
}

#[tokio::test]
async fn every_path_answers_in_its_own_form() {
    let served = serve_with(true).await;
    let served = &served;
    let check = async |path: &str, code, content_type: &str, part: &str| {
        let (status, head, body) = ask(served, &format!("GET {path}"), "").await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, code, "{path}: {body}");
        assert!(head.contains(&format!("content-type: {content_type}")), "{path}: {head}");
        assert!(body.contains(part), "{path}: {body}");
        let (status, _, body) = ask(served, &format!("HEAD {path}"), "").await;
        assert_eq!((status, body.len()), (code, 0), "HEAD {path}");
    };
    check("/", 200, "text/html", "what this sidecar saw of this pod").await;
    check("/metrics", 200, "text/plain; version=0.0.4", "kinescope_test_total 1").await;
    check("/metrics", 200, "text/plain", "kinesis_consumer_status{stream=\"orders\"").await;
    check("/api/v1/status", 200, "application/json", "\"delivery_lag_seconds\":84.25").await;
    check("/api/v1/alerts", 200, "application/json", "KinesisConsumerStopped").await;
    check("/healthz", 200, "text/plain", "ok").await;
    check("/nothing", 404, "text/plain", "there is nothing at /nothing; try").await;
}

#[tokio::test]
async fn the_page_carries_its_policy() {
    let served = serve_with(true).await;
    let (_, head, _) = ask(&served, "GET /", "").await;
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(head.contains("cache-control: no-store") && head.contains("nosniff"), "{head}");
}

#[tokio::test]
async fn scrapes_are_compressed_for_who_takes_it() {
    let served = serve_with(true).await;
    let (_, head, plain) = ask(&served, "GET /metrics", "").await;
    assert!(!head.contains("content-encoding") && head.contains("vary: accept, accept-encoding"));
    let wanted = "accept: application/openmetrics-text;version=1.0.0\r\n";
    let (_, head, openmetrics) = ask(&served, "GET /metrics", wanted).await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(openmetrics.ends_with(b"# EOF\n") && !plain.ends_with(b"# EOF\n"));
    let (_, head, body) = ask(&served, "GET /metrics", "accept-encoding: gzip\r\n").await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
    assert!(text.len() >= plain.len() && text.starts_with("# HELP kinescope_alerts"));
}

#[tokio::test]
async fn series_left_out_are_added_up_over_scrapes() {
    let served = serve_with(true).await;
    for scrape in 1..=2 {
        let (_, _, body) = ask(&served, "GET /metrics", "").await;
        let series = "left_out_total{family=\"kinesis_consumer_delivery_lag_seconds\"}";
        assert!(String::from_utf8(body).unwrap().contains(&format!("{series} {scrape}\n")));
    }
}

#[tokio::test]
async fn a_silent_engine_is_said_and_health_goes_on() {
    let served = serve_with(false).await;
    for path in ["/metrics", "/api/v1/status", "/api/v1/alerts"] {
        let (status, _, body) = ask(&served, &format!("GET {path}"), "").await;
        assert_eq!(status, 503, "{path}");
        assert!(body.starts_with(b"the engine did not answer"), "{path}");
    }
    // A person gets a page, which tries again.
    let (status, head, body) = ask(&served, "GET /", "").await;
    let body = String::from_utf8(body).unwrap();
    assert_eq!(status, 503, "{head}");
    assert!(body.contains("The engine did not answer") && body.contains("http-equiv=\"refresh\""));
    assert!(head.contains("content-security-policy") && head.contains("text/html"), "{head}");
    assert_eq!(ask(&served, "GET /healthz", "").await.0, 200);
}

#[tokio::test]
async fn traces_and_sagas_are_asked_of_who_knows_them() {
    let (questions, mut asked) = mpsc::channel::<Asked>(1);
    let admin =
        Admin { fleet: FleetSource(questions), ..admin(SnapshotSource(mpsc::channel(1).0)) };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for _ in 0..2 {
            let (question, answer) = asked.recv().await.unwrap();
            let told = match question {
                Question::Traces(query) => format!("{:?} {}", query.event_type, query.limit),
                Question::Sagas((state, limit)) => format!("{state:?} {limit}"),
                Question::Page => "the page's part".to_owned(),
            };
            answer.send(told.into_bytes()).unwrap();
        }
    });
    let served = serving(admin, tasks).await;
    let check = async |path: &str, code, expected: &str| {
        let (status, head, body) = ask(&served, &format!("GET {path}"), "").await;
        assert_eq!((status, String::from_utf8(body).unwrap().as_str()), (code, expected), "{path}");
        assert_eq!(head.contains("application/json"), code != 503, "{head}");
    };
    check("/api/v1/traces?event_type=A&limit=7", 200, "Some(\"A\") 7").await;
    check("/api/v1/sagas?state=stuck", 200, "Some(Stuck) 100").await;
    let fault = "limit: must be a whole number from 1 to 1000";
    let fault = format!("{{\"error\":{{\"field\":\"limit\",\"message\":\"{fault}\"}}}}");
    check("/api/v1/sagas?limit=0", 400, &fault).await;
    let silent = "what spans told could not be had within five seconds; try again\n";
    check("/api/v1/traces", 503, silent).await;
}

/// Watches the page until `enough` of what was sent; what was sent so far.
async fn watch(served: &Served, mut enough: impl FnMut(&str) -> bool) -> String {
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    while !enough(&text) {
        let mut bytes = vec![0; 65_536];
        let count = stream.read(&mut bytes).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if count == 0 {
            break;
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn who_watches_is_sent_what_changed_and_an_end_before_the_connection_is_cut() {
    let (questions, mut asked) = mpsc::channel::<SnapshotAsk>(4);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut snapshot = sample::snapshot();
        for number in 0.. {
            let Some((_, ask)) = asked.recv().await else { return };
            snapshot.consumers[0].worst.reason = format!("answer-{}", number / 3);
            let _gone = ask.send(snapshot.clone());
        }
    });
    let served = serving(admin(SnapshotSource(questions)), tasks).await;
    let text = watch(&served, |text| text.contains("answer-2")).await;
    assert!(text.to_lowercase().contains("content-type: text/event-stream"), "{text}");
    let messages: Vec<&str> = text.split("event: ").skip(1).collect();
    assert!(messages[0].contains("part-streams") && messages[0].contains("(1 firing)"), "{text}");
    let of = |part: &str| messages.iter().filter(|message| message.contains(part)).count();
    assert_eq!(of("part-streams"), 1, "what did not change is sent once");
    assert!(of("part-consumers") > 1, "{text}");
    let to_the_end = watch(&served, |_| false);
    // Paused time: as long as nothing but time is waited for, it passes at once.
    let text = tokio::time::timeout(BREVITY.life.unwrap(), to_the_end).await.unwrap();
    assert!(text.ends_with("\r\n0\r\n\r\n"), "a proper end");
}

#[tokio::test]
async fn watchers_are_bounded_and_end_with_the_listener() {
    let mut served = serve_with(true).await;
    let mut watching = JoinSet::new();
    let ends = Arc::new(tokio::sync::Semaphore::new(0));
    for _ in 0..16 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream.read_u8().await.unwrap();
        let ends = Arc::clone(&ends);
        watching.spawn(async move {
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            ends.add_permits(1);
        });
    }
    let (status, head, body) = ask(&served, "GET /api/v1/events", "").await;
    assert_eq!(status, 503, "{head}");
    assert!(head.contains("retry-after: 5") && body.starts_with(b"as many watch"), "{head}");
    assert_eq!(ask(&served, "GET /metrics", "").await.0, 200, "scrapes keep their places");
    assert_eq!(ends.available_permits(), 0);
    served.stop.cancel();
    while watching.join_next().await.is_some() {}
    while served.tasks.join_next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn who_watches_is_told_of_a_silent_engine() {
    let (questions, _nobody_answers) = mpsc::channel(4);
    let served = serving(admin(SnapshotSource(questions)), JoinSet::new()).await;
    let text = watch(&served, |text| text.contains("event: silent")).await;
    assert!(!text.contains("event: page"), "old figures are not sent: {text}");
}

#[tokio::test]
async fn readiness_follows_its_flag() {
    let served = serve_with(true).await;
    assert_eq!(ask(&served, "GET /readyz", "").await.0, 503);
    served.ready.store(true, Ordering::Release);
    assert_eq!(ask(&served, "GET /readyz", "").await.0, 200);
}

#[tokio::test]
async fn quitting_is_for_loopback_programs() {
    let served = serve_with(true).await;
    assert_eq!(ask(&served, "GET /-/quit", "").await.0, 405);
    assert_eq!(ask(&served, "POST /-/quit", "origin: http://x\r\n").await.0, 403);
    assert!(!served.quit.is_cancelled());
    assert_eq!(ask(&served, "POST /-/quit", "content-length: 0\r\n").await.0, 200);
    assert!(served.quit.is_cancelled());
}

#[tokio::test]
async fn reloading_tells_what_it_came_to() {
    let (asks, mut asked) = mpsc::channel::<oneshot::Sender<Reloaded>>(1);
    let admin = Admin { reload: ReloadSource(asks), ..admin(SnapshotSource(mpsc::channel(1).0)) };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let differences =
            Differences { changed: vec!["proxy.streams"], needs_restart: vec!["role"] };
        for outcome in [Ok(differences), Err("2 faults\n  k.yaml:1:1: role: no".to_owned())] {
            asked.recv().await.unwrap().send(outcome).unwrap();
        }
    });
    let served = serving(admin, tasks).await;
    assert_eq!(ask(&served, "GET /-/reload", "").await.0, 405);
    assert_eq!(ask(&served, "POST /-/reload", "origin: http://x\r\n").await.0, 403);
    let (status, _, body) = ask(&served, "POST /-/reload", "").await;
    assert_eq!(
        (status, body.as_slice()),
        (
            200,
            &br#"{"changed":["proxy.streams"],"needs_restart":["role"]}
"#[..]
        )
    );
    let (status, head, body) = ask(&served, "POST /-/reload", "").await;
    assert!(status == 400 && head.contains("text/plain"), "{head}");
    assert_eq!(body, b"2 faults\n  k.yaml:1:1: role: no\n");
    // Whoever owned the configuration is gone.
    assert_eq!(ask(&served, "POST /-/reload", "").await.0, 503);
}

#[tokio::test]
async fn an_idle_client_does_not_hold_up_the_end() {
    let mut served = serve_with(true).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    assert_eq!(ask(&served, "GET /healthz", "").await.0, 200);
    served.stop.cancel();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0, "closed by us");
    while served.tasks.join_next().await.is_some() {}
    assert!(TcpStream::connect(served.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let served = serve_with(true).await;
    let large = format!("x: {}\r\n", "y".repeat(HEAD_BYTES_MAX));
    assert_eq!(ask(&served, "GET /healthz", &large).await.0, 431);
}

#[tokio::test]
async fn silences_are_made_shown_and_ended() {
    let served = serve_with(true).await;
    let post = |body: &str| format!("content-length: {}\r\n\r\n{body}", body.len());
    let body =
        r#"{"matchers":[{"name":"stream","value":"orders"}],"endsAt":"2030-01-01T00:00:00Z"}"#;
    let made = ask(&served, "POST /api/v1/silences", &post(body)).await;
    assert_eq!(made.0, 200);
    let said: serde_json::Value = serde_json::from_slice(&made.2).unwrap();
    let id = said["silenceID"].as_str().unwrap();
    let shown = ask(&served, "GET /api/v1/silences", "").await;
    let shown: serde_json::Value = serde_json::from_slice(&shown.2).unwrap();
    assert_eq!((&shown[0]["id"], &shown[0]["status"]["state"]), (&id.into(), &"active".into()));
    assert_eq!(ask(&served, "POST /api/v1/silences", &post("{}")).await.0, 400);
    let page = format!("origin: http://x\r\n{}", post(body));
    assert_eq!(ask(&served, "POST /api/v1/silences", &page).await.0, 403);
    assert_eq!(ask(&served, &format!("DELETE /api/v1/silences/{id}"), "").await.0, 200);
    assert_eq!(ask(&served, "DELETE /api/v1/silences/another", "").await.0, 404);
}

async fn bind(listen: &[&str]) -> Result<usize, Error> {
    let source = SnapshotSource(mpsc::channel(1).0);
    let listen = listen.iter().map(|address| address.parse().unwrap()).collect();
    let bound = Admin { listen, ..admin(source) }.bind().await?;
    Ok(bound.local_addresses().len())
}

#[tokio::test]
async fn addresses_that_cannot_be_had() {
    // 192.0.2.1 is for documentation: no machine has it.
    assert_eq!(bind(&["192.0.2.1:0", "127.0.0.1:0"]).await.unwrap(), 1);
    assert!(matches!(bind(&["192.0.2.1:0"]).await, Err(Error::Listen { .. })));
    assert!(matches!(bind(&[]).await, Err(Error::NoAddress)));
}

#[tokio::test]
async fn a_taken_port_is_an_error_and_a_covered_wildcard_is_not() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = other.local_addr().unwrap().to_string();
    assert!(matches!(bind(&["127.0.0.1:0", &taken]).await, Err(Error::Listen { .. })));

    let Ok(wildcard) = TcpListener::bind("[::]:0").await else { return };
    let port = wildcard.local_addr().unwrap().port();
    let address = SocketAddr::from(([0, 0, 0, 0], port));
    let in_use = io::Error::from(io::ErrorKind::AddrInUse);
    assert!(is_covered(address, &in_use, &[wildcard]));
    assert!(!is_covered(address, &in_use, &[]));
}
