//! Owns how the demo's own servers (Kinesis, CloudWatch, OTLP, webhook) listen: loopback, HTTP/1.1
//! and h2c on one port. Refuses to be a server for anything else.

use axum::Router;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections of one server at once; what comes beyond waits in the kernel's queue. The demo's
/// own clients keep a dozen.
const CONNECTIONS_MAX: usize = 256;

/// Binds a loopback port of the system's choice and serves `router` there until `stop`.
///
/// # Errors
/// When no loopback port can be bound.
pub(super) async fn serve(
    router: Router,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    if let Ok((stream, _)) = accepted {
                        let _ = stream.set_nodelay(true);
                        let service = TowerToHyperService::new(router.clone());
                        connections.spawn(async move {
                            // A client that went away is its own affair.
                            let builder = Builder::new(TokioExecutor::new());
                            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                        });
                    }
                }
            }
        }
    });
    Ok(address)
}
