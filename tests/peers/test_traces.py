"""Owns: a context sent by the client is the parent of what the record carries, and spans with links
arrive in a real OTLP receiver, by http/protobuf and by gRPC."""

import json

import pytest

from harness import Boto3, new_stream, read_all, wait_for
from receivers import attributes

CLIENT_TRACE, CLIENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"
CLIENT, PRODUCER = 3, 4  # SpanKind


@pytest.fixture(params=["http/protobuf", "grpc"])
def line(request, ministack, otlp, kinescope):
    """A stream, a sidecar that exports by one protocol, the receiver."""
    sidecar = kinescope(ministack.url, {"otlp": otlp.config(request.param)})
    return new_stream(ministack.url), sidecar, otlp


def carried(record):
    _, trace, span, _ = json.loads(record["Data"])["traceparent"].split("-")
    return trace, span


def span_of(otlp, operation, stream, **given):
    name = f"{operation} {stream}"
    return otlp.wait_for_span(
        lambda span: span.name == name
        and all(getattr(span, key).hex() == value for key, value in given.items()),
        f"{name} {given}")


def test_the_line(line, connect):
    stream, sidecar, otlp = line
    client = connect(sidecar.url)
    client.call("PutRecord", headers={"traceparent": TRACEPARENT, "tracestate": "vendor=1"},
                StreamName=stream, Data=b'{"a":1}', PartitionKey="p")
    record = read_all(client, stream, 1)[0]
    trace, parent = carried(record)
    assert trace == CLIENT_TRACE and parent != CLIENT_SPAN
    assert json.loads(record["Data"])["tracestate"] == "vendor=1"

    send = span_of(otlp, "send", stream)
    assert (send.trace_id.hex(), send.span_id.hex()) == (trace, parent)
    assert send.parent_span_id.hex() == CLIENT_SPAN
    assert send.kind == PRODUCER and send.trace_state == "vendor=1"
    assert 0 < send.start_time_unix_nano < send.end_time_unix_nano
    told = attributes(send)
    assert told["messaging.system"] == "aws.kinesis"
    assert told["messaging.destination.name"] == stream
    assert told["messaging.operation.type"] == "send"

    receive = span_of(otlp, "receive", stream)
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in receive.links] == [(trace, parent)]
    assert receive.kind == CLIENT and attributes(receive)["messaging.operation.type"] == "receive"
    assert otlp.resources[0]["service.name"] == "inventory"


def test_a_batch_is_one_send_and_a_link_a_context(line):
    stream, sidecar, otlp = line
    client, other = Boto3(sidecar.url), "00-" + "c" * 32 + "-" + "d" * 16 + "-01"
    datas = [b'{"a":1}', b'{"a":2}', b"opaque", b'{"traceparent":"%b"}' % other.encode()]
    client.call("PutRecords", headers={"traceparent": TRACEPARENT}, StreamName=stream,
                Records=[{"Data": data, "PartitionKey": "p"} for data in datas])
    records = read_all(client, stream, len(datas))
    assert records[3]["Data"] == datas[3]
    contexts = {carried(records[0]), carried(records[1]), ("c" * 32, "d" * 16)}
    assert {trace for trace, _ in contexts} == {CLIENT_TRACE, "c" * 32}

    send = span_of(otlp, "send", stream, parent_span_id=CLIENT_SPAN)
    assert attributes(send)["messaging.batch.message_count"] == 4
    # Kept and linked, never overwritten.
    assert ("c" * 32, "d" * 16) in {(link.trace_id.hex(), link.span_id.hex()) for link in send.links}
    receive = span_of(otlp, "receive", stream)
    assert {(link.trace_id.hex(), link.span_id.hex()) for link in receive.links} == contexts
    assert len([span for span in otlp.spans if span.name == f"send {stream}"]) == 1


def test_where_the_parent_comes_from(line):
    stream, sidecar, otlp = line
    client = Boto3(sidecar.url)

    def put(headers, data=b'{"a":1}'):
        client.call("PutRecord", headers=headers, StreamName=stream, Data=data, PartitionKey="p")
        return read_all(client, stream, put.count + 1)[put.count]

    put.count = 0
    # 1. The request's own traceparent goes before X-Ray's header.
    xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    assert carried(put({"traceparent": TRACEPARENT, "X-Amzn-Trace-Id": xray}))[0] == CLIENT_TRACE
    put.count = 1
    # 2. X-Ray's header.
    trace, span = carried(put({"X-Amzn-Trace-Id": xray}))
    assert trace == "5759e988bd862e3fe1be46a994272793"
    assert span_of(otlp, "send", stream, span_id=span).parent_span_id.hex() == "53995c3f42cd8ad8"
    put.count = 2
    # 3. Neither: a new root.
    trace, span = carried(put({}))
    assert trace not in (CLIENT_TRACE, "5759e988bd862e3fe1be46a994272793")
    assert span_of(otlp, "send", stream, span_id=span).parent_span_id == b""
    put.count = 3
    # A header that is no context is no parent.
    trace, _ = carried(put({"traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01"}))
    assert int(trace, 16) != 0


def test_a_read_without_records_is_no_span(line):
    stream, sidecar, otlp = line
    client = Boto3(sidecar.url)
    read_all(client, stream, 0)
    client.call("PutRecord", StreamName=stream, Data=b"{}", PartitionKey="p")
    span_of(otlp, "send", stream)  # whatever the empty read had made would have come before it
    assert [span.name for span in otlp.spans if stream in span.name] == [f"send {stream}"]


def test_no_endpoint_is_no_export(ministack, kinescope):
    sidecar, stream = kinescope(ministack.url), new_stream(ministack.url)
    Boto3(sidecar.url).call("PutRecord", StreamName=stream, Data=b"{}", PartitionKey="p")
    metrics = wait_for(
        lambda: (m := sidecar.metrics()).sum("kinescope_proxy_requests_total") and m, 5, "the count")
    assert metrics.sum("kinescope_dropped_total", queue="spans") == 0
