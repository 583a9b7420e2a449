//! Owns the proof that pages, statuses and faults of rpc-v2-cbor are read as they are meant.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use super::*;
use crate::domain::snapshot::CloudWatchMetric;
use crate::domain::time::Wall;
use crate::io::credentials::fake;
use aws_smithy_cbor::Encoder;
use aws_smithy_types::DateTime;
use prometheus::Registry;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// 2023-11-14T22:15:00Z, a whole minute.
const MINUTE_ZERO: u64 = 1_700_000_100;

/// One result of a page: id, status, and values with their minute.
type Result<'a> = (&'a str, &'a str, &'a [(i64, f64)]);

fn page(results: &[Result<'_>], token: Option<&str>) -> (u16, Vec<u8>) {
    let mut cbor = Encoder::new(Vec::new());
    cbor.map(if token.is_some() { 2 } else { 1 });
    cbor.str("MetricDataResults").array(results.len());
    for (id, status, values) in results {
        cbor.map(4).str("Id").str(id).str("StatusCode").str(status);
        cbor.str("Timestamps").array(values.len());
        for (minute, _) in *values {
            cbor.timestamp(&DateTime::from_secs(MINUTE_ZERO as i64 + minute * 60));
        }
        cbor.str("Values").array(values.len());
        for (_, value) in *values {
            cbor.double(*value);
        }
    }
    if let Some(token) = token {
        cbor.str("NextToken").str(token);
    }
    (200, cbor.into_writer())
}

fn error(status: u16, code: &str) -> (u16, Vec<u8>) {
    let mut cbor = Encoder::new(Vec::new());
    cbor.map(2).str("__type").str(&format!("com.amazonaws.cloudwatch#{code}"));
    cbor.str("message").str("no");
    (status, cbor.into_writer())
}

struct Run {
    /// What the engine heard, newest value of each.
    points: BTreeMap<(String, CloudWatchMetric), (i64, f64)>,
    /// When each call was made.
    calls: Vec<Duration>,
    metrics: String,
}

/// Polls `streams` streams for `seconds`; the call after `n` others is answered by
/// `answer(n, whether it asks for a further page)`.
async fn run(
    streams: usize,
    seconds: u64,
    answer: impl Fn(usize, bool) -> (u16, Vec<u8>) + Send + Sync + 'static,
) -> Run {
    // Ten minutes in and a bit: with 120 s of delay the window is minutes 3 to 8.
    let clock = Clock::simulated(Wall::from_ms((MINUTE_ZERO + 10 * 60 + 7) * 1_000));
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (log, reader) = (Arc::clone(&calls), clock.clone());
    let settings = fake::settings(move |request| {
        let body = request.body().bytes().unwrap();
        let further = memchr::memmem::find(body, b"NextToken").is_some();
        let mut calls = log.lock().unwrap();
        calls.push(reader.now().mono);
        answer(calls.len() - 1, further)
    })
    .await;
    let names = (0..streams).map(|index| StreamName::from(format!("s{index}").as_str()));
    let (list, streams) = watch::channel(Arc::default());
    let (events, mut heard) = mpsc::channel(2_000);
    let registry = Registry::new();
    let metrics = CloudWatchMetrics::register(&registry).unwrap();
    let client = settings.cloudwatch(None);
    // There is nothing to find, and streams are listed only when the poller waits already.
    let (_, found) = watch::channel(Found::default());
    let sources = Sources { streams, found };
    let config = Config::default();
    let poller = Poller::new(Sdk(client), clock.clone(), config, sources, events, metrics.clone());
    let stop = CancellationToken::new();
    let end = async {
        list.send_replace(names.collect());
        clock.sleep_until(Duration::from_secs(seconds)).await;
        stop.cancel();
    };
    tokio::join!(poller.run(stop.clone()), end);
    drop(list);
    let mut points = BTreeMap::new();
    while let Ok(event) = heard.try_recv() {
        let Event::CloudWatch { stream, metric, point } = event else { panic!("{event:?}") };
        assert_eq!(point.period, Duration::from_secs(60));
        let minute = (point.at.as_seconds() as i64 - MINUTE_ZERO as i64) / 60;
        points.insert((stream.to_string(), metric), (minute, point.value));
    }
    let mut text = String::new();
    prometheus::TextEncoder::new().encode_utf8(&registry.gather(), &mut text).unwrap();
    let calls = calls.lock().unwrap().clone();
    Run { points, calls, metrics: text }
}

impl Run {
    fn point(&self, stream: &str, metric: CloudWatchMetric) -> Option<(i64, f64)> {
        self.points.get(&(stream.to_owned(), metric)).copied()
    }

    fn assert_metric(&self, line: &str) {
        assert!(self.metrics.lines().any(|it| it == line), "no {line} in\n{}", self.metrics);
    }
}

use CloudWatchMetric::IncomingBytes;
use CloudWatchMetric::IncomingRecords;
use CloudWatchMetric::IteratorAge;
use CloudWatchMetric::WriteThrottles;

#[tokio::test(start_paused = true)]
async fn a_plain_answer_and_what_it_costs() {
    let run = run(1, 50, |_, _| {
        let ascending: &[_] = &[(3, 1.0), (7, 5.0), (8, 99.0)];
        let descending: &[_] = &[(7, 2.0), (6, 3.0)];
        page(&[("q0", "Complete", ascending), ("q2", "Complete", descending)], None)
    })
    .await;
    assert_eq!(run.calls.len(), 1);
    assert_eq!(run.point("s0", IncomingRecords), Some((7, 5.0)), "minute 8 is not settled");
    assert_eq!(run.point("s0", IteratorAge), Some((7, 2.0)));
    assert_eq!(run.points.len(), 2, "missing is not zero");
    run.assert_metric(
        r#"kinescope_cloudwatch_requests_total{operation="GetMetricData",outcome="ok"} 1"#,
    );
    run.assert_metric(r#"kinescope_cloudwatch_metrics_requested_total{billing="per_metric"} 17"#);
    run.assert_metric(
        r#"kinescope_cloudwatch_metrics_requested_total{billing="per_statistic"} 20"#,
    );
    run.assert_metric(
        r#"kinescope_cloudwatch_estimated_cost_dollars_total{billing="per_statistic"} 0.0002"#,
    );
    run.assert_metric(
        r#"kinescope_cloudwatch_last_success_timestamp_seconds{job="streams"} 1700000707"#,
    );
}

#[tokio::test(start_paused = true)]
async fn partial_data_is_kept_and_followed() {
    let run = run(1, 50, |_, further| match further {
        false => page(&[("q0", "PartialData", &[(7, 7.0), (6, 6.0)])], Some("more")),
        true => page(&[("q0", "Complete", &[(5, 5.0)]), ("q1", "Complete", &[(4, 4.0)])], None),
    })
    .await;
    assert_eq!(run.calls.len(), 2);
    assert_eq!(run.point("s0", IncomingRecords), Some((7, 7.0)));
    assert_eq!(run.point("s0", IncomingBytes), Some((4, 4.0)));
    run.assert_metric(r#"kinescope_cloudwatch_results_total{status="partial_data"} 1"#);
    run.assert_metric(r#"kinescope_cloudwatch_results_total{status="complete"} 2"#);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_back_ends_the_paging() {
    let run = run(1, 50, |_, _| page(&[("q0", "Complete", &[(7, 7.0)])], Some("again"))).await;
    assert_eq!(run.calls.len(), 2);
    assert_eq!(run.point("s0", IncomingRecords), Some((7, 7.0)));
}

#[tokio::test(start_paused = true)]
async fn faulty_results_spoil_only_themselves_and_the_success() {
    let run = run(1, 50, |before, _| {
        let bad: &[_] = &[];
        match before {
            0 => page(
                &[
                    ("q0", "Complete", &[(7, 7.0)]),
                    ("q1", "InternalError", bad),
                    ("q3", "Forbidden", bad),
                ],
                None,
            ),
            // What failed inside CloudWatch is asked for again, alone; what is forbidden is not.
            _ => page(&[("q0", "InternalError", bad)], None),
        }
    })
    .await;
    assert_eq!((run.points.len(), run.calls.len()), (1, 2));
    assert_eq!(run.point("s0", WriteThrottles), None);
    run.assert_metric(r#"kinescope_cloudwatch_results_total{status="internal_error"} 2"#);
    run.assert_metric(r#"kinescope_cloudwatch_results_total{status="forbidden"} 1"#);
    assert!(!run.metrics.contains("last_success"), "{}", run.metrics);
}

#[tokio::test(start_paused = true)]
async fn a_failing_page_keeps_the_pages_before_it_and_the_other_batches() {
    let run = run(26, 50, |before, further| match (before, further) {
        (0, false) => page(&[("q0", "PartialData", &[(7, 7.0)])], Some("more")),
        (_, true) => error(500, "InternalServiceFault"),
        (_, false) => page(&[("q0", "Complete", &[(7, 8.0)])], None),
    })
    .await;
    assert_eq!(run.calls.len(), 1 + 3 + 1, "first page, its second three times, second batch");
    assert_eq!(run.point("s0", IncomingRecords), Some((7, 7.0)));
    assert_eq!(run.point("s25", IncomingRecords), Some((7, 8.0)));
    run.assert_metric(
        r#"kinescope_cloudwatch_requests_total{operation="GetMetricData",outcome="broken"} 3"#,
    );
    assert!(!run.metrics.contains("last_success"), "{}", run.metrics);
}

#[tokio::test(start_paused = true)]
async fn throttled_once_is_tried_again_after_a_moment() {
    let run = run(1, 50, |before, _| match before {
        0 => error(400, "ThrottlingException"),
        _ => page(&[("q0", "Complete", &[(7, 7.0)])], None),
    })
    .await;
    let [first, second] = run.calls[..] else { panic!("{:?}", run.calls) };
    assert!((250..=750).contains(&(second - first).as_millis()), "{:?}", run.calls);
    assert_eq!(run.point("s0", IncomingRecords), Some((7, 7.0)));
    run.assert_metric(
        r#"kinescope_cloudwatch_requests_total{operation="GetMetricData",outcome="throttled"} 1"#,
    );
    assert!(run.metrics.contains("last_success"));
}

#[tokio::test(start_paused = true)]
async fn throttled_for_long_is_polled_ever_more_rarely() {
    let run = run(500, 3_600, |_, _| error(400, "Throttling")).await;
    let calls = run.calls.len();
    assert!((15..=30).contains(&calls), "three tries of one batch a poll, but {calls}");
}

#[tokio::test(start_paused = true)]
async fn denied_is_not_tried_again_at_once() {
    let run = run(500, 50, |_, _| error(403, "AccessDenied")).await;
    assert_eq!(run.calls.len(), 1);
    run.assert_metric(
        r#"kinescope_cloudwatch_requests_total{operation="GetMetricData",outcome="denied"} 1"#,
    );
}

#[tokio::test(start_paused = true)]
async fn polls_by_its_own_clock() {
    let run = run(1, 600, |_, _| page(&[], None)).await;
    assert!((9..=10).contains(&run.calls.len()), "{:?}", run.calls);
    assert!(run.points.is_empty());
}
