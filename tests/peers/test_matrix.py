"""Owns the client matrix: every client against every emulator writes through the sidecar, reads back
through it what it wrote, and its records, the send spans and the receive spans tell one trace."""

import gzip
import json

import pytest

from harness import Boto3, new_stream, read_all, wait_for
from sdks import CLIENTS
from test_records import OBJECTS, OWN, check_injected

# Text, since the AWS CLI's PutRecords has no bytes; what is no text goes out alone.
BATCH = [OBJECTS[0], OBJECTS[1], OBJECTS[3], OWN, b"plain text {", '{"text":"h\u00e9 \U0001f600"}'.encode()]
ALONE = [OBJECTS[2], gzip.compress(b'{"a":1}', mtime=0), b'\xef\xbf\xbd{"a":1']
PLAIN = {OBJECTS[0], OBJECTS[1], OBJECTS[2], OBJECTS[3], BATCH[5]}


@pytest.mark.parametrize("name", CLIENTS)
def test_writes_reads_and_traces(name, any_upstream, kinescope, otlp):
    sidecar = kinescope(any_upstream.url, {"otlp": otlp.config("http/protobuf")})
    stream, client = new_stream(any_upstream.url), CLIENTS[name](sidecar.url)
    try:
        records = [{"Data": data, "PartitionKey": f"p{n}"} for n, data in enumerate(BATCH)]
        answer = client.call("PutRecords", StreamName=stream, Records=records)
        assert answer["FailedRecordCount"] == 0 and len(answer["Records"]) == len(BATCH)
        for data in ALONE:
            answer = client.call("PutRecord", StreamName=stream, Data=data, PartitionKey="alone")
            assert answer["SequenceNumber"].isdigit()
        sent = BATCH + ALONE
        read = [record["Data"] for record in read_all(client, stream, len(sent))]
    finally:
        client.close()
    check_read(read, sent)
    # What the client was given is what the stream holds.
    assert read == [record["Data"] for record in read_all(Boto3(any_upstream.url), stream, len(sent))]
    check_trace(otlp, stream, read, sends=1 + len(ALONE))
    metrics = sidecar.metrics()
    assert metrics.sum("kinesis_records_total", stream=stream, direction="put") == len(sent)
    assert metrics.sum("kinesis_records_total", stream=stream, direction="get") == len(sent)


def check_read(read, sent):
    assert len(read) == len(sent)
    for before, after in zip(sent, read):
        if before in PLAIN:
            check_injected(before, after)
        else:
            assert after == before


def context(data):
    """(trace id, span id) of the context that a JSON object carries at its root, or None."""
    try:
        _, trace, span, _ = json.loads(data)["traceparent"].split("-")
        return trace, span
    except (ValueError, KeyError, TypeError):
        return None


def check_trace(otlp, stream, read, sends):
    """Every context of ours is that of a send span; every context is linked by a receive span."""
    contexts = {found for found in map(context, read) if found}
    ours = contexts - {context(OWN)}
    assert ours
    told = wait_for_spans(otlp, f"send {stream}", lambda spans: len(spans) >= sends)
    assert ours <= {identity(span) for span in told} and len(told) == sends
    linked = lambda spans: {identity(link) for span in spans for link in span.links}  # noqa: E731
    received = wait_for_spans(otlp, f"receive {stream}", lambda spans: contexts <= linked(spans))
    assert linked(received) == contexts


def identity(span):
    return span.trace_id.hex(), span.span_id.hex()


def wait_for_spans(otlp, name, enough):
    """All spans of that name, once there are enough."""
    def found():
        spans = [span for span in list(otlp.spans) if span.name == name]
        return enough(spans) and spans

    return wait_for(found, 20, f"enough spans {name} among {sorted({span.name for span in otlp.spans})}")
