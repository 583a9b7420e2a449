"""Owns: what /metrics says of a consumer's lag is what the upstream itself said, a reader that stops
keeps ageing, and real Prometheus can read and query it."""

import time

import pytest

from harness import Boto3, iterator, new_stream, wait_for
from prometheus import Prometheus
from receivers import gap

LAG = "kinesis_consumer_delivery_lag_seconds"
SHARD = "shardId-000000000000"


def spaced_records(upstream, stream, count, seconds):
    """Puts records some time apart, straight to the upstream."""
    direct = Boto3(upstream.url)
    for n in range(count):
        direct.call("PutRecord", StreamName=stream, Data=b'{"n":%d}' % n, PartitionKey="p")
        gap(seconds)


def shown(sidecar, stream, **labels):
    return sidecar.metrics().value(LAG, stream=stream, consumer="inventory", **labels)


def test_lag_is_what_the_upstream_said(upstream, kinescope, connect):
    sidecar, stream = kinescope(upstream.url), new_stream(upstream.url)
    assert shown(sidecar, stream) is None  # missing is not zero
    spaced_records(upstream, stream, 3, 1.2)
    client = connect(sidecar.url)
    at, said_before = iterator(client, stream), None
    for _ in range(3):
        called_at = time.monotonic()
        answer = client.call("GetRecords", ShardIterator=at, Limit=1)
        at, said = answer["NextShardIterator"], answer["MillisBehindLatest"] / 1000

        # The observer reads a copy, so the figure comes a moment later; and while nobody reads on,
        # time passing may be added to it.
        def agrees():
            value = shown(sidecar, stream, shard=SHARD)
            return value is not None and said - 0.05 <= value <= said + time.monotonic() - called_at

        wait_for(agrees, 10, f"a lag of {said} s, not {said_before} s")
        assert said_before is None or said < said_before
        said_before = said
    assert said_before < 0.3


def test_a_reader_that_stops_keeps_ageing(ministack, kinescope):
    sidecar, stream = kinescope(ministack.url), new_stream(ministack.url)
    spaced_records(ministack, stream, 2, 1.2)
    client = Boto3(sidecar.url)
    answer = client.call("GetRecords", ShardIterator=iterator(client, stream), Limit=1)
    said = answer["MillisBehindLatest"] / 1000
    wait_for(lambda: (shown(sidecar, stream) or 0) > said + 2, 30, f"a lag well above {said} s")
    status = sidecar.metrics()
    on = [labels["status"] for labels, value in status.all("kinesis_consumer_status", stream=stream) if value == 1]
    assert len(on) == 1, on


def test_a_shard_each(upstream, kinescope):
    sidecar, stream = kinescope(upstream.url), new_stream(upstream.url, shards=2)
    client = Boto3(sidecar.url)
    shards = [shard["ShardId"] for shard in client.call("ListShards", StreamName=stream)["Shards"]]
    for shard in shards:
        at = iterator(client, stream, shard)
        for _ in range(2):  # the second read follows NextShardIterator
            at = client.call("GetRecords", ShardIterator=at)["NextShardIterator"]
    for shard in shards:
        wait_for(lambda: shown(sidecar, stream, shard=shard) is not None, 10, f"the lag of {shard}")


def test_prometheus_scrapes_and_queries_it(ministack, kinescope, tmp_path):
    sidecar, stream = kinescope(ministack.url), new_stream(ministack.url)
    spaced_records(ministack, stream, 2, 1.1)
    client = Boto3(sidecar.url)
    client.call("PutRecord", StreamName=stream, Data=b'{"a":1}', PartitionKey="p")
    answer = client.call("GetRecords", ShardIterator=iterator(client, stream), Limit=1)
    said = answer["MillisBehindLatest"] / 1000
    assert said > 1
    prometheus = Prometheus(tmp_path, sidecar.admin)
    (labels, value), = wait_for(lambda: prometheus.query(f'{LAG}{{stream="{stream}"}}'), 30, "a sample")
    assert value >= said - 0.05
    assert {**labels, "job": None, "instance": None} == {
        "__name__": LAG, "stream": stream, "consumer": "inventory", "shard": SHARD,
        "region": "us-east-1", "job": None, "instance": None}
    assert prometheus.query("up")[0][1] == 1
    assert prometheus.query('kinescope_build_info')[0][1] == 1
    # Every family at once, once each kind of traffic has been seen: promtool has nothing to say.
    assert prometheus.promtool("check", "metrics", stdin=sidecar.metrics().text) == ""
    prometheus.stop()


@pytest.mark.parametrize("accept", ["text/plain;version=0.0.4", "*/*"])
def test_metrics_are_text(ministack, kinescope, accept):
    status, text = kinescope(ministack.url).get("/metrics", {"accept": accept})
    assert status == 200 and "# TYPE kinescope_build_info gauge" in text
