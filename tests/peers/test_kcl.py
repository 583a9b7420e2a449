"""Owns a real KCL 3 application, polling and with enhanced fan-out: it reads through the sidecar what was
put, aggregates apart, and the sidecar's lag, status and links are right for it; its checkpoints, which the
same process watches as a hub, follow its reads while it is healthy and part from them when it is not."""

import json

import pytest

from harness import Boto3, missing, read_all, wait_for
from kcl import check_upstream
from receivers import gap
from test_aggregates import MAGIC, TINY, Python, tags
from test_lag import LAG, SHARD
from test_leases import CHECKPOINT
from test_matrix import check_trace
from test_records import OBJECTS, OWN, check_injected


@pytest.fixture
def application(request, kcl_applications):
    if request.param not in kcl_applications:
        missing("kcl")
    return kcl_applications[request.param]


def lag(application):
    return application.sidecar.metrics().value(LAG, stream=application.stream, consumer="inventory", shard=SHARD)


def statuses(application):
    shown = application.sidecar.metrics().all(
        "kinesis_consumer_status", stream=application.stream, consumer="inventory")
    return {labels["status"] for labels, value in shown if value == 1}


@pytest.mark.parametrize("application", ["polling"], indirect=True)
def test_polling(application, moto, ministack):
    # A record that waits for its first read tells nothing of when records come.
    wait_for(lambda: application.events("records"), 120, "KCL to poll")
    application.put(OBJECTS[0])
    application.wait_for_records(1)
    # It was given the first record and is busy with it: what is put now makes it late.
    for n in range(4):
        application.put(b'{"n":%d}' % n)
        gap(1.1)
    key, aggregate = Python().aggregate(TINY)
    application.put(aggregate, key)
    wait_for(lambda: (lag(application) or 0) > 5, 60, "a lag above 5 s while it is stalled")
    wait_for(lambda: statuses(application) and not statuses(application) & {"ok", "idle"}, 20,
             "a status that says so")
    # It may take all of them. What it was told on the way is what the sidecar goes by.
    application.go("all")
    records = application.wait_for_records(5 + len(TINY), 60)
    assert max(told for *_, told in records) > 1 and records[-1][2] < 1
    wait_for(lambda: (shown := lag(application)) is not None and shown < 1, 20, "a lag below 1 s")
    wait_for(lambda: statuses(application) <= {"ok", "idle"}, 20, "the status ok")
    check_injected(OBJECTS[0], records[0][0])
    # KCL's own deaggregation: every user record in its place, byte for byte.
    assert [(data, sub) for data, sub, _ in records[5:]] == [(data, n) for n, (_, data) in enumerate(TINY)]
    check_trace(application.otlp, application.stream, contexts_of(application), sends=6)
    check_leases(application, moto)
    check_nothing_is_inferred(application)
    assert '"reason":"user_agent"' in application.sidecar.output()
    published = lambda: Boto3(ministack.url, "cloudwatch").call(  # noqa: E731
        "ListMetrics", Namespace=application.application)["Metrics"]
    wait_for(published, 30, "metrics of KCL itself")


@pytest.mark.parametrize("application", ["polling"], indirect=True)
def test_checkpoints_part_from_reads_when_the_processor_fails(application):
    check_upstream(application.upstream)
    place = {"stream": application.stream, "consumer": "inventory", "shard": SHARD}
    lags = lambda: [application.sidecar.metrics().value(name, **place) for name in (LAG, CHECKPOINT)]  # noqa: E731
    both = lambda right: None not in (shown := lags()) and right(*shown)  # noqa: E731
    application.go("all")
    application.put(b"healthy")
    wait_for(lambda: application.records()[-1:] and application.records()[-1][0] == b"healthy", 60, "KCL to read")
    wait_for(lambda: both(lambda read, done: read < 1 and done < 1), 30, "two lags that agree")
    # Its work comes to nothing: it takes batches, and can't write down that it has.
    application.door.refuse = lambda operation, given: (
        operation == "UpdateItem" and "checkpoint" in given.get("AttributeUpdates", {}) and "ValidationException")
    faults = len(application.events("fault"))
    for n in range(5):
        application.put(b"lost %d" % n)
        gap(1.1)
    wait_for(lambda: both(lambda read, done: read < 2 < 5 < done), 30, "a checkpoint that stays behind the reads")
    assert len(application.events("fault")) > faults and statuses(application) <= {"ok", "idle"}
    application.door.refuse = lambda operation, given: None
    application.put(b"healthy again")
    wait_for(lambda: both(lambda read, done: read < 1 and done < 1), 30, "two lags that agree again")
    # Its sequence numbers tell the time, as the records' arrivals on the wire confirm.
    usable = lambda: application.sidecar.metrics().value(  # noqa: E731
        "kinescope_sequence_clock_usable", stream=application.stream)
    wait_for(lambda: usable() == 1, 20, "a clock that agrees")


@pytest.mark.parametrize("application", ["fan-out"], indirect=True)
def test_fan_out(application, moto):
    application.go("all")
    sent = [OBJECTS[0], OWN, b"plain text {", OBJECTS[3]]
    for data in sent:
        application.put(data)
    records = application.wait_for_records(len(sent))
    for before, (after, _, _) in zip(sent, records, strict=True):
        if before in OBJECTS:
            check_injected(before, after)
        else:
            assert after == before
    # What is put while the subscription is open comes by the same one.
    key, aggregate = Python().aggregate(TINY)
    application.put(aggregate, key)
    records = application.wait_for_records(len(sent) + len(TINY), 30)
    assert [(data, sub) for data, sub, _ in records[len(sent):]] == [(data, n) for n, (_, data) in enumerate(TINY)]
    wait_for(lambda: (shown := lag(application)) is not None and shown < 10, 20, "its lag")
    wait_for(lambda: statuses(application) <= {"ok", "idle"} and statuses(application), 20, "the status ok")
    # The application registered its consumer and polled nothing.
    requests = application.sidecar.metrics()
    assert requests.sum("kinescope_proxy_requests_total", operation="SubscribeToShard") >= 1
    assert requests.sum("kinescope_proxy_requests_total", operation="GetRecords") == 0
    check_trace(application.otlp, application.stream, contexts_of(application), sends=len(sent) + 1)
    check_leases(application, moto)
    check_nothing_is_inferred(application)


@pytest.mark.parametrize("application", ["polling"], indirect=True)
def test_a_killed_sidecar_knows_the_reader_again(application):
    application.go("all")
    application.put(OBJECTS[0])
    wait_for(lambda: lag(application) is not None, 60, "a lag before")
    wait_for(application.records, 60, "KCL to read")
    application.kill_sidecar()
    asked = lambda operation: application.sidecar.metrics().sum(  # noqa: E731
        "kinescope_proxy_requests_total", operation=operation)
    wait_for(lambda: asked("GetRecords") >= 2, 30, "two polls")
    # The observer reads a copy, so the figure comes a moment later; what counts is that nobody had to
    # ask for a new iterator first.
    wait_for(lambda: lag(application) is not None, 10, "the lag of its shard")
    assert asked("GetShardIterator") == 0
    unknown = application.sidecar.metrics().all(LAG, stream=application.stream, shard="unknown")
    assert not unknown
    before = len(application.records())
    application.put(b"after the kill")
    assert application.wait_for_records(before + 1, 30)[-1][0] == b"after the kill"


def contexts_of(application):
    """What the stream holds, read at the emulator itself, an aggregate's tags as records of their own."""
    held = []
    for record in read_all(Boto3(application.upstream.url), application.stream, 5):
        if record["Data"].startswith(MAGIC):
            held += [json.dumps({"traceparent": "-".join(("00", *found, "01"))}).encode()
                     for found in tags(record["Data"]) if found]
        else:
            held.append(record["Data"])
    return held


def check_nothing_is_inferred(application):
    """It prefetches, or nobody calls for its next batch: when it works on what, the wire does not say."""
    operations = {span.name.split()[0] for span in application.otlp.spans}
    assert operations == {"send", "receive"}


def check_leases(application, moto):
    """Its lease is in the table, and moved past the beginning."""
    def moved():
        leases = Boto3(moto.url, "dynamodb").call("Scan", TableName=application.application)["Items"]
        return [lease for lease in leases if lease["checkpoint"]["S"].isdigit()]

    wait_for(moved, 30, "a checkpoint")
