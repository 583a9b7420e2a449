//! Stub of the wiring that the demo is written against: no sidecar at all, applications go straight
//! upstream. The merge takes the real one.

use crate::app::config::Config;
use crate::domain::snapshot::Snapshot;
use crate::io::clock::Clock;
use std::collections::BTreeMap;
use std::net::SocketAddr;

#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct Error;

#[derive(Debug)]
pub struct Running {
    pub data_plane: Vec<SocketAddr>,
    pub admin: Vec<SocketAddr>,
}

#[derive(Debug)]
pub struct StopReport;

pub async fn start(
    config: Config,
    _environment: BTreeMap<String, String>,
    _clock: Clock,
) -> Result<Running, Error> {
    let upstream = config.proxy.upstream_endpoint.ok_or(Error)?;
    let address = upstream.authority().and_then(|a| a.as_str().parse().ok()).ok_or(Error)?;
    Ok(Running { data_plane: vec![address], admin: Vec::new() })
}

impl Running {
    pub async fn stop(self) -> StopReport {
        StopReport
    }

    pub async fn snapshot(&self) -> Option<Snapshot> {
        None
    }
}
