//! Owns the webhook's answers: `/inject` for reviews, `/healthz` for probes. Refuses bodies above a
//! bound and those that take too long; whoever is refused here admits the pod as it came, since the
//! webhook's failure policy is `Ignore`.

use crate::wire::admission::{self, Outcome, Settings};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The API server takes objects of up to 3 MiB.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Bodies that are read at once: with the bound above, the memory that reviews may take.
const BODIES_MAX: usize = 16;
/// The webhook's own timeout is ten seconds at most by default: an answer after it helps nobody.
const BODY_WITHIN: Duration = Duration::from_secs(8);

/// Answers requests.
#[derive(Debug, Clone)]
pub(super) struct Routes {
    settings: Arc<Settings>,
    bodies: Arc<Semaphore>,
}

impl Routes {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), bodies: Arc::new(Semaphore::new(BODIES_MAX)) }
    }

    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => plain(StatusCode::OK, "ok"),
            (&Method::POST, "/inject") => self.inject(request).await,
            (_, "/healthz") => not_allowed("GET, HEAD"),
            (_, "/inject") => not_allowed("POST"),
            _ => plain(StatusCode::NOT_FOUND, "there is /inject and /healthz"),
        }
    }

    async fn inject<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Ok(body) = timeout(BODY_WITHIN, self.body(request)).await else {
            tracing::warn!("a review did not arrive in time");
            return plain(StatusCode::REQUEST_TIMEOUT, "the review did not arrive in time");
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => {
                tracing::warn!(error, "a review could not be read");
                return plain(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the review is above 4 MiB or was cut off",
                );
            }
        };
        match admission::answer(&body, &self.settings) {
            Ok(answer) => {
                let (namespace, pod) = (answer.namespace, answer.name);
                let (outcome, warnings) = (answer.outcome.name(), answer.warnings);
                // Every pod of the cluster passes by; few are of interest.
                if answer.outcome == Outcome::NotAsked {
                    tracing::debug!(namespace, pod, outcome, "admitted");
                } else {
                    tracing::info!(namespace, pod, outcome, ?warnings, "admitted");
                }
                let body = answer.review.to_string();
                let mut response = Response::new(Full::from(body));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            Err(error) => {
                tracing::warn!(%error, "not a review");
                plain(
                    StatusCode::BAD_REQUEST,
                    "should be an AdmissionReview of admission.k8s.io/v1",
                )
            }
        }
    }

    async fn body<B>(&self, request: Request<B>) -> Result<Bytes, String>
    where
        B: Body,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let _room = self.bodies.acquire().await.map_err(|closed| closed.to_string())?;
        let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| error.to_string())
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "not with this method");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    struct Never;

    impl Body for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn answers() {
        let settings =
            Settings { image: "kinescope:1".to_owned(), classic: false, variables: Vec::new() };
        let routes = Routes::new(settings);
        let check = async |method: &str, path: &str, body: Vec<u8>, expected: u16| {
            let request =
                Request::builder().method(method).uri(path).body(Full::<Bytes>::from(body));
            let response = routes.answer(request.unwrap()).await;
            assert_eq!(response.status(), expected, "{method} {path}");
            response.into_body().collect().await.unwrap().to_bytes()
        };
        check("GET", "/healthz", vec![], 200).await;
        check("POST", "/healthz", vec![], 405).await;
        check("GET", "/inject", vec![], 405).await;
        check("GET", "/", vec![], 404).await;
        check("POST", "/inject", b"{}".to_vec(), 400).await;
        check("POST", "/inject", vec![b' '; BODY_BYTES_MAX + 1], 413).await;
        let review = br#"{"apiVersion":"admission.k8s.io/v1","request":{"uid":"u-1"}}"#;
        let answer = check("POST", "/inject", review.to_vec(), 200).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            (&answer["response"]["uid"], &answer["response"]["allowed"]),
            (&"u-1".into(), &true.into())
        );
    }

    /// A client that never ends its body gives its room up.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends() {
        let settings =
            Settings { image: "kinescope:1".to_owned(), classic: false, variables: Vec::new() };
        let routes = Routes::new(settings);
        let request = Request::builder().method("POST").uri("/inject").body(Never);
        assert_eq!(routes.answer(request.unwrap()).await.status(), 408);
        assert_eq!(routes.bodies.available_permits(), BODIES_MAX);
    }
}
