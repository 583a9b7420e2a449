//! The server: TLS with either protocol, certificates that change, and requests of every shape.

use super::*;
use crate::domain::time::Wall;
use crate::io::http::connect;
use hyper::service::service_fn;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use std::convert::Infallible;
use std::fs::File;
use std::path::Path;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A handshake as a client makes it that trusts `roots` and asks for `alpn`.
async fn shake(
    address: SocketAddr,
    name: &str,
    roots: &Path,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = connect::trusting(Some(roots));
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn alpn_decides_and_every_name_of_this_machine_is_in_the_certificate() {
    let identity = Arc::new(Identity::made().unwrap());
    let folder = Folder::new();
    let roots = folder.write("roots.pem", identity.certificate_pem().unwrap());
    let echo = Echo::tls(identity).await;
    let check = async |name: &str, alpn: &[&str], agreed: Option<&str>| {
        let stream = shake(echo.address, name, &roots, alpn).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes));
    };
    check("localhost", &["h2", "http/1.1"], Some("h2")).await;
    check("127.0.0.1", &["http/1.1", "h2"], Some("h2")).await;
    check("::1", &["http/1.1"], Some("http/1.1")).await;
    check("localhost", &[], None).await;
    assert!(shake(echo.address, "localhost", &roots, &["spdy/3"]).await.is_err());
    assert!(shake(echo.address, "kinesis.amazonaws.com", &roots, &["h2"]).await.is_err());
}

#[tokio::test]
async fn http_1_over_tls_with_and_without_alpn() {
    let identity = Arc::new(Identity::made().unwrap());
    let folder = Folder::new();
    let roots = folder.write("roots.pem", identity.certificate_pem().unwrap());
    let echo = Echo::tls(identity).await;
    for alpn in [&["http/1.1"][..], &[]] {
        let stream = shake(echo.address, "localhost", &roots, alpn).await.unwrap();
        let answer = talk(stream, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.contains("seen: HTTP/1.1 GET"), "{answer}");
    }
}

#[tokio::test]
async fn who_does_not_trust_us_harms_nobody_else() {
    let identity = Arc::new(Identity::made().unwrap());
    let folder = Folder::new();
    let stranger = folder.write("other.pem", Identity::made().unwrap().certificate_pem().unwrap());
    let settings = trusting(&folder, identity.certificate_pem().unwrap());
    let echo = Echo::tls(identity).await;
    let _silent = TcpStream::connect(echo.address).await.unwrap();
    assert!(shake(echo.address, "localhost", &stranger, &["h2"]).await.is_err());
    let url = echo.url("https", "localhost");
    assert_eq!(seen(&client(&settings), &url, CallKind::Call).await, "HTTP/2.0 POST");
}

/// The clock is paused: the one connection waits, and time jumps to the end of its handshake.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_hangs_gives_its_place_up() {
    let echo = Echo::tls(Arc::new(Identity::made().unwrap())).await;
    let clock = Clock::simulated(Wall::from_nanos(0));
    let mut silent = TcpStream::connect(echo.address).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(clock.now().mono.as_secs(), 10);
    assert_eq!(echo.connections.available_permits(), CONNECTIONS_MAX - 1, "the next accept's");
}

/// A pair as PEM: certificate, key.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_mounted_pair_is_read_again_and_a_broken_one_is_not_taken() {
    let folder = Folder::new();
    let [first, second] = [pair(), pair()];
    let both = folder.write("roots.pem", &format!("{}{}", first.0, second.0));
    let mut age = 0;
    let mut mount = |certificate: &str, key: &str| {
        age += 1;
        [("tls.crt", certificate), ("tls.key", key)].map(|(name, text)| {
            let path = folder.write(name, text);
            // Files are stamped in steps of milliseconds: a test is faster than that.
            let stamp = SystemTime::UNIX_EPOCH + Duration::from_secs(age);
            File::options().write(true).open(&path).unwrap().set_modified(stamp).unwrap();
            path
        })
    };
    let [certificate, key] = mount(&first.0, &first.1);
    let clock = Clock::simulated(Wall::from_nanos(0));
    let echo = Echo::tls(Arc::new(Identity::mounted(certificate, key, clock).unwrap())).await;
    // Whether the n-th pair is shown, as a client that trusts only that one finds.
    let shown = async |of: &(String, String)| {
        let only = folder.write("only.pem", &of.0);
        shake(echo.address, "localhost", &only, &[]).await.is_ok()
    };
    assert!(shown(&first).await && !shown(&second).await);
    mount(&second.0, &second.1);
    next_second().await;
    assert!(shown(&second).await && !shown(&first).await);
    for (certificate, key) in
        [(&first.0, &second.1), (&first.1, &first.1), (&String::new(), &first.1)]
    {
        mount(certificate, key);
        next_second().await;
        assert!(shown(&second).await, "a broken pair keeps the old one");
    }
    mount(&first.0, &first.1);
    next_second().await;
    assert!(shown(&first).await);
    assert!(shake(echo.address, "localhost", &both, &[]).await.is_ok());
}

/// The clock jumps, and goes on.
async fn next_second() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
}

#[test]
fn what_cannot_be_mounted_is_an_error_that_shows_no_key() {
    let folder = Folder::new();
    let (certificate, key) = pair();
    let key_text = key.clone();
    let check = |certificate: &str, key: &str, text: &str| {
        let [certificate, key] = [("c", certificate), ("k", key)].map(|(n, t)| folder.write(n, t));
        let error = Identity::mounted(certificate, key, Clock::simulated(Wall::from_nanos(0)));
        let said = causes(&error.unwrap_err());
        assert!(said.contains(text), "{said}");
        let secret = key_text.lines().nth(2).unwrap();
        assert!(!said.contains(secret), "{said}");
    };
    check("", &key, "cannot read a certificate from");
    check(&certificate, "", "cannot read a private key from");
    check(&certificate, &certificate, "cannot read a private key from");
    check(&certificate, &pair().1, "cannot be used together");
}

/// Writes all, reads until the other side closes.
async fn talk(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that does not end TLS properly is heard, too.
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn requests_of_every_shape() {
    let echo = Echo::plain().await;
    let check = async |request: &str, status: &str, parts: &[&str]| {
        let stream = TcpStream::connect(echo.address).await.unwrap();
        let answer = talk(stream, request).await;
        assert!(answer.starts_with(status), "{request}\n{answer}");
        parts.iter().for_each(|part| assert!(answer.contains(part), "{request}\n{answer}"));
    };
    check("GET /x HTTP/1.0\r\n\r\n", "HTTP/1.0 200", &["seen: HTTP/1.0 GET"]).await;
    let close = "host: x\r\nconnection: close\r\n";
    check(&format!("HEAD / HTTP/1.1\r\n{close}\r\n"), "HTTP/1.1 200", &["HTTP/1.1 HEAD"]).await;
    check(
        &format!(
            "POST / HTTP/1.1\r\n{close}expect: 100-continue\r\ncontent-length: 5\r\n\r\nhello"
        ),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
        &["\r\n\r\nhello"],
    )
    .await;
    check(
        &format!("POST / HTTP/1.1\r\n{close}transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        "HTTP/1.1 200 OK",
        &["content-length: 5", "\r\n\r\nhello"],
    )
    .await;
    check("nonsense\r\n\r\n", "HTTP/1.1 400", &[]).await;
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_before_it_sends() {
    let echo = Echo::plain().await;
    let mut stream = TcpStream::connect(echo.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(talk(stream, "hello").await.ends_with("\r\n\r\nhello"));
}

/// While an answer waits for room, no more is read than the buffer holds.
#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_stays_in_the_socket() {
    let (mut client, server) = tokio::io::duplex(1_024);
    let mut tasks = JoinSet::new();
    let waits = service_fn(async |request: Request<Incoming>| {
        std::future::pending::<()>().await;
        Ok::<_, Infallible>(echo(request).await)
    });
    tasks.spawn(server::drive(server::http(), server, waits, CancellationToken::new()));
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 16 << 20);
    client.write_all(head.as_bytes()).await.unwrap();
    let mut taken = 0;
    let second = Duration::from_secs(1);
    while let Ok(written) = tokio::time::timeout(second, client.write(&[0; 1_024])).await {
        taken += written.unwrap();
    }
    assert!(taken <= server::BUFFER_BYTES_MAX + 2 * 1_024, "{taken}");
}
