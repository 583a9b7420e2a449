"""Owns clients that OpenTelemetry instruments: they put through the sidecar and keep their own trace. Their
span is the parent of ours, and the record's context is ours below it."""

import pytest

from harness import Boto3, new_stream, read_all
from sdks import Otel, OtelNode, OtelW3c
from test_matrix import check_injected, context, identity, wait_for_spans

RECORDS = [b'{"n":0}', b'{"n":1,"text":"\xc3\xa9"}', b"not JSON"]


def put(client, stream):
    client.call("PutRecords", StreamName=stream, Records=[
        {"Data": data, "PartitionKey": "p"} for data in RECORDS])
    client.call("PutRecord", StreamName=stream, PartitionKey="p", Data=RECORDS[0])
    spans = client.call("Spans")["Spans"]
    client.close()
    return spans


@pytest.mark.parametrize("client", [Otel, OtelW3c, OtelNode], ids=lambda client: client.__name__)
def test_its_span_is_the_parent_of_ours(client, any_upstream, kinescope, otlp):
    sidecar, stream = kinescope(any_upstream.url, {"otlp": otlp.config("http/protobuf")}), new_stream(any_upstream.url)
    theirs = put(client(sidecar.url), stream)
    assert {span["name"].split(".")[-1] for span in theirs} >= {"PutRecord", "PutRecords"}
    roots = {span["trace"] for span in theirs if not span["parent"]}
    assert len(roots) == 2 and {span["trace"] for span in theirs} == roots, "two calls, two traces"

    sends = wait_for_spans(otlp, f"send {stream}", lambda spans: len(spans) == 2)
    parents = {(span.trace_id.hex(), span.parent_span_id.hex()) for span in sends}
    assert parents <= {(span["trace"], span["span"]) for span in theirs}
    assert {trace for trace, _ in parents} == roots
    # A trace ends nowhere on the way: their root, their span of the call, ours, and the record.
    *batch, single = [record["Data"] for record in read_all(Boto3(sidecar.url), stream, 4)]
    for before, after in [*zip(RECORDS[:2], batch), (RECORDS[0], single)]:
        check_injected(before, after)
        assert context(after) in map(identity, sends)
    assert batch[2] == RECORDS[2] and context(batch[0]) == context(batch[1]) != context(single)
    assert all(span.flags & 1 for span in sends)


def test_where_nobody_sends_a_header_ours_is_a_root(ministack, kinescope, otlp):
    """The JavaScript SDK's default: HTTP/2. Its spans and ours are then two traces; nothing is guessed."""
    sidecar, stream = kinescope(ministack.url, {"otlp": otlp.config("http/protobuf")}), new_stream(ministack.url)
    theirs = put(OtelNode(sidecar.url, handler=""), stream)
    assert {span["name"] for span in theirs} == {"Kinesis.PutRecord", "Kinesis.PutRecords"}
    sends = wait_for_spans(otlp, f"send {stream}", lambda spans: len(spans) == 2)
    assert all(span.parent_span_id == b"" for span in sends)
