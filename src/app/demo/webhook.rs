//! Owns the demo's webhook receiver: what was notified, when, as one line each. Refuses to check
//! more of the body than the demo's script waits for.

use crate::domain::time::Moment;
use crate::io::clock::Clock;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use tokio::sync::watch;

/// Notifications kept; the oldest goes first.
const KEPT_MAX: usize = 1_000;

/// One alert of one notification.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Received {
    /// When it arrived.
    pub at: Moment,
    /// Firing, or else resolved.
    pub firing: bool,
    /// `alertname`.
    pub alert: String,
    /// `consumer`.
    pub consumer: String,
    /// `stream`.
    pub stream: String,
    /// `shard`, empty where it is not about one.
    pub shard: String,
    /// The annotation `value`, empty when there was none.
    pub value: String,
}

impl Received {
    /// Whom it is about and the figure, for a line.
    #[must_use]
    pub(super) fn said(&self) -> String {
        let Self { consumer, stream, shard, value, .. } = self;
        let about = match (consumer.as_str(), shard.as_str()) {
            ("", "") => stream.clone(),
            ("", shard) => format!("{shard} of {stream}"),
            (consumer, _) => format!("{consumer} on {stream}"),
        };
        format!("{about}, {value}")
    }
}

/// Everything received, and a signal that there is more.
#[derive(Debug)]
pub(super) struct Hook {
    received: Mutex<Vec<Received>>,
    /// Alerts received, also those not kept any more.
    total: watch::Sender<usize>,
    clock: Clock,
}

impl Hook {
    /// A receiver that has received nothing.
    #[must_use]
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { received: Mutex::default(), total: watch::Sender::new(0), clock })
    }

    /// How many alerts were received; changes with every notification.
    #[must_use]
    pub(super) fn total(&self) -> watch::Receiver<usize> {
        self.total.subscribe()
    }

    /// The last `count` alerts, oldest first; fewer when they are not kept any more.
    #[must_use]
    pub(super) fn latest(&self, count: usize) -> Vec<Received> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().skip(received.len().saturating_sub(count)).cloned().collect()
    }

    fn take(&self, body: &Value) -> Option<()> {
        let at = self.clock.now();
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let alerts = body.get("alerts")?.as_array()?;
        for alert in alerts {
            let text = |group: &str, key: &str| {
                let value = alert.get(group).and_then(|group| group.get(key));
                value.and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            received.push(Received {
                at,
                firing: alert.get("status").and_then(Value::as_str) == Some("firing"),
                alert: text("labels", "alertname"),
                consumer: text("labels", "consumer"),
                stream: text("labels", "stream"),
                shard: text("labels", "shard"),
                value: text("annotations", "value"),
            });
        }
        let surplus = received.len().saturating_sub(KEPT_MAX);
        received.drain(..surplus);
        drop(received);
        self.total.send_modify(|total| *total += alerts.len());
        Some(())
    }
}

/// The receiver as a router: `POST /hook`.
pub(super) fn router(hook: Arc<Hook>) -> Router {
    Router::new().route("/hook", post(receive)).with_state(hook)
}

async fn receive(State(hook): State<Arc<Hook>>, Json(body): Json<Value>) -> StatusCode {
    match hook.take(&body) {
        Some(()) => StatusCode::OK,
        None => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Wall;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn alerts_are_kept_with_their_arrival() {
        let hook = Hook::new(Clock::simulated(Wall::from_ms(5)));
        let labels = json!({"alertname": "Late", "consumer": "mail", "stream": "orders"});
        let alert = json!({"status": "firing", "labels": labels, "annotations": {"value": "7 s"}});
        assert_eq!(hook.take(&json!({"version": "4", "alerts": [alert]})), Some(()));
        assert_eq!(hook.take(&json!({"version": "4"})), None);
        let [one] = hook.latest(1).try_into().expect("one alert");
        assert_eq!((one.firing, one.alert.as_str(), one.value.as_str()), (true, "Late", "7 s"));
        assert_eq!((one.at.wall, one.said().as_str()), (Wall::from_ms(5), "mail on orders, 7 s"));
        assert_eq!(*hook.total().borrow(), 1);
    }
}
