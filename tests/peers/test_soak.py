"""Owns the long load: minutes of puts and reads by several clients, memory bounded, nothing lost."""

import os
import re
import threading
import time

import pytest

from harness import Boto3, in_threads, iterator, new_stream, wait_for

pytestmark = pytest.mark.soak
SECONDS = float(os.environ.get("KINESCOPE_SOAK_SECONDS", 1800))


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024


def test_memory_stays_and_nothing_is_lost(ministack, otlp, kinescope):
    sidecar = kinescope(ministack.url, {"otlp": otlp.config("grpc")})
    stream, stop, put, got = new_stream(ministack.url), threading.Event(), [], []

    def produce(index):
        client, n = Boto3(sidecar.url), 0
        while not stop.is_set():
            data = b'{"from":%d,"n":%d,"text":"%b"}' % (index, n, b"x" * 500)
            put.append(client.call("PutRecord", StreamName=stream, Data=data, PartitionKey="p")["SequenceNumber"])
            n += 1

    def consume():
        client = Boto3(sidecar.url)
        at = iterator(client, stream)

        def all_read():
            nonlocal at
            answer = client.call("GetRecords", ShardIterator=at)
            at = answer["NextShardIterator"]
            got.extend(record["SequenceNumber"] for record in answer["Records"])
            return stop.is_set() and len(got) >= len(put)

        wait_for(all_read, SECONDS + 120, "every record")

    def watch():
        try:
            until, first = time.monotonic() + SECONDS, None
            while time.monotonic() < until:
                time.sleep(1)
                used = resident_mib(sidecar.process.pid)
                # What the first tenth needed is the measure: caches and pools are full by then.
                if first is None and until - time.monotonic() < SECONDS * 0.9:
                    first = used
                assert first is None or used < first * 1.3 + 10, f"{used:.0f} MiB, {first:.0f} MiB at first"
        finally:
            stop.set()

    work = [lambda: produce(0), lambda: produce(1), consume, watch]
    in_threads(len(work), lambda index: work[index]())
    assert sorted(got) == sorted(put) and len(set(put)) == len(put)
    otlp.spans.clear()
