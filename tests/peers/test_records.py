"""Owns: what a reader gets is what the producer put, but for the one added member; real SDKs, real
emulators."""

import gzip
import json
import re

import pytest

from harness import Boto3, new_stream, read_all

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
OWN = b'{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","a":1}'

OBJECTS = [
    b'{"eventType":"OrderPlaced","orderId":"o-1","total":10.50}',
    b'{}',
    b' {\n\t"spaced" : [ 1 , 2 ] }\n',
    b'{"numbers":[1e400,-0,0.10,12345678901234567890],"escape":"\\u00e9\\/\\"","text":"h\xc3\xa9"}',
    b'{"nested":{"traceparent":"x"},"text":"\\"traceparent\\":"}',
    b'{"big":"' + b"x" * 200_000 + b'"}',
]
UNTOUCHED = [
    OWN,
    b'{"a":1,"traceparent":"not a context"}',
    b'{"twice":1,"twice":2}',
    b"[1,2,3]",
    b'[{"a":1}]',
    b'"traceparent"',
    b"42",
    b"null",
    b" ",
    b"\x00",
    b"plain text {",
    b'{"cut":',
    b'{"a":1} trailing',
    b"\xff\xfe{}",
    gzip.compress(b'{"a":1}', mtime=0),
]


def insertion(before, after):
    """The one run of bytes whose removal from `after` gives `before`."""
    length = len(after) - len(before)
    same = next((at for at, (a, b) in enumerate(zip(before, after)) if a != b), len(before))
    assert length > 0 and after[:same] + after[same + length:] == before, after[:300]
    return after[same:same + length]


def check_injected(before, after):
    added = insertion(before, after)
    assert len(added) < 100, added
    members = json.loads(after)
    assert TRACEPARENT.fullmatch(members.pop("traceparent"))
    # NaN-free and inf-tolerant: both sides are read alike, and the bytes were compared above.
    assert members == json.loads(before)


@pytest.fixture
def through(upstream, kinescope, connect):
    """A stream, a client through the sidecar, and the same data's view without it."""
    sidecar = kinescope(upstream.url)
    return new_stream(upstream.url), connect(sidecar.url), Boto3(upstream.url), sidecar


def test_put_record(through):
    stream, client, direct, sidecar = through
    for data in OBJECTS + UNTOUCHED:
        answer = client.call("PutRecord", StreamName=stream, Data=data, PartitionKey="p")
        assert answer["SequenceNumber"].isdigit() and answer["ShardId"] == "shardId-000000000000"
    sent = OBJECTS + UNTOUCHED
    check_read(read_all(client, stream, len(sent), limit=5), sent)
    check_read(read_all(direct, stream, len(sent)), sent)
    metrics = sidecar.metrics()
    assert metrics.sum("kinesis_records_total", stream=stream, direction="put") == len(sent)
    injected = metrics.value("kinesis_injected_bytes_total", stream=stream)
    assert injected is not None and injected > 55 * len(OBJECTS)


def test_put_records(through):
    stream, client, direct, _ = through
    sent = [data for pair in zip(OBJECTS, UNTOUCHED) for data in pair] + [b""]
    records = [{"Data": data, "PartitionKey": f"p{n}", "ExplicitHashKey": "0"}
               for n, data in enumerate(sent)]
    answer = client.call("PutRecords", StreamName=stream, Records=records)
    assert answer["FailedRecordCount"] == 0 and len(answer["Records"]) == len(sent)
    for view in (client, direct):
        read = read_all(view, stream, len(sent))
        check_read(read, sent)
        assert [record["PartitionKey"] for record in read] == [r["PartitionKey"] for r in records]


def test_500_records_in_one_call(through):
    stream, client, direct, _ = through
    sent = [b'{"n":%d}' % n for n in range(500)]
    records = [{"Data": data, "PartitionKey": str(n)} for n, data in enumerate(sent)]
    assert client.call("PutRecords", StreamName=stream, Records=records)["FailedRecordCount"] == 0
    for before, record in zip(sent, read_all(direct, stream, 500), strict=True):
        check_injected(before, record["Data"])


def check_read(read, sent):
    assert len(read) == len(sent)
    for before, record in zip(sent, read):
        if before in OBJECTS:
            check_injected(before, record["Data"])
        else:
            assert record["Data"] == before


def test_off_is_byte_identical(ministack, kinescope):
    sidecar, stream = kinescope(ministack.url, {"proxy": {"propagation": "off"}}), new_stream(ministack.url)
    client = Boto3(sidecar.url)
    for data in OBJECTS:
        client.call("PutRecord", StreamName=stream, Data=data, PartitionKey="p")
    assert [record["Data"] for record in read_all(client, stream, len(OBJECTS))] == OBJECTS


def test_other_operations_pass(through):
    stream, client, _, _ = through
    summary = client.call("DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]
    assert summary["StreamName"] == stream and summary["OpenShardCount"] == 1
    assert stream in client.call("ListStreams", Limit=1000)["StreamNames"]
    assert len(client.call("ListShards", StreamName=stream)["Shards"]) == 1


def test_an_error_of_kinesis_is_kinesis_own(upstream, kinescope):
    sidecar = kinescope(upstream.url)
    seen = []
    for url in (upstream.url, sidecar.url):
        client = Boto3(url, max_attempts=1)
        with pytest.raises(client.client.exceptions.ResourceNotFoundException) as caught:
            client.call("PutRecord", StreamName="nowhere", Data=b"{}", PartitionKey="p")
        error = caught.value.response
        assert "x-kinescope-error" not in error["ResponseMetadata"]["HTTPHeaders"]
        seen.append((error["Error"], error["ResponseMetadata"]["HTTPStatusCode"]))
    assert seen[0] == seen[1]
