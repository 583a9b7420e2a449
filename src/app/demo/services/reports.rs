//! Owns how a service reports what it did to its sidecar: `POST /envelope/v1/processed`, as any
//! program without an SDK of ours would. Refuses to let a report that fails stop the work.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

/// A sidecar that takes longer is not waited for.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// The way to the sidecar.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    client: Client<HttpConnector, Full<Bytes>>,
    sidecar: SocketAddr,
}

/// One event that was worked on.
#[derive(Debug)]
pub(crate) struct Done<'a> {
    /// Its stream.
    pub stream: &'a str,
    /// Its shard.
    pub shard: &'a str,
    /// Its sequence number.
    pub sequence: &'a str,
    /// The event.
    pub event: &'a Value,
    /// The `traceparent` that it carried.
    pub traceparent: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// Why it could not be handled.
    pub fault: Option<&'a str>,
}

impl Reports {
    /// To this sidecar's data plane.
    #[must_use]
    pub(crate) fn to(sidecar: SocketAddr) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), sidecar }
    }

    /// Reports one event.
    pub(crate) async fn tell(&self, done: Done<'_>) {
        let body = body(&done).to_string();
        let request = http::Request::post(format!("http://{}/envelope/v1/processed", self.sidecar))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)));
        let Ok(request) = request else { return };
        let _ = tokio::time::timeout(ANSWER_MAX, self.client.request(request)).await;
    }
}

fn body(done: &Done<'_>) -> Value {
    let mut body = json!({
        "stream": done.stream,
        "shard": done.shard,
        "sequenceNumber": done.sequence,
        "durationMs": done.took.as_secs_f64() * 1_000.0,
        "envelope": done.event,
    });
    if let Value::Object(members) = &mut body {
        let error = done.fault.map(|why| json!({"type": "UnreadablePayment", "message": why}));
        members.extend(error.map(|error| ("error".to_owned(), error)));
        let carried = done.traceparent.clone().map(Value::from);
        members.extend(carried.map(|carried| ("traceparent".to_owned(), carried)));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_what_the_sidecar_reads() {
        let event = json!({"eventType": "PROCESS_PAYMENT", "payload": {"sagaId": "saga-000008"}});
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let done = Done {
            stream: "commands",
            shard: "shardId-000000000001",
            sequence: "7",
            event: &event,
            traceparent: Some(traceparent.to_owned()),
            took: Duration::from_millis(3),
            fault: Some("the amount is no number"),
        };
        let told = body(&done).to_string();
        let read = crate::wire::envelope_api::report(told.as_bytes()).expect("a report");
        assert_eq!(read.failure.map(|it| it.kind).as_deref(), Some("UnreadablePayment"));
        assert_eq!((read.contexts.len(), read.duration), (1, Duration::from_millis(3)));
        assert_eq!(read.facts.event_type.as_deref(), Some("PROCESS_PAYMENT"));
    }
}
