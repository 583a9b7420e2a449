"""Owns: spans and metrics leave as `OTEL_EXPORTER_OTLP_*` and `otlp` say, into collectors that others
wrote, and into X-Ray's endpoint with a signature that botocore finds right."""

import subprocess
from urllib.parse import urlsplit

import pytest

import harness
from harness import Boto3, new_stream, wait_for
from receivers import GrpcCollector, Tap, XRay, attributes

EXPORTED, DROPPED = "kinescope_spans_exported_total", "kinescope_dropped_total"


@pytest.fixture
def closing():
    opened = []

    def keep(peer):
        opened.append(peer)
        return peer

    yield keep
    for peer in opened:
        peer.close()


def put(sidecar, stream, count=1):
    client = Boto3(sidecar.url)
    try:
        for index in range(count):
            client.call("PutRecord", StreamName=stream, Data=b'{"a":%d}' % index, PartitionKey="p")
    finally:
        client.close()


def test_gzip_and_headers_by_http(ministack, otlp, kinescope, closing):
    tap, stream = closing(Tap(otlp.http_port)), new_stream(ministack.url)
    sidecar = kinescope(ministack.url, env={
        "OTEL_EXPORTER_OTLP_ENDPOINT": tap.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=wrong",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "Authorization=Bearer%20hunter2,x-tenant=orders",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    })
    put(sidecar, stream)
    otlp.wait_for_span(lambda span: span.name == f"send {stream}", "the send span")
    path, headers, body = tap.requests[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert path == "/v1/traces" and body[:2] == b"\x1f\x8b"
    assert headers["content-encoding"] == "gzip"
    assert headers["content-type"] == "application/x-protobuf"
    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer hunter2", "orders")
    assert otlp.resources[0]["deployment.environment.name"] == "test"
    assert "hunter2" not in sidecar.output() + sidecar.get("/metrics")[1]


def test_gzip_by_grpc(ministack, otlp, kinescope):
    stream = new_stream(ministack.url)
    sidecar = kinescope(ministack.url, {"otlp": otlp.config("grpc")},
                        env={"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "gzip"})
    put(sidecar, stream, 20)
    wait_for(lambda: len([s for s in list(otlp.spans) if s.name == f"send {stream}"]) == 20, 20,
             "20 spans")
    wait_for(lambda: sidecar.metrics().sum(EXPORTED, outcome="accepted") >= 20, 10, "their count")


def test_headers_and_refused_spans_by_grpc(ministack, kinescope, closing):
    collector, stream = closing(GrpcCollector(refused=1)), new_stream(ministack.url)
    sidecar = kinescope(ministack.url, env={
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=orders",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    })
    put(sidecar, stream)
    wait_for(lambda: sidecar.metrics().sum(DROPPED, queue="spans", reason="rejected") == 1, 20,
             "the refused span")
    metadata, request = collector.requests[0]
    assert metadata["x-tenant"] == "orders"
    assert request.resource_spans[0].scope_spans[0].spans[0].name == f"send {stream}"
    assert "too old" in sidecar.output()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_messaging_metrics(protocol, ministack, otlp, kinescope):
    stream = new_stream(ministack.url)
    sidecar = kinescope(ministack.url, {"otlp": otlp.config(protocol)}, env={
        "OTEL_METRICS_EXPORTER": "otlp", "OTEL_METRIC_EXPORT_INTERVAL": "300"})
    put(sidecar, stream, 3)
    client = Boto3(sidecar.url)
    records = harness.read_all(client, stream, 3)
    client.close()
    assert len(records) == 3

    def newest(name):
        """The last value of a metric's point for this stream, and the point's attributes."""
        for metric in reversed(list(otlp.metrics)):
            data = metric.sum if metric.HasField("sum") else metric.histogram
            for point in data.data_points:
                told = attributes(point)
                if metric.name == name and told["messaging.destination.name"] == stream:
                    assert data.aggregation_temporality == 2
                    return metric, point, told
        return None

    def of(name, count):
        found = newest(name)
        if not found:
            return None
        metric, point, told = found
        value = point.as_int if metric.HasField("sum") else point.count
        return found if value >= count else None

    def waited(name, count):
        return wait_for(lambda: of(name, count), 20, f"{name} of {count}")

    metric, point, told = waited("messaging.client.sent.messages", 3)
    assert (point.as_int, metric.unit, metric.sum.is_monotonic) == (3, "{message}", True)
    assert told == {
        "messaging.system": "aws.kinesis", "messaging.operation.name": "send",
        "messaging.destination.name": stream, "server.address": "127.0.0.1",
        "server.port": urlsplit(ministack.url).port}
    _, point, told = waited("messaging.client.consumed.messages", 3)
    assert (point.as_int, told["messaging.consumer.group.name"]) == (3, "inventory")
    metric, point, told = waited("messaging.client.operation.duration", 1)
    assert (metric.unit, len(point.explicit_bounds), point.explicit_bounds[0]) == ("s", 14, 0.005)
    assert told["messaging.operation.type"] in ("send", "receive")


def test_metrics_are_not_sent_unless_asked_for(ministack, otlp, kinescope):
    stream = new_stream(ministack.url)
    sidecar = kinescope(ministack.url, {"otlp": otlp.config("http/protobuf")},
                        env={"OTEL_METRIC_EXPORT_INTERVAL": "50"})
    put(sidecar, stream)
    otlp.wait_for_span(lambda span: span.name == f"send {stream}", "the send span")
    sidecar.stop()
    assert otlp.metrics == []


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_x_ray_needs_no_collector(compression, ministack, kinescope, closing, tmp_path):
    xray, stream = closing(XRay(tmp_path)), new_stream(ministack.url)
    sidecar = kinescope(ministack.url, {"otlp": {"xray": True}}, env={
        "HTTPS_PROXY": xray.url, "AWS_CA_BUNDLE": str(xray.authority),
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        # A collector's, and none of AWS's business.
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=hunter2",
    })
    put(sidecar, stream, 3)
    wait_for(lambda: len(xray.spans) == 3, 20, "three spans")
    assert {span.name for span in xray.spans} == {f"send {stream}"}
    assert set(xray.targets) == {f"{xray.HOST}:443"} and xray.refused == 0
    wait_for(lambda: sidecar.metrics().sum(EXPORTED, outcome="accepted") == 3, 10, "their count")


def check(*arguments, **variables):
    """Exit code and everything that `kinescope check` says."""
    done = subprocess.run([harness.binary(), "check", *arguments], capture_output=True, text=True,
                          env={"OTEL_SERVICE_NAME": "x", **variables}, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name, value, word", [
    ("ENDPOINT", "http://user:hunter2@collector", "user or password"),
    ("ENDPOINT", "hunter2:4318", "http://"),
    ("PROTOCOL", "http/json", "http/protobuf or grpc"),
    ("TRACES_CERTIFICATE", "/no/hunter2", "PEM"),
])
def test_what_cannot_work_is_said(name, value, word):
    name = f"OTEL_EXPORTER_OTLP_{name}"
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318", name: value}
    code, said = check(**given)
    assert code == 64 and name in said and word in said
    assert "hunter2" not in said


@pytest.mark.parametrize("name, value", [
    ("HEADERS", "hunter2"), ("TIMEOUT", "hunter2"), ("COMPRESSION", "hunter2"),
    ("TRACES_CLIENT_KEY", "/no/hunter2"),
])
def test_what_is_ignored_is_said(name, value):
    name = f"OTEL_EXPORTER_OTLP_{name}"
    code, said = check(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318", **{name: value})
    warning = [line for line in said.splitlines() if line.startswith(f"warning: {name} ")]
    assert (code, len(warning)) == (0, 1), said
    assert "hunter2" not in said
