//! Owns what each admin path answers. Refuses to build an answer on the threads that carry the
//! application's traffic, and to show old figures when the engine is silent.

use crate::domain::snapshot::{Detail, Snapshot};
use crate::io::admin::accept;
use crate::io::admin::gzip;
use crate::io::admin::live::{Live, Seats, seats};
use crate::io::admin::page;
use crate::io::admin::silences;
use crate::io::admin::writes::refusal;
use crate::io::admin::{Admin, Question};
use crate::wire::exposition;
use crate::wire::exposition::openmetrics;
use crate::wire::status;
use crate::wire::status::events;
use crate::wire::status::history::History;
use crate::wire::status::traces::{QueryFault, query, saga_query};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Answers that are built at once: bounds the memory and the threads that scrapes take, however
/// many clients ask; the others wait their turn.
const BUILDS_MAX: usize = 2;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const TEXT_0_0_4: &str = "text/plain; version=0.0.4; charset=utf-8";
pub(super) const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// What the handlers share.
pub(super) struct Desk {
    pub(super) admin: Admin,
    /// Series left out so far, by family: the state behind `kinescope_series_left_out_total`.
    left_out: Mutex<BTreeMap<&'static str, u64>>,
    /// What the next exposition will about take.
    text_bytes: AtomicUsize,
    /// What the page was like before.
    pub(super) history: Mutex<History>,
    pub(super) builds: Semaphore,
    seats: Seats,
}

/// The listener's paths, and the task behind the live page.
pub(super) fn router(admin: Admin) -> (Router, Live) {
    let (seats, arrived) = seats();
    let desk = Arc::new(Desk {
        admin,
        left_out: Mutex::default(),
        text_bytes: AtomicUsize::default(),
        history: Mutex::default(),
        builds: Semaphore::new(BUILDS_MAX),
        seats,
    });
    let live = Live::new(Arc::clone(&desk), arrived);
    let router = Router::new()
        .route("/", get(status_page))
        .route("/api/v1/events", get(status_events))
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
        .with_state(desk);
    (router, live)
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
    detail: Detail,
    build: impl FnOnce(&Desk, &Snapshot) -> Response + Send + 'static,
) -> Response {
    built_or(desk, detail, build, |_| {
        let sentence = "the engine did not answer within a second; try again\n";
        answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, sentence)
    })
    .await
}

/// As [`built`], with another answer where the engine is silent.
async fn built_or(
    desk: Arc<Desk>,
    detail: Detail,
    build: impl FnOnce(&Desk, &Snapshot) -> Response + Send + 'static,
    silent: impl FnOnce(&Desk) -> Response,
) -> Response {
    let Ok(_permit) = desk.builds.acquire().await else { return failed() };
    let Some(snapshot) = desk.admin.snapshots.ask(detail).await else { return silent(&desk) };
    let at = desk.clone();
    // The snapshot ends on the thread that made it, or its memory would wait there for the next one.
    let building = tokio::task::spawn_blocking(move || (build(&at, &snapshot), snapshot));
    building.await.map_or_else(|_panicked| failed(), |(answer, _snapshot)| answer)
}

fn failed() -> Response {
    answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the answer could not be built\n")
}

async fn metrics(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    let wants_gzip = gzip::is_accepted(&headers);
    let openmetrics = accept::prefers_openmetrics(&headers);
    let content_type = if openmetrics { openmetrics::CONTENT_TYPE } else { TEXT_0_0_4 };
    // As there, the text begins on the thread where it ends; nothing of it is touched before its turn.
    let room = String::with_capacity(desk.text_bytes.load(Ordering::Relaxed));
    built(desk, Detail::Figures, move |desk, snapshot| {
        let text = exposition_text(desk, snapshot, openmetrics, room);
        desk.text_bytes.store(text.len() + text.len() / 16, Ordering::Relaxed);
        let compressed = wants_gzip.then(|| gzip::compress(text.as_bytes())).flatten();
        let mut response = match compressed {
            Some(bytes) => {
                answer(StatusCode::OK, content_type, ([(CONTENT_ENCODING, "gzip")], bytes))
            }
            None => answer(StatusCode::OK, content_type, text),
        };
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        response
    })
    .await
}

fn exposition_text(desk: &Desk, snapshot: &Snapshot, openmetrics: bool, room: String) -> String {
    let exposed = exposition::exposed(snapshot, &desk.admin.scope);
    let mut families = desk.admin.registry.gather();
    families.extend(exposed.families);
    let mut totals = desk.left_out.lock().unwrap_or_else(PoisonError::into_inner);
    for (family, count) in exposed.left_out {
        *totals.entry(family).or_default() += count;
    }
    families.push(exposition::left_out(&totals));
    drop(totals);
    if openmetrics {
        let exemplars = desk.admin.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        return openmetrics::text_with(room, &mut families, &exposed.wide, &exemplars);
    }
    exposition::text_with(room, &mut families, &exposed.wide)
}

async fn status_page(State(desk): State<Arc<Desk>>) -> Response {
    let fleet = page::fleet(&desk).await;
    let draw = move |desk: &Desk, snapshot: &Snapshot| {
        let html = page::with_sight(desk, snapshot, fleet.as_deref(), status::page::html);
        html_answer(StatusCode::OK, html)
    };
    built_or(desk, Detail::Words, draw, |desk| {
        let html = status::page::silent_html(&desk.admin.identity);
        html_answer(StatusCode::SERVICE_UNAVAILABLE, html)
    })
    .await
}

fn html_answer<E: std::fmt::Display>(code: StatusCode, html: Result<String, E>) -> Response {
    match html {
        Ok(html) => {
            let policy = [(CONTENT_SECURITY_POLICY, status::page::content_security_policy())];
            answer(code, HTML, (policy, html))
        }
        Err(error) => {
            tracing::error!(%error, "the status page could not be filled");
            failed()
        }
    }
}

async fn status_events(State(desk): State<Arc<Desk>>) -> Response {
    match desk.seats.take() {
        Some(watched) => answer(StatusCode::OK, events::CONTENT_TYPE, Body::new(watched)),
        None => {
            let sentence = "as many watch this page as may; read /api/v1/status, or try again\n";
            let again = [(RETRY_AFTER, "5")];
            answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, (again, sentence))
        }
    }
}

async fn status_json(State(desk): State<Arc<Desk>>) -> Response {
    built(desk, Detail::Words, |desk, snapshot| {
        answer(StatusCode::OK, JSON, status::json(snapshot, &desk.admin.identity))
    })
    .await
}

async fn alerts_json(State(desk): State<Arc<Desk>>) -> Response {
    built(desk, Detail::Figures, |_, snapshot| {
        answer(StatusCode::OK, JSON, status::alerts_json(snapshot))
    })
    .await
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
         /api/v1/traces, /api/v1/sagas, /api/v1/silences, /api/v1/events, /healthz or /readyz\n",
        uri.path()
    );
    answer(StatusCode::NOT_FOUND, TEXT, sentence)
}
