"""Owns KPL aggregates: what either aggregation library made goes through the sidecar and comes apart
into the very same user records with both. The KPL itself is not to be had; these stand in for it."""

import base64
import hashlib
import json

import aws_kinesis_agg
import pytest
from aws_kinesis_agg.aggregator import AggRecord
from aws_kinesis_agg.deaggregator import iter_deaggregate_records
from aws_kinesis_agg.messages_pb2 import AggregatedRecord

from harness import Boto3, Node, new_stream, read_all
from test_matrix import check_trace, context
from test_records import check_injected

MAGIC = aws_kinesis_agg.MAGIC

# A context costs 72 bytes, so these stay under the tenth that an aggregate may grow …
ROOMY = [(f"key-{n % 3}", b'{"n":%d,"text":"%b"}' % (n, b"x" * 900)) for n in range(7)] + \
        [("opaque", b"\x00\xff" * 500)]
# … and these do not.
TINY = [(f"key-{n}", b'{"n":%d}' % n) for n in range(100)]


class Python:
    def aggregate(self, user_records):
        made = AggRecord()
        for key, data in user_records:
            assert made.add_user_record(key, data)
        return made.get_contents()[0], made.get_contents()[2]

    def deaggregate(self, data):
        record = {"SequenceNumber": "1", "ApproximateArrivalTimestamp": None, "Data": data, "PartitionKey": "none"}
        apart = [one["kinesis"] for one in iter_deaggregate_records([record], data_format="Boto3")]
        return [(one["partitionKey"], base64.b64decode(one["data"])) for one in apart]

    def close(self):
        pass


class NodeLibrary:
    def __init__(self):
        self.program = Node("http://127.0.0.1:9", env={"AGGREGATION": "1"})

    def aggregate(self, user_records):
        made = self.program.call("Aggregate", Records=[
            {"PartitionKey": key, "Data": data} for key, data in user_records])
        return made["PartitionKey"], made["Data"]

    def deaggregate(self, data):
        records = self.program.call("Deaggregate", Data=data)["Records"]
        return [(one["PartitionKey"], one["Data"]) for one in records]

    def close(self):
        self.program.close()


@pytest.fixture(params=[Python, NodeLibrary], ids=["python", "node"])
def library(request):
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def both():
    made = [Python(), NodeLibrary()]
    yield made
    for one in made:
        one.close()


def through(sidecar, stream, key, data):
    """What a reader gets for a record that was put."""
    client = Boto3(sidecar.url)
    client.call("PutRecord", StreamName=stream, Data=data, PartitionKey=key)
    record, = read_all(client, stream, 1)
    assert record["PartitionKey"] == key
    return record["Data"]


def message(aggregate):
    body, digest = aggregate[len(MAGIC):-16], aggregate[-16:]
    assert aggregate.startswith(MAGIC) and hashlib.md5(body).digest() == digest
    return AggregatedRecord.FromString(body)


def tags(aggregate):
    """The context of each user record's tag, or None."""
    found = []
    for record in message(aggregate).records:
        told = {tag.key: tag.value for tag in record.tags}
        found.append(tuple(told["traceparent"].split("-")[1:3]) if told else None)
    return found


def without_tags(aggregate):
    bare = message(aggregate)
    for record in bare.records:
        del record.tags[:]
    return bare.SerializeToString()


def test_libraries_agree_without_a_sidecar(library, both):
    _, made = library.aggregate(ROOMY)
    assert all(other.deaggregate(made) == ROOMY for other in both)


def test_every_user_record_has_its_context(library, both, any_upstream, kinescope, otlp):
    sidecar = kinescope(any_upstream.url, {"otlp": otlp.config("http/protobuf")})
    stream = new_stream(any_upstream.url)
    key, made = library.aggregate(ROOMY)
    read = through(sidecar, stream, key, made)
    assert all(other.deaggregate(read) == ROOMY for other in both)
    carried = tags(read)
    assert len(carried) == len(ROOMY) and None not in carried
    assert without_tags(read) == message(made).SerializeToString()
    # As check_trace reads it: each context as if it stood in a record of its own.
    check_trace(otlp, stream, [b'{"traceparent":"00-%b-%b-01"}' % (trace.encode(), span.encode())
                               for trace, span in carried], sends=1)


def test_tiny_user_records_share_the_first_ones_context(library, both, ministack, kinescope):
    stream = new_stream(ministack.url)
    key, made = library.aggregate(TINY)
    read = through(kinescope(ministack.url), stream, key, made)
    assert all(other.deaggregate(read) == TINY for other in both)
    carried = tags(read)
    assert carried[0] is not None and not any(carried[1:])


def test_in_the_json_of_each(library, both, ministack, kinescope):
    config = {"proxy": {"streams": [{"match": "*", "aggregated": "json"}]}}
    stream = new_stream(ministack.url)
    key, made = library.aggregate(ROOMY)
    read = through(kinescope(ministack.url, config), stream, key, made)
    one, other = [apart.deaggregate(read) for apart in both]
    assert one == other and [key for key, _ in one] == [key for key, _ in ROOMY]
    for (_, before), (_, after) in zip(ROOMY[:-1], one, strict=False):
        check_injected(before, after)
        assert context(after)
    assert one[-1] == ROOMY[-1]
    assert not any(record.tags for record in message(read).records)


@pytest.mark.parametrize("policy", [{"aggregated": "off"}, {"propagate": "observe"}, {"propagate": "off"}],
                         ids=json.dumps)
def test_left_alone(library, policy, ministack, kinescope):
    stream = new_stream(ministack.url)
    key, made = library.aggregate(ROOMY)
    sidecar = kinescope(ministack.url, {"proxy": {"streams": [{"match": "*", **policy}]}})
    assert through(sidecar, stream, key, made) == made


def test_the_reader_may_get_the_producers_bytes(library, ministack, kinescope):
    stream = new_stream(ministack.url)
    key, made = library.aggregate(ROOMY)
    sidecar = kinescope(ministack.url, {"proxy": {"streams": [{"match": "*", "deliver": "strip"}]}})
    assert through(sidecar, stream, key, made) == made
    stored, = read_all(Boto3(ministack.url), stream, 1)
    assert None not in tags(stored["Data"])


def test_what_only_looks_like_an_aggregate_passes(library, ministack, kinescope):
    sidecar = kinescope(ministack.url)
    _, made = library.aggregate(ROOMY)
    wrong_digest = made[:-1] + bytes([made[-1] ^ 1])
    cut = made[:-20]
    no_message = MAGIC + b"\xff" * 9
    no_message += hashlib.md5(b"\xff" * 9).digest()
    for data in (wrong_digest, cut, no_message, MAGIC):
        assert through(sidecar, new_stream(ministack.url), "p", data) == data
