//! Owns what each admin path answers. Refuses to build an answer on the threads that carry the
//! application's traffic, and to show old figures when the engine is silent.

use crate::domain::snapshot::Snapshot;
use crate::io::admin::gzip;
use crate::io::admin::silences;
use crate::io::admin::writes::refusal;
use crate::io::admin::{Admin, Question};
use crate::wire::exposition;
use crate::wire::status;
use crate::wire::status::traces::{QueryFault, query, saga_query};
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Answers that are built at once: bounds the memory and the threads that scrapes take, however
/// many clients ask; the others wait their turn.
const BUILDS_MAX: usize = 2;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
pub(super) const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// What the handlers share.
pub(super) struct Desk {
    pub(super) admin: Admin,
    /// Series left out so far, by family: the state behind `kinescope_series_left_out_total`.
    left_out: Mutex<BTreeMap<&'static str, u64>>,
    builds: Semaphore,
}

/// The listener's paths.
pub(super) fn router(admin: Admin) -> Router {
    let desk = Desk { admin, left_out: Mutex::default(), builds: Semaphore::new(BUILDS_MAX) };
    Router::new()
        .route("/", get(page))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status_json))
        .route("/api/v1/alerts", get(alerts_json))
        .route("/api/v1/traces", get(traces_json))
        .route("/api/v1/sagas", get(sagas_json))
        .route("/api/v1/silences", get(silences::all).post(silences::make))
        .route("/api/v1/silences/{id}", delete(silences::end))
        .route("/healthz", get(async || answer(StatusCode::OK, TEXT, "ok\n")))
        .route("/readyz", get(ready))
        .route("/-/quit", post(quit))
        .route("/-/reload", post(reload))
        .fallback(unknown_path)
        .method_not_allowed_fallback(async || {
            answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "this path takes another method\n")
        })
        .with_state(Arc::new(desk))
}

/// An answer that no cache keeps and no browser guesses about.
pub(super) fn answer(
    code: StatusCode,
    content_type: &'static str,
    body: impl IntoResponse,
) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (code, headers, body).into_response()
}

/// Builds an answer from a fresh snapshot on a thread of its own.
async fn built(
    desk: Arc<Desk>,
    build: impl FnOnce(&Desk, &Snapshot) -> Response + Send + 'static,
) -> Response {
    let Ok(_permit) = desk.builds.acquire().await else { return failed() };
    let Some(snapshot) = desk.admin.snapshots.now().await else {
        let sentence = "the engine did not answer within a second; try again\n";
        return answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, sentence);
    };
    let at = desk.clone();
    let building = tokio::task::spawn_blocking(move || build(&at, &snapshot));
    building.await.unwrap_or_else(|_panicked| failed())
}

fn failed() -> Response {
    answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the answer could not be built\n")
}

async fn metrics(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    let wants_gzip = gzip::is_accepted(&headers);
    built(desk, move |desk, snapshot| {
        let text = exposition_text(desk, snapshot);
        let compressed = wants_gzip.then(|| gzip::compress(text.as_bytes())).flatten();
        let mut response = match compressed {
            Some(bytes) => {
                answer(StatusCode::OK, EXPOSITION, ([(CONTENT_ENCODING, "gzip")], bytes))
            }
            None => answer(StatusCode::OK, EXPOSITION, text),
        };
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        response
    })
    .await
}

fn exposition_text(desk: &Desk, snapshot: &Snapshot) -> String {
    let exposed = exposition::families(snapshot, &desk.admin.scope);
    let mut families = desk.admin.registry.gather();
    families.extend(exposed.families);
    let mut totals = desk.left_out.lock().unwrap_or_else(PoisonError::into_inner);
    for (family, count) in exposed.left_out {
        *totals.entry(family).or_default() += count;
    }
    families.push(exposition::left_out(&totals));
    drop(totals);
    exposition::text(&mut families)
}

async fn page(State(desk): State<Arc<Desk>>) -> Response {
    built(desk, |desk, snapshot| match status::page::html(snapshot, &desk.admin.identity) {
        Ok(html) => {
            let policy = [(CONTENT_SECURITY_POLICY, status::page::content_security_policy())];
            answer(StatusCode::OK, HTML, (policy, html))
        }
        Err(error) => {
            tracing::error!(%error, "the status page could not be filled");
            failed()
        }
    })
    .await
}

async fn status_json(State(desk): State<Arc<Desk>>) -> Response {
    built(desk, |desk, snapshot| {
        answer(StatusCode::OK, JSON, status::json(snapshot, &desk.admin.identity))
    })
    .await
}

async fn alerts_json(State(desk): State<Arc<Desk>>) -> Response {
    built(desk, |_, snapshot| answer(StatusCode::OK, JSON, status::alerts_json(snapshot))).await
}

async fn traces_json(State(desk): State<Arc<Desk>>, uri: Uri) -> Response {
    told(&desk, query(uri.query().unwrap_or_default()).map(Question::Traces)).await
}

async fn sagas_json(State(desk): State<Arc<Desk>>, uri: Uri) -> Response {
    told(&desk, saga_query(uri.query().unwrap_or_default()).map(Question::Sagas)).await
}

/// What the fleet tells. It builds the answer on a thread of its own.
async fn told(desk: &Desk, question: Result<Question, QueryFault>) -> Response {
    let question = match question {
        Ok(question) => question,
        Err(fault) => return answer(StatusCode::BAD_REQUEST, JSON, fault.json()),
    };
    let Ok(_permit) = desk.builds.acquire().await else { return failed() };
    match desk.admin.fleet.ask(question).await {
        Some(body) => answer(StatusCode::OK, JSON, body),
        None => {
            let sentence = "what spans told could not be had within five seconds; try again\n";
            answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, sentence)
        }
    }
}

async fn ready(State(desk): State<Arc<Desk>>) -> Response {
    if desk.admin.ready.load(Ordering::Acquire) {
        answer(StatusCode::OK, TEXT, "ready\n")
    } else {
        let sentence = "not ready: listeners are not bound or configuration is not in force yet\n";
        answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, sentence)
    }
}

async fn quit(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refusal(peer, &headers, desk.admin.token_file.as_deref()).await {
        return answer(StatusCode::FORBIDDEN, JSON, refusal);
    }
    tracing::info!("asked to quit through the admin listener");
    desk.admin.quit.cancel();
    answer(StatusCode::OK, JSON, "{\"quitting\":true}\n")
}

async fn reload(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = refusal(peer, &headers, desk.admin.token_file.as_deref()).await {
        return answer(StatusCode::FORBIDDEN, JSON, refusal);
    }
    match desk.admin.reload.now().await {
        Some(Ok(differences)) => {
            let mut body = serde_json::to_vec(&differences).unwrap_or_default();
            body.push(b'\n');
            answer(StatusCode::OK, JSON, body)
        }
        Some(Err(faults)) => answer(StatusCode::BAD_REQUEST, TEXT, format!("{faults}\n")),
        None => {
            let sentence = "the configuration was not read within five seconds; try again\n";
            answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, sentence)
        }
    }
}

async fn unknown_path(uri: Uri) -> Response {
    let sentence = format!(
        "there is nothing at {}; try /, /metrics, /api/v1/status, /api/v1/alerts, \
         /api/v1/traces, /api/v1/sagas, /api/v1/silences, /healthz or /readyz\n",
        uri.path()
    );
    answer(StatusCode::NOT_FOUND, TEXT, sentence)
}
