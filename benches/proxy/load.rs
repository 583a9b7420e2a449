//! Owns the load: keep-alive HTTP/1.1 connections that put one 1 KiB record after the other, as a
//! client with a session does. Bounded in number; any answer but 200 ends the run.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Waits until the port accepts connections.
pub(crate) async fn until_up(port: u16) {
    for _ in 0..400 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("nothing listens on port {port} after ten seconds");
}

/// Puts `puts` records over `connections` connections.
pub(crate) async fn puts(port: u16, connections: usize, puts: usize) {
    let request = request(port);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let request = request.clone();
        running.spawn(async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
            stream.set_nodelay(true).ok();
            let mut buffer = vec![0; 16_384];
            for _ in 0..puts / connections {
                stream.write_all(&request).await.expect("the request is taken");
                read_answer(&mut stream, &mut buffer).await;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("every put is answered with 200");
    }
}

fn request(port: u16) -> Vec<u8> {
    let event = format!(
        "{{\"eventId\":\"5f0c7d1e\",\"eventType\":\"ORDER_CREATED\",\"payload\":{{\"orderId\":\"o-1\",\"note\":\"{}\"}}}}",
        "x".repeat(936)
    );
    assert_eq!(event.len(), 1_024);
    let data = base64_simd::STANDARD.encode_to_string(event);
    let body =
        format!("{{\"StreamName\":\"orders\",\"Data\":\"{data}\",\"PartitionKey\":\"user-42\"}}");
    let signature = "a".repeat(64);
    format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.PutRecord\r\nX-Amz-Date: 20261122T195700Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/kinesis/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={signature}\r\nUser-Agent: Boto3/1.44.5\r\namz-sdk-invocation-id: 9f3c0e2a-0000-4000-8000-000000000000\r\namz-sdk-request: attempt=1\r\nContent-Length: {}\r\n\r\n{body}",
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
        if filled >= head + 4 + length.expect("a content length") {
            return;
        }
    }
}
