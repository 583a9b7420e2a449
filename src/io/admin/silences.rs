//! Owns what the paths on silences answer: Alertmanager's API v2, under our own prefix. Refuses
//! writes as every other path does, and bodies over 64 KiB.

use crate::io::admin::routes::{Desk, JSON, TEXT, answer};
use crate::io::admin::writes::refusal;
use crate::io::silences::Fault;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::net::SocketAddr;
use std::sync::Arc;

/// More than sixteen matchers of the longest texts.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Every silence, the configured ones too.
pub(super) async fn all(State(desk): State<Arc<Desk>>) -> Response {
    answer(StatusCode::OK, JSON, desk.admin.silences.json())
}

/// Makes one, or changes the one whose `id` it has.
pub(super) async fn make(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = refusal(peer, &headers, desk.admin.token_file.as_deref()).await {
        return answer(StatusCode::FORBIDDEN, JSON, refusal);
    }
    if body.len() > BODY_BYTES_MAX {
        return answer(StatusCode::PAYLOAD_TOO_LARGE, TEXT, "a silence has at most 64 KiB\n");
    }
    match desk.admin.silences.make(&body).await {
        Ok(id) => answer(StatusCode::OK, JSON, format!("{{\"silenceID\":\"{id}\"}}\n")),
        Err(fault) => faulty(&fault),
    }
}

/// Ends one now.
pub(super) async fn end(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refusal(peer, &headers, desk.admin.token_file.as_deref()).await {
        return answer(StatusCode::FORBIDDEN, JSON, refusal);
    }
    match desk.admin.silences.end(&id).await {
        Ok(()) => answer(StatusCode::OK, JSON, "{}\n"),
        Err(fault) => faulty(&fault),
    }
}

fn faulty(fault: &Fault) -> Response {
    let code = match fault {
        Fault::Body(_) => StatusCode::BAD_REQUEST,
        Fault::Unknown => StatusCode::NOT_FOUND,
        Fault::Configured => StatusCode::CONFLICT,
        Fault::Full | Fault::Regexes => StatusCode::INSUFFICIENT_STORAGE,
    };
    answer(code, TEXT, format!("{fault}\n"))
}
