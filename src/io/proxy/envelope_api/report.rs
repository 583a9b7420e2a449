//! Owns what becomes of a reported record: its figures, its span and its log line. Refuses every
//! field of an envelope that `privacy.fields` does not name.

use super::metrics::EventMetrics;
use super::processed::{Processed, ProcessedQueue};
use crate::domain::saga::SagaId;
use crate::io::otlp::{Ended, OtlpMetrics, SpanSink};
use crate::io::proxy::disclosed::{Disclosed, Told};
use tokio_util::sync::CancellationToken;

/// The label of an event whose type is not known, or not to be told.
const UNKNOWN: &str = "unknown";

/// Every field that a log line of a processed record may have, beside the log's own `level`,
/// `message` and `target`. The queries in `deploy/cloudwatch/` use no other.
pub const LINE_FIELDS: [&str; 16] = [
    "timestamp",
    "eventType",
    "processingTime",
    "error",
    "errorType",
    "errorMessage",
    "stream",
    "shard",
    "sequenceNumber",
    "consumer",
    "trace_id",
    "span_id",
    "record_trace_id",
    "record_span_id",
    "eventId",
    "sagaId",
];

/// Takes reports in.
#[derive(Debug)]
pub struct Reports {
    metrics: EventMetrics,
    spans: SpanSink,
    otlp: OtlpMetrics,
    disclosed: Disclosed,
}

impl Reports {
    /// With the figures and the exporters that they go to.
    #[must_use]
    pub const fn new(
        metrics: EventMetrics,
        spans: SpanSink,
        otlp: OtlpMetrics,
        disclosed: Disclosed,
    ) -> Self {
        Self { metrics, spans, otlp, disclosed }
    }

    /// Takes reports until `stop`, then those that still wait.
    pub async fn run(self, mut queue: ProcessedQueue, stop: CancellationToken) {
        while let Some(Some(processed)) = stop.run_until_cancelled(queue.next()).await {
            self.take(processed);
        }
        queue.close();
        while let Some(processed) = queue.next().await {
            self.take(processed);
        }
    }

    fn take(&self, processed: Processed) {
        let report = &processed.report;
        let told = self.disclosed.of_event(&report.facts);
        let event_type = told.event_type.as_deref().unwrap_or(UNKNOWN);
        let labels = [report.stream.as_str(), processed.consumer.as_str(), event_type];
        self.metrics.take(labels, report.duration.as_secs_f64(), report.failure.is_some());
        let ended = Ended {
            stream: Some(&report.stream),
            server: None,
            records: 1,
            duration: Some(report.duration),
            error: report.failure.as_ref().map(|failure| failure.kind.as_str()),
        };
        self.otlp.record_process(&processed.consumer, ended);
        // A hash helps nobody who reads a log: they know the id.
        let saga_id = told.saga_id.as_ref().filter(|_| self.disclosed.saga_id);
        log(&processed, &told, saga_id);
        if self.spans.is_on() {
            let mut span = processed.span;
            span.attributes.extend(told.attributes().into_iter().flatten());
            self.spans.offer(span);
        }
    }
}

/// One line, in the words of the article's queries: `processingTime` in milliseconds, `error` true
/// or false.
fn log(processed: &Processed, told: &Told, saga_id: Option<&SagaId>) {
    let Told { event_type, event_id, saga_id: _ } = told;
    let Processed { consumer, report, span } = processed;
    let record = report.contexts.first().map(|(context, _)| context);
    tracing::info!(
        eventType = event_type.as_deref(),
        processingTime = report.duration.as_micros() as f64 / 1_000.0,
        error = report.failure.is_some(),
        errorType = report.failure.as_ref().map(|failure| failure.kind.as_str()),
        errorMessage = report.failure.as_ref().and_then(|failure| failure.message.as_deref()),
        stream = report.stream.as_str(),
        shard = report.shard.as_ref().map(|shard| shard.as_str()),
        sequenceNumber = report.sequence.as_ref().map(|sequence| sequence.as_str()),
        consumer = consumer.as_str(),
        trace_id = %span.context.trace_id,
        span_id = %span.context.span_id,
        record_trace_id = record.map(|context| tracing::field::display(context.trace_id)),
        record_span_id = record.map(|context| tracing::field::display(context.span_id)),
        eventId = event_id.as_deref(),
        sagaId = saga_id.map(SagaId::as_str),
        "processed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{Moment, Wall};
    use crate::domain::trace::TraceContext;
    use crate::io::proxy::disclosed::SagaKey;
    use crate::wire::envelope_api::report;
    use prometheus::Registry;
    use serde_json::{Value, json};
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    const ROOT: &str = "00-11111111111111111111111111111111-2222222222222222-03";
    const RECORD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn disclosed(fields: &[&str]) -> Disclosed {
        Disclosed::of(fields, SagaKey::of_chance([7; 32]))
    }

    /// The lines that these reports leave in a log of the program's own form.
    fn lines(bodies: &[Value], disclosed: Disclosed) -> Vec<Value> {
        let out = Lines::default();
        let writer = out.clone();
        let log = tracing_subscriber::fmt().json().flatten_event(true);
        let log = log.with_writer(move || writer.clone()).finish();
        let metrics = EventMetrics::register(&Registry::new(), "eu-west-1").unwrap();
        let reports = Reports::new(metrics, SpanSink::off(), OtlpMetrics::off(), disclosed);
        let root = TraceContext::parse(ROOT.as_bytes()).unwrap();
        tracing::subscriber::with_default(log, || {
            for body in bodies {
                let report = report(body.to_string().as_bytes()).unwrap();
                let now = Moment { wall: Wall::from_ms(10_000), mono: Duration::ZERO };
                reports.take(Processed::new(report, "mail".into(), None, root, now));
            }
        });
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn reported() -> [Value; 3] {
        let envelope = json!({ "eventType": "ORDER_PLACED", "eventId": "e1", "sagaId": "s1", "traceparent": RECORD });
        [
            json!({ "stream": "orders", "durationMs": 1000.5, "envelope": envelope, "shard": "shardId-1", "sequenceNumber": "49" }),
            json!({ "stream": "orders", "durationMs": 3, "envelope": envelope, "error": { "type": "Late", "message": "too late" } }),
            json!({ "stream": "orders", "durationMs": 1000 }),
        ]
    }

    #[test]
    fn a_line_says_what_was_reported() {
        let lines = lines(&reported(), disclosed(&["eventType", "sagaId"]));
        let told = &lines[0];
        for (field, expected) in [
            ("eventType", json!("ORDER_PLACED")),
            ("processingTime", json!(1000.5)),
            ("error", json!(false)),
            ("errorType", Value::Null),
            ("stream", json!("orders")),
            ("shard", json!("shardId-1")),
            ("sequenceNumber", json!("49")),
            ("consumer", json!("mail")),
            ("trace_id", json!("11111111111111111111111111111111")),
            ("span_id", json!("2222222222222222")),
            ("record_trace_id", json!("0af7651916cd43dd8448eb211c80319c")),
            ("record_span_id", json!("b7ad6b7169203331")),
            ("sagaId", json!("s1")),
            ("eventId", Value::Null),
            ("message", json!("processed")),
        ] {
            assert_eq!(told[field], expected, "{field}");
        }
        assert_eq!(lines[1]["errorType"], "Late");
        assert!(lines[2].get("record_trace_id").is_none());
        let known = [&LINE_FIELDS[..], &["level", "message", "target"]].concat();
        for name in lines.iter().flat_map(|line| line.as_object().unwrap().keys()) {
            assert!(known.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn what_privacy_does_not_name_stays() {
        let shown = |told| {
            let lines = lines(&reported()[..1], told);
            ["eventType", "eventId", "sagaId"].map(|field| lines[0].get(field).is_some())
        };
        assert_eq!(shown(disclosed(&["eventType"])), [true, false, false]);
        assert_eq!(shown(disclosed(&["eventId", "sagaId", "userId"])), [false, true, true]);
        assert_eq!(shown(disclosed(&[])), [false; 3]);
    }

    /// The text of a query in `deploy/cloudwatch/`, without its comments.
    fn query(name: &str) -> String {
        let path = format!("{}/deploy/cloudwatch/{name}.query", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_articles_queries_find_the_lines_that_they_mean() {
        let lines = lines(&reported(), disclosed(&["eventType"]));
        let found = |condition: &dyn Fn(&Value) -> bool| -> Vec<usize> {
            lines.iter().enumerate().filter(|(_, line)| condition(line)).map(|(at, _)| at).collect()
        };
        assert_eq!(
            query("slow-processing"),
            "fields @timestamp, eventType, processingTime\n| filter processingTime > 1000\n| sort @timestamp desc\n| limit 20\n"
        );
        assert_eq!(found(&|line| line["processingTime"].as_f64() > Some(1000.0)), [0]);
        assert_eq!(
            query("error-rate"),
            "fields @timestamp, eventType\n| filter error = true\n| stats count() by eventType\n"
        );
        assert_eq!(found(&|line| line["error"] == true), [1]);
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert!(
            query("trace-story")
                .contains("| filter trace_id = 'TRACE_ID' or record_trace_id = 'TRACE_ID'\n")
        );
        assert_eq!(
            found(&|line| line["trace_id"] == trace || line["record_trace_id"] == trace),
            [0, 1]
        );
        assert!(query("saga-story").contains("| filter sagaId = 'SAGA_ID'\n"));
    }

    #[test]
    fn queries_name_no_field_that_a_line_lacks() {
        let words = [
            "fields", "filter", "sort", "asc", "desc", "limit", "stats", "count", "by", "or",
            "true",
        ];
        for name in ["slow-processing", "error-rate", "trace-story", "saga-story"] {
            let query = query(name);
            let parts = query.split(|c: char| !(c.is_ascii_alphanumeric() || "_@'".contains(c)));
            for part in parts.filter(|part| part.starts_with(|c: char| c.is_ascii_alphabetic())) {
                assert!(words.contains(&part) || LINE_FIELDS.contains(&part), "{name}: {part}");
            }
        }
    }
}
