//! The client against upstreams that are not ours: those without HTTP/2, those that hang or are
//! gone, and those that break off in the middle.

use super::*;
use crate::domain::time::Wall;
use crate::io::http::connect::Connector;
use crate::io::http::probe::Probes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use tokio::sync::mpsc;

/// A server that is told what to do with each connection.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                open.spawn(serve(stream));
            }
        });
        Self { address, accepted, _tasks: tasks }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// HTTP/1.1 only, as most emulators are.
pub(super) async fn http_1() -> Upstream {
    Upstream::start(|stream| async {
        let service = service_fn(async |request| Ok::<_, Infallible>(echo(request).await));
        let http = hyper::server::conn::http1::Builder::new();
        http.serve_connection(TokioIo::new(stream), service).await.ok();
    })
    .await
}

/// Whatever the client begins with.
pub(super) async fn either() -> Upstream {
    Upstream::start(|stream| async {
        let service = service_fn(async |request| Ok::<_, Infallible>(echo(request).await));
        let http = auto::Builder::new(TokioExecutor::new());
        http.serve_connection(TokioIo::new(stream), service).await.ok();
    })
    .await
}

fn probes() -> Probes {
    let clock = Clock::simulated(Wall::from_nanos(0));
    Probes::new(Connector::new(&settings(), clock.clone()), clock)
}

#[tokio::test]
async fn the_question_and_its_answers() {
    let ours = Echo::plain().await;
    let http_1 = http_1().await;
    let hangs = Upstream::start(|stream| async {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let closes = Upstream::start(|_| async {}).await;
    let check = async |address: SocketAddr, takes_h2c: bool| {
        let authority = address.to_string().parse().unwrap();
        assert_eq!(probes().takes_h2c(&authority).await.unwrap(), takes_h2c);
    };
    check(ours.address, true).await;
    check(http_1.address, false).await;
    check(hangs.address, false).await;
    check(closes.address, false).await;
    for kind in [CallKind::Call, CallKind::Subscription] {
        assert_eq!(seen(&client(&settings()), &http_1.url(), kind).await, "HTTP/1.1 POST");
    }
}

#[tokio::test]
async fn a_closed_port_is_an_error_that_says_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let answer = client(&settings()).request(post(&url, Bytes::new()), CallKind::Call, now()).await;
    assert!(matches!(answer, Err(Error::Connect(_))), "{answer:?}");
}

#[tokio::test]
async fn first_calls_share_one_question_and_it_is_asked_again_in_time() {
    let upstream = http_1().await;
    let (probes, authority) = (Arc::new(probes()), upstream.address.to_string().parse().unwrap());
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let (probes, authority) = (Arc::clone(&probes), http::uri::Authority::clone(&authority));
        calls.spawn(async move { probes.takes_h2c(&authority).await.unwrap() });
    }
    assert_eq!(calls.join_all().await, [false; 8]);
    assert_eq!(upstream.connections(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(299)).await;
    tokio::time::resume();
    probes.takes_h2c(&authority).await.unwrap();
    assert_eq!(upstream.connections(), 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    probes.takes_h2c(&authority).await.unwrap();
    assert_eq!(upstream.connections(), 2);
    probes.forget(&authority);
    probes.takes_h2c(&authority).await.unwrap();
    assert_eq!(upstream.connections(), 3);
}

/// An upstream that answers `answers` requests, and closes the connection in the middle of the next,
/// which arrived whole. Every request's path is told.
async fn breaks(answers: usize, http_2: bool) -> (Upstream, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel(100);
    let left = Arc::new(AtomicUsize::new(answers));
    let upstream = Upstream::start(move |stream| {
        let (tell, left) = (tell.clone(), Arc::clone(&left));
        async move {
            let broken = CancellationToken::new();
            let over = broken.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (tell, left, broken) = (tell.clone(), Arc::clone(&left), broken.clone());
                async move {
                    let path = request.uri().path().to_owned();
                    let answer = echo(request).await;
                    tell.send(path).await.unwrap();
                    let more = left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
                    if more.is_err() {
                        broken.cancel();
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, Infallible>(answer)
                }
            });
            let mut http = auto::Builder::new(TokioExecutor::new());
            if !http_2 {
                http = http.http1_only();
            }
            let connection = http.serve_connection(TokioIo::new(stream), service);
            over.run_until_cancelled(connection).await;
        }
    })
    .await;
    (upstream, told)
}

/// Invariant 4 on the wire: whether the connection is new or came from the pool, a request that
/// arrived and got no answer was seen once.
#[tokio::test]
async fn nothing_is_sent_twice() {
    let (call, subscription) = (CallKind::Call, CallKind::Subscription);
    // The ninth subscription is the first to meet a connection that was used.
    for (kind, answers) in [(call, 0), (call, 1), (subscription, 0), (subscription, 8)] {
        let http_2 = kind == subscription;
        let (upstream, mut told) = breaks(answers, http_2).await;
        let client = client(&settings());
        for request in 0..=answers {
            let url = format!("{}{request}", upstream.url());
            let answer = client.request(post(&url, Bytes::from_static(b"put")), kind, now()).await;
            if request < answers {
                let expected = if http_2 { "HTTP/2.0 POST" } else { "HTTP/1.1 POST" };
                assert_eq!(read(answer).await.0, expected);
            } else {
                assert!(matches!(answer, Err(Error::Broke(_))), "{kind:?} {answers}: {answer:?}");
            }
            assert_eq!(told.recv().await.unwrap(), format!("/{request}"));
        }
        drop(client);
        assert!(told.try_recv().is_err(), "{kind:?} {answers}: a request arrived twice");
    }
}
