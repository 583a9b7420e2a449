//! Owns what the tests of the transport share: servers on this machine, a folder for PEM files, a
//! client that trusts them. Time is real, because a paused clock jumps ahead while a socket is
//! waited for; nothing here sleeps, all wait for events.

mod calling;
mod kept;
mod serving;
mod tunnel;
mod upstreams;

use super::client::{CallKind, Client, ClientSettings, Error, ProxySettings};
use super::pieces::PiecesBody;
use super::server;
use super::tls::Identity;
use crate::domain::time::Moment;
use crate::io::clock::Clock;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; only a broken test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Our own server, whose answer is the request's body; `seen` tells how it came.
struct Echo {
    address: SocketAddr,
    connections: Arc<Semaphore>,
    _tasks: JoinSet<()>,
}

const CONNECTIONS_MAX: usize = 100;

impl Echo {
    async fn plain() -> Self {
        Self::start(None).await
    }

    async fn tls(identity: Arc<Identity>) -> Self {
        Self::start(Some(identity)).await
    }

    async fn start(identity: Option<Arc<Identity>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (bound, stop) = (Arc::clone(&connections), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let answer = |request, _peer| echo(request);
        tasks.spawn(server::serve(listener, identity, bound, answer, stop));
        Self { address, connections, _tasks: tasks }
    }

    /// `host` as the certificate names it.
    fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}/", self.address.port())
    }
}

async fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let seen = format!("{:?} {}", request.version(), request.method());
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let answer = Response::builder().header("seen", seen);
    answer.body(Full::new(body.unwrap_or_default())).unwrap()
}

/// A folder of this test alone.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("kinescope-http-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A client's settings that trust a certificate.
fn trusting(folder: &Folder, certificate_pem: &str) -> ClientSettings {
    let ca_bundle = Some(folder.write("roots.pem", certificate_pem));
    ClientSettings { connect_timeout: PATIENCE, proxy: ProxySettings::default(), ca_bundle }
}

/// Of tests that do not wait as long as a connection is kept.
fn now() -> Moment {
    Moment::default()
}

fn settings() -> ClientSettings {
    ClientSettings { connect_timeout: PATIENCE, proxy: ProxySettings::default(), ca_bundle: None }
}

fn client(settings: &ClientSettings) -> Client {
    Client::new(settings, Clock::system())
}

fn post(url: &str, body: impl Into<PiecesBody>) -> Request<PiecesBody> {
    Request::post(url).body(body.into()).unwrap()
}

/// An answer's `seen` header and its body.
async fn read(answer: Result<Response<Incoming>, Error>) -> (String, Bytes) {
    let answer = answer.unwrap();
    let seen = answer.headers().get("seen").map(|seen| seen.to_str().unwrap().to_owned());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (seen.unwrap_or_default(), body)
}

/// All causes of an error, as a log would show them.
fn causes(error: &dyn std::error::Error) -> String {
    let said = format!("{error} / {error:?}\n");
    said + &error.source().map(causes).unwrap_or_default()
}

/// A call with an empty body, which must be answered.
async fn seen(client: &Client, url: &str, kind: CallKind) -> String {
    read(client.request(post(url, Bytes::new()), kind, now()).await).await.0
}
