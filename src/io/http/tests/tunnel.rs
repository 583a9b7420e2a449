//! The way through a proxy: used for https, not for who is excepted, and its refusal told.

use super::*;
use crate::io::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A proxy that tells each CONNECT's head and opens the tunnel, or answers `refusal`.
struct Proxy {
    address: SocketAddr,
    told: mpsc::Receiver<String>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn start(refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = mpsc::channel(100);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(tunnel(stream, tell.clone(), refusal));
            }
        });
        Self { address, told, _tasks: tasks }
    }

    fn settings(&self, no_proxy: &str, plain_too: bool) -> ProxySettings {
        let address = format!("http://user:pa%20ss@{}", self.address);
        let no_proxy = Some(no_proxy.to_owned());
        ProxySettings { https_proxy: Some(Secret::new(address)), no_proxy, plain_too }
    }
}

async fn tunnel(mut client: TcpStream, tell: mpsc::Sender<String>, refusal: Option<&str>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let to = head.split(' ').nth(1).unwrap().to_owned();
    tell.send(head).await.unwrap();
    if let Some(refusal) = refusal {
        client.write_all(refusal.as_bytes()).await.unwrap();
        return;
    }
    let mut upstream = TcpStream::connect(to).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok();
}

#[tokio::test]
async fn https_goes_through_it_unless_excepted_and_plain_only_if_asked() {
    let identity = Arc::new(Identity::made().unwrap());
    let folder = Folder::new();
    let trusting = trusting(&folder, identity.certificate_pem().unwrap());
    let (tls, plain) = (Echo::tls(identity).await, Echo::plain().await);
    let check = async |no_proxy: &str, plain_too: bool, url: String, tunnelled: bool| {
        let mut proxy = Proxy::start(None).await;
        let proxy_settings = proxy.settings(no_proxy, plain_too);
        let client = client(&ClientSettings { proxy: proxy_settings, ..trusting.clone() });
        assert!(seen(&client, &url, CallKind::Call).await.ends_with(" POST"));
        let Ok(head) = proxy.told.try_recv() else { return assert!(!tunnelled, "{url}") };
        assert!(tunnelled, "{url}: {head}");
        let to = url.split('/').nth(2).unwrap();
        assert!(head.starts_with(&format!("CONNECT {to} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwYSBzcw==\r\n"), "{head}");
    };
    check("", false, tls.url("https", "localhost"), true).await;
    check("169.254.169.254,.internal", false, tls.url("https", "localhost"), true).await;
    check("169.254.169.254, localhost", false, tls.url("https", "localhost"), false).await;
    check("127.0.0.0/8", false, tls.url("https", "127.0.0.1"), false).await;
    check("", false, plain.url("http", "localhost"), false).await;
    check("", true, plain.url("http", "localhost"), true).await;
}

#[tokio::test]
async fn a_refusal_names_the_proxy_and_no_secret() {
    for refusal in
        ["HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ""]
    {
        let proxy = Proxy::start(Some(refusal)).await;
        let settings = ClientSettings { proxy: proxy.settings("", false), ..settings() };
        let asked = post("https://kinesis.us-east-1.amazonaws.com/", Bytes::new());
        let error = client(&settings).request(asked, CallKind::Call, now()).await.unwrap_err();
        let said = causes(&error) + &format!("{settings:?}");
        let text = format!(
            "no tunnel to kinesis.us-east-1.amazonaws.com:443 through the proxy {}",
            proxy.address
        );
        assert!(matches!(error, Error::Connect(_)) && said.contains(&text), "{said}");
        assert!(!said.contains("pa%20ss") && !said.contains("dXNlcjpwYSBzcw"), "{said}");
    }
}

#[tokio::test]
async fn an_address_that_is_no_http_proxy_is_not_used() {
    let identity = Arc::new(Identity::made().unwrap());
    let folder = Folder::new();
    let trusting = trusting(&folder, identity.certificate_pem().unwrap());
    let tls = Echo::tls(identity).await;
    for address in ["", "socks5://127.0.0.1:1", "://"] {
        let https_proxy = Some(Secret::new(address.to_owned()));
        let proxy = ProxySettings { https_proxy, ..ProxySettings::default() };
        let client = client(&ClientSettings { proxy, ..trusting.clone() });
        assert_eq!(
            seen(&client, &tls.url("https", "localhost"), CallKind::Call).await,
            "HTTP/2.0 POST"
        );
    }
}

#[test]
fn the_environment_is_read_as_every_aws_program_does() {
    let read = |variables: &[(&str, &str)]| {
        let owned =
            |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, v)| (*v).into());
        ClientSettings::from_environment(PATIENCE, owned)
    };
    let nothing = read(&[("HTTPS_PROXY", ""), ("AWS_CA_BUNDLE", "")]);
    assert!(nothing.proxy.https_proxy.is_none() && nothing.ca_bundle.is_none());
    let some = read(&[
        ("https_proxy", "http://lower:1"),
        ("HTTPS_PROXY", "http://upper:1"),
        ("no_proxy", "a,b"),
        ("AWS_CA_BUNDLE", "/roots.pem"),
    ]);
    assert_eq!(some.proxy.https_proxy.as_ref().map(Secret::reveal), Some("http://upper:1"));
    assert_eq!(some.proxy.no_proxy.as_deref(), Some("a,b"));
    assert_eq!(some.ca_bundle, Some(PathBuf::from("/roots.pem")));
    assert!(!some.proxy.plain_too);
}
