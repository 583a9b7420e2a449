"""Owns: killing the OTLP receiver and the webhook receiver during load fails no request; what is
lost is counted."""

import json
import threading

from harness import Boto3, in_threads, new_stream, wait_for
from receivers import RecordingUpstream, Webhook


def test_no_request_fails(otlp, kinescope, tmp_path):
    # A fast upstream, so that the load is on us.
    upstream = RecordingUpstream(body=b'{"SequenceNumber":"1","ShardId":"shardId-000000000000"}')
    hook = Webhook()
    (tmp_path / "hook-url").write_text(hook.url)
    sidecar = kinescope(upstream.url, {
        "otlp": otlp.config("http/protobuf"),
        "alerts": {"receivers": [{"name": "hook", "webhook": {"url_file": str(tmp_path / "hook-url")}}]},
    })
    stop, done = threading.Event(), [0] * 4
    dropped = lambda: sidecar.metrics().sum("kinescope_dropped_total", queue="spans")

    def load(index):
        client = Boto3(sidecar.url, max_attempts=1)
        while not stop.is_set():
            client.call("PutRecord", StreamName="s", Data=b'{"a":1}', PartitionKey="p")
            done[index] += 1

    def watch(_):
        try:
            wait_for(lambda: otlp.spans and min(done) > 50, 30, "load with a living receiver")
            before = dropped()
            otlp.kill()
            hook.close()
            at = sum(done)
            wait_for(lambda: dropped() > before and sum(done) > at + 500, 120, "counted drops under load")
        finally:
            stop.set()

    in_threads(5, lambda index: watch(index) if index == 4 else load(index))
    metrics = sidecar.metrics()
    puts = metrics.sum("kinescope_proxy_requests_total", operation="PutRecord")
    assert puts == sum(done) == len(upstream.puts())
    upstream.close()


def test_receivers_that_never_were(kinescope, ministack, tmp_path):
    (tmp_path / "hook-url").write_text("http://127.0.0.1:9/hook")
    sidecar = kinescope(ministack.url, {
        "otlp": {"endpoint": "http://127.0.0.1:9", "protocol": "grpc"},
        "alerts": {"receivers": [{"name": "hook", "webhook": {"url_file": str(tmp_path / "hook-url")}}]},
    })
    stream, client = new_stream(ministack.url), Boto3(sidecar.url, max_attempts=1)
    for n in range(50):
        client.call("PutRecord", StreamName=stream, Data=json.dumps({"n": n}).encode(), PartitionKey="p")
    assert sidecar.get("/readyz")[0] == 200
