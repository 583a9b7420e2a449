"""Owns clients that ddtrace and dd-trace instrument: what they wrote into a record stays as they wrote
it, and their context is told by the spans."""

import json

import pytest

from harness import Boto3, new_stream, read_all
from sdks import DdTrace, DdTraceNode
from test_matrix import check_injected, identity, wait_for_spans

RECORDS = [b'{"n":0,"text":"h"}', b'{"n":1}', b"not JSON"]


def as_python(value):
    return json.dumps(value).encode()


def as_node(value):
    return json.dumps(value, separators=(",", ":")).encode()


@pytest.mark.parametrize("client, dump, traced", [
    (DdTrace, as_python, 2),
    (DdTraceNode, as_node, 1),  # dd-trace writes into the first record of a call only
], ids=["ddtrace", "dd-trace-js"])
def test_its_records_stay_and_its_context_is_linked(client, dump, traced, any_upstream, kinescope, otlp):
    sidecar = kinescope(any_upstream.url, {"otlp": otlp.config("http/protobuf")})
    stream, client = new_stream(any_upstream.url), client(sidecar.url)
    try:
        answer = client.call("PutRecords", StreamName=stream, Records=[
            {"Data": data, "PartitionKey": "p"} for data in RECORDS])
        assert answer["FailedRecordCount"] == 0
        client.call("PutRecord", StreamName=stream, PartitionKey="p", Data=RECORDS[0])
    finally:
        client.close()
    batch = [record["Data"] for record in read_all(Boto3(sidecar.url), stream, 4)]
    *batch, single = batch
    theirs = set()
    for before, after in [*zip(RECORDS, batch[:traced]), (RECORDS[0], single)]:
        members = json.loads(after)
        # Their own way of writing, their member last, nothing of ours: nobody touched it after them.
        assert dump(members) == after and list(members) == [*json.loads(before), "_datadog"]
        theirs.add(context_of(members["_datadog"]))
    if traced == 1:
        check_injected(RECORDS[1], batch[1])
    assert batch[2] == RECORDS[2]

    linked = lambda spans: {identity(link) for span in spans for link in span.links}  # noqa: E731
    wait_for_spans(otlp, f"receive {stream}", lambda spans: theirs <= linked(spans))
    # Their span of the call is the parent of ours, whether the request's headers or its records say so.
    sends = wait_for_spans(otlp, f"send {stream}", lambda spans: len(spans) == 2)
    parents = {(span.trace_id.hex(), span.parent_span_id.hex()) for span in sends}
    assert len(parents) == 2 and parents <= theirs
    assert theirs <= linked(sends) | parents
    told = sidecar.metrics()
    assert told.sum("kinesis_records_total", stream=stream, direction="put") == 4


def context_of(carrier):
    _, trace, span, _ = carrier["traceparent"].split("-")
    return trace, span
