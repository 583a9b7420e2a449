//! Owns one request from its head to its answer: path, type, coding, size, and what it held.
//! Refuses early, with a sentence, and holds no more bytes than there is room for.

use super::Arrival;
use super::Metrics;
use super::line::ToldBy;
use crate::wire::otlp_receive;
use crate::wire::otlp_receive::Fault;
use crate::wire::otlp_receive::Signal;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::ALLOW;
use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;
use http::header::RETRY_AFTER;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::Full;
use std::io::Read;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

const PROTOBUF: &str = "application/x-protobuf";
/// A body as it is sent: gRPC's default, to which exporters keep over HTTP too.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
/// The same unpacked: spans of one batch repeat each other, and gzip takes a tenth of them.
pub(super) const UNPACKED_BYTES_MAX: usize = 16 << 20;
/// A whole body must come within this: exporters give up after ten seconds themselves.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Bodies that are unpacked and decoded at once: bounds the memory that this takes for a moment.
const DECODES_MAX: usize = 2;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Desk {
    inbox: mpsc::Sender<Arrival>,
    forward: bool,
    room: Arc<Semaphore>,
    decodes: Semaphore,
    metrics: Metrics,
}

/// An answer that is not 200.
#[derive(Debug)]
struct Refusal {
    code: StatusCode,
    why: String,
}

fn refusal(code: StatusCode, why: impl Into<String>) -> Refusal {
    Refusal { code, why: why.into() }
}

/// What a request held.
struct Decoded {
    arrival: Arrival,
    accepted: u64,
    foreign: u64,
    invalid: u64,
}

impl Desk {
    pub(super) fn new(
        inbox: mpsc::Sender<Arrival>,
        forward: bool,
        room_bytes_max: usize,
        metrics: Metrics,
    ) -> Self {
        let (room, decodes) = (Semaphore::new(room_bytes_max), Semaphore::new(DECODES_MAX));
        Self { inbox, forward, room: Arc::new(room), decodes, metrics }
    }

    /// Answers a request, whatever it is.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        told: &ToldBy,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let (code, body) = match self.receive(request, told).await {
            Ok(body) => (StatusCode::OK, body),
            Err(Refusal { code, why }) => {
                self.metrics.refused(code);
                tracing::debug!(%code, why, "an OTLP request was refused");
                (code, otlp_receive::refusal(&why))
            }
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        if code == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if code == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }

    async fn receive<B>(&self, request: Request<B>, told: &ToldBy) -> Result<Vec<u8>, Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let (signal, gzip) = admitted(&request)?;
        let (body, permit) = timeout(BODY_WITHIN, self.body(request.into_body()))
            .await
            .map_err(|_late| refusal(StatusCode::REQUEST_TIMEOUT, "the body took over 10 s"))??;
        let Decoded { arrival, accepted, foreign, invalid } =
            self.decoded(signal, gzip, body, permit).await?;
        if let [report] = &arrival.reports[..] {
            told.set(&report.instance);
        }
        self.inbox.try_send(arrival).map_err(|error| {
            let why = match error {
                TrySendError::Full(_) => "the queue of what arrived is full",
                TrySendError::Closed(_) => "this process is ending",
            };
            refusal(StatusCode::SERVICE_UNAVAILABLE, why)
        })?;
        self.metrics.received(signal, accepted, foreign, invalid);
        // Where all of it is handed on, the collector behind us judges it.
        let rejected = if self.forward { 0 } else { foreign + invalid };
        let why = format!("not kept: {foreign} not about Kinesis, {invalid} invalid");
        Ok(otlp_receive::answer(signal, rejected, &why))
    }

    /// Says that a connection has ended over which a sidecar told; where there is no place, its
    /// silence will.
    pub(super) fn hung_up(&self, instance: Arc<str>) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(0) else { return };
        let _unheard = self.inbox.try_send(Arrival {
            signal: Signal::Metrics,
            spans: Vec::new(),
            lags: Vec::new(),
            reports: Vec::new(),
            hung_up: Some(instance),
            forward: None,
            _room: room,
        });
    }

    /// The body, and the room that it takes.
    async fn body<B>(&self, body: B) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Refusal>
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let too_large = || {
            let why = format!("the body is over {BODY_BYTES_MAX} bytes");
            refusal(StatusCode::PAYLOAD_TOO_LARGE, why)
        };
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(too_large());
        }
        let (mut body, mut whole, mut held) = (pin!(body), Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let cut =
                |error| refusal(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"));
            let Ok(piece) = frame.map_err(cut)?.into_data() else { continue };
            if whole.len() + piece.len() > BODY_BYTES_MAX {
                return Err(too_large());
            }
            let more = self.room(piece.len())?;
            match &mut held {
                None => held = Some(more),
                Some(held) => held.merge(more),
            }
            whole.extend_from_slice(&piece);
        }
        Ok((whole, held))
    }

    fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.room.clone().try_acquire_many_owned(bytes).map_err(|_full| {
            refusal(StatusCode::SERVICE_UNAVAILABLE, "there is no room for this body now")
        })
    }

    /// Unpacks and reads the body on a thread of its own: a large one takes tens of milliseconds.
    async fn decoded(
        &self,
        signal: Signal,
        gzip: bool,
        body: Vec<u8>,
        packed: Option<OwnedSemaphorePermit>,
    ) -> Result<Decoded, Refusal> {
        let failed = |_| refusal(StatusCode::INTERNAL_SERVER_ERROR, "the body could not be read");
        let _turn = self
            .decodes
            .acquire()
            .await
            .map_err(|_| refusal(StatusCode::SERVICE_UNAVAILABLE, "this process is ending"))?;
        let unpack = move || if gzip { unpacked(&body) } else { Ok(body) };
        let body = tokio::task::spawn_blocking(unpack).await.map_err(failed)??;
        drop(packed);
        let room = self.room(body.len())?;
        let forward = self.forward;
        let read = move || read(signal, body, forward, room);
        tokio::task::spawn_blocking(read)
            .await
            .map_err(failed)?
            .map_err(|fault| refusal(StatusCode::BAD_REQUEST, fault.to_string()))
    }
}

/// What the head says, where it is a request that we take.
fn admitted<B>(request: &Request<B>) -> Result<(Signal, bool), Refusal> {
    let signal = match request.uri().path() {
        "/v1/traces" => Signal::Traces,
        "/v1/metrics" => Signal::Metrics,
        _ => {
            let why = "there is nothing here; traces go to /v1/traces, metrics to /v1/metrics";
            return Err(refusal(StatusCode::NOT_FOUND, why));
        }
    };
    if request.method() != Method::POST {
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "OTLP is sent by POST"));
    }
    let unsupported = |why| Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    let media_type = header(request.headers(), CONTENT_TYPE);
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(PROTOBUF) {
        return unsupported("only application/x-protobuf is taken (protocol http/protobuf)");
    }
    match header(request.headers(), CONTENT_ENCODING).trim() {
        "" | "identity" => Ok((signal, false)),
        coding if coding.eq_ignore_ascii_case("gzip") => Ok((signal, true)),
        _ => unsupported("the only content-encoding that is taken is gzip"),
    }
}

fn header(headers: &HeaderMap, name: http::HeaderName) -> &str {
    // One that is not text is none of those that we take.
    headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"))
}

fn unpacked(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    let most = UNPACKED_BYTES_MAX as u64 + 1;
    MultiGzDecoder::new(body)
        .take(most)
        .read_to_end(&mut unpacked)
        .map_err(|_| refusal(StatusCode::BAD_REQUEST, "the body is not gzip as announced"))?;
    if unpacked.len() > UNPACKED_BYTES_MAX {
        let why = format!("the body is over {UNPACKED_BYTES_MAX} bytes when unpacked");
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    Ok(unpacked)
}

fn read(
    signal: Signal,
    body: Vec<u8>,
    forward: bool,
    room: OwnedSemaphorePermit,
) -> Result<Decoded, Fault> {
    let (mut reports, mut reported) = (Vec::new(), 0);
    let (spans, lags, foreign, invalid) = match signal {
        Signal::Traces => {
            let received = otlp_receive::spans(&body)?;
            (received.spans, Vec::new(), received.foreign, received.invalid)
        }
        Signal::Metrics => {
            let received = otlp_receive::metrics(&body)?;
            (reports, reported) = (received.reports, received.reported);
            (Vec::new(), received.lags, received.foreign, received.invalid)
        }
    };
    let forward = forward.then(|| Bytes::from(body));
    let accepted = reported + (spans.len() + lags.len()) as u64;
    let arrival = Arrival { signal, spans, lags, reports, hung_up: None, forward, _room: room };
    Ok(Decoded { arrival, accepted, foreign, invalid })
}
