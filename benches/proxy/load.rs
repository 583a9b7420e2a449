//! Owns the load: keep-alive HTTP/1.1 connections that put one record after the other, as a client
//! with a session does. Bounded in number; any answer but 200 ends the run.

use kinescope::io::clock::Clock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Waits until the port accepts connections.
pub(crate) async fn until_up(port: u16) {
    for _ in 0..400 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nothing listens on port {port} after ten seconds");
}

/// Puts `puts` records of `record_bytes` over `connections` connections.
pub(crate) async fn puts(port: u16, connections: usize, puts: usize, record_bytes: usize) {
    let request = request(port, record_bytes);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let request = request.clone();
        running.spawn(async move {
            let mut client = Client::connect(port, request).await;
            for _ in 0..puts / connections {
                client.put().await;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("every put is answered with 200");
    }
}

/// How long each of `puts` records of 1 KiB took on one connection, in microseconds.
pub(crate) async fn latencies(port: u16, puts: usize) -> Vec<f64> {
    let (request, clock) = (request(port, 1_024), Clock::system());
    let mut client = Client::connect(port, request).await;
    let mut micros = Vec::with_capacity(puts);
    for _ in 0..puts {
        let began = clock.now();
        client.put().await;
        micros.push(clock.now().since(began).as_secs_f64() * 1e6);
    }
    micros
}

/// Puts records at a pace for a time; gives the payload bytes per second that were reached.
pub(crate) async fn paced(
    port: u16,
    connections: usize,
    record_bytes: usize,
    bytes_per_second: f64,
    lasting: Duration,
) -> f64 {
    let request = request(port, record_bytes);
    let every =
        Duration::from_secs_f64(record_bytes as f64 * connections as f64 / bytes_per_second);
    let clock = Clock::system();
    let began = clock.now();
    let mut running = tokio::task::JoinSet::new();
    for index in 0..connections {
        let (request, clock) = (request.clone(), clock.clone());
        running.spawn(async move {
            let mut client = Client::connect(port, request).await;
            tokio::time::sleep(every.mul_f64(index as f64 / connections as f64)).await;
            let mut pace = tokio::time::interval(every);
            let mut puts = 0_usize;
            while clock.now().since(began) < lasting {
                pace.tick().await;
                client.put().await;
                puts += 1;
            }
            puts
        });
    }
    let puts: usize = running.join_all().await.into_iter().sum();
    (puts * record_bytes) as f64 / clock.now().since(began).as_secs_f64()
}

/// Sends one request again and again at a pace for a time.
pub(crate) async fn repeated(port: u16, request: Vec<u8>, every: Duration, lasting: Duration) {
    let mut client = Client::connect(port, request).await;
    let clock = Clock::system();
    let began = clock.now();
    let mut pace = tokio::time::interval(every);
    while clock.now().since(began) < lasting {
        pace.tick().await;
        client.put().await;
    }
}

/// The id of a call; its last digits are counted up.
const ID: &str = "9f3c0e2a-0000-4000-8000-000000000000";

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    request: Vec<u8>,
    /// Where the request's `amz-sdk-invocation-id` ends: no two calls have the same.
    id_end: usize,
    calls: u64,
}

impl Client {
    async fn connect(port: u16, request: Vec<u8>) -> Self {
        let at = request.windows(ID.len()).position(|bytes| bytes == ID.as_bytes());
        let id_end = at.expect("a request with an id") + ID.len();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        stream.set_nodelay(true).ok();
        // Of other connections too.
        let calls = u64::from(stream.local_addr().expect("an address").port()) << 32;
        Self { stream, buffer: vec![0; 16_384], request, id_end, calls }
    }

    async fn put(&mut self) {
        self.calls += 1;
        let digits = format!("{:012x}", self.calls);
        self.request[self.id_end - digits.len()..self.id_end].copy_from_slice(digits.as_bytes());
        self.stream.write_all(&self.request).await.expect("the request is taken");
        read_answer(&mut self.stream, &mut self.buffer).await;
    }
}

/// The body of a PutRecord whose record has this many bytes.
pub(crate) fn body(record_bytes: usize) -> String {
    let head = "{\"eventId\":\"5f0c7d1e\",\"eventType\":\"ORDER_CREATED\",\"payload\":{\"orderId\":\"o-1\",\"note\":\"";
    let event = format!("{head}{}\"}}}}", "x".repeat(record_bytes - head.len() - 3));
    assert_eq!(event.len(), record_bytes);
    let data = base64_simd::STANDARD.encode_to_string(event);
    format!("{{\"StreamName\":\"orders\",\"Data\":\"{data}\",\"PartitionKey\":\"user-42\"}}")
}

fn request(port: u16, record_bytes: usize) -> Vec<u8> {
    call(port, "PutRecord", &body(record_bytes))
}

/// A whole request, as an SDK signs it.
pub(crate) fn call(port: u16, operation: &str, body: &str) -> Vec<u8> {
    let signature = "a".repeat(64);
    format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\nX-Amz-Date: 20261122T195700Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/kinesis/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={signature}\r\nUser-Agent: Boto3/1.44.5\r\namz-sdk-invocation-id: {ID}\r\namz-sdk-request: attempt=1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads one answer with a content length.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(read > 0, "the proxy closed the connection");
        filled += read;
        let Some(head) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&buffer[..head]).expect("a head of text");
        assert!(
            text.starts_with("HTTP/1.1 200"),
            "{text}\n{}",
            String::from_utf8_lossy(&buffer[head..filled])
        );
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        let mut missing = (head + 4 + length.expect("a content length")).saturating_sub(filled);
        while missing > 0 {
            let room = missing.min(buffer.len());
            let read = stream.read(&mut buffer[..room]).await.expect("an answer");
            assert!(read > 0, "the proxy closed the connection");
            missing -= read;
        }
        return;
    }
}
