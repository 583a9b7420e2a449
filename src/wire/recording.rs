//! Owns the reading of recorded signals: JSON lines, or OpenMetrics text with timestamps. Refuses
//! lines that it does not understand, by number: a recording that is half read proves nothing.

use crate::domain::alert::reading::of_status;
use crate::domain::alert::{Labels, Reading, Signal, Subject};
use crate::domain::lag::Status;
use crate::domain::time::Wall;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Why a recording cannot be replayed.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("line {line}: {why}")]
pub struct RecordingFault {
    /// Counted from 1.
    pub line: usize,
    /// What should be otherwise.
    pub why: String,
}

/// One line: `{"at": "2026-11-23T10:00:00Z", "stream": "orders", "consumer": "mail",
/// "signals": {"delivery_lag": 75}, "status": "lagging"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: At,
    stream: Option<String>,
    consumer: Option<String>,
    shard: Option<String>,
    saga: Option<String>,
    receiver: Option<String>,
    #[serde(default)]
    signals: BTreeMap<String, f64>,
    status: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum At {
    Text(String),
    Seconds(f64),
}

/// What is known of one subject at one time.
type Frames = BTreeMap<(Wall, Arc<Subject>), Reading>;

/// Readings in the order of their times.
///
/// # Errors
/// The first line that cannot be understood.
pub fn readings(text: &str) -> Result<Vec<(Wall, Reading)>, RecordingFault> {
    let mut frames = Frames::new();
    let is_json = text.trim_start().starts_with('{');
    for (place, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let read = if is_json { json(line, &mut frames) } else { sample(line, &mut frames) };
        read.map_err(|why| RecordingFault { line: place + 1, why })?;
    }
    Ok(frames.into_iter().map(|((at, _), reading)| (at, reading)).collect())
}

fn json(text: &str, frames: &mut Frames) -> Result<(), String> {
    let line: Line = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
    let at = match &line.at {
        At::Text(text) => text
            .parse::<Timestamp>()
            .ok()
            .and_then(|at| Some(Wall::from_ms(u64::try_from(at.as_millisecond()).ok()?))),
        At::Seconds(seconds) => Wall::from_seconds_f64(*seconds),
    };
    let at =
        at.ok_or("`at` should be a time such as 2026-11-23T10:00:00Z, or seconds since 1970")?;
    let Line { at: _, stream, consumer, shard, saga, receiver, signals, status, reason } = line;
    let labels = [
        ("stream", stream),
        ("consumer", consumer),
        ("shard", shard),
        ("saga", saga),
        ("receiver", receiver),
    ];
    let labels: Labels =
        labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    if let Some(status) = &status {
        let known = Status::ALL.into_iter().find(|known| known.as_str() == status);
        let known = known.ok_or_else(|| format!("there is no status {status:?}"))?;
        of_status(frame(frames, at, Signal::DeliveryLag, &labels)?, known);
    }
    for (name, value) in signals {
        let signal = Signal::of_name(&name).ok_or_else(|| {
            let names = Signal::ALL.map(Signal::as_str).join(", ");
            format!("there is no signal {name:?}; there are {names}")
        })?;
        let reading = frame(frames, at, signal, &labels)?;
        reading.set(signal, Some(value));
        reading.reason = reason.clone().unwrap_or_default();
    }
    Ok(())
}

/// Where the signal of whom these labels name belongs.
fn frame<'a>(
    frames: &'a mut Frames,
    at: Wall,
    signal: Signal,
    labels: &Labels,
) -> Result<&'a mut Reading, String> {
    let scope = signal.scope();
    let subject = Subject::of_labels(scope, labels).ok_or_else(|| {
        format!(
            "{} is of {}: it needs {}",
            signal.as_str(),
            scope.words(),
            scope.labels().join(", ")
        )
    })?;
    let reading = Reading::of(subject);
    let key = (at, Arc::clone(&reading.subject));
    Ok(frames.entry(key).or_insert(reading))
}

/// One sample of the families that signals are made of; others are left out.
fn sample(line: &str, frames: &mut Frames) -> Result<(), String> {
    let (series, rest) = match line.find('}') {
        Some(end) => line.split_at(end + 1),
        None => line.split_at(line.find(' ').ok_or("a sample should have a value")?),
    };
    let (family, labels) = match series.split_once('{') {
        Some((family, labels)) => (family, label_pairs(labels.trim_end_matches('}'))?),
        None => (series, Labels::new()),
    };
    // An exemplar may follow.
    let mut figures = rest.split('#').next().unwrap_or_default().split_whitespace();
    let value = figures.next().and_then(|value| value.parse::<f64>().ok());
    let value = value.ok_or("a sample should have a value")?;
    let at = figures.next().and_then(|at| at.parse::<f64>().ok());
    let at = at.and_then(Wall::from_seconds_f64);
    let at = at.ok_or("a sample should have a timestamp in seconds, as in OpenMetrics")?;
    let signal = match family {
        "kinesis_consumer_delivery_lag_seconds" => Signal::DeliveryLag,
        "kinesis_consumer_retention_used_ratio" => Signal::RetentionUsed,
        "kinesis_consumer_lag_velocity_ratio" => Signal::LagVelocity,
        "kinesis_consumer_time_to_data_loss_seconds" => Signal::TimeToDataLoss,
        "kinesis_cloudwatch_read_throttles_per_second" => Signal::ReadThrottles,
        "kinesis_sagas" if labels.get("state").is_some_and(|it| it == "stuck") => {
            Signal::SagasStuck
        }
        "kinesis_consumer_status" => {
            let named = labels.get("status").filter(|_| value > 0.5);
            let status = Status::ALL.into_iter().find(|it| named.is_some_and(|n| n == it.as_str()));
            if let Some(status) = status {
                of_status(frame(frames, at, Signal::Stopped, &labels)?, status);
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    let reading = frame(frames, at, signal, &labels)?;
    // Of several shards, or sidecars, the worst.
    let worst = match (reading.value(signal), signal) {
        (Some(before), Signal::TimeToDataLoss) => value.min(before),
        (Some(before), _) => value.max(before),
        (None, _) => value,
    };
    reading.set(signal, Some(worst));
    Ok(())
}

fn label_pairs(text: &str) -> Result<Labels, String> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
        Some((name.trim().to_owned(), value.to_owned()))
    });
    let pairs: Option<Labels> = pairs.collect();
    pairs.ok_or_else(|| "labels should look like {stream=\"orders\"}".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u64, &str, Signal, f64)]) {
        let found = readings(text).unwrap();
        let found: Vec<_> = found
            .iter()
            .flat_map(|(at, reading)| {
                let of = reading.subject.pairs().last().map_or("", |(_, value)| *value);
                reading
                    .values
                    .iter()
                    .map(move |(signal, value)| (at.as_seconds(), of, signal, value))
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn both_forms_are_read() {
        let lag = Signal::DeliveryLag;
        check(
            "{\"at\": \"1970-01-01T00:00:20Z\", \"stream\": \"s\", \"consumer\": \"c\", \
             \"signals\": {\"delivery_lag\": 7.5}}\n\n{\"at\": 10, \"stream\": \"s\", \
             \"signals\": {\"read_throttles\": 1}}\n",
            &[(10, "s", Signal::ReadThrottles, 1.0), (20, "c", lag, 7.5)],
        );
        check(
            "# TYPE kinesis_consumer_delivery_lag_seconds gauge\n\
             kinesis_consumer_delivery_lag_seconds{stream=\"s\",consumer=\"c\",shard=\"1\"} 5 10\n\
             kinesis_consumer_delivery_lag_seconds{stream=\"s\",consumer=\"c\",shard=\"2\"} 9 10\n\
             kinesis_consumer_status{stream=\"s\",consumer=\"c\",status=\"stopped\"} 0 10\n\
             kinescope_build_info 1 10\n# EOF\n",
            &[(10, "c", lag, 9.0)],
        );
    }

    #[test]
    fn what_is_not_understood_has_its_line() {
        let check = |text: &str, expected: &str| {
            let fault = readings(text).unwrap_err().to_string();
            assert!(fault.starts_with(expected), "{text}: {fault}");
        };
        check("{\"at\": 1}\n{\"at\": \"soon\"}\n", "line 2: `at` should be a time such as");
        check("{\"at\": 1, \"sginals\": {}}\n", "line 1: unknown field `sginals`");
        let of = "line 1: delivery_lag is of a consumer of a stream: it needs stream, consumer";
        check("{\"at\": 1, \"stream\": \"s\", \"signals\": {\"delivery_lag\": 1}}", of);
        check(
            "{\"at\": 1, \"signals\": {\"lag\": 1}}",
            "line 1: there is no signal \"lag\"; there",
        );
        check("kinesis_sagas 5\n", "line 1: a sample should have a timestamp");
    }
}
