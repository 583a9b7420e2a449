"""Owns inferred process spans: for which readers there are any, and what they say. The rules themselves
are in io::proxy::inferring."""

import pytest

from harness import Boto3, iterator, new_stream, wait_for
from receivers import attributes
from test_matrix import identity

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ON = {"traces": {"inferred_process": True}}
CONSUMER = 5  # SpanKind


class Line:
    """A stream of two shards, a sidecar, a reader that goes on step by step."""

    def __init__(self, upstream, kinescope, otlp, config):
        self.otlp = otlp
        self.sidecar = kinescope(upstream.url, {"otlp": otlp.config("http/protobuf"), **config})
        self.stream, self.client = new_stream(upstream.url, shards=2), Boto3(self.sidecar.url)

    def put(self, shard=0):
        # The first half of all hashes is the first shard's.
        self.client.call("PutRecord", StreamName=self.stream, Data=b'{"a":1}', PartitionKey="p",
                         ExplicitHashKey=str(shard * (1 << 127)))

    def begin(self, shard=0):
        return iterator(self.client, self.stream, f"shardId-{shard:012}")

    def step(self, at, headers=None):
        answer = self.client.call("GetRecords", headers=headers, ShardIterator=at)
        return answer["NextShardIterator"]

    def spans(self, operation):
        return [span for span in list(self.otlp.spans) if span.name == f"{operation} {self.stream}"]

    def receives(self, count):
        return wait_for(lambda: len(found := self.spans("receive")) >= count and found, 20, f"{count} receives")


@pytest.fixture
def line(ministack, kinescope, otlp):
    return lambda config=ON: Line(ministack, kinescope, otlp, config)


def test_from_the_delivery_to_the_next_call(line):
    line = line()
    at = line.begin()
    for _ in range(3):
        line.put()
        at = line.step(at)
    line.step(at)  # empty, and still a call: the third batch is done with
    receives = line.receives(3)
    process = wait_for(lambda: len(found := line.spans("process")) == 3 and found, 20, "three process spans")
    for receive, span in zip(receives, process):
        assert span.kind == CONSUMER and span.parent_span_id == receive.span_id
        assert span.trace_id == receive.trace_id
        assert [identity(link) for link in span.links] == [identity(link) for link in receive.links]
        # Two clocks are read one after the other.
        assert abs(span.start_time_unix_nano - receive.end_time_unix_nano) < 1_000_000
        assert receive.end_time_unix_nano <= span.end_time_unix_nano
        told = attributes(span)
        assert told["kinescope.inferred"] is True and told["messaging.operation.type"] == "process"
        assert told["messaging.destination.partition.id"] == "shardId-000000000000"
        assert told["messaging.batch.message_count"] == 1
    paces = line.sidecar.metrics()
    assert paces.sum("kinesis_consumer_poll_interval_seconds_count", stream=line.stream) == 3


def nothing_inferred(line, receives):
    """A put that is told behind all that came before, and no process span among it."""
    line.receives(receives)
    before = len(line.spans("send"))
    line.put()
    wait_for(lambda: len(line.spans("send")) > before, 20, "the last send")
    assert line.spans("process") == []


def test_only_where_it_is_configured(line):
    line = line({})
    at = line.begin()
    for _ in range(2):
        line.put()
        at = line.step(at)
    nothing_inferred(line, 2)


def test_never_for_kcl(line):
    line = line()
    agent = {"User-Agent": "aws-sdk-java/2.33.0 md/io#async amazon-kinesis-client-library-java/3.1.3"}
    at = line.begin()
    for _ in range(3):
        line.put()
        at = line.step(at, agent)
    nothing_inferred(line, 3)


def test_never_for_two_iterators_of_a_shard(line):
    line = line()
    one, other = line.begin(), line.begin()
    for _ in range(3):
        line.put()
        one, other = line.step(one), line.step(other)
    nothing_inferred(line, 6)


def test_never_for_several_shards_at_once(line):
    line = line()
    one, other = line.begin(0), line.begin(1)
    for _ in range(3):
        line.put(0)
        line.put(1)
        one, other = line.step(one), line.step(other)
    nothing_inferred(line, 6)


def test_not_of_a_trace_that_is_not_sampled(line):
    line = line()
    at = line.begin()
    for _ in range(3):
        line.put()
        at = line.step(at, {"traceparent": TRACEPARENT.replace("-01", "-00")})
    line.put()
    line.step(at)
    nothing_inferred(line, 1)
