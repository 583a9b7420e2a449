"""Owns: the envelope API from outside, as curl and an HTTP client use it: context goes in byte for
byte, comes out again, and a report becomes a span, figures and a log line."""

import http.client
import json

import pytest

from harness import new_stream, wait_for
from receivers import attributes

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
RECORD = f"00-{TRACE}-{SPAN}-01"
CALLER = f"00-{'c' * 32}-{'d' * 16}-01"
CONSUMER = 5  # SpanKind


def post(sidecar, path, body, headers=None, method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=20)
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    out = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, out


def lines(sidecar):
    """The log's lines about processed records."""
    told = [json.loads(line) for line in sidecar.output().splitlines() if line.startswith("{")]
    return [line for line in told if line.get("message") == "processed"]


@pytest.fixture
def sidecar(ministack, kinescope, otlp):
    started = kinescope(ministack.url, {"otlp": otlp.config("http/protobuf")})
    started.otlp = otlp
    return started


def test_context_goes_in_and_comes_out(sidecar):
    envelope = b' {"eventId" : "e1","eventType":"ORDER_PLACED","payload":{"total":1.10, "big":1e400}}\n'
    headers = {"traceparent": CALLER, "tracestate": "vendor=1", "content-type": "application/cloudevents+json"}
    status, told, out = post(sidecar, "/envelope/v1/inject", envelope, headers)
    assert (status, told["x-kinescope-verdict"], told["traceparent"]) == (200, "injected", CALLER)
    assert told["content-type"] == "application/cloudevents+json"
    head, brace, rest = envelope.partition(b"{")
    assert out.startswith(head + brace) and out.endswith(rest) and len(out) > len(envelope)
    status, _, found = post(sidecar, "/envelope/v1/extract", out)
    found = json.loads(found)
    assert (status, found["traceparent"], found["tracestate"]) == (200, CALLER, "vendor=1")
    assert (found["kind"], found["eventType"], found["eventId"]) == ("event", "ORDER_PLACED", "e1")
    assert found["verdict"] == "context_present"
    # Again changes nothing, and says whose context is there.
    status, told, again = post(sidecar, "/envelope/v1/inject", out)
    assert (again, told["x-kinescope-verdict"], told["traceparent"]) == (out, "context_present", CALLER)


def test_what_is_not_understood_stays(sidecar):
    for envelope, verdict in [(b"", "empty"), (b"[1]", "not_object"), (b"\x1f\x8b\x08", "gzip"), (b"{", "not_json")]:
        status, told, out = post(sidecar, "/envelope/v1/inject", envelope)
        assert (status, told["x-kinescope-verdict"], out) == (200, verdict, envelope)


def test_ten_mebibytes(sidecar):
    envelope = b'{"a":"%b"}' % (b"x" * ((10 << 20) - 200))
    status, told, out = post(sidecar, "/envelope/v1/inject", envelope)
    assert (status, told["x-kinescope-verdict"]) == (200, "injected") and out.endswith(envelope[1:])
    body = b'{"stream":"orders","durationMs":1,"envelope":%b}' % out
    status, _, told = post(sidecar, "/envelope/v1/processed", body)
    assert (status, json.loads(told)["links"]) == (202, 1)
    # A stream that is named has a limit of its own: a mebibyte, unless it says more.
    status, told, out = post(sidecar, "/envelope/v1/inject?stream=orders", envelope)
    assert (told["x-kinescope-verdict"], out) == ("record_too_large", envelope)


def test_the_kill_switch_and_the_streams_policy(ministack, kinescope):
    off = kinescope(ministack.url, {"proxy": {"propagation": "off"}})
    assert post(off, "/envelope/v1/inject", b"{}")[1]["x-kinescope-verdict"] == "off"
    some = kinescope(ministack.url, {"proxy": {"streams": [{"match": "pay-*", "propagate": "observe"}]}})
    check = lambda query: post(some, f"/envelope/v1/inject{query}", b"{}")[1]["x-kinescope-verdict"]
    assert [check(""), check("?stream=orders"), check("?stream=pay-1")] == ["injected", "injected", "observed"]


def test_a_report_becomes_a_span_figures_and_a_line(sidecar, ministack):
    stream = new_stream(ministack.url)
    envelope = {"eventType": "ORDER_PLACED", "eventId": "not-to-be-told", "traceparent": RECORD, "payload": {"card": "the-card-of-ada"}}
    report = {"stream": stream, "shard": "shardId-000000000000", "sequenceNumber": "49", "envelope": envelope,
              "startTimeMs": 1_700_000_000_000, "durationMs": 1500,
              "error": {"type": "TimeoutError", "message": "the warehouse did not answer"}}
    status, _, told = post(sidecar, "/app/mail/envelope/v1/processed", report, {"traceparent": CALLER})
    told = json.loads(told)
    assert (status, told["links"]) == (202, 1)

    span = sidecar.otlp.wait_for_span(lambda span: span.name == f"process {stream}", "the process span")
    assert told["traceparent"] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.kind) == ("c" * 32, "d" * 16, CONSUMER)
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in span.links] == [(TRACE, SPAN)]
    assert span.start_time_unix_nano == 1_700_000_000_000_000_000
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000
    assert span.status.code == 2 and attributes(span)["error.type"] == "TimeoutError"
    assert attributes(span)["messaging.operation.type"] == "process"
    assert attributes(span)["kinescope.event.type"] == "ORDER_PLACED"

    labels = {"stream": stream, "consumer": "mail", "event_type": "ORDER_PLACED"}
    metrics = wait_for(lambda: (m := sidecar.metrics()).sum("kinesis_event_errors_total") and m, 5, "the figures")
    assert metrics.value("kinesis_event_errors_total", **labels) == 1
    assert metrics.value("kinesis_event_process_seconds_sum", **labels) == 1.5

    line, = wait_for(lambda: lines(sidecar), 5, "the line")
    assert (line["eventType"], line["processingTime"], line["error"]) == ("ORDER_PLACED", 1500.0, True)
    assert (line["trace_id"], line["span_id"]) == (span.trace_id.hex(), span.span_id.hex())
    assert (line["record_trace_id"], line["record_span_id"]) == (TRACE, SPAN)
    # `privacy.fields` names the event type alone.
    assert "eventId" not in line and "not-to-be-told" not in str(span)
    assert "the-card-of-ada" not in sidecar.output() and "the-card-of-ada" not in metrics.text


def test_wrong_reports_are_told_by_their_field(sidecar):
    right = {"stream": "orders", "durationMs": 1}
    for change, field in [
        ({"stream": None}, "stream"), ({"durationMs": "1"}, "durationMs"), ({"durationMs": -1}, "durationMs"),
        ({"event_type": "A"}, "event_type"), ({"traceparent": "00-0-0-00"}, "traceparent"),
        ({"error": "late"}, "error"), ({"error": {"code": 1}}, "error.code"), ({"envelope": 7}, "envelope"),
    ]:
        status, headers, told = post(sidecar, "/envelope/v1/processed", {**right, **change})
        told = json.loads(told)
        assert (status, headers["x-kinescope-error"], told["field"]) == (400, "bad_field", field)
        assert told["message"].startswith(f"kinescope: {field} ") and told["__type"] == "ValidationException"
    for body in (b"", b"[]", b'{"stream":', b"\xff"):
        status, _, told = post(sidecar, "/envelope/v1/processed", body)
        assert (status, json.loads(told)["field"]) == (400, "body")
    assert lines(sidecar) == []


def test_only_programs_of_this_machine(sidecar):
    def refused(path, headers=None, method="POST"):
        status, told, _ = post(sidecar, path, b"{}", headers, method)
        return status, told["x-kinescope-error"]

    inject = "/envelope/v1/inject"
    assert refused(inject, {"Origin": "http://localhost:4590"}) == (403, "browser_refused")
    assert refused(inject, {"Host": "evil.example:4590"}) == (403, "foreign_host")
    assert refused(inject, method="GET") == (404, "not_found")
    assert refused("/envelope/v1/other")[1] == "not_found"
