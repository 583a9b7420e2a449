//! The client against our own server: which protocol it chooses, and large bodies.

use super::*;
use crate::wire::segments::Segments;

#[tokio::test]
async fn https_takes_what_alpn_gives_and_plain_subscriptions_take_h2c() {
    let identity = Arc::new(Identity::made().unwrap());
    let folder = Folder::new();
    let client = client(&trusting(&folder, identity.certificate_pem().unwrap()));
    let (tls, plain) = (Echo::tls(identity).await, Echo::plain().await);
    let check = async |url: String, kind: CallKind, version: &str| {
        assert_eq!(seen(&client, &url, kind).await, format!("{version} POST"), "{url} {kind:?}");
    };
    check(tls.url("https", "localhost"), CallKind::Call, "HTTP/2.0").await;
    check(tls.url("https", "localhost"), CallKind::Subscription, "HTTP/2.0").await;
    check(plain.url("http", "localhost"), CallKind::Call, "HTTP/1.1").await;
    check(plain.url("http", "localhost"), CallKind::Subscription, "HTTP/2.0").await;
}

/// 16 MiB: a full PutRecords, with its contexts between large and small pieces.
fn large() -> Segments {
    let mut segments = Segments::default();
    for index in 0..16_u8 {
        segments.push(Bytes::from(vec![b'a' + index; (1 << 20) - 300]));
        segments.push(Bytes::from(vec![b'0'; 100]));
        segments.push(Bytes::from(vec![b'1' + index; 200]));
    }
    segments
}

#[tokio::test]
async fn a_large_body_in_pieces_arrives_as_it_was() {
    let identity = Arc::new(Identity::made().unwrap());
    let folder = Folder::new();
    let client = client(&trusting(&folder, identity.certificate_pem().unwrap()));
    let (tls, plain) = (Echo::tls(identity).await, Echo::plain().await);
    let check = async |url: String, kind: CallKind, version: &str| {
        let (seen, body) = read(client.request(post(&url, large()), kind, now()).await).await;
        assert_eq!(seen, format!("{version} POST"));
        assert!(body == large().to_bytes(), "{url}: {} bytes", body.len());
    };
    check(tls.url("https", "localhost"), CallKind::Call, "HTTP/2.0").await;
    check(plain.url("http", "127.0.0.1"), CallKind::Call, "HTTP/1.1").await;
    check(plain.url("http", "127.0.0.1"), CallKind::Subscription, "HTTP/2.0").await;
}

#[tokio::test]
async fn one_reader_that_stalls_does_not_stop_the_others() {
    let identity = Arc::new(Identity::made().unwrap());
    let folder = Folder::new();
    let client = client(&trusting(&folder, identity.certificate_pem().unwrap()));
    let tls = Echo::tls(identity).await;
    let url = tls.url("https", "localhost");
    let stalled = client.request(post(&url, large()), CallKind::Call, now()).await.unwrap();
    for _ in 0..8 {
        let (_, body) =
            read(client.request(post(&url, large()), CallKind::Call, now()).await).await;
        assert_eq!(body.len(), 16 << 20);
    }
    assert_eq!(read(Ok(stalled)).await.1.len(), 16 << 20);
}

#[tokio::test]
async fn subscriptions_have_connections_of_their_own() {
    let upstream = upstreams::either().await;
    let client = client(&settings());
    for _ in 0..32 {
        seen(&client, &upstream.url(), CallKind::Subscription).await;
    }
    assert_eq!(upstream.connections(), 1 + 8, "a question and the subscriptions");
    seen(&client, &upstream.url(), CallKind::Call).await;
    assert_eq!(upstream.connections(), 1 + 8 + 1);
}
