//! Owns the receiver's connections. Refuses to keep one that is idle: pods come and go, and their
//! places are needed.

use super::receive::Desk;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The next request's head must come within this: exporters send every few seconds.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// A request's head may be this large; an exporter's has a few hundred bytes and its own headers.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// What a connection gets to finish its last answer.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A pause after a refused accept (no file descriptors left), or it would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a listener until `stop`, and its connections to their end.
pub(super) async fn accept(
    listener: TcpListener,
    desk: Arc<Desk>,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let next = async || {
        let permit = permits.clone().acquire_owned().await.ok()?;
        Some((listener.accept().await, permit))
    };
    while let Some(Some((accepted, permit))) = stop.run_until_cancelled(next()).await {
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, desk.clone(), permit, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the OTLP receiver could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

/// One connection from its first byte to its last. Its errors are the exporter's, which knows.
async fn connection(
    stream: TcpStream,
    desk: Arc<Desk>,
    _permit: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    let service = service_fn(move |request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        _ended = connection.as_mut() => return,
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ended_or_late = timeout(LAST_ANSWER_WITHIN, connection).await;
}
