//! Owns the tests against collectors that are none: bytes on a socket. Each export ends, each span
//! has its count, and a wrong answer is never taken for a right one.

use super::GRPC;
use super::HTTP;
use super::Protocol;
use super::Rig;
use super::config;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What a server does once a request's first bytes came.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Writes this and closes.
    Says(&'static [u8]),
    /// Writes this and then one byte after the other, for ever.
    Drips(&'static [u8]),
    /// Writes this and then as much as is read.
    Floods(&'static [u8]),
}

/// A server; each request that began is told.
async fn server(does: Does) -> (String, mpsc::Receiver<()>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = mpsc::channel(1_000);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(answer(stream, does, sender.clone()));
        }
    });
    (address, requests, tasks)
}

async fn answer(mut stream: TcpStream, does: Does, requests: mpsc::Sender<()>) {
    let mut buffer = vec![0; 64 * 1_024];
    if stream.read(&mut buffer).await.is_ok_and(|bytes| bytes == 0) {
        return;
    }
    requests.send(()).await.unwrap();
    let (Does::Says(first) | Does::Drips(first) | Does::Floods(first)) = does;
    stream.write_all(first).await.ok();
    match does {
        Does::Says(_) => {
            // What is unread at the close would become a reset that overtakes the answer.
            stream.shutdown().await.ok();
            while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
        }
        Does::Drips(_) => {
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Does::Floods(_) => {
            buffer.fill(b'x');
            while stream.write_all(&buffer).await.is_ok() {}
        }
    }
}

/// Three spans: how many are accepted, and how many tries reach the server.
async fn check(protocol: Protocol, does: Does, accepted: u64, tries: RangeInclusive<usize>) {
    let (address, mut requests, _tasks) = server(does).await;
    let mut config = config(&address, protocol);
    if let Does::Drips(_) = does {
        config.timeout = Duration::from_millis(100);
    }
    let rig = Rig::start(config);
    rig.offer(3);
    while rig.metrics.accepted.get() + rig.metrics.failed.get() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(rig.end().await, [accepted, 0, 0, 3 - accepted, 0], "{protocol:?} {does:?}");
    let mut seen = 0;
    while requests.try_recv().is_ok() {
        seen += 1;
    }
    assert!(tries.contains(&seen), "{protocol:?} {does:?}: {seen} tries");
}

const DRIPPING: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";

#[tokio::test]
async fn an_answer_that_is_a_refusal() {
    check(HTTP, Does::Says(b"HTTP/1.1 400 Bad\r\ncontent-length: 2\r\n\r\nno"), 0, 1..=1).await;
    check(HTTP, Does::Says(b"HTTP/1.1 500 Bad\r\ncontent-length: 2\r\n\r\nno"), 0, 1..=1).await;
    check(HTTP, Does::Says(b"HTTP/1.1 301 Moved\r\nlocation: /x\r\n\r\n"), 0, 1..=1).await;
    let busy = b"HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    check(HTTP, Does::Says(busy), 0, 4..=4).await;
}

#[tokio::test]
async fn an_answer_that_is_garbage() {
    let garbage = Does::Says(b"\x00\xff\xfegarbage\r\n\r\n");
    check(HTTP, garbage, 0, 4..=4).await;
    check(GRPC, garbage, 0, 4..=4).await;
    check(GRPC, Does::Says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), 0, 4..=4).await;
}

#[tokio::test]
async fn no_answer_at_all() {
    check(HTTP, Does::Says(b""), 0, 4..=4).await;
    check(GRPC, Does::Says(b""), 0, 4..=4).await;
}

#[tokio::test]
async fn half_an_answer() {
    check(HTTP, Does::Says(b"HTTP/1.1 200"), 0, 4..=4).await;
    // The status has decided; the body only hides details.
    check(HTTP, Does::Says(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"), 3, 1..=1).await;
}

#[tokio::test]
async fn a_slow_drip() {
    check(HTTP, Does::Drips(b"HTTP/1.1 200 OK\r\nx-slow: "), 0, 1..=4).await;
    check(HTTP, Does::Drips(DRIPPING), 3, 1..=1).await;
    // A frame of settings whose payload never ends; the connection is one for all tries.
    check(GRPC, Does::Drips(b"\x00\x3f\xff\x04\x00\x00\x00\x00\x00"), 0, 1..=1).await;
}

#[tokio::test]
async fn more_than_anyone_wants() {
    check(HTTP, Does::Floods(DRIPPING), 3, 1..=1).await;
    check(HTTP, Does::Floods(b"HTTP/1.1 200 OK\r\nx-long: "), 0, 4..=4).await;
}

#[tokio::test]
async fn another_kind_of_content() {
    let page = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    check(HTTP, Does::Says(page), 0, 1..=1).await;
    let json = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    check(HTTP, Does::Says(json), 3, 1..=1).await;
}
