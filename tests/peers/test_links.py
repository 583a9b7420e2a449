"""Owns what the backend is told where it is not obvious: many links, an unsampled producer, a replay of
old records, records that failed one by one, and what is sampled at all."""

import json
import time
from datetime import datetime, timezone

import pytest

from harness import Boto3, iterator, read_all, wait_for
from receivers import attributes
from test_faults import cbor_call
from test_matrix import context, identity, wait_for_spans
from upstream import When

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = (f"00-{TRACE}-{SPAN}-{flags}" for flags in ("01", "00"))
CLIENT, PRODUCER = 3, 4  # SpanKind
THROTTLED = "ProvisionedThroughputExceededException"


@pytest.fixture
def line(kinescope, kinesis, otlp):
    """Starts a sidecar before a Kinesis of our own."""

    def start(config=None, env=None):
        upstream = kinesis()
        sidecar = kinescope(upstream.url, {"otlp": otlp.config("http/protobuf"), **(config or {})}, env=env)
        return upstream, sidecar, Boto3(sidecar.url)

    return start


def put(client, datas, headers=None):
    return client.call("PutRecords", headers=headers, StreamName="orders",
                       Records=[{"Data": data, "PartitionKey": "p"} for data in datas])


def carrying(number):
    """A record that brings the context of a producer of its own."""
    return b'{"traceparent":"00-%032x-%016x-03"}' % (number, number)


def spans_of(otlp, operation, count):
    return wait_for_spans(otlp, f"{operation} orders", lambda spans: len(spans) >= count)


# ---- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit, parts", [
    (None, [300]),  # OpenTelemetry's 128 cuts; nothing is cut here
    ("128", [128, 128, 44]),
    ("1", [1] * 300),
    ("none", [300]),
])
def test_links_beyond_128(line, otlp, limit, parts):
    upstream, sidecar, client = line(env={"OTEL_SPAN_LINK_COUNT_LIMIT": limit} if limit else None)
    # Each context is in three records: a link tells of all three.
    put(client, [carrying(number) for number in range(1, 301)])
    put(client, [carrying(number) for number in range(1, 301)])
    put(client, [carrying(number) for number in range(300, 0, -1)])
    read_all(client, "orders", 900)
    spans = spans_of(otlp, "receive", len(parts))
    assert [len(span.links) for span in spans] == parts
    links = [link for span in spans for link in span.links]
    assert [int.from_bytes(link.span_id) for link in links] == list(range(1, 301)), "each context, once"
    assert {attributes(link)["messaging.batch.message_count"] for link in links} == {3}
    assert {attributes(span)["messaging.batch.message_count"] for span in spans} == {900}
    first, *others = spans
    assert all(span.trace_id == first.trace_id and span.parent_span_id == first.span_id for span in others)
    if others:
        told = [(attributes(span)["kinescope.part"], attributes(span)["kinescope.parts"]) for span in spans]
        assert told == [(part, len(parts)) for part in range(1, len(parts) + 1)]
    assert ("OTEL_SPAN_LINK_COUNT_LIMIT" in sidecar.output()) == (limit == "none")


def test_an_unsampled_producer_is_linked_and_says_that_nobody_recorded_it(line, otlp):
    upstream, sidecar, client = line()
    put(client, [b'{"a":1}'], {"traceparent": UNSAMPLED})
    (stored, _), = upstream.stored
    assert json.loads(stored)["traceparent"].endswith("-00") and context(stored)[0] == TRACE
    put(client, [b'{"a":2}'], {"traceparent": SAMPLED})
    read_all(client, "orders", 2)
    receive, = spans_of(otlp, "receive", 1)
    # The reader's own trace is recorded, and no child of the record's.
    assert receive.parent_span_id == b"" and receive.trace_id.hex() != TRACE
    contexts = [context(data) for data, _ in upstream.stored]
    assert [(identity(link), link.flags & 1) for link in receive.links] == [(contexts[0], 0), (contexts[1], 1)]
    # The first send span was never exported: the second is the only one.
    send, = spans_of(otlp, "send", 1)
    assert identity(send) == contexts[1]


def arrived(upstream, at):
    """Says of every record that it arrived then."""
    original = upstream.GetRecords

    def answer(given):
        said = original(given)
        for record in said["Records"]:
            record["ApproximateArrivalTimestamp"] = When(at)
        return said

    upstream.GetRecords = answer


def test_a_replay_of_old_records_is_a_read_of_now(line, otlp):
    upstream, sidecar, client = line()
    put(client, [b'{"a":1}', b'{"a":2}'])
    arrived(upstream, 1.7e9)
    for _ in range(2):
        read_all(client, "orders", 2)
    first, again = spans_of(otlp, "receive", 2)
    wanted = context(upstream.stored[0][0])
    for span in (first, again):
        assert span.parent_span_id == b"" and span.trace_id.hex() != wanted[0]
        link, = span.links
        assert identity(link) == wanted
        # A backend takes no span of 2023; how long the record lay there, the link says.
        in_stream = attributes(link)["kinescope.time_in_stream_ms"]
        assert span.start_time_unix_nano > 1.75e18
        assert abs(span.end_time_unix_nano / 1e6 - in_stream - 1.7e12) < 1000
    assert first.trace_id != again.trace_id
    ages = sidecar.metrics()
    assert ages.value("kinesis_record_age_seconds_count", stream="orders") == 4
    assert ages.value("kinesis_record_age_seconds_bucket", stream="orders", le="86400") == 0


def test_end_to_end_begins_when_the_event_says_that_it_was_made(line, otlp):
    upstream, sidecar, client = line()
    made = time.time() - 7
    arrived(upstream, made + 1)
    told = [
        {"timestamp": made * 1000},
        {"timestamp": datetime.fromtimestamp(made, timezone.utc).isoformat()},
        # As utcnow() writes it: the hour is borne out by the arrival, or not told.
        {"timestamp": datetime.fromtimestamp(made, timezone.utc).replace(tzinfo=None).isoformat()},
        {"timestamp": datetime.fromtimestamp(made - 3600, timezone.utc).replace(tzinfo=None).isoformat()},
        {"timestamp": "yesterday"},
    ]
    for event in told:
        client.call("PutRecord", StreamName="orders", PartitionKey="p",
                    Data=json.dumps({"eventType": "ORDER_PLACED", **event}).encode())
    read_all(client, "orders", len(told))
    receive, = spans_of(otlp, "receive", 1)
    took = [attributes(link).get("kinescope.end_to_end_ms") for link in receive.links]
    assert took[3:] == [None, None] and all(7000 <= ms < 30000 for ms in took[:3])
    metrics = sidecar.metrics()
    labels = {"stream": "orders", "consumer": "inventory"}
    assert metrics.value("kinesis_event_end_to_end_seconds_count", **labels) == 3
    assert 21 <= metrics.value("kinesis_event_end_to_end_seconds_sum", **labels) < 90


# ---- what became of each record --------------------------------------------------------------------


def test_a_partial_failure_is_on_the_span_of_its_record(line, otlp):
    upstream, sidecar, client = line({"traces": {"create_spans": True}})
    upstream.faults = [upstream.partial({1, 3}), upstream.partial({1}, "InternalFailure")]
    datas = [b'{"n":%d}' % n for n in range(5)]
    put(client, datas, {"traceparent": SAMPLED})
    creates = spans_of(otlp, "create", 5)
    send, = spans_of(otlp, "send", 1)
    told = [attributes(span) for span in creates]
    assert [span.get("error.type") for span in told] == [None, THROTTLED, None, THROTTLED, None]
    assert [span.status.code for span in creates] == [0, 2, 0, 2, 0]
    stored = [context(data) for data, _ in upstream.stored]
    assert stored == [identity(creates[n]) for n in (0, 2, 4)]
    numbers = [span.get("messaging.message.id") for span in told]
    assert numbers[1] is numbers[3] is None and len(set(numbers)) == 4
    assert all(span.kind == PRODUCER and span.parent_span_id.hex() == SPAN for span in creates)
    # The call: how many, and which.
    assert send.kind == CLIENT and attributes(send)["kinescope.records.failed"] == 2
    assert [identity(link) for link in send.links] == list(map(identity, creates))
    failed = [attributes(link).get("error.type") for link in send.links]
    assert failed == [None, THROTTLED, None, THROTTLED, None]

    # Put again: each keeps the context that it had, so no second create span is made for it.
    wait_for(lambda: sidecar.metrics().sum("kinesis_put_failures_total") == 2, 10, "the failures")
    put(client, [datas[1], datas[3]])
    again, = [span for span in spans_of(otlp, "send", 2) if span.span_id != send.span_id]
    assert [(identity(link), attributes(link).get("error.type")) for link in again.links] == [
        (identity(creates[1]), None), (identity(creates[3]), "InternalFailure")]
    assert context(upstream.stored[3][0]) == identity(creates[1])
    assert len(spans_of(otlp, "create", 5)) == 5


def test_without_create_spans_the_call_counts_its_failures(line, otlp):
    upstream, sidecar, client = line()
    upstream.faults = [upstream.partial({0, 2})]
    put(client, [b'{"n":%d}' % n for n in range(5)])
    send, = spans_of(otlp, "send", 1)
    told = attributes(send)
    assert (told["kinescope.records.failed"], told["error.type"]) == (2, THROTTLED)
    assert told["messaging.batch.message_count"] == 5 and send.status.code == 2
    assert send.kind == PRODUCER


# ---- conventions -----------------------------------------------------------------------------------


def test_spans_say_where_kinesis_is_and_a_queue_is_no_partition(line, otlp):
    upstream, sidecar, client = line()
    client.call("PutRecord", StreamName="orders", Data=b'{"a":1}', PartitionKey="p")
    record, = read_all(client, "orders", 1)
    upstream.queue = [{"ReceiptHandle": "r1", "RecordId": "1", "Data": record["Data"], "PartitionKey": "p",
                       "ReceiveCount": 1, "ApproximateArrivalTimestamp": When(1.75e9),
                       "FirstReceiveTimestamp": When(1.75e9)}]
    cbor_call(sidecar, "ReceiveQueueRecords", {
        "QueueARN": "arn:aws:kinesis:us-east-1:000000000000:queue/mail", "Limit": 10})
    send, = spans_of(otlp, "send", 1)
    receive, = spans_of(otlp, "receive", 1)
    queued = otlp.wait_for_span(lambda span: span.name == "receive mail", "the queue's receive span")
    for span in (send, receive, queued):
        told = attributes(span)
        assert (told["server.address"], told["server.port"]) == ("127.0.0.1", upstream.server.port)
        assert told["messaging.system"] == "aws.kinesis"
    # It is Kinesis that is called, but a queue is no stream: its id is no stream's name.
    names = lambda span: [attributes(span).get(name) for name in (  # noqa: E731
        "messaging.destination.name", "aws.kinesis.stream_name", "kinescope.queue")]
    assert (names(receive), names(queued)) == (["orders", "orders", None], ["mail", None, True])
    partition = "messaging.destination.partition.id"
    assert attributes(receive)[partition] == attributes(receive.links[0])[partition] == "shardId-000000000000"
    assert partition not in attributes(queued) and partition not in attributes(queued.links[0])
    assert identity(queued.links[0]) == identity(send)


# ---- sampling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler, headers, exported", [
    ({}, {}, True),
    ({}, {"traceparent": UNSAMPLED}, False),
    ({}, {"X-Amzn-Trace-Id": f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={SPAN};Sampled=0"}, False),
    ({"OTEL_TRACES_SAMPLER": "always_off"}, {"traceparent": SAMPLED}, False),
    ({"OTEL_TRACES_SAMPLER": "always_on"}, {"traceparent": UNSAMPLED}, True),
    ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {}, False),
    ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, {"traceparent": SAMPLED}, True),
    ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, {}, False),
], ids=str)
def test_sampled_or_not_the_record_has_its_context(line, otlp, sampler, headers, exported):
    upstream, sidecar, client = line(env=sampler)
    put(client, [b'{"a":1}', b'{"a":2}'], headers)
    at = iterator(client, "orders")
    client.call("GetRecords", headers=headers, ShardIterator=at)
    written = {json.loads(data)["traceparent"] for data, _ in upstream.stored}
    one, = written
    assert one.endswith(("-01", "-03")) == exported
    if headers:
        assert one.split("-")[1] == TRACE
    wait_for(lambda: sidecar.metrics().sum("kinesis_records_total", direction="get") == 2, 10, "the read")
    if exported:
        send, = spans_of(otlp, "send", 1)
        receive, = spans_of(otlp, "receive", 1)
        assert identity(send) == tuple(one.split("-")[1:3])
        # The caller's own trace is the parent of both; the record's context is only a link.
        assert {send.parent_span_id.hex(), receive.parent_span_id.hex()} == {SPAN if headers else ""}
        assert [identity(link) for link in receive.links] == [identity(send)]
    sidecar.stop()  # whatever waited was flushed
    assert bool(otlp.spans) == exported


def test_a_flood_of_sampled_flags_is_bounded_and_its_records_are_not(line, otlp):
    upstream, sidecar, client = line({"traces": {"max_spans_per_second": 2}})
    for n in range(40):
        put(client, [b'{"n":%d}' % n], {"traceparent": SAMPLED})
    put(client, [b'{"n":40}'])  # our own root is nobody's flag
    flags = [json.loads(data)["traceparent"][-2:] for data, _ in upstream.stored]
    assert len(flags) == 41 and flags[40] == "03"
    followed = flags[:40].count("01")
    assert 2 <= followed < 40 and flags[:40].count("00") == 40 - followed
    spans_of(otlp, "send", followed + 1)
    dropped = sidecar.metrics().value("kinescope_dropped_total", queue="spans", reason="rate")
    assert dropped == 40 - followed
    sidecar.stop()
    assert len([span for span in otlp.spans if span.name == "send orders"]) == followed + 1
