"""Owns: what /metrics says of a consumer's lag is what the upstream itself said, a reader that stops
keeps ageing, and real Prometheus can read and query it."""

import json
import time

import pytest

from harness import Boto3, iterator, new_stream, wait_for
from prometheus import Prometheus
from receivers import gap

pytestmark = pytest.mark.patient

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


def status(sidecar, stream):
    """The one status that is in force, or None."""
    found = sidecar.metrics().all("kinesis_consumer_status", stream=stream)
    return next((labels["status"] for labels, value in found if value == 1), None)


def test_four_readers_side_by_side_have_four_statuses(upstream, kinescope):
    """One whose process is gone, one with nothing to read, one that keeps up and one that doesn't:
    each is told apart within ten seconds of what makes the difference."""
    busy, quiet = new_stream(upstream.url), new_stream(upstream.url)
    direct = Boto3(upstream.url)
    sidecars = {name: kinescope(upstream.url) for name in ("stopped", "idle", "ok", "falling_behind")}
    streams = {name: quiet if name == "idle" else busy for name in sidecars}
    clients = {name: Boto3(sidecar.url) for name, sidecar in sidecars.items()}
    at = {name: iterator(client, streams[name]) for name, client in clients.items()}
    since = {}  # when each status was first seen to be right
    began = died = time.monotonic()
    while time.monotonic() < began + 45 and len(since) < 4:
        direct.call("PutRecords", StreamName=busy, Records=[
            {"Data": b"{}", "PartitionKey": "p"} for _ in range(4)])
        for name, client in clients.items():
            limit = 1 if name == "falling_behind" else 1000
            answer = client.call("GetRecords", ShardIterator=at[name], Limit=limit)
            at[name] = answer["NextShardIterator"]
        if "stopped" in clients and time.monotonic() > began + 8:
            clients.pop("stopped").client.close()
            died = time.monotonic()
        for name, sidecar in sidecars.items():
            if name not in since and time.monotonic() > began + 12 and status(sidecar, streams[name]) == name:
                since[name] = time.monotonic()
        gap(0.5)
    assert set(since) == set(sidecars), {name: status(sidecars[name], streams[name]) for name in sidecars}
    assert since["stopped"] - died < 11


def test_a_reader_that_pauses_is_not_stopped(ministack, kinescope):
    sidecar, stream = kinescope(ministack.url), new_stream(ministack.url)
    client = Boto3(sidecar.url)
    at = iterator(client, stream)
    for _ in range(5):
        at = client.call("GetRecords", ShardIterator=at)["NextShardIterator"]
        gap(0.5)
    paused = time.monotonic()
    while time.monotonic() < paused + 28:
        assert status(sidecar, stream) != "stopped"
        gap(0.5)
    wait_for(lambda: status(sidecar, stream) == "stopped", 10, "a stop after half a minute")


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


def test_prometheus_follows_a_bucket_to_its_trace(ministack, kinescope, tmp_path):
    sidecar, stream = kinescope(ministack.url), new_stream(ministack.url)
    client = Boto3(sidecar.url)
    trace, span = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
    event = {"timestamp": int(time.time() * 1000), "traceparent": f"00-{trace}-{span}-01"}
    began = time.time()
    client.call("PutRecord", StreamName=stream, Data=json.dumps(event).encode(), PartitionKey="p")
    assert client.call("GetRecords", ShardIterator=iterator(client, stream))["Records"]
    prometheus = Prometheus(tmp_path, sidecar.admin, flags=["--enable-feature=exemplar-storage"])
    wait_for(lambda: prometheus.query(f'kinesis_record_age_seconds_count{{stream="{stream}"}}'), 30, "a sample")
    for family in ("kinesis_record_age_seconds", "kinesis_event_end_to_end_seconds"):
        (found,) = prometheus.exemplars(f'{family}_bucket{{stream="{stream}"}}', began - 60, time.time() + 60)
        assert found["seriesLabels"]["consumer"] == "inventory"
        (exemplar,) = found["exemplars"]
        assert exemplar["labels"] == {
            "trace_id": trace, "span_id": span, "xray_trace_id": f"1-{trace[:8]}-{trace[8:]}"}
        assert 0 <= float(exemplar["value"]) <= float(found["seriesLabels"]["le"])
    prometheus.stop()


@pytest.mark.parametrize("accept", ["text/plain;version=0.0.4", "*/*"])
def test_metrics_are_text(ministack, kinescope, accept):
    status, text = kinescope(ministack.url).get("/metrics", {"accept": accept})
    assert status == 200 and "# TYPE kinescope_build_info gauge" in text
