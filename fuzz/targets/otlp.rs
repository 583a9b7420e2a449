//! Owns the laws of OTLP, both ways: what others send is counted whole, and a collector's answer divides
//! nothing wrongly.

use http::{HeaderMap, HeaderName, HeaderValue};
use kinescope::wire::observations;
use kinescope::wire::otlp::divide::halves;
use kinescope::wire::otlp::grpc::{Status, frame, unframe};
use kinescope::wire::otlp_receive::{metrics, spans};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;

pub fn otlp_traces(data: &[u8]) {
    let Ok(received) = spans(data) else { return };
    let sent = ExportTraceServiceRequest::decode(data).unwrap();
    let counted = received.spans.len() as u64 + received.foreign + received.invalid;
    assert_eq!(counted, names(&sent).count() as u64);
}

fn names(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &str> {
    let scopes = request.resource_spans.iter().flat_map(|it| &it.scope_spans);
    scopes.flat_map(|scope| &scope.spans).map(|span| span.name.as_str())
}

pub fn otlp_metrics(data: &[u8]) {
    let Ok(received) = metrics(data) else { return };
    let sent = ExportMetricsServiceRequest::decode(data).unwrap();
    let all = sent.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
    let all = all.flat_map(|scope| &scope.metrics);
    let points: u64 = all
        .map(|metric| match &metric.data {
            // One fault, however many points: ours are gauges and sums.
            Some(Data::Histogram(_) | Data::ExponentialHistogram(_) | Data::Summary(_)) | None
                if observations::is_ours(&metric.name) =>
            {
                1
            }
            Some(Data::Gauge(it)) => it.data_points.len() as u64,
            Some(Data::Sum(it)) => it.data_points.len() as u64,
            Some(Data::Histogram(it)) => it.data_points.len() as u64,
            Some(Data::ExponentialHistogram(it)) => it.data_points.len() as u64,
            Some(Data::Summary(it)) => it.data_points.len() as u64,
            None => 0,
        })
        .sum();
    let counted = received.lags.len() as u64 + received.reported;
    assert_eq!(counted + received.foreign + received.invalid, points);
    for lag in &received.lags {
        let _ = (lag.mean_after(None), lag.mean_after(Some(lag)));
    }
    for report in received.reports {
        let again = |report| {
            let read = metrics(&observations::write(&report, "eu-west-1")).unwrap();
            assert_eq!(read.invalid + read.foreign, 0);
            read.reports.into_iter().next().unwrap()
        };
        // Reads that were none are left out once.
        let once = again(report);
        assert_eq!(again(once.clone()), once);
    }
}

/// A collector's answer over gRPC: lines `name: value`, an empty one, the stream of its message. The
/// same bytes stand for a request that is divided.
pub fn otlp_answer(data: &[u8]) {
    let head = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let mut headers = HeaderMap::new();
    for line in data[..head].split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    if let Some(status) = Status::read(&headers) {
        let said = headers["grpc-status"].to_str().unwrap();
        assert_eq!(said.parse::<u8>(), Ok(status.number));
    }
    let stream = data.get(head + 2..).unwrap_or_default();
    if let Some(message) = unframe(stream) {
        assert!(stream.starts_with(&frame(message, false)));
    }
    assert_eq!(unframe(&frame(data, false)), Some(data));
    let Some([(first, one), (second, other)]) = halves(data) else { return };
    let [whole, one, other] =
        [data, &one, &other].map(|part| ExportTraceServiceRequest::decode(part).unwrap());
    assert_eq!((names(&one).count(), names(&other).count()), (first, second));
    assert!(first == second || first + 1 == second);
    let (mut together, mut apart): (Vec<_>, Vec<_>) =
        (names(&whole).collect(), names(&one).chain(names(&other)).collect());
    together.sort_unstable();
    apart.sort_unstable();
    assert_eq!(together, apart);
}
