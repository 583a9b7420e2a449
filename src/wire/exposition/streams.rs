//! Owns what is exposed of a stream as the control plane described it. Refuses a description that
//! nobody has confirmed for long: who may not look any more does not know.

use super::{Sheet, catalog};
use crate::domain::snapshot::StreamView;
use crate::domain::time::Moment;
use std::time::Duration;

/// Four times a sidecar's pace, so that a failed look or two change nothing.
const STALE_AFTER: Duration = Duration::from_secs(3_600);

pub(super) fn stream(sheet: &mut Sheet<'_>, view: &StreamView, now: Moment) {
    let stream = ("stream", view.stream.as_str());
    let usable = view.sequence_clock_usable.map(|usable| f64::from(u8::from(usable)));
    sheet.gauge(catalog::SEQUENCE_CLOCK_USABLE, &[stream], usable);
    let fresh = view.description.as_ref().filter(|it| now.since(it.at) <= STALE_AFTER);
    let Some(description) = fresh else { return };
    let details = &description.details;
    let info = [
        stream,
        ("mode", description.mode.as_str()),
        ("status", description.status.as_str()),
        ("encrypted", word(details.encrypted)),
        ("shard_level", word(Some(!details.shard_metrics.is_empty()))),
    ];
    sheet.gauge(catalog::STREAM_INFO, &info, Some(1.0));
    sheet.gauge(catalog::STREAM_OPEN_SHARDS, &[stream], Some(description.open_shards.into()));
    let retention = description.retention.as_secs_f64();
    sheet.gauge(catalog::STREAM_RETENTION, &[stream], Some(retention));
    let consumers = details.consumers.as_ref().map(|consumers| consumers.len() as f64);
    sheet.gauge(catalog::STREAM_FAN_OUT_CONSUMERS, &[stream], consumers);
}

const fn word(is: Option<bool>) -> &'static str {
    match is {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}
